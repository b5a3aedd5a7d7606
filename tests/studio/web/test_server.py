import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

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
