"""The addresses readers reach: links, pixel, unsubscribe, preferences, letters, the archive.

A token is all the login there is, so a page shows what a stranger with a forwarded letter may see,
GET and HEAD change nothing, and a token we did not make leads nowhere.
"""

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from mailer.kit.signing import Bearer, Purpose
from mailer.rendering.edition import EditionLink
from mailer.tracking import queries as tracking
from mailer.tracking.spool import Hit, network_of
from mailer.web.peer import Peers
from mailer.web.public import confirming, sign_up
from mailer.web.public.archive import Archive
from mailer.web.public.desk import Desk
from mailer.web.public.forms import Form, posted
from mailer.web.public.paper import PRIVATE, Paper

if TYPE_CHECKING:
    from mailer.app import App

PIXEL = bytes.fromhex(
    "474946383961 0100 0100 80 00 00"  # GIF89a, 1 x 1, two colours
    "000000 ffffff 21f904 01 0000 00 00"  # the first of them transparent
    "2c 0000 0000 0100 0100 00 02 02 4401 00 3b"
)
"""The smallest transparent GIF: 43 bytes."""

NOBODY = Bearer(0, 0)
"""Who a token speaks of that we did not make: looked up like anybody, so that it takes as long."""

NEUTRAL = "archive"
"""Stands for a token in letters that belong to nobody: those of the archive."""

READ = ["GET", "HEAD"]


def router(app: "App") -> APIRouter:
    """Everything under /c, /o, /u, /p, /v, /archive, /subscribe and /confirm."""
    routes = APIRouter(include_in_schema=False)
    paper, peers = Paper(app), Peers(app.settings.trusted_proxies)
    routes.include_router(_hits(app, paper, peers))
    routes.include_router(sign_up.router(app, paper, peers))
    routes.include_router(confirming.router(app, paper, peers))
    routes.include_router(_own_pages(app, paper))
    routes.include_router(_archive(app, paper))
    return routes


def _bearer(app: "App", token: str) -> Bearer:
    return app.keyring.verify(Purpose.DELIVERY, token) or NOBODY


def _hits(app: "App", paper: Paper, peers: Peers) -> APIRouter:
    routes = APIRouter()
    tables: dict[int, dict[int, EditionLink]] = {}  # editions never change

    def target(bearer: Bearer, number: int) -> EditionLink | None:
        with app.database.reading() as session:
            edition = tracking.edition_of(session, bearer.campaign, bearer.subscriber)
            if edition is None:
                return None
            if edition not in tables:
                tables[edition] = tracking.links(session, edition)
        return tables[edition].get(number)

    @routes.api_route("/c/{token}/{number}", methods=READ)
    def follow(request: Request, token: str, number: str) -> Response:
        """Lead to a link of the letter; nowhere else, whatever the request asks for."""
        bearer = _bearer(app, token)
        link = target(bearer, _number(number))
        if link is None or not link.url.startswith(("https://", "http://")):
            return paper.nothing()
        if link.tracked:
            _keep(app, request, peers.of(request), "click", bearer, link.number)
        return RedirectResponse(link.url, HTTPStatus.FOUND, headers=PRIVATE)

    @routes.api_route("/o/{token}", methods=READ)
    async def pixel(request: Request, token: str) -> Response:
        """The pixel, always: a mail program that gets an error shows a broken picture."""
        bearer = _bearer(app, token)
        if bearer is not NOBODY:
            _keep(app, request, peers.of(request), "open", bearer, 0)
        return Response(PIXEL, media_type="image/gif", headers=PRIVATE)

    return routes


def _own_pages(app: "App", paper: Paper) -> APIRouter:
    routes = APIRouter()
    desk = Desk(app, paper)

    @routes.api_route("/u/{token}", methods=READ)
    def unsubscribe_page(token: str) -> HTMLResponse:
        """What unsubscribing would end; a scanner that fetches this ends nothing."""
        if token == NEUTRAL:
            return paper.page("neutral.html")
        return desk.leaving(_bearer(app, token), token)

    @routes.post("/u/{token}")
    def unsubscribe(token: str, form: Annotated[Form, Depends(posted)]) -> Response:
        """Unsubscribe: by a mail program's one click, or by the button on our page."""
        return desk.leave(_bearer(app, token), token, form)

    @routes.api_route("/p/{token}", methods=READ)
    def preferences_page(token: str) -> HTMLResponse:
        """What is sent to this reader, and what is counted."""
        if token == NEUTRAL:
            return paper.page("neutral.html")
        return desk.preferences(_bearer(app, token))

    @routes.post("/p/{token}")
    def preferences(token: str, form: Annotated[Form, Depends(posted)]) -> HTMLResponse:
        """Change it."""
        return desk.change(_bearer(app, token), form)

    @routes.api_route("/v/{token}", methods=READ)
    def view(token: str) -> Response:
        """The letter in the browser."""
        if token == NEUTRAL:
            return RedirectResponse("/archive", HTTPStatus.FOUND, headers=PRIVATE)
        return desk.letter(_bearer(app, token), token)

    return routes


def _archive(app: "App", paper: Paper) -> APIRouter:
    routes = APIRouter()
    archive = Archive(app, neutral=NEUTRAL)

    @routes.api_route("/archive", methods=READ)
    def all_issues() -> HTMLResponse:
        """The issues that have been sent."""
        if not app.publication.archive:
            return paper.nothing()
        return paper.public(
            "archive.html",
            years=archive.years(),
            tagline=app.publication.tagline,
            sign_up=app.settings.sign_up,
        )

    @routes.api_route("/archive/{slug}", methods=READ)
    def one_issue(slug: str) -> HTMLResponse:
        """One issue, with everything for everybody and nothing of anybody."""
        html = archive.letter(slug) if app.publication.archive else None
        return paper.nothing() if html is None else paper.letter(html, public=True)

    return routes


def _number(text: str) -> int:
    """A link's number; 0, which no link has, for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else 0


def _keep(  # a hit is who, what and when
    app: "App", request: Request, peer: str, kind: str, bearer: Bearer, link: int
) -> None:
    now = app.now()
    hit = Hit(
        kind=kind,
        campaign=bearer.campaign,
        subscriber=bearer.subscriber,
        at=now,
        link=link,
        agent=request.headers.get("user-agent", ""),
        network=network_of(app.keyring.keys[0], peer, now),
        head=request.method == "HEAD",
        prefetch=_prefetches(request),
    )
    with suppress(OSError):  # a full disk costs us a number, never the reader their link
        app.spool.append(hit)


def _prefetches(request: Request) -> bool:
    named = (request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
    return any("prefetch" in value.lower() for value in named)
