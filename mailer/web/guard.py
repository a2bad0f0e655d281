"""What holds for every request: a size limit, security headers, a number, no fault without a trace.

Pure ASGI, around everything else. A route may set any of the headers itself; the first wins.
"""

import secrets
import traceback
from http import HTTPStatus
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailer.web.pages import Pages
from mailer.web.problems import Problem, answer

LIMIT = 2 * 1024 * 1024
"""Bytes of the largest request taken."""

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not "no-referrer": it would turn the Origin of our own forms into "null"
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")

_HERE = Path(__file__).parents[1]
_log = structlog.get_logger()


class _TooLarge(Exception):
    """More came than a request may hold."""


class Guard:
    """The outermost layer of the site."""

    def __init__(self, app: ASGIApp, *, pages: Pages, secure: bool) -> None:
        self._app = app
        self._pages = pages
        extra = (TRANSPORT,) if secure else ()
        self._headers = [
            (name.lower().encode(), value.encode()) for name, value in (*HEADERS.items(), *extra)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = secrets.token_hex(6)
        scope.setdefault("state", {})["request_id"] = identity
        exchange = _Exchange(receive, send, [*self._headers, (b"x-request-id", identity.encode())])
        try:
            exchange.check(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except _TooLarge:
            await self._refuse(scope, exchange, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large")
        except Exception as fault:  # noqa: BLE001  # nothing of it may reach a reader
            _log.error(
                "request failed", request=identity, fault=type(fault).__name__, at=_place(fault)
            )
            await self._refuse(scope, exchange, HTTPStatus.INTERNAL_SERVER_ERROR, "internal")

    async def _refuse(
        self, scope: Scope, exchange: "_Exchange", status: HTTPStatus, code: str
    ) -> None:
        if exchange.started:
            return  # the connection closes short: the client sees that something is missing
        response = answer(self._pages, scope, Problem(status, code))
        response.headers["Connection"] = "close"  # what is left of the body stays unread
        exchange.forgive()
        await response(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request with its answer, counted and completed on the way."""

    def __init__(self, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = False
        self._receive = receive
        self._send = send
        self._headers = headers
        self._read = 0  # bytes of the body

    def check(self, scope: Scope) -> None:
        """Refuse what says beforehand that it is too large."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > LIMIT:
                raise _TooLarge

    def forgive(self) -> None:
        """Let the refusal itself through."""
        self._read = 0

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > LIMIT:
            raise _TooLarge
        return message

    async def send(self, message: Message) -> None:
        """The next part of the answer."""
        if message["type"] == "http.response.start":
            if self._read > LIMIT:  # FastAPI makes a 400 of whatever goes wrong while it reads
                raise _TooLarge
            self.started = True
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            message["headers"] = given + [h for h in self._headers if h[0] not in names]
        await self._send(message)


def _place(fault: BaseException) -> str:
    """Where it happened, without the message: that may hold somebody's address."""
    frames = traceback.extract_tb(fault.__traceback__)[-4:]
    return " < ".join(f"{_short(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames))


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(_HERE)) if path.is_relative_to(_HERE) else path.name
