import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.event import async_read_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping
from wyoming.wake import Detect, Detection

from speechtl.errors import BundleError, ServerError
from speechtl.runtime import Detector
from speechtl.runtime.bundle.choice import BUNDLES_OWN, Choice, PerWord
from speechtl.runtime.detect_files import TAIL_SECONDS
from speechtl.runtime.server import client as server_client
from speechtl.runtime.server import server
from speechtl.runtime.server.models import Models, open_served
from speechtl.runtime.server.server import Server, ServerSettings

RATE = 16_000
PATIENCE = 20.0  # seconds, for what comes at once


def pcm(samples: np.ndarray) -> bytes:
    return np.round(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


class Running:
    """A server that runs, and what it said."""

    def __init__(self, uri: str, said: list[str]) -> None:
        self.uri = uri
        self.said = said

    @contextlib.asynccontextmanager
    async def client(self):
        async with AsyncClient.from_uri(self.uri, read_timeout=PATIENCE) as client:
            yield client

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.uri.removeprefix("tcp://").split(":")
        return await asyncio.open_connection(host, int(port))


@contextlib.asynccontextmanager
async def serving(*bundles: Path, uri: str = "tcp://127.0.0.1:0", threshold: PerWord = BUNDLES_OWN):
    said: list[str] = []
    settings = ServerSettings(bundles, uri, Choice(threshold))
    served = open_served(bundles, settings.choice, said.append)
    task = asyncio.create_task(Server(settings, served, said.append).run(settings.address))
    while not any(" at " in line for line in said) and not task.done():
        await asyncio.sleep(0.005)
    try:
        yield Running(said[-1].split(" at ")[-1].split(". ")[0] if said else "", said)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def send(client: AsyncClient, samples: np.ndarray, length: int = 1280) -> None:
    for start in range(0, len(samples), length):
        await client.write_event(AudioChunk(RATE, 2, 1, pcm(samples[start : start + length])).event())


async def answers(client: AsyncClient) -> list[tuple[str, dict]]:
    """Return what the server says until it has answered a ping, which it does when all before is done."""
    await client.write_event(Ping("done").event())
    heard = []
    while (event := await client.read_event()) is not None:
        if event.type == "pong":
            return heard
        heard.append((event.type, event.data))
    return heard


async def detections(client: AsyncClient, samples: np.ndarray) -> list[tuple[str, dict]]:
    await client.write_event(AudioStart(RATE, 2, 1).event())
    await send(client, samples)
    await client.write_event(AudioStop().event())
    return await answers(client)


@pytest.fixture
def sound(bursts):
    return bursts((0.6, 2.0), 3.2)


@pytest.fixture
def other_word(remake):
    return remake({"name": "bang", "phrases": ["Big bang"]}, name="bang.wake")


def test_a_client_that_asks_is_told_every_wake_word(tiny_bundle, other_word):
    async def ask():
        async with serving(tiny_bundle, other_word) as running, running.client() as client:
            await client.write_event(Describe().event())
            return Info.from_event(await client.read_event())

    program = asyncio.run(ask()).wake[0]
    assert program.name == "speechtl"
    assert [(model.name, model.phrase, model.installed) for model in program.models] == [
        ("burst", "burst", True),
        ("bang", "Big bang", True),
    ]


def test_what_is_detected_is_what_the_detector_detects_on_the_clients_clock(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            await client.write_event(Detect().event())
            await client.write_event(AudioStart(RATE, 2, 1, timestamp=70_000).event())
            await send(client, sound)
            await client.write_event(AudioStop().event())
            return await answers(client)

    detector = Detector.open(tiny_bundle)
    expected = detector.feed(sound) + detector.feed(np.zeros(int(TAIL_SECONDS * RATE)))
    assert len(expected) == 2
    told = [("detection", {"name": "burst", "timestamp": 70_000 + round(1000 * event.time), "speaker": None}) for event in expected]
    assert asyncio.run(detect()) == told


def test_a_word_is_told_before_the_audio_ends(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            await send(client, sound[: round(1.0 * RATE)])
            return await client.read_event()

    assert Detection.from_event(asyncio.run(detect())).name == "burst"


def test_timestamps_of_chunks_set_the_clock_anew(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            for index, start in enumerate(range(0, len(sound), 1280)):
                timestamp = 80 * index + (10_000 if start > RATE else 0)
                await client.write_event(AudioChunk(RATE, 2, 1, pcm(sound[start : start + 1280]), timestamp=timestamp).event())
            return await answers(client)

    times = [event.time for event in Detector.open(tiny_bundle).feed(sound)]
    told = [data["timestamp"] for _, data in asyncio.run(detect())]
    assert told == [round(1000 * times[0]), round(1000 * times[1]) + 10_000]


NANOSECONDS = 104 * 24 * 3600 * 10**9  # of uptime, at which they stop to fit into a double


@pytest.mark.parametrize("start", [NANOSECONDS, 1_796_022_246_999_739_115, 2**63 - 10**10])
def test_a_client_whose_clock_counts_nanoseconds_is_told_the_chunk_with_the_word(tiny_bundle, sound, start):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            for index in range(len(sound) // 1280):
                chunk = pcm(sound[1280 * index : 1280 * (index + 1)])
                await client.write_event(AudioChunk(RATE, 2, 1, chunk, timestamp=start + 80_000_000 * index).event())
            return await answers(client)

    chunks = [int(event.time / 0.08 - 1e-6) for event in Detector.open(tiny_bundle).feed(sound)]
    told = [data["timestamp"] for _, data in asyncio.run(detect())]
    assert told == pytest.approx([start + 80_000_000 * index for index in chunks], abs=1000, rel=0)


CONTEXT = {"room": "kitchen", "nested": {"list": [1, None, 2.5, "Straße"]}}


def test_what_a_client_sends_as_context_comes_back_with_every_answer(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            await client.write_event(Detect(["burst"], context=CONTEXT).event())
            heard = await detections(client, sound) + await detections(client, np.zeros(RATE))
            await client.write_event(Detect(["burst"]).event())
            return heard, await detections(client, sound) + await detections(client, np.zeros(RATE))

    with_it, without = asyncio.run(detect())
    assert [(kind, data["context"]) for kind, data in with_it] == [("detection", CONTEXT)] * 2 + [("not-detected", CONTEXT)]
    assert [Detection.from_event(server_client.Message(*event)).name for event in with_it[:2]] == ["burst"] * 2
    assert not any("context" in data for _, data in without)


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ('{"a": "\\ud800"}', {"a": "?"}),
        ('{"a": %s}' % ("9" * 5000), {"a": math.inf}),
        (f'{{"a": {DEEP}}}', None),  # from Python 3.12 on it can be sent back
        ("5", None),
        ('"kitchen"', None),
        ("[1]", None),
    ],
)
def test_a_context_that_cannot_be_sent_back_as_it_came_harms_nothing(tiny_bundle, sent, back):
    async def ask():
        async with serving(tiny_bundle) as running:
            reader, writer = await running.raw()
            writer.write(f'{{"type": "detect", "data": {{"context": {sent}}}}}\n{{"type": "audio-stop"}}\n'.encode())
            writer.write_eof()
            said = await asyncio.wait_for(async_read_event(reader), PATIENCE)
            writer.close()
            return said

    said = asyncio.run(ask())
    assert said.type == "not-detected"
    assert said.data.get("context") == back or (DEEP in sent and DEEP in json.dumps(said.data["context"]))


def test_audio_without_the_word_is_answered_with_not_detected(tiny_bundle, bursts):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            return [await detections(client, bursts((), 1.0)), await detections(client, np.zeros(0))]

    assert asyncio.run(detect()) == [[("not-detected", {})]] * 2


def test_each_stream_begins_anew(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            return [await detections(client, sound) for _ in range(2)]

    first, second = asyncio.run(detect())
    assert first == second
    assert len(first) == 2


def test_only_the_words_that_were_asked_for_are_told(tiny_bundle, other_word, sound):
    async def detect(names):
        async with serving(tiny_bundle, other_word) as running, running.client() as client:
            await client.write_event(Detect(names).event())
            return [(kind, data.get("name")) for kind, data in await detections(client, sound)]

    assert asyncio.run(detect(["bang"])) == [("detection", "bang")] * 2
    assert sorted(asyncio.run(detect(None))) == [("detection", "bang")] * 2 + [("detection", "burst")] * 2
    said = asyncio.run(detect(["bing"]))
    assert said == [("error", None), ("not-detected", None)]


def test_a_word_that_is_not_there_is_said_with_those_that_are(tiny_bundle):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            await client.write_event(Detect(["bing"]).event())
            return await answers(client)

    assert asyncio.run(detect()) == [("error", {"text": "There is no wake word 'bing'; this server has: burst.", "code": "unknown-name"})]


def test_clients_at_the_same_time_have_streams_of_their_own(tiny_bundle, bursts):
    sounds = [bursts((0.2 * index + 0.3, 2.2), 3.0)[100 * index :] for index in range(5)]

    async def detect(at_once: bool):
        async with serving(tiny_bundle) as running, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(running.client()) for _ in sounds]
            if at_once:
                return await asyncio.gather(*(detections(client, sound) for client, sound in zip(clients, sounds, strict=True)))
            return [await detections(client, sound) for client, sound in zip(clients, sounds, strict=True)]

    together = asyncio.run(detect(at_once=True))
    assert together == asyncio.run(detect(at_once=False))
    assert [len(told) for told in together] == [2] * 5
    assert len({told[0][1]["timestamp"] for told in together}) == 5


def test_a_graph_is_loaded_once_for_all_clients(tiny_bundle, sound, monkeypatch):
    import onnxruntime

    loaded = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **options: loaded.append(1) or session(*given, **options))

    async def detect():
        async with serving(tiny_bundle) as running:
            for _ in range(3):
                async with running.client() as client:
                    await detections(client, sound)

    asyncio.run(detect())
    assert loaded == [1]


def header(**fields) -> bytes:
    return json.dumps(fields).encode() + b"\n"


AUDIO = {"rate": RATE, "width": 2, "channels": 1}
GARBAGE = {
    "no JSON": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\n",
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an endless line": b"x" * 300_000,
    "no object": b"[1, 2]\n",
    "deep": b"[" * 60_000 + b"\n",
    "no type": header(data={}),
    "a type that is no text": header(type=5),
    "data that is no object": header(type="audio-chunk", data=[1]),
    "a length that is no number": header(type="audio-chunk", data_length="5"),
    "a negative length": header(type="audio-chunk", payload_length=-1),
    "a payload of 2 GB": header(type="audio-chunk", data=AUDIO, payload_length=2**31) + bytes(3_000_000),
    "data of 2 GB": header(type="detect", data_length=2**31) + bytes(300_000),
    "a length of 4000 digits": b'{"type": "audio-chunk", "payload_length": ' + b"9" * 4000 + b"}\n",
    "data that is no JSON": header(type="detect", data_length=4) + b"\xff\xfe\x00\x01",
    "no rate": header(type="audio-chunk", data={"width": 2, "channels": 1}, payload_length=2) + b"aa",
    "rate zero": header(type="audio-start", data=AUDIO | {"rate": 0}),
    "a width of 5": header(type="audio-chunk", data=AUDIO | {"width": 5}, payload_length=5) + b"aaaaa",
    "channels without end": header(type="audio-chunk", data=AUDIO | {"channels": 10**9}, payload_length=2) + b"aa",
    "names that are no list": header(type="detect", data={"names": "burst"}),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_answered_in_words_and_harms_nobody_else(tiny_bundle, sound, garbage):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as good:
            expected = await detections(good, sound)
            await send(good, sound[:20_000])
            reader, writer = await running.raw()
            writer.write(GARBAGE[garbage])
            said = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
            text = json.loads(await reader.readexactly(said["data_length"]))["text"]
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            writer.close()
            await send(good, sound[20_000:])
            await good.write_event(AudioStop().event())
            assert await answers(good) == expected
            assert len(expected) == 2
            return said["type"], text, running.said

    kind, text, said = asyncio.run(detect())
    assert kind == "error"
    assert len(text) < 250
    assert text[0].isupper()
    assert text.endswith((".", "?"))
    assert any(text in line for line in said)


@pytest.mark.parametrize("half", [b'{"type": "aud', header(type="audio-chunk", data=AUDIO, payload_length=2560) + bytes(100), b""])
def test_half_a_message_and_nothing_at_all_harm_nobody_else(tiny_bundle, sound, half, monkeypatch):
    monkeypatch.setattr(server_client, "REST_SECONDS", 0.1)
    monkeypatch.setattr(server_client, "IDLE_SECONDS", 0.3 if half == b"" else 100.0)

    async def detect():
        async with serving(tiny_bundle) as running:
            left, silent = await running.raw(), await running.raw()
            for _, writer in (left, silent):
                writer.write(half)
            left[1].close()
            assert b"too long" in await asyncio.wait_for(silent[0].read(), PATIENCE)
            silent[1].close()
            async with running.client() as good:
                return await detections(good, sound)

    assert len(asyncio.run(detect())) == 2


def test_what_is_no_event_of_ours_is_passed_over(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            for kind in ("transcribe", "select-program", "x" * 1000):
                await client.write_event(server_client.Message(kind, {"name": "x"}))
            return await detections(client, sound)

    assert len(asyncio.run(detect())) == 2


def test_halves_of_characters_come_back_as_something_that_can_be_sent(tiny_bundle):
    async def ask():
        async with serving(tiny_bundle) as running:
            reader, writer = await running.raw()
            writer.write(b'{"type": "ping", "data": {"text": "\\ud800"}}\n{"type": "detect", "data": {"names": ["\\ud800"]}}\n')
            writer.write_eof()
            said = await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            return said

    said = asyncio.run(ask())
    assert b"pong" in said
    assert b"There is no wake word" in said


def test_a_client_that_never_reads_harms_nobody_else(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running:
            _, deaf = await running.raw()
            deaf.transport.pause_reading()
            deaf.write(header(type="describe") * 20_000)
            async with running.client() as good:
                told = await detections(good, sound)
            deaf.transport.abort()
            return told

    assert len(asyncio.run(detect())) == 2


@pytest.mark.slow
def test_a_client_that_never_reads_is_left_with_a_sentence_and_a_bounded_queue(tiny_bundle, monkeypatch):
    monkeypatch.setattr(server_client, "WRITE_SECONDS", 0.3)
    queued: list[int] = []
    say = server_client.Client._send

    async def watched(client, message):
        queued.append(client._writer.transport.get_write_buffer_size())
        await say(client, message)

    monkeypatch.setattr(server_client.Client, "_send", watched)

    async def run():
        async with serving(tiny_bundle) as running:
            _, writer = await running.raw()
            writer.transport.pause_reading()
            with contextlib.suppress(OSError, TimeoutError, asyncio.TimeoutError):
                for _ in range(2000):
                    writer.write(header(type="ping", data={"text": "x" * 30_000}))
                    await asyncio.wait_for(writer.drain(), 2.0)
            while len(running.said) < 2:
                await asyncio.sleep(0.01)
            writer.transport.abort()
            return running.said

    said = asyncio.run(asyncio.wait_for(run(), PATIENCE))
    assert "sent or read nothing" in said[1]
    assert max(queued) < 2**20


def test_a_client_that_sends_one_byte_at_a_time_is_served(tiny_bundle):
    async def run():
        async with serving(tiny_bundle) as running:
            reader, writer = await running.raw()
            for byte in header(type="ping", data={"text": "slow"}):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            said = await asyncio.wait_for(reader.readline(), PATIENCE)
            writer.close()
            return json.loads(said)

    assert asyncio.run(run())["type"] == "pong"


def garbage(random: np.random.Generator, number: int) -> bytes:
    """Random bytes, or the beginning of a stream with some bytes changed."""
    if number % 3 == 0:
        return random.bytes(int(random.integers(1, 3000)))
    start = header(type="audio-start", data=AUDIO) + header(type="audio-chunk", data=AUDIO, payload_length=64) + bytes(64)
    changed = bytearray(start)
    for place in random.integers(0, len(start), 3):
        changed[place] = random.integers(256)
    return bytes(changed[: int(random.integers(1, len(start) + 1))])


async def attack(running, clients: int) -> None:
    """Connect one client after the other, send garbage, and leave in one of three ways."""
    random = np.random.default_rng(25)
    half_open = []
    for number in range(clients):
        reader, writer = await running.raw()
        with contextlib.suppress(OSError):
            writer.write(garbage(random, number))
            await writer.drain()
        if number % 50 == 0:
            half_open.append((reader, writer))
        elif number % 2:
            writer.transport.abort()
        else:
            writer.close()
    for _, writer in half_open:
        writer.transport.abort()


@pytest.mark.slow
def test_a_thousand_clients_with_random_bytes_leave_no_traceback_and_no_memory_behind(tiny_bundle, sound, monkeypatch):
    monkeypatch.setattr(server_client, "PART_SECONDS", 0.2)
    monkeypatch.setattr(server, "IDLE_ENOUGH", 0.0)
    surprises: list[dict] = []

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
        async with serving(tiny_bundle) as running:
            before = memory()
            await attack(running, 1000)
            await asyncio.sleep(0.5)
            async with running.client() as client:
                told = await detections(client, sound)
            return told, memory() - before, running.said

    told, grown, said = asyncio.run(asyncio.wait_for(run(), 60.0))
    assert [kind for kind, _ in told] == ["detection", "detection"]
    assert grown < 50
    assert not surprises
    assert not [line for line in said if "Traceback" in line or not line.isprintable()]


def memory() -> float:
    """Megabytes that this process has."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_one_too_many_is_told_so(tiny_bundle, monkeypatch):
    monkeypatch.setattr(server, "MAX_CLIENTS", 2)

    async def ask():
        async with serving(tiny_bundle) as running, running.client() as first, running.client() as second:
            await answers(first), await answers(second)
            async with running.client() as third:
                return await third.read_event(), await third.read_event()

    refusal, end = asyncio.run(ask())
    assert (refusal.type, refusal.data["code"]) == ("error", "busy")
    assert end is None


def test_clients_that_are_silent_make_room_for_new_ones(tiny_bundle, sound, monkeypatch):
    monkeypatch.setattr(server, "MAX_CLIENTS", 3)
    monkeypatch.setattr(server, "IDLE_ENOUGH", 0.0)

    async def detect():
        async with serving(tiny_bundle) as running, running.client() as good:
            silent = [await running.raw() for _ in range(2)]
            told = []
            for _ in range(5):
                told.append(await detections(good, sound))
                silent.append(await running.raw())
            told.append(await detections(good, sound))
            for _, writer in silent:
                writer.close()
            return told

    assert [len(told) for told in asyncio.run(detect())] == [2] * 6


def test_a_hangup_lets_running_streams_go_on_with_the_new_bundle(tiny_bundle, other_word, tmp_path, sound):
    bundle = shutil.copy(tiny_bundle, tmp_path / "served.wake")

    async def detect():
        async with serving(Path(bundle)) as running, running.client() as client:
            await send(client, sound)
            before = await answers(client)
            shutil.copy(other_word, bundle)
            os.kill(os.getpid(), signal.SIGHUP)
            while len(running.said) < 4:
                await asyncio.sleep(0.005)
            await send(client, sound)
            return before, await answers(client), running.said[3]

    before, after, said = asyncio.run(detect())
    assert [data["name"] for _, data in before] == ["burst"] * 2
    assert [data["name"] for _, data in after] == ["bang"] * 2
    assert said == "Reloaded: bang."


def test_a_hangup_in_the_midst_of_a_stream_changes_neither_its_clock_nor_what_was_detected(tiny_bundle, sound):
    first, second = np.split(sound, [15 * 1280])

    async def hang_up(running):
        before = len(running.said)
        os.kill(os.getpid(), signal.SIGHUP)
        while len(running.said) == before:
            await asyncio.sleep(0.005)

    async def detect():
        async with serving(tiny_bundle) as running, running.client() as client:
            await client.write_event(AudioStart(RATE, 2, 1, timestamp=70_000).event())
            await send(client, first)
            told = await answers(client)
            await hang_up(running)
            await send(client, second)
            told += await answers(client)
            await hang_up(running)
            await send(client, np.zeros(RATE))
            await client.write_event(AudioStop().event())
            return told + await answers(client)

    times = [event.time for event in Detector.open(tiny_bundle).feed(sound)]
    told = asyncio.run(detect())
    assert [(kind, data["timestamp"]) for kind, data in told] == [("detection", 70_000 + round(1000 * time)) for time in times]


def test_a_bundle_that_cannot_be_opened_again_leaves_the_one_before(tiny_bundle, tmp_path, sound):
    bundle = Path(shutil.copy(tiny_bundle, tmp_path / "served.wake"))

    async def detect():
        async with serving(bundle) as running, running.client() as client:
            bundle.write_bytes(b"no bundle")
            os.kill(os.getpid(), signal.SIGHUP)
            while len(running.said) < 2:
                await asyncio.sleep(0.005)
            return await detections(client, sound), running.said[1]

    told, said = asyncio.run(detect())
    assert len(told) == 2
    assert "stay in use" in said
    assert "is not a bundle" in said


async def until(running: Running, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not any(what in line for line in running.said):
        assert time.monotonic() < end, running.said
        await asyncio.sleep(0.005)


@pytest.fixture
def quick_looks(monkeypatch):
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)


async def described(client: AsyncClient) -> list[str]:
    await client.write_event(Describe().event())
    return [model.name for model in Info.from_event(await client.read_event()).wake[0].models]


def test_a_client_that_stays_is_told_the_words_that_come_and_go_in_a_folder(tiny_bundle, other_word, tmp_path, sound, quick_looks):
    folder = tmp_path / "words"
    folder.mkdir()

    async def serve():
        async with serving(folder) as running, running.client() as client:
            assert "no word yet" in running.said[0]
            assert await described(client) == []
            await client.write_event(Detect(["burst"]).event())
            ((_, refusal),) = await answers(client)
            assert refusal["text"] == "There is no wake word 'burst'; this server has: none yet."
            shutil.copy(tiny_bundle, folder)
            await until(running, "was opened: burst")
            assert await described(client) == ["burst"]
            assert len(await detections(client, sound)) == 2
            shutil.copy(other_word, folder)
            await until(running, "was opened: bang")
            assert sorted(await described(client)) == ["bang", "burst"]
            (folder / tiny_bundle.name).unlink()
            await until(running, "was removed, and with it: burst")
            return await described(client)

    assert asyncio.run(serve()) == ["bang"]


def test_a_bundle_that_comes_interrupts_no_word_that_is_being_said(tiny_bundle, other_word, tmp_path, sound, quick_looks):
    folder = tmp_path / "words"
    folder.mkdir()
    shutil.copy(tiny_bundle, folder)
    detector = Detector.open(tiny_bundle)
    times = [event.time for event in detector.feed(sound)]
    middle = round(0.7 * RATE)  # of the first word, which ends at 1.0 s

    async def serve():
        async with serving(folder) as running, running.client() as client:
            await client.write_event(AudioStart(RATE, 2, 1, timestamp=70_000).event())
            await send(client, sound[:middle])
            told = await answers(client)
            shutil.copy(other_word, folder)
            await until(running, "was opened: bang")
            await send(client, sound[middle:])
            return told + await answers(client)

    told = asyncio.run(serve())
    assert [data["timestamp"] for _, data in told if data["name"] == "burst"] == [70_000 + round(1000 * time) for time in times]
    assert "bang" in [data["name"] for _, data in told]


def test_a_damaged_file_in_a_folder_leaves_the_bundle_before_in_use(tiny_bundle, tmp_path, sound, quick_looks):
    folder = tmp_path / "words"
    folder.mkdir()
    bundle = Path(shutil.copy(tiny_bundle, folder))

    async def serve():
        async with serving(folder) as running, running.client() as client:
            bundle.write_bytes(b"damaged")
            await until(running, "was not reloaded, and its old version stays in use: ")
            return await detections(client, sound)

    assert len(asyncio.run(serve())) == 2


def test_each_word_may_have_a_threshold_of_its_own(tiny_bundle, other_word, sound):
    async def detect(threshold):
        async with serving(tiny_bundle, other_word, threshold=threshold) as running, running.client() as client:
            return {data["name"] for _, data in await detections(client, sound)}

    assert asyncio.run(detect(PerWord(own={"burst": 1.0}))) == {"bang"}
    assert asyncio.run(detect(PerWord(1.0, {"burst": 0.5}))) == {"burst"}


def test_a_threshold_replaces_those_of_all_bundles(tiny_bundle, other_word, sound):
    async def detect():
        async with serving(tiny_bundle, other_word, threshold=PerWord(1.0)) as running, running.client() as client:
            return await detections(client, sound)

    assert asyncio.run(detect()) == [("not-detected", {})]


def test_two_bundles_with_one_name_are_refused(tiny_bundle):
    with pytest.raises(BundleError, match="'burst'"):
        Models.open([tiny_bundle, tiny_bundle])


def test_a_bundle_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        Models.open([tmp_path / "none.wake"])


def test_an_announced_server_must_be_within_reach():
    with pytest.raises(ServerError, match=r"0\.0\.0\.0"):
        _ = ServerSettings((), "tcp://127.0.0.1:10400", announce="kitchen").address


@pytest.mark.parametrize("name", ["", "x" * 64, "ü" * 32, "kitchen\n", "\udcff"])
def test_a_name_that_cannot_be_announced_is_refused(name):
    with pytest.raises(ServerError, match="give a printable name of 1 to 63 bytes"):
        _ = ServerSettings((), "tcp://0.0.0.0:10400", announce=name).address


def test_a_name_that_can_just_be_announced_is_taken():
    assert ServerSettings((), "tcp://0.0.0.0:10400", announce="ü" * 31 + "x").address.port == 10400


def test_a_unix_socket_is_served_and_removed(tiny_bundle, tmp_path, sound):
    path = tmp_path / "wake.sock"

    async def detect():
        async with serving(tiny_bundle, uri=f"unix://{path}") as running, running.client() as client:
            assert running.uri == f"unix://{path}"
            return await detections(client, sound)

    assert len(asyncio.run(detect())) == 2
    assert not path.exists()


class Process:
    """`speechtl serve` as a process of its own."""

    def __init__(self, *arguments, **environment) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speechtl", "serve", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def started(self) -> str:
        """Wait until it listens; return where."""
        return self.process.stderr.readline().decode().split(" at ")[1].split(". ")[0]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_clients_in_the_midst_of_everything(tiny_bundle, sound, ending):
    async def connect(uri, process):
        async with AsyncClient.from_uri(uri) as busy, AsyncClient.from_uri(uri) as silent:
            assert silent
            await send(busy, sound)
            process.send_signal(ending)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0

    with Process(tiny_bundle, "--uri", "tcp://127.0.0.1:0") as running:
        with contextlib.suppress(ConnectionResetError):  # what the clients see of it
            asyncio.run(connect(running.started(), running.process))
        assert running.process.returncode == 0
        assert running.process.stdout.read() == b""
        assert b"Traceback" not in running.process.stderr.read()


def test_a_client_that_loses_its_cancellation_is_cancelled_again(tiny_bundle):
    async def lose_one():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        await asyncio.sleep(PATIENCE)

    async def end():
        running = Server(ServerSettings((tiny_bundle,)), open_served([tiny_bundle], Choice(), print), print)
        running._spawn(lose_one())
        (task,) = running._background
        await asyncio.sleep(0)
        await running._end()
        return task.cancelled()

    assert asyncio.run(end())


def test_a_client_that_loses_every_cancellation_loses_its_connection(tiny_bundle):
    """One that asks and asks keeps `wait_for` of Python before 3.12 so busy that it never sees that it is cancelled."""

    async def lose_all(writer):
        end = time.monotonic() + PATIENCE
        while not writer.is_closing() and time.monotonic() < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def end():
        running = Server(ServerSettings((tiny_bundle,)), open_served([tiny_bundle], Choice(), print), print)
        listening = await asyncio.start_server(running._connected, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        while not running._clients:
            await asyncio.sleep(0.005)
        ((client, serving_it),) = running._clients.items()
        running._clients[client] = task = asyncio.create_task(lose_all(client._writer))
        await asyncio.sleep(0)
        await running._end()
        ended = task.done()
        serving_it.cancel()
        listening.close()
        writer.close()
        return ended

    assert asyncio.run(end())


def test_systemd_is_told_that_the_server_is_ready_alive_and_ending(tiny_bundle, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE)
        settings = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with Process(tiny_bundle, "--uri", "tcp://127.0.0.1:0", **settings) as running:
            assert systemd.recv(1000).startswith(b"READY=1\nSTATUS=Serving burst at tcp://127.0.0.1:")
            assert [systemd.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            running.process.terminate()
            while (said := systemd.recv(1000)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"


def test_standard_input_and_output_serve_one_client(tiny_bundle, sound):
    chunk = pcm(sound)
    events = header(type="describe") + header(type="audio-chunk", data=AUDIO, payload_length=len(chunk)) + chunk + header(type="audio-stop")
    with Process(tiny_bundle, "--uri", "stdio://") as running:
        said, noted = running.process.communicate(events, timeout=PATIENCE)
        assert running.process.returncode == 0, noted
    assert [said.count(b'"type": "%s"' % kind) for kind in (b"info", b"detection", b"not-detected")] == [1, 2, 0]


def test_garbage_on_standard_input_is_exit_code_2(tiny_bundle):
    with Process(tiny_bundle, "--uri", "stdio://") as running:
        said, noted = running.process.communicate(b"garbage\n", timeout=PATIENCE)
        assert running.process.returncode == 2
    assert b'"type": "error"' in said
    assert noted.splitlines()[-1].startswith(b"speechtl: This is not a Wyoming event")


def test_a_client_that_resets_its_connection_harms_nobody_else(tiny_bundle, sound):
    async def detect():
        async with serving(tiny_bundle) as running:
            for _ in range(3):
                host, port = running.uri.removeprefix("tcp://").split(":")
                with socket.create_connection((host, int(port))) as rude:
                    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    rude.sendall(header(type="audio-chunk", data=AUDIO, payload_length=25_600) + bytes(25_600) + header(type="describe"))
            async with running.client() as good:
                return await detections(good, sound)

    assert len(asyncio.run(detect())) == 2
