import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from speechtl.audio.augment import mask
from speechtl.audio.data.manifest import Clip
from speechtl.audio.pretraining import shards as module
from speechtl.audio.pretraining.data import Rendered, Utterance, Window
from speechtl.audio.pretraining.shards import MASKS, ShardBatches, Shards
from speechtl.errors import RunError
from speechtl.transfer.fit import PartedBatches


def number(window):
    """Return the number that marks a window's features and phones."""
    return window.seed[2]


def render(window):
    index = number(window)
    features = np.full((2, 20, 8), float(index), np.float32)
    features[1] += 0.5
    phones = None if index % 5 == 0 else [index] * (1 + index % 3)
    return Rendered(features, np.full((3, 4), float(index), np.float32), phones, [(index, 5)] * (index % 4))


@pytest.fixture
def shards(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WINDOWS", 8)
    packs = [[Window((Utterance(Clip("a.wav", 1.0), (1,)),), (0, pack, index)) for index in range(1, 31)] for pack in range(2)]
    made = Shards(tmp_path, packs, 2, {"seed": 0})
    made.render(render, lambda done, of: None)
    return made


def seen(batches):
    """Return the marks of all windows in the batches, as the phones tell them."""
    marks = []
    for _, phones, counts, heard, words in batches:
        assert all(
            row[row[:, 0] >= 0].tolist() == [[mark, 5]] * (int(mark) % 4) for row, mark in zip(words, heard[:, 0, 0].tolist(), strict=True)
        )
        assert [count for count in counts.tolist() if count >= 0] == [1 + int(mark) % 3 for mark in heard[:, 0, 0] if int(mark) % 5]
        assert all(row[0] == mark for row, mark, count in zip(phones, heard[:, 0, 0], counts, strict=True) if count > 0)
        marks += [int(mark) for mark in heard[:, 0, 0]]
    return marks


def test_an_epoch_gives_every_window_once_but_for_an_incomplete_batch(shards):
    batches = ShardBatches(shards, batch_size=4, seed=0)
    marks = seen(batches.epoch(0))
    assert len(batches) == 7
    assert len(marks) == len(set(marks)) == 28


@pytest.mark.parametrize("together", [1, 2, 3, 4, 5])
def test_it_does_so_whatever_the_number_of_files_and_the_batch(shards, together):
    for size in (1, 5, 20):  # the last is more than the windows of one file
        marks = seen(ShardBatches(shards, batch_size=size, seed=0, together=together).epoch(1))
        assert len(marks) == len(set(marks)) == 30 // size * size


def test_an_epochs_order_depends_on_its_number_alone(shards):
    batches = ShardBatches(shards, batch_size=4, seed=0)
    assert seen(batches.epoch(0)) == seen(batches.epoch(0))
    assert seen(batches.epoch(0)) != seen(batches.epoch(4))  # the same pack


def test_every_window_of_an_epoch_is_in_a_copy_of_its_own(shards):
    batches = ShardBatches(shards, batch_size=4, seed=0)
    for epoch in range(2):
        copies = [float(window.median()) % 1.0 for batch in batches.epoch(epoch) for window in batch[0]]
        assert 8 <= copies.count(0.5) <= 20  # of 28
        assert copies.count(0.0) == 28 - copies.count(0.5)


def test_epochs_go_through_the_packs(shards):
    names = [shards.names(pack) for pack in range(2)]
    assert names[0] != names[1]
    for path in names[1]:
        path.unlink()
    batches = ShardBatches(shards, batch_size=4, seed=0)
    assert len(seen(batches.epoch(0))) == len(seen(batches.epoch(2))) == 28
    with pytest.raises(RunError):
        seen(batches.epoch(1))


def test_processes_read_parts_that_have_nothing_in_common(shards):
    batches = ShardBatches(shards, batch_size=2, seed=0, together=1)
    parts = [seen(batches.part(0, rank, 2)) for rank in range(2)]
    assert [len(part) for part in parts] == [2 * (len(batches) // 2)] * 2
    assert not set(parts[0]) & set(parts[1])


def test_the_training_loop_lets_every_process_read_its_part(shards):
    assert isinstance(ShardBatches(shards, batch_size=2, seed=0), PartedBatches)


def test_a_process_with_too_few_windows_begins_again(shards):
    batches = ShardBatches(shards, batch_size=4, seed=0)
    assert [len(list(batches.part(0, rank, 3))) for rank in range(3)] == [2, 2, 2]


def test_only_what_is_missing_is_rendered_again(shards):
    files = shards.names(0) + shards.names(1)
    files[1].unlink()
    before = {path: path.stat().st_mtime_ns for path in files if path.exists()}
    calls = []
    shards.render(lambda window: calls.append(number(window)) or render(window), lambda done, of: None)
    assert sorted(calls) == list(range(9, 17))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_processes_render_different_files(tmp_path, shards):
    again = Shards(tmp_path / "again", shards.packs, 2, {"seed": 0})
    again.render(render, lambda done, of: None, rank=1, world=2)
    assert [path.exists() for path in again.names(0)] == [False, True, False, True]


def test_several_workers_render_the_same(tmp_path, shards):
    again = Shards(tmp_path / "again", shards.packs, 2, {"seed": 0})
    done = []
    again.render(render, lambda count, of: done.append((count, of)), workers=2)
    assert done == [(count, 8) for count in range(1, 9)]
    assert [path.read_bytes() for path in again.names(1)] == [path.read_bytes() for path in shards.names(1)]


def kill(window):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_an_error_and_the_next_call_goes_on(tmp_path, shards):
    again = Shards(tmp_path / "again", shards.packs, 2, {"seed": 0})
    with pytest.raises(RunError, match="was killed"):
        again.render(kill, lambda count, of: None, workers=2)
    again.render(render, lambda count, of: None, workers=2)
    assert all(path.exists() for path in again.names(0))


def running(process):
    try:
        return process.joinpath("stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_workers_end_when_the_process_that_gives_them_work_is_killed(tmp_path, shards):
    again = Shards(tmp_path / "again", shards.packs, 2, {"seed": 0})
    parent = os.fork()
    if parent == 0:
        again.render(lambda window: time.sleep(60), lambda done, of: None, workers=2)
        os._exit(0)
    workers: list[Path] = []
    while len(workers) < 2:
        workers = [Path(f"/proc/{pid}") for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    limit = time.monotonic() + 30
    while (left := [worker for worker in workers if running(worker)]) and time.monotonic() < limit:
        time.sleep(0.1)
    for worker in left:
        os.kill(int(worker.name), signal.SIGKILL)
    assert not left


def test_a_damaged_file_is_removed_wherever_it_is_read(shards):
    shards.names(0)[0].write_bytes(b"")
    with pytest.raises(RunError, match="has been removed"):
        shards.heard()
    assert not shards.names(0)[0].exists()


def test_other_settings_have_files_of_their_own(tmp_path, shards):
    assert Shards(tmp_path, shards.packs, 2, {"seed": 1}).folder != shards.folder


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path, shards):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        Shards(tmp_path / "file", shards.packs, 2, {}).render(render, lambda done, of: None)


def test_masks_leave_most_of_a_window_as_it_is():
    features = torch.rand(3, 200, 32)
    masked = features.clone()
    mask(masked, np.random.default_rng(0), **MASKS)
    changed = (masked != features).float().mean()
    assert 0.01 < float(changed) < 0.5
