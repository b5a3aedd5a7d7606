import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from speechtl.runtime.listen import sending

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("arguments", [(), ("--lan",)], ids=["loopback", "lan"])
def test_the_printed_address_opens_the_studio_and_ctrl_c_ends_it(start, arguments, tmp_path):
    process, address = start(*arguments)
    if not address and "no address in a local network" in process.stderr.read():
        pytest.skip("this machine has no local network")
    context = ssl.create_default_context(cafile=str(tmp_path / "words" / ".studio" / "certificate.pem")) if arguments else None
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(address, timeout=30) as answer:
        assert "speechtl studio" in answer.read().decode()
    assert address.startswith("https://" if arguments else "http://127.0.0.1:")
    second = start()[0]
    assert "Another studio shows" in second.stderr.read()
    assert second.wait(30) == 2
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)
    assert "The studio has ended." in said[1]
    assert "Traceback" not in said[1]
    if arguments:
        assert re.search(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", said[1])
        assert "█" in said[0] or "▀" in said[0]


def test_a_port_in_use_is_one_sentence(start, tmp_path):
    _, address = start()
    port = address.split(":")[2].split("/")[0]
    command = [sys.executable, "-m", "speechtl", "studio", str(tmp_path / "other"), "--port", port, "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120, check=False)
    assert (done.returncode, f"Port {port} cannot be used" in done.stderr) == (2, True)


def test_a_device_sends_its_clips_encrypted_and_only_to_this_studio(start, tmp_path, monkeypatch, take):
    process, address = start("--lan")
    if not address and "no address in a local network" in process.stderr.read():
        pytest.skip("this machine has no local network")
    from speechtl.studio.project import Project

    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.05)
    word = Project(tmp_path / "words").add("hey home")
    origin, token = address.split("/?token=")
    context = ssl.create_default_context(cafile=str(tmp_path / "words" / ".studio" / "certificate.pem"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(f"{origin}/api/words/hey_home/inbox-address", headers={"Authorization": f"Bearer {token}"})
    with opener.open(request, timeout=30) as answer:
        inbox = sending.InboxAddress.of(answer.read().decode().strip())
    clips, told = tmp_path / "clips", []
    clips.mkdir()
    name = "20261201T093012.345Z_hey_home_0.97.wav"
    (clips / name).write_bytes(take)
    (clips / "20261201T093011.000Z_hey_home_0.97.wav").write_bytes(b"RIFF")  # the power failed while it was written
    other = sending.Sender(clips, replace(inbox, sha256="0" * 64), told.append)
    wait_for(lambda: told)
    other.close()
    assert "its certificate is another one" in told[0]
    assert not word.clips.exists()
    sender = sending.Sender(clips, inbox, told.append)
    wait_for(lambda: (word.clips / name).is_file())
    sender.close()
    assert "does not take the clip 20261201T093011.000Z_hey_home_0.97.wav" in told[1]
    assert (word.clips / name).read_bytes() == take


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
