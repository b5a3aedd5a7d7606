import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechtl.runtime.events import Event
from speechtl.runtime.listen.commands import Command
from speechtl.runtime.listen.loop import Listener, PacedFile

RATE = 16_000
ENDED = 1.0  # seconds from a signal to the end, as promised
SLACK = 1.0  # for a machine that is busy with other tests


def lines(command) -> list[dict]:
    return [json.loads(line) for line in command.out]


def test_a_word_is_detected_through_the_whole_loop(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone()
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    command.wait_for("Listening for burst to speechtl_mic at 16000 Hz")
    microphone.play(bursts((0.5, 2.0), 3.0))
    command.wait_for('"name": "burst"', times=2)
    assert command.stop(signal.SIGTERM) < ENDED + SLACK
    assert command.process.returncode == 0
    first, second = lines(command)
    assert list(first) == ["name", "time", "score", "peak", "start", "end", "level", "snr", "at", "monotonic"]
    assert second["monotonic"] - first["monotonic"] == pytest.approx(1.5, abs=0.3)
    assert first["end"] - first["start"] == pytest.approx(0.4)
    assert second["time"] - first["time"] == pytest.approx(1.5, abs=0.09)
    assert 0.5 <= first["score"] <= 1.0
    assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(first["at"])).total_seconds()) < 60
    assert "detections: burst 2" in command.err[-1]
    assert "lost" not in command.err[-1]


