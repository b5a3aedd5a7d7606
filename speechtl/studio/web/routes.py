"""The routes of the studio: JSON for its page, recordings, uploads, and the bundle."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from speechtl import __version__
from speechtl.errors import SpeechtlError, sentence_of
from speechtl.studio import inbox, result, ship, takes
from speechtl.studio.checks import Checks
from speechtl.studio.project import KINDS, Project, Word
from speechtl.studio.refusals import RefusedError, missing, status_and_sentence
from speechtl.studio.training import Trainings, TrainingSettings, can_speak
from speechtl.studio.web.guard import Guard
from speechtl.studio.web.live import Live, fail
from speechtl.text import echo

STATIC = Path(__file__).parents[1] / "static"
MOST_JSON = 100_000  # bytes of a request's document
MOST_CLIP = 1_000_000  # bytes of a clip that a device sends: seven times as many as listen saves
# Reports come from files; nothing in them may run.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self' data:; frame-ancestors 'self'"
)
TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
    ".3gp": "audio/3gpp",
}
REPORT_TYPES = {".html": "text/html", ".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml", **TYPES}


class Answer(JSONResponse):
    """A document; a name on the disk that is no UTF-8 gets question marks, and does not hide all others."""

    def render(self, content: Any) -> bytes:
        """The document as bytes."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


Handler: TypeAlias = Callable[["Studio", Request], Awaitable[Response]]


@dataclass
class Studio:
    """A project, and what works on it."""

    project: Project
    phone: str | None = None  # address for phones
    door: inbox.Door | None = None  # for devices
    checks: Checks = field(default_factory=Checks)
    live: Live = field(default_factory=Live)

    def __post_init__(self) -> None:
        self.trainings = Trainings(self.project)


def application(studio: Studio, token: str, cookie: str) -> Guard:
    """The guarded application."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        studio.checks.close()

    api = [Route(path, _answering(studio, handler), methods=[method]) for method, path, handler in API]

    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def listen(socket: WebSocket) -> None:
        try:
            word = studio.project.word(socket.path_params["word"])
            bundle, per_day = ship.bundle_of(word), result.chosen(word)
        except SpeechtlError as error:
            await socket.accept()
            await fail(socket, sentence_of(error))
            return
        await studio.live.serve(socket, bundle, per_day)

    sockets = [WebSocketRoute("/api/words/{word}/live", listen)]
    pages = [Route("/", page), Mount("/static", StaticFiles(directory=STATIC))]
    return Guard(Starlette(routes=[*pages, *api, *sockets], lifespan=lifespan), token, cookie)


def _answering(studio: Studio, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler whose errors become answers with a sentence."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(studio, request)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  # every error is an answer, and unknown ones are printed
            status, sentence = status_and_sentence(error)
            if status == 500:
                import traceback

                echo("".join(traceback.format_exception(error)), err=True)
            return Answer({"error": sentence}, status)

    return answer


def _word(studio: Studio, request: Request) -> Word:
    return studio.project.word(request.path_params["word"])


async def _document(request: Request) -> dict[str, Any]:
    """The JSON object of a request, of a limited size."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_JSON:
            raise RefusedError(413, "This request is too large.")
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"This request is no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise RefusedError(400, "This request must be an object.")
    return document


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _take(request: Request) -> tuple[str, str, str]:
    return request.path_params["kind"], request.path_params["speaker"], request.path_params["name"]


async def _project(studio: Studio, _request: Request) -> Response:
    words = [{"name": word.name, "phrases": word.about["phrases"], "bundle": word.bundle.is_file()} for word in studio.project.words()]
    about = {"folder": str(studio.project.folder), "version": __version__, "phone": studio.phone, "most_bytes": takes.MOST_BYTES}
    negatives = [str(path) for path in studio.project.negatives]
    speaks = await run_in_threadpool(can_speak)
    return Answer({**about, "words": words, "negatives": negatives, "training": studio.trainings.running(), "speaks": speaks})


async def _code(studio: Studio, _request: Request) -> Response:
    """The address for phones as a QR code."""
    if studio.phone is None:
        raise missing("An address for phones; start the studio with --lan: it")
    import segno

    picture = io.BytesIO()
    segno.make(studio.phone, error="l", micro=False).save(picture, kind="svg", scale=6, light="white")
    return Response(picture.getvalue(), media_type="image/svg+xml")


