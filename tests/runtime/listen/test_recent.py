import numpy as np

from speechtl.runtime.listen.recent import Recent


def test_the_last_seconds_are_found_by_their_sample_numbers():
    recent = Recent(1.0)
    ramp = np.arange(40_000, dtype=np.float32)
    for end in range(1000, 40_001, 1000):
        recent.feed(ramp[end - 1000 : end], end)
    assert np.array_equal(recent.between(30_000, 35_000), ramp[30_000:35_000])
    assert np.array_equal(recent.between(0, 50_000), ramp[24_000:])
    assert len(recent.between(10_000, 20_000)) == 0


def test_nothing_is_held_over_a_gap():
    recent = Recent(1.0)
    recent.feed(np.ones(1000, np.float32), 1000)
    assert not recent.continued_by(np.zeros(1000, np.float32), 5000)
    recent.feed(np.zeros(1000, np.float32), 5000)
    assert np.array_equal(recent.between(0, 5000), np.zeros(1000))
    assert len(Recent(1.0).between(0, 10)) == 0
