import pytest

BASE = "/api/words/burst/copy"


@pytest.fixture
def device(word, tiny_bundle, tmp_path, monkeypatch):
    """A machine with programs named scp and ssh that write down how they were called; `fails` is the exit code of ssh."""
    word.bundle.write_bytes(tiny_bundle.read_bytes())
    (tmp_path / "bin").mkdir()
    for name in ("scp", "ssh"):
        program = tmp_path / "bin" / name
        fails = f'[ ! -e {tmp_path}/{name}-fails ] || {{ echo "no route" >&2; exit 255; }}'
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {tmp_path}/calls\n{fails}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path


def test_the_bundle_goes_to_the_device_and_its_listener_loads_it(client, device, word):
    answer = client.post(BASE, json={"host": "pi@kitchen.local", "install": True})
    assert answer.json() == {"done": "burst.wake is installed on pi@kitchen.local, and its listener loads it."}
    calls = (device / "calls").read_text()
    assert f"--\n{word.bundle}\npi@kitchen.local:\nssh\n" in calls
    assert "install -m 0644 burst.wake /etc/speechtl/ && sudo -n systemctl reload speechtl" in calls


def test_what_ssh_says_is_told(client, device):
    (device / "scp-fails").touch()
    answer = client.post(BASE, json={"host": "kitchen.local"})
    assert (answer.status_code, answer.json()["error"]) == (422, "Copying to kitchen.local failed: no route")


@pytest.mark.parametrize("host", ["", "-oProxyCommand=reboot", "a b", "a;reboot", "a\nb", "$(reboot)", "a:/etc", "a@-o", None, 7, ["a"]])
def test_a_host_that_is_no_name_runs_nothing(client, device, host):
    answer = client.post(BASE, json={"host": host})
    assert (answer.status_code, "Give the device as NAME" in answer.json()["error"]) == (422, True)
    assert not (device / "calls").exists()