async def _add_word(studio: Studio, request: Request) -> Response:
    phrase = (await _document(request)).get("phrase")
    if not isinstance(phrase, str):
        raise RefusedError(422, "A new word needs what is spoken: phrase.")
    return Answer({"name": studio.project.add(phrase).name}, 201)


async def _data(studio: Studio, request: Request) -> Response:
    word = _word(studio, request)
    return Answer(await run_in_threadpool(_listed, studio, word))


def _listed(studio: Studio, word: Word) -> dict[str, Any]:
    """All recordings by kind and speaker, with the checks that are done."""
    phrases = word.about["phrases"]
    there = {kind: dict(word.speakers(kind)) for kind in KINDS}
    different = studio.checks.differing({**there["word"]}, phrases)

    def about(kind: str, path: Path) -> dict[str, Any]:
        check = studio.checks.soon(path, phrases if kind.endswith("word") else ())
        if check is not None and path in different:
            check = {**check, "problems": [*check["problems"], different[path]]}
        return {"name": path.name, "check": check}

    return {
        kind: [{"speaker": name, "files": [about(kind, path) for path in paths if path.exists()]} for name, paths in speakers.items()]
        for kind, speakers in there.items()
    }


async def _store(studio: Studio, request: Request) -> Response:
    word, (kind, speaker, name) = _word(studio, request), _take(request)
    target = takes.place_for(word, kind, speaker, name)
    new = await takes.store(target, _announced(request), request.stream())
    if (rate := request.query_params.get("rate", "")).isdecimal():  # recorded here
        await run_in_threadpool(takes.note, word, kind, target, request.query_params.get("device", "browser")[:200], int(rate))
    check = await run_in_threadpool(studio.checks.now, target, word.about["phrases"] if kind.endswith("word") else ())
    return Answer({"speaker": target.parent.name, "name": target.name, "check": check}, 201 if new else 200)


async def _recording(studio: Studio, request: Request) -> Response:
    return _sound(_word(studio, request).file(*_take(request)))


def _sound(path: Path) -> Response:
    return FileResponse(path, media_type=TYPES.get(path.suffix.lower(), "application/octet-stream"))


async def _remove(studio: Studio, request: Request) -> Response:
    takes.remove(_word(studio, request), *_take(request))
    return Answer({})


async def _restore(studio: Studio, request: Request) -> Response:
    takes.restore(_word(studio, request), *_take(request))
    return Answer({})


async def _keep(studio: Studio, request: Request) -> Response:
    takes.change_side(_word(studio, request), request.path_params["kind"], request.path_params["speaker"])
    return Answer({})


async def _trainings(studio: Studio, request: Request) -> Response:
    word = _word(studio, request)
    return Answer({"trainings": studio.trainings.listed(word), "running": studio.trainings.running()})


async def _start(studio: Studio, request: Request) -> Response:
    settings = TrainingSettings.of(await _document(request))
    return Answer({"run": studio.trainings.start(_word(studio, request), settings)}, 201)


async def _steer(studio: Studio, request: Request) -> Response:
    word, run, action = _word(studio, request), request.path_params["run"], request.path_params["action"]
    if action == "resume":
        studio.trainings.resume(word, run)
    elif action in ("stop", "kill"):
        studio.trainings.stop(word, run, now=action == "kill")
    else:
        raise missing(f"The action {action!r}")
    return Answer({})


async def _log(studio: Studio, request: Request) -> Response:
    return Answer({"log": studio.trainings.log(_word(studio, request), request.path_params["run"])})


async def _result(studio: Studio, request: Request) -> Response:
    return Answer(result.result(_word(studio, request), request.path_params["run"]))


async def _report(studio: Studio, request: Request) -> Response:
    path = result.report_file(_word(studio, request), request.path_params["run"], request.path_params["path"])
    kind = REPORT_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": REPORT_POLICY})


async def _choose(studio: Studio, request: Request) -> Response:
    result.choose(_word(studio, request), (await _document(request)).get("per_day"))
    return Answer({})


