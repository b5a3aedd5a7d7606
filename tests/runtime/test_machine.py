import pytest

from speechtl.runtime import machine


def test_the_hottest_zone_counts_and_those_that_do_not_answer_are_passed_over(tmp_path):
    for index, text in enumerate(["41000", "56500\n", "switched off"]):
        (tmp_path / f"thermal_zone{index}").mkdir()
        (tmp_path / f"thermal_zone{index}" / "temp").write_text(text)
    assert machine.temperature(tmp_path) == 56.5


@pytest.fixture
def vcgencmd(tmp_path, monkeypatch):
    """A Raspberry Pi's program, as far as it is asked."""

    def make(body: str) -> None:
        program = tmp_path / "vcgencmd"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_without_zones_a_raspberry_pi_is_asked(vcgencmd, tmp_path):
    vcgencmd("""[ "$1" = measure_temp ] && echo "temp=61.2'C" """)
    assert machine.temperature(tmp_path / "none") == 61.2


@pytest.mark.parametrize(("text", "bits"), [("50005\n", 0x50005), ("0\n", 0), ("e0000", 0xE0000)])
def test_throttling_is_read_of_the_kernel(tmp_path, text, bits):
    (tmp_path / "get_throttled").write_text(text)
    assert machine.throttled(tmp_path / "get_throttled") == bits


@pytest.mark.parametrize(("body", "bits"), [("echo throttled=0x50000", 0x50000), ("exit 1", None), ("echo VCHI failed", None)])
def test_throttling_is_asked_of_a_raspberry_pi(vcgencmd, tmp_path, body, bits):
    vcgencmd(body)
    assert machine.throttled(tmp_path / "none") == bits


def test_a_program_that_hangs_is_not_waited_for(vcgencmd, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "ANSWER_SECONDS", 0.2)
    vcgencmd("exec sleep 60")
    assert machine.throttled(tmp_path / "none") is None


def test_bits_are_words():
    assert machine.throttling(0b101) == ["under-voltage", "throttled"]
    assert machine.throttling(0x50005 >> 16) == ["under-voltage", "throttled"]
    assert machine.throttling(0) == []


@pytest.mark.parametrize(("said", "known"), [("yes", True), ("no", False), ("", None)])
def test_the_clock_is_asked_of_systemd(tmp_path, monkeypatch, said, known):
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.clock_synchronised() is known
