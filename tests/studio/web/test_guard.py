import pytest
from starlette.websockets import WebSocketDisconnect

from speechtl.studio.web.guard import device_key, own_host, read_token

TOKEN = "a-token-of-enough-characters"
ORIGIN = "http://localhost"


@pytest.mark.parametrize("host", ["localhost", "localhost:8300", "127.0.0.1:8300", "192.168.1.7:8300", "[::1]:8300", "[fe80::1]"])
def test_addresses_and_this_machines_name_are_answered(host):
    assert own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8300",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a]b",
        "127.0.0.1/a",
        "127.0.0.1:1/a#",
    ],
)
def test_a_name_that_somebody_else_may_point_at_this_machine_is_not(host):
    assert not own_host(host)


def test_a_page_that_rebinds_its_name_to_this_machine_gets_nothing(client):
    answer = client.get("/api/project", headers={"host": "evil.example"})
    assert (answer.status_code, "open the address that its terminal shows" in answer.text) == (421, True)


def test_without_the_token_there_is_nothing_to_see(stranger):
    for path in ("/", "/static/main.js", "/api/project", "/api/words/burst/data"):
        answer = stranger.get(path)
        assert (answer.status_code, "lacks the token" in answer.text) == (403, True)
    assert stranger.get("/?token=wrong").status_code == 403
    stranger.cookies.set("speechtl-1", "wrong")
    assert stranger.get("/api/project").status_code == 403


def test_the_token_moves_from_the_address_into_a_cookie_that_scripts_cannot_read(stranger):
    answer = stranger.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]
    assert stranger.get("/api/project").status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999", "https://localhost", None])
def test_another_page_cannot_change_anything_in_the_name_of_the_person(client, origin, word):
    headers = {"origin": origin} if origin else {}
    if not origin:
        del client.headers["origin"]
    answer = client.post("/api/words", json={"phrase": "other"}, headers=headers)
    assert (answer.status_code, "another page" in answer.text) == (403, True)
    assert not (word.folder.parent / "other").exists()


def test_another_page_cannot_listen_through_the_persons_browser(client):
    with (
        pytest.raises(WebSocketDisconnect) as ended,
        client.websocket_connect("ws://localhost/api/words/burst/live?rate=16000", headers={"origin": "http://evil.example"}),
    ):
        pass
    assert ended.value.code == 4403


def test_a_device_that_has_the_token_needs_no_page(stranger):
    answer = stranger.post("/api/words", json={"phrase": "other"}, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 201
    assert stranger.post("/api/words", json={"phrase": "more"}, headers={"authorization": "Bearer wrong"}).status_code == 403


def test_every_answer_keeps_foreign_content_out(client):
    for path in ("/", "/static/main.js", "/api/project", "/api/words/none/data"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_token_stays_the_same_and_is_for_this_user_only(tmp_path):
    token = read_token(tmp_path / "token")
    assert len(token) >= 32
    assert read_token(tmp_path / "token") == token
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0


def test_a_device_with_its_key_may_add_clips_and_nothing_else(stranger, word, take):
    stranger.headers["authorization"] = f"Bearer {device_key(TOKEN)}"
    name = "20261201T093012.345Z_burst_0.97.wav"
    assert stranger.put(f"/api/words/burst/inbox/{name}", content=take).status_code == 201
    assert (word.clips / name).read_bytes() == take
    for method, path in [
        ("GET", "/api/project"),
        ("GET", f"/api/words/burst/inbox/{name}"),
        ("POST", f"/api/words/burst/inbox/{name}"),
        ("PUT", "/api/words/burst/recordings/word/Anna/a.wav"),
        ("GET", "/api/words/burst/inbox-address"),
        ("GET", f"/?token={device_key(TOKEN)}"),
        ("PUT", f"/api/words/burst/inbox/../../../project/{name}"),
        ("PUT", "/api/words/burst/data/word/Anna/a.wav?/api/words/burst/inbox/x"),
    ]:
        assert stranger.request(method, path).status_code == 403


def test_a_host_that_pretends_to_be_a_path_does_not_widen_what_a_device_may(stranger, word, take):
    stranger.headers["authorization"] = f"Bearer {device_key(TOKEN)}"
    for host in ("127.0.0.1:1/api/words/burst/inbox/x#", "127.0.0.1/api/words/burst/inbox/x?"):
        assert stranger.put("/api/words/burst/data/word/Anna/a.wav", content=take, headers={"host": host}).status_code == 421
    assert not (word.folder / "recordings" / "Anna").exists()


def test_the_key_of_devices_does_not_tell_the_token():
    assert device_key(TOKEN) not in (TOKEN, device_key(TOKEN + "x"))
    assert TOKEN not in device_key(TOKEN)