async def _inbox(studio: Studio, request: Request) -> Response:
    before = request.query_params.get("before", "")
    found = await run_in_threadpool(inbox.listed, _word(studio, request), before)
    return Answer({**found, "reachable": studio.phone is not None})


async def _inbox_address(studio: Studio, request: Request) -> Response:
    """The file with which a device sends its clips."""
    word = _word(studio, request)
    if studio.door is None:
        raise missing("An address for devices")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(word.name)}.inbox"}
    return PlainTextResponse(studio.door.address(word) + "\n", headers=headers)


async def _receive_clip(studio: Studio, request: Request) -> Response:
    """Store a clip that a device sends; a clip that was labelled meanwhile is not stored again."""
    word = _word(studio, request)
    name = inbox.clip_name(request.path_params["name"])
    if inbox.is_known(word, name):
        return Answer({"name": name})
    inbox.check_waiting(word)
    await takes.store(word.clips / name, _announced(request), request.stream(), MOST_CLIP)
    return Answer({"name": name}, 201)


async def _clip(studio: Studio, request: Request) -> Response:
    return _sound(inbox.clip(_word(studio, request), request.path_params["name"]))


async def _label(studio: Studio, request: Request) -> Response:
    given = await _document(request)
    inbox.label(_word(studio, request), request.path_params["name"], given.get("label", ""), given.get("expected", ""))
    return Answer({})


async def _adapt(studio: Studio, request: Request) -> Response:
    """Start adapting the bundle to the labelled clips."""
    return Answer({"run": studio.trainings.adapt(_word(studio, request))}, 201)


async def _go_back(studio: Studio, request: Request) -> Response:
    """Use the bundle before the last adaptation or training again."""
    await run_in_threadpool(studio.trainings.go_back, _word(studio, request))
    return Answer({})


async def _certificate(studio: Studio, request: Request) -> Response:
    return Answer(await run_in_threadpool(ship.certificate, _word(studio, request)))


async def _bundle(studio: Studio, request: Request) -> Response:
    path = ship.bundle_of(_word(studio, request))
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


async def _copy(studio: Studio, request: Request) -> Response:
    given = await _document(request)
    word = _word(studio, request)
    done = await run_in_threadpool(lambda: ship.copy(word, given.get("host"), install=given.get("install") is True))
    return Answer({"done": done})


API: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/project", _project),
    ("GET", "/api/phone.svg", _code),
    ("POST", "/api/words", _add_word),
    ("GET", "/api/words/{word}/data", _data),
    ("PUT", "/api/words/{word}/data/{kind}/{speaker}/{name}", _store),
    ("GET", "/api/words/{word}/data/{kind}/{speaker}/{name}", _recording),
    ("DELETE", "/api/words/{word}/data/{kind}/{speaker}/{name}", _remove),
    ("POST", "/api/words/{word}/data/{kind}/{speaker}/{name}/restore", _restore),
    ("POST", "/api/words/{word}/data/{kind}/{speaker}/keep", _keep),
    ("GET", "/api/words/{word}/trainings", _trainings),
    ("POST", "/api/words/{word}/trainings", _start),
    ("POST", "/api/words/{word}/trainings/{run}/{action}", _steer),
    ("GET", "/api/words/{word}/trainings/{run}/log", _log),
    ("GET", "/api/words/{word}/results/{run}", _result),
    ("POST", "/api/words/{word}/threshold", _choose),
    ("GET", "/api/words/{word}/inbox", _inbox),
    ("GET", "/api/words/{word}/inbox-address", _inbox_address),
    ("PUT", "/api/words/{word}/inbox/{name}", _receive_clip),
    ("GET", "/api/words/{word}/inbox/{name}", _clip),
    ("POST", "/api/words/{word}/inbox/{name}", _label),
    ("POST", "/api/words/{word}/adapt", _adapt),
    ("POST", "/api/words/{word}/go-back", _go_back),
    ("GET", "/api/words/{word}/certificate", _certificate),
    ("GET", "/api/words/{word}/bundle", _bundle),
    ("POST", "/api/words/{word}/copy", _copy),
    ("GET", "/report/{word}/{run}/{path:path}", _report),
)
