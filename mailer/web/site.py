"""The whole site: pages for readers, and for us on this machine; how it is served."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_server, socket
from typing import TYPE_CHECKING

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse

from mailer import __version__
from mailer.kit import broker
from mailer.kit.database import is_current
from mailer.kit.errors import DibaoError, Unavailable
from mailer.web import problems
from mailer.web.access import refusal
from mailer.web.assets import Assets, samples
from mailer.web.guard import Guard
from mailer.web.inbox import letters
from mailer.web.pages import Pages
from mailer.web.patience import Patient
from mailer.web.public import router as public
from mailer.web.studio import campaigns

if TYPE_CHECKING:
    from mailer.app import App

_PATIENCE = 10  # seconds to start
_GRACE = 3  # seconds an open request has to end when the site stops


def create(app: "App") -> FastAPI:
    """The site of one installation."""
    pages = Pages.of(app)
    site = FastAPI(
        title="Dibao",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # it leads to whatever the Host header names, over http, with the token in the path
        redirect_slashes=False,
    )
    site.state.closing = asyncio.Event()
    site.add_middleware(Guard, pages=pages, secure=app.settings.public_url.startswith("https://"))
    problems.install(site, pages)
    assets = Assets()
    site.include_router(_health(app))
    site.include_router(assets.router())
    site.include_router(samples())
    site.include_router(_entrance(app, assets))
    site.include_router(public.router(app))
    site.include_router(letters.router(app))
    site.include_router(campaigns.router(app))
    return site


def serve(app: "App") -> None:
    """Serve until Ctrl-C or SIGTERM. Raises Unavailable where the port is taken."""
    with _listening(app) as place:
        _server(app).run(sockets=[place])


@contextmanager
def serving(app: "App") -> Iterator[str]:
    """Serve in a thread while inside; gives the site's own address."""
    with _listening(app) as place:
        server = _server(app)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [place]}, name="web", daemon=True
        )
        thread.start()
        for _ in range(_PATIENCE * 100):
            if server.started:
                break
            thread.join(0.01)
        else:
            raise Unavailable("The site did not start")
        try:
            yield f"http://{_authority(place)}"
        finally:
            server.should_exit = True
            thread.join(_PATIENCE)


class _Server(uvicorn.Server):
    """Tells open streams that the end has come, rather than waiting for their readers to leave."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End every open stream, then what uvicorn does."""
        self.closing.set()
        await super().shutdown(sockets)

    closing: asyncio.Event


def _server(app: "App") -> _Server:
    site = create(app)
    server = _Server(
        uvicorn.Config(
            site,
            http=Patient,
            access_log=False,  # paths carry tokens
            log_config=None,
            proxy_headers=False,  # nobody may choose the address we think they come from
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    server.closing = site.state.closing
    return server


@contextmanager
def _listening(app: "App") -> Iterator[socket]:
    host, port = app.settings.web_host, app.settings.web_port
    try:
        place = create_server((host, port), backlog=512)
    except OSError as taken:
        raise Unavailable(f"Cannot listen on {host}:{port}: {taken.strerror}") from taken
    with place:
        yield place


def _authority(place: socket) -> str:
    host, port = place.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _health(app: "App") -> APIRouter:
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> JSONResponse:
        """Whether the process answers; asks nobody else."""
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> JSONResponse:
        """Whether it can do its work: 503 with reasons where it cannot."""
        reasons = {name: why for name, check in _CHECKS.items() if (why := check(app))}
        ready = {"status": "unavailable" if reasons else "ready", "reasons": reasons}
        return JSONResponse(
            ready, status_code=503 if reasons else 200, headers={"Cache-Control": "no-store"}
        )

    @routes.get("/version")
    async def version() -> JSONResponse:
        """Which version runs."""
        return JSONResponse({"version": __version__})

    return routes


def _entrance(app: "App", assets: Assets) -> APIRouter:
    """Where a bare address leads: us to the studio, everybody else to what they may read."""
    routes = APIRouter()
    icon = assets.address("icon.svg")

    @routes.get("/")
    def home(request: Request) -> RedirectResponse:
        peer = request.client.host if request.client else ""
        production = app.settings.env == "production"
        closed = refusal(peer, request.headers, production=production)
        return RedirectResponse("/archive" if closed else "/campaigns", status_code=303)

    @routes.get("/favicon.ico")
    def favicon() -> RedirectResponse:
        return RedirectResponse(icon)

    return routes


def _database(app: "App") -> str:
    """Why the database cannot be used, or ""; its own words may name a host and stay here."""
    try:
        current = is_current(app.database)
    except DibaoError:
        return "the database does not answer"
    except Exception:  # noqa: BLE001  # a half-made schema fails in many ways
        return "the database cannot be read"
    return "" if current else "the schema is not this version's; run: dibao db upgrade"


def _broker(app: "App") -> str:
    try:
        broker.check(app.celery)
    except DibaoError:
        return "the broker does not answer"
    return ""


_CHECKS = {"database": _database, "broker": _broker}
