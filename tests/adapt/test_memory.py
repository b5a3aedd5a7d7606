import io

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from speechtl.adapt.layer import Layer
from speechtl.adapt.memory import MEMORY, MOST_BYTES, Memory, best, highest, pack, unpack
from speechtl.errors import BundleError
from speechtl.runtime.bundle.wake_word import open_bundle


def memory(words=30, others=50, size=6):
    random = np.random.default_rng(0)
    rows = random.normal(0, 3, (words + others, size)).astype(np.float32)
    return Memory([row[None] for row in rows[:words]], [index // 3 for index in range(words)], [row[None] for row in rows[words:]], 0.5)


def test_a_bundle_gives_back_what_it_remembers_to_a_byte_of_the_range(remake):
    made = memory()
    found = unpack(open_bundle(remake(files={MEMORY: pack(made)})))
    rows = np.concatenate([*made.words, *made.others])
    step = (rows.max(axis=0) - rows.min(axis=0)) / 255
    assert np.abs(np.concatenate([*found.words, *found.others]) - rows).max() <= step.max()
    assert (found.of, found.hours) == (made.of, 0.5)


def test_a_memory_is_never_larger_than_allowed_and_keeps_the_first_of_each_kind():
    content = pack(memory(600, 900, 200))
    assert 0.7 * MOST_BYTES < len(content) <= MOST_BYTES
    with pytest.raises(ValueError, match="do not fit"):
        pack(memory(), 100)


def test_all_conditions_of_a_recording_are_held_out_together():
    made = memory()
    assert all(len({fold for fold, of in zip(made.word_folds, made.of, strict=True) if of == one}) == 1 for one in set(made.of))


def test_a_bundle_without_a_memory_says_what_to_do(tiny_bundle):
    with pytest.raises(BundleError, match=r"has no memory .* without --no-memory"):
        unpack(open_bundle(tiny_bundle))


def test_damage_is_one_sentence(remake):
    good = dict(np.load(io.BytesIO(pack(memory()))))
    for change in (
        {"of": good["of"][:3]},
        {"low": np.full(6, np.nan, np.float32)},
        {"words": good["words"][:0]},
        {"others": good["others"][0]},
        {"hours": np.array([np.nan])},
        {"hours": np.array([0.0])},
    ):
        file = io.BytesIO()
        np.savez_compressed(file, **(good | change))
        with pytest.raises(BundleError, match=r"is damaged: memory\.npz"):
            unpack(open_bundle(remake(files={MEMORY: file.getvalue()})))
    with pytest.raises(BundleError, match=r"is damaged: memory\.npz"):
        unpack(open_bundle(remake(files={MEMORY: b"nothing"})))


def test_numbers_of_recordings_cost_no_room_whatever_they_are(remake):
    good = dict(np.load(io.BytesIO(pack(memory()))))
    file = io.BytesIO()
    np.savez_compressed(file, **(good | {"of": good["of"] * 100_000_000 - 5}))
    assert unpack(open_bundle(remake(files={MEMORY: file.getvalue()}))).of == memory().of


def test_the_highest_moments_of_streams_come_first_one_of_a_second():
    layer = Layer(np.array([1.0]), 0.0)
    stream = np.array([[1], [5], [4], [0], [2], [3]], np.float32)
    assert best(layer, stream).tolist() == [[5.0]]
    assert [moment.item() for moment in highest(layer, [stream, stream[:1] + 8], 0.5, 3)] == [9.0, 5.0, 4.0]
