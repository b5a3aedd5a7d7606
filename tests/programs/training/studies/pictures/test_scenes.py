import numpy as np
import pytest
import torch
from scenes import TASKS, Scene, scenes, without


def test_a_seed_gives_the_same_scenes_however_many_are_wanted():
    pixels, labels = scenes(6, 24, seed=3)
    more, their_labels = scenes(9, 24, seed=3, missing=0.5)
    assert torch.equal(pixels, more[:6])
    known = ~torch.isnan(their_labels[:6])
    assert torch.equal(labels[known], their_labels[:6][known])
    assert not torch.equal(pixels, scenes(6, 24, seed=4)[0])


def test_several_of_the_four_may_be_there_at_once_or_none():
    _, labels = scenes(120, 16)
    assert labels.shape == (120, len(TASKS))
    assert {0.0, 1.0, 2.0, 3.0} <= set(labels.sum(dim=1).tolist())
    assert ((labels.mean(dim=0) > 0.2) & (labels.mean(dim=0) < 0.6)).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75, 0.9])
def test_the_chosen_share_of_labels_is_missing_spread_over_the_tasks(share):
    missing = torch.isnan(without(torch.ones(2000, 4), share, seed=0)).float()
    assert missing.mean().item() == pytest.approx(share)
    assert missing.mean(dim=0).tolist() == pytest.approx([share] * 4, abs=0.03)


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_every_picture_keeps_a_label_while_there_are_as_many(share):
    missing = torch.isnan(without(torch.ones(500, 4), share, seed=0))
    assert not missing.all(dim=1).any()


def test_a_shared_context_makes_the_four_come_together_and_leaves_how_often_each_comes():
    _, apart = scenes(400, 8)
    _, together = scenes(400, 8, context=True)
    assert abs(np.corrcoef(apart.T.numpy())[0, 1:]).max() < 0.15
    assert np.corrcoef(together.T.numpy())[np.triu_indices(len(TASKS), 1)].min() > 0.1
    assert together.mean().item() == pytest.approx(apart.mean().item(), abs=0.05)


def test_stripes_rise_in_the_four_and_fall_in_what_looks_like_them():
    scene = Scene(48, 0, 0, parts=True)
    before = np.asarray(scene.picture).astype(np.int16)
    scene._box(0.2, 0.2, 0.8, 0.8, (90, 90, 90))
    scene._stripe(before, 1)
    rising = np.asarray(scene.picture).astype(int).sum(axis=2)[30:60, 30:60]
    assert (rising[1:, :-1] == rising[:-1, 1:]).all()
    assert not (rising[:-1, :-1] == rising[1:, 1:]).all()
