import itertools

import pytest
import torch

from speechtl.audio.pretraining.alignment import first_frames


def written(path):
    """Return what a path writes, and the frames at which its phones begin."""
    begins = [frame for frame, one in enumerate(path) if one and (frame == 0 or path[frame - 1] != one)]
    return tuple(path[frame] for frame in begins), begins


@pytest.mark.parametrize("phones", [(1,), (1, 2), (2, 2), (1, 2, 1), (3, 3, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_the_frames_are_those_of_the_most_probable_path(phones, seed):
    log_probabilities = torch.randn(6, 1, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=2)
    paths = [path for path in itertools.product(range(4), repeat=6) if written(path)[0] == phones]
    best = max(paths, key=lambda path: sum(float(log_probabilities[frame, 0, one]) for frame, one in enumerate(path)))
    assert first_frames(log_probabilities, torch.tensor([phones]), torch.tensor([len(phones)])).tolist() == [written(best)[1]]


def test_several_recordings_of_different_lengths_do_not_disturb_each_other():
    log_probabilities = torch.randn(30, 3, 5, generator=torch.Generator().manual_seed(0)).log_softmax(dim=2)
    phones, counts = torch.tensor([[1, 2, 3, 4], [2, 0, 0, 0], [3, 3, 1, 0]], dtype=torch.int16), torch.tensor([4, 1, 3])
    together = first_frames(log_probabilities, phones, counts)
    for row, count in enumerate(counts.tolist()):
        alone = first_frames(log_probabilities[:, row : row + 1], phones[row : row + 1, :count], counts[row : row + 1])
        assert together[row, :count].tolist() == alone[0].tolist()
        assert (together[row, count:] == -1).all()


def test_phones_that_do_not_fit_have_no_frames():
    log_probabilities = torch.zeros(3, 2, 4).log_softmax(dim=2)
    found = first_frames(log_probabilities, torch.tensor([[1, 2, 1, 2], [1, 1, 0, 0]]), torch.tensor([4, 2]))
    assert found.tolist() == [[-1, -1, -1, -1], [0, 2, -1, -1]]