@pytest.fixture
def busy_cores():
    """Keep every core busy with two processes."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    yield
    for process in spinning:
        process.kill()
        process.wait()


def resident_mb(process) -> float:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_nothing_is_lost_while_every_core_is_busy(virtual_microphone, speechtl, tiny_bundle, bursts, busy_cores):
    """SPEECHTL_SOAK_MINUTES says for how long; training/studies/README.md has what ten minutes gave."""
    rounds = max(round(float(os.environ.get("SPEECHTL_SOAK_MINUTES", "0.15")) * 60 / 3), 2)
    microphone = virtual_microphone(rate=48_000, strict=True)
    command = listening(speechtl, microphone, tiny_bundle, "--json")
    samples = soxr.resample(bursts((0.5, 2.0), 3.0), RATE, 48_000)
    grown_from = None
    for number in range(rounds):
        microphone.play(samples)
        command.wait_for('"name": "burst"', times=2 * (number + 1))
        grown_from = grown_from or (number >= rounds // 2 and resident_mb(command.process))
    grown = resident_mb(command.process) - grown_from
    command.stop(signal.SIGTERM)
    assert len(command.out) == 2 * rounds
    assert "lost" not in "\n".join(command.err)
    assert grown < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_microphone_that_only_knows_its_own_rate_is_resampled(virtual_microphone, speechtl, tiny_bundle, bursts, rate):
    microphone = virtual_microphone(rate=rate, strict=True)
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    command.wait_for(f"at {rate} Hz")
    microphone.play(soxr.resample(bursts((0.5, 2.0), 3.0), RATE, rate))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    assert second["time"] - first["time"] == pytest.approx(1.5, abs=0.09)


@pytest.mark.slow
def test_a_microphone_that_hangs_is_told_and_listened_to_again_when_it_answers(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone()
    microphone.background = 0.001
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"')
    microphone.pause()
    command.wait_for("has delivered nothing for a second")
    microphone.resume()
    command.wait_for("The microphone is back")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    apart = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert second["time"] - first["time"] == pytest.approx(apart.total_seconds(), abs=1.0)
    assert sum("has delivered nothing" in line for line in command.err) == 1


@pytest.mark.slow
def test_a_microphone_that_is_unplugged_is_opened_again_by_its_name(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone(names=("another", "speechtl_mic"))
    microphone.background = 0.001
    command = speechtl("listen", tiny_bundle, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"')
    microphone.unplug()
    command.wait_for("is opened again as soon as it responds")
    command.wait_for("There is no microphone")
    microphone.plug()
    command.wait_for("The microphone is back")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    apart = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert second["time"] - first["time"] == pytest.approx(apart.total_seconds(), abs=1.0)
    assert "lost" not in command.err[-1]  # the driver's frames in between, faster than any sound, were none


def listening(speechtl, microphone, *arguments, **environment):
    command = speechtl("listen", *arguments, "--device", "speechtl_mic", environment={**microphone.environment, **environment})
    command.wait_for("Listening for")
    return command


@pytest.mark.slow
def test_a_silent_microphone_is_told(virtual_microphone, speechtl, tiny_bundle):
    command = listening(speechtl, virtual_microphone(), tiny_bundle)
    command.wait_for("digital silence (only zeros): is it muted?")
    command.stop(signal.SIGTERM)


@pytest.mark.slow
def test_a_dead_channel_is_told_with_the_one_that_carries_sound(virtual_microphone, speechtl, tiny_bundle):
    microphone = virtual_microphone()
    command = listening(speechtl, microphone, tiny_bundle)
    microphone.play(np.stack([np.zeros(3 * RATE), np.random.default_rng(0).normal(0, 0.01, 3 * RATE)], axis=1))
    command.wait_for("listen to that one with --channel 2")
    command.stop(signal.SIGTERM)


@pytest.mark.slow
def test_the_chosen_channel_is_heard(virtual_microphone, speechtl, tiny_bundle, bursts):
    microphone = virtual_microphone()
    command = listening(speechtl, microphone, tiny_bundle, "--channel", "2", "--json")
    microphone.play(np.stack([bursts((0.5, 2.0), 3.0), bursts((1.2,), 3.0)], axis=1))
    command.wait_for('"name": "burst"')
    microphone.wait()
    command.stop(signal.SIGTERM)
    assert len(command.out) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_loop_within_a_second_even_when_the_microphone_hangs(virtual_microphone, speechtl, tiny_bundle, number):
    microphone = virtual_microphone()
    command = listening(speechtl, microphone, tiny_bundle)
    microphone.pause()
    assert command.stop(number) < ENDED + SLACK
    assert command.process.returncode == 0


@pytest.mark.slow
def test_a_reload_brings_the_new_bundle_and_a_broken_one_leaves_the_old(virtual_microphone, speechtl, remake, bursts, tmp_path):
    microphone = virtual_microphone()
    microphone.background = 0.001
    bundle = remake(name="word.wake")
    command = listening(speechtl, microphone, bundle, "--json")
    remake({"name": "other"}, name="new.wake").replace(bundle)
    command.process.send_signal(signal.SIGHUP)
    command.wait_for("The bundles were reloaded.")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "other"')
    (tmp_path / "word.wake").write_bytes(b"half a bundle")
    command.process.send_signal(signal.SIGHUP)
    command.wait_for("The bundles were not reloaded, and the old ones stay in use: ")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "other"', times=2)
    command.stop(signal.SIGTERM)
    first, second = lines(command)
    assert second["time"] > first["time"] + 1.5


@pytest.mark.slow
def test_several_bundles_hear_one_microphone(virtual_microphone, speechtl, tiny_bundle, remake, bursts):
    microphone = virtual_microphone()
    command = listening(speechtl, microphone, tiny_bundle, remake({"name": "other"}), "--json")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "other"')
    command.wait_for('"name": "burst"')
    command.stop(signal.SIGTERM)
    assert "detections: burst 1, other 1" in command.err[-1]


@pytest.fixture
def recording(bursts, tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts((0.5, 2.0), 2.6), RATE)
    return tmp_path / "a.wav"


@pytest.mark.slow
def test_a_dry_run_paces_a_file_and_gives_its_events(speechtl, tiny_bundle, recording):
    command = speechtl("listen", tiny_bundle, "--dry-run", recording, "--json")
    assert command.finish() == 0
    first, second = lines(command)
    assert 0.5 < first["time"] < 0.8
    assert 2.0 < second["time"] < 2.3
    apart = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert apart.total_seconds() > 1.2
    assert "Listened for 3 s; detections: burst 2." in command.err[-1]


@pytest.mark.slow
def test_events_are_lines_for_people_without_json(speechtl, tiny_bundle, recording):
    command = speechtl("listen", tiny_bundle, "--dry-run", recording)
    assert command.finish() == 0
    assert len(command.out) == 2
    assert " burst at 0." in command.out[0]
    assert "(score 0." in command.out[0]


@pytest.mark.slow
def test_a_command_is_told_the_event_and_its_output_stays_out_of_the_events(speechtl, tiny_bundle, recording, tmp_path):
    script = tmp_path / "tell it.sh"
    script.write_text('#!/bin/sh\necho "told $1 $SPEECHTL_NAME $SPEECHTL_TIME $SPEECHTL_SCORE $SPEECHTL_AT"\n')
    script.chmod(0o755)
    command = speechtl("listen", tiny_bundle, "--dry-run", recording, "--json", "--on-detect", f"'{script}' '$HOME;x'")
    assert command.finish() == 0
    first = lines(command)[0]
    told = next(line for line in command.err if line.startswith("told")).split()
    assert told == ["told", "$HOME;x", "burst", f"{first['time']:.3f}", f"{first['score']:.4f}", first["at"]]


@pytest.mark.slow
def test_a_hanging_command_neither_stalls_the_loop_nor_survives_it(speechtl, tiny_bundle, recording, tmp_path):
    pids = tmp_path / "pids"
    command = speechtl(
        "listen",
        tiny_bundle,
        "--dry-run",
        recording,
        "--json",
        "--shell",
        "--on-detect",
        f"echo $$ >> {pids}; trap '' TERM; sleep 600 & wait; sleep 600",
    )
    assert command.finish(20) == 0
    assert len(command.out) == 2
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.slow
def test_a_request_is_handed_over_and_the_tally_kept(speechtl, tiny_bundle, recording, tmp_path):
    options = ("--hand-over", f"cat > {tmp_path}/request", "--shell", "--hand-over-from", "start", "--tally", tmp_path / "tally")
    command = speechtl("listen", tiny_bundle, "--dry-run", recording, "--json", "--save-clips", tmp_path / "clips", *options)
    assert command.finish() == 0
    first, _ = lines(command)
    heard = np.frombuffer((tmp_path / "request").read_bytes(), "<i2") / 32768
    whole, _ = soundfile.read(recording)
    begin = round((first["start"] - 0.1) * RATE)
    assert np.allclose(heard[: RATE // 2], whole[begin:][: RATE // 2], atol=1e-3)
    told = [json.loads(line) for line in (tmp_path / "tally").read_text().splitlines()]
    assert told[-1]["what"] == "heard"
    assert told[-1]["seconds"] == pytest.approx(2.6, abs=0.05)  # without the digital silence behind the file
    events = [line for line in told if line["what"] == "event"]
    assert [line["score"] for line in events] == [line["score"] for line in lines(command)]
    assert all(Path(line["clip"]).is_file() for line in events)


def test_commands_are_ended_before_a_microphone_that_may_hang_is_closed(recording, tmp_path):
    class Closing(PacedFile):
        def close(self) -> None:
            super().close()
            self.left = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()

    command, source = (
        Command(f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 600", print, shell=True),
        Closing(recording),
    )
    command.run(Event("word", 1.0, 0.9))
    while not (tmp_path / "pid").exists():
        time.sleep(0.01)
    Listener(source, None, None, print, print, command).close()
    assert source.left is False


@pytest.mark.slow
def test_clips_are_kept_of_events(speechtl, tiny_bundle, recording, tmp_path):
    command = speechtl("listen", tiny_bundle, "--dry-run", recording, "--save-clips", tmp_path / "clips")
    assert command.finish() == 0
    kept = sorted((tmp_path / "clips").iterdir())
    assert len([path for path in kept if "_burst_0." in path.name]) == 2
    assert all(soundfile.info(path).duration > 1.0 for path in kept)


@pytest.mark.slow
def test_clips_are_kept_of_the_words_that_are_named(speechtl, tiny_bundle, remake, recording, tmp_path):
    other = remake({"name": "other"})
    options = (
        "--save-clips",
        tmp_path / "clips",
        "--clips",
        "other",
        "--threshold",
        "0.6",
        "--threshold",
        "burst=0.5",
        "--refractory",
        "9",
    )
    command = speechtl("listen", tiny_bundle, other, "--dry-run", recording, *options)
    assert command.finish() == 0
    assert "detections: burst 1, other 1" in command.err[-1]
    kept = [path.name for path in (tmp_path / "clips").iterdir()]
    assert len([name for name in kept if "_other_0." in name]) == 1
    assert not [name for name in kept if "burst" in name]


@pytest.mark.slow
def test_a_folder_is_watched_while_the_loop_runs(virtual_microphone, speechtl, tiny_bundle, remake, bursts, tmp_path):
    microphone = virtual_microphone()
    microphone.background = 0.001
    folder = tmp_path / "words"
    folder.mkdir()
    command = speechtl("listen", folder, "--device", "speechtl_mic", "--json", environment=microphone.environment)
    command.wait_for("Listening for no word yet (waiting for *.wake files in ")
    shutil.copy(tiny_bundle, folder)
    command.wait_for("was opened: burst.")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "burst"')
    shutil.copy(remake({"name": "other"}), folder / tiny_bundle.name)
    command.wait_for("was reloaded: other.")
    microphone.play(bursts((0.5,), 1.5))
    command.wait_for('"name": "other"')
    command.stop(signal.SIGTERM)
    assert len(command.out) == 2


@pytest.mark.slow
def test_systemd_is_told_of_start_life_and_end(virtual_microphone, speechtl, tiny_bundle, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        settings = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        command = listening(speechtl, virtual_microphone(), tiny_bundle, **settings)
        assert systemd.recv(1000).decode().startswith("READY=1\nSTATUS=listening to speechtl_mic")
        assert systemd.recv(1000) == systemd.recv(1000) == b"WATCHDOG=1"
        command.stop(signal.SIGTERM)
        rest = b""
        while rest != b"STOPPING=1":
            rest = systemd.recv(1000)


@pytest.mark.slow
def test_systemd_is_told_that_the_microphone_is_away_and_back(virtual_microphone, speechtl, tiny_bundle, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(40)
        microphone = virtual_microphone()
        microphone.background = 0.001
        command = listening(speechtl, microphone, tiny_bundle, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert systemd.recv(1000).startswith(b"READY=1")
        microphone.pause()
        assert systemd.recv(1000) == b"STATUS=no sound from speechtl_mic at 16000 Hz, channel 1 of 2; it is opened again when it responds"
        command.process.send_signal(signal.SIGHUP)
        assert systemd.recv(1000).startswith(b"RELOADING=1")
        assert systemd.recv(1000).startswith(b"READY=1\nSTATUS=no sound")
        microphone.resume()
        assert systemd.recv(1000) == b"STATUS=listening to speechtl_mic at 16000 Hz, channel 1 of 2"
        command.stop(signal.SIGTERM)


@pytest.mark.slow
def test_a_reader_of_the_events_that_goes_away_ends_the_loop_without_an_error(tiny_bundle, recording):
    child = subprocess.Popen(
        [sys.executable, "-m", "speechtl", "listen", str(tiny_bundle), "--dry-run", str(recording), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read().decode()
    child.stderr.close()
    assert child.wait(60) == 0
    assert "Traceback" not in said


def refused(command, says: str) -> None:
    assert command.finish() == 2
    assert len(command.err) == 1, command.err
    assert command.err[0].startswith("speechtl: ")
    assert says in command.err[0]


@pytest.mark.slow
def test_microphones_that_cannot_be_meant_are_refused_in_one_sentence(virtual_microphone, speechtl, tiny_bundle):
    microphone = virtual_microphone(names=("kitchen_mic", "living_room_mic"))

    def listen(*arguments):
        return speechtl("listen", tiny_bundle, *arguments, environment=microphone.environment)

    refused(listen("--device", "mic"), "'mic' matches 2 microphones: 0 = kitchen_mic; 1 = living_room_mic")
    refused(listen("--device", "headset"), "There is no microphone 'headset'; there are: 0 = kitchen_mic")
    refused(listen("--device", "7"), "There is no microphone '7'")
    microphone.unplug()
    refused(listen("--device", "kitchen"), "There is no microphone")
    refused(listen(), "There is no microphone")


def test_without_portaudio_the_package_to_install_is_named(speechtl, tiny_bundle, tmp_path):
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    command = speechtl("listen", tiny_bundle, environment={"PYTHONPATH": str(tmp_path)})
    refused(command, "sudo apt-get install libportaudio2")


def test_without_sounddevice_the_pip_command_is_printed(speechtl, tiny_bundle, tmp_path):
    (tmp_path / "sounddevice.py").write_text('raise ModuleNotFoundError("No module named sounddevice", name="sounddevice")\n')
    refused(speechtl("listen", tiny_bundle, environment={"PYTHONPATH": str(tmp_path)}), "pip install 'speechtl[mic]'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on-detect", "no_such_program --x"], "the command 'no_such_program' does not exist"),
        (["--on-detect", "echo 'open"], "cannot be parsed"),
        (["--on-detect", " "], "empty command"),
        (["--shell"], "--shell needs a command to run"),
        (["--hand-over", "no_such_program"], "--hand-over: the command 'no_such_program' does not exist"),
        (["--hand-over", "cat", "--hand-over-from", "middle"], "from the word's end or its start; got 'middle'"),
        (["--tally", "/proc/tally"], "/proc/tally cannot be written"),
        (["--threshold", "0.5", "--false-accepts-per-day", "1"], "both given for all words; give one of them"),
        (["--false-accepts-per-day", "0.001"], "would not be detected at all"),
        (["--save-clips", "/proc/clips"], "/proc/clips cannot be written"),
        (["--device", "x"], "in place of the microphone"),
        (["--graph", "x.onnx"], "it has: model.onnx"),
        (["--clips", "burst"], "--clips needs a folder"),
        (
            ["--threshold", "brust=0.5"],
            "--threshold names the word 'brust', which no bundle has (did you mean 'burst'?); the words are: burst.",
        ),
        (["--save-clips", "FOLDER/clips", "--clips", "brust"], "--clips names the word 'brust', which no bundle has"),
    ],
)
def test_bad_options_are_one_sentence(speechtl, tiny_bundle, recording, tmp_path, arguments, says):
    given = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    refused(speechtl("listen", tiny_bundle, "--dry-run", recording, *given), says)


@pytest.mark.parametrize("option", ["--on-detect-seconds", "--clips-days", "--clips-mb"])
def test_what_is_no_number_is_refused(speechtl, tiny_bundle, recording, option):
    command = speechtl("listen", tiny_bundle, "--dry-run", recording, option, "nan")
    assert command.finish() == 2
    assert f"Invalid value for '{option}': it must be a number; got nan." in "\n".join(command.err)


def test_two_bundles_with_one_word_are_refused(speechtl, tiny_bundle, recording):
    refused(speechtl("listen", tiny_bundle, tiny_bundle, "--dry-run", recording), "Two bundles have the word 'burst'")


def test_bad_files_are_one_sentence(speechtl, tiny_bundle, tmp_path):
    refused(speechtl("listen", tmp_path / "none.wake", "--dry-run", "a.wav"), "none.wake does not exist")
    refused(speechtl("listen", tiny_bundle, "--dry-run", tmp_path / "none.wav"), "none.wav does not exist")
