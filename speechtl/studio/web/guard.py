"""Who may use the studio: the right address, the token, and pages of the studio itself.

A foreign page cannot use it, by whatever name it reaches this machine: the host must be an address or this machine's own name (DNS
rebinding), and what changes anything must come from a page of the same origin (CSRF) or carry the token in a header. A device has a key
that lets it add clips to an inbox, and nothing else.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

ADDS_CLIP = re.compile(r"/api/words/[^/]+/inbox/[^/]+")
HOST = re.compile(r"(?:\[([^\]]*)\]|([^:/?#]*))(?::\d*)?")
SAFE = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
WRONG_HOST = "This studio answers only to addresses and to the name of its own computer; open the address that its terminal shows."
NO_TOKEN = "This address lacks the token. Open the whole address that `speechtl studio` printed in its terminal, or scan its code."
FOREIGN = "This request came from another page than the studio's own, and was refused."


@dataclass(frozen=True)
class Guard:
    """Lets requests with the token through to an application, and adds headers that keep foreign content out."""

    app: ASGIApp
    token: str
    cookie: str  # its name, which differs between two studios on one machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, a request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        refused = self._refusal(HTTPConnection(scope))
        if scope["type"] == "websocket":
            return await (WebSocketClose(4403, FOREIGN) if refused else self.app)(scope, receive, send)
        return await (refused or self.app)(scope, receive, _with_headers(send))

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that does not reach the application."""
        host = request.headers.get("host", "")
        if not own_host(host):
            return PlainTextResponse(WRONG_HOST, 421)
        method = request.scope.get("method", "WEBSOCKET")
        given = _query(request).get("token", "")
        if given and method == "GET" and self._is_token(given):
            return self._welcome(request)
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self._may(bearer.removeprefix("Bearer "), method, request.scope["path"]):
            return None
        if not self._is_token(_cookies(request.headers).get(self.cookie, "")):
            return PlainTextResponse(NO_TOKEN, 403)
        if method not in SAFE and not _same_origin(request.headers, host, request.url.scheme):
            return PlainTextResponse(FOREIGN, 403)
        return None

    def _may(self, given: str, method: str, path: str) -> bool:
        """Whether a token may do anything, or a device's key adds a clip."""
        adds = method == "PUT" and ADDS_CLIP.fullmatch(path) is not None
        return self._is_token(given) or (adds and secrets.compare_digest(given.encode(), device_key(self.token).encode()))

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _welcome(self, request: HTTPConnection) -> Response:
        """Take the token out of the address bar, and into a cookie."""
        rest = {key: value for key, value in _query(request).items() if key != "token"}
        answer = RedirectResponse("/" + (f"?{urlencode(rest)}" if rest else ""), 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(self.cookie, self.token, max_age=30 * 86_400, httponly=True, samesite="lax", secure=secure)
        return answer


def device_key(token: str) -> str:
    """The key of devices that send clips, which tells nothing of the token."""
    return hmac.new(token.encode(), b"clips of devices", "sha256").hexdigest()


def own_host(host: str) -> bool:
    """Whether a request is addressed to an address, to localhost or to this machine's name."""
    found = HOST.fullmatch(host)
    name = (found[1] or found[2]).lower().rstrip(".") if found else ""
    own = socket.gethostname().lower()
    if name in ("localhost", own, f"{own}.local"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def read_token(path: Path) -> str:
    """The token of a project, made where there is none; it stays the same, so that a bookmark keeps working."""
    if not path.is_file() or len(path.read_text(encoding="ascii", errors="replace")) < 20:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), encoding="ascii")
    return path.read_text(encoding="ascii")


def _query(request: HTTPConnection) -> dict[str, str]:
    """The query, read past `request.url`, which contains the host that the client names."""
    return {key: values[0] for key, values in parse_qs(request.scope["query_string"].decode("latin-1")).items()}


def _same_origin(headers: Mapping[str, str], host: str, scheme: str) -> bool:
    return headers.get("origin", "") == f"{scheme.replace('ws', 'http', 1)}://{host}"


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return {}
    return {name: value.value for name, value in cookies.items()}


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", POLICY)
        await send(message)

    return answer
