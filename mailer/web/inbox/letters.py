"""The inbox's pages: the list, a letter in four views, and the frame its HTML lives in.

The HTML of a letter is somebody else's: it is shown in a sandboxed frame, without script, forms or
an origin, under a policy that loads nothing from outside. Pictures are fetched only on request,
since a tracking pixel among them would count an open nobody made.
"""

import re
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from mailer.inbox.letter import Letter
from mailer.inbox.store import Page, Store
from mailer.web.access import private
from mailer.web.assets import SAMPLES
from mailer.web.pages import Pages

if TYPE_CHECKING:
    from mailer.app import App

VIEWS = ("html", "text", "headers", "source")

_HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)
_NEW_TAB = '<base target="_blank">'  # inside the sandbox a link could lead nowhere else
_CLIPPED = 102 * 1024  # bytes of HTML that Gmail shows before it clips
_WORDS = 200  # characters of a search


def router(app: "App") -> APIRouter:
    """The pages under /inbox; only for a browser on this machine."""
    routes = APIRouter(dependencies=[Depends(private(app.settings))])
    pages = Pages.of(app)
    # not the server's own store: a reader must never keep it waiting
    store = Store(app.settings.data_dir / "inbox")
    routes.include_router(_lists(app, pages, store))
    routes.include_router(_letters(app, pages, store))
    return routes


def _lists(app: "App", pages: Pages, store: Store) -> APIRouter:
    routes = APIRouter(prefix="/inbox")

    def listed(found: Page, sought: str) -> HTMLResponse:
        return pages.page("inbox/list.html", found=found, sought=sought, here=_place(app))

    @routes.get("")
    def newest(page: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> HTMLResponse:
        """All letters, newest first."""
        return listed(store.find(page=page), "")

    @routes.post("/search")
    def search(
        sought: Annotated[str, Form(max_length=_WORDS)] = "",
        page: Annotated[int, Form(ge=1, le=1_000_000)] = 1,
    ) -> HTMLResponse:
        """Letters by recipient or subject. A POST: no address shall stand in a URL or a log."""
        return listed(store.find(sought, page=page), sought)

    @routes.get("/search")
    def search_again() -> RedirectResponse:
        """A reloaded search begins anew."""
        return RedirectResponse("/inbox", status_code=303)

    @routes.get("/clear")
    def may_clear() -> HTMLResponse:
        """Ask before everything is forgotten."""
        return pages.page("inbox/clear.html", total=len(store))

    @routes.post("/clear")
    def clear() -> RedirectResponse:
        """Forget every letter."""
        store.clear()
        return RedirectResponse("/inbox", status_code=303)

    return routes


def _letters(app: "App", pages: Pages, store: Store) -> APIRouter:
    routes = APIRouter(prefix="/inbox")

    @routes.get("/{identity}")
    def letter(identity: str, view: str = "html", *, pictures: bool = False) -> HTMLResponse:
        """One letter."""
        found = store.get(identity)
        shown = view if view in VIEWS else "html"
        if shown == "html" and not found.html:
            shown = "text"
        return pages.page(
            "inbox/letter.html",
            letter=found,
            view=shown,
            views=VIEWS,
            pictures=pictures,
            clipped=found.html_bytes > _CLIPPED,
            source=_readable(found) if shown == "source" else "",
        )

    @routes.get("/{identity}/frame")
    def frame(identity: str, *, pictures: bool = False) -> HTMLResponse:
        """The HTML part alone, harmless."""
        safe = f"data: {app.settings.public_url}{SAMPLES}"  # these count nothing
        return _framed(store.get(identity), images="* data:" if pictures else safe)

    @routes.get("/{identity}/download")
    def download(identity: str) -> Response:
        """The message as it came, as a file."""
        message = store.message(identity)
        name = f'attachment; filename="letter-{message.id}.eml"'
        headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
        return Response(message.source, media_type="message/rfc822", headers=headers)

    return routes


def _framed(letter: Letter, *, images: str) -> HTMLResponse:
    policy = (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        f"img-src {images}; style-src 'unsafe-inline'; frame-ancestors 'self'"
    )
    html, found = _HEAD.subn(lambda head: head[0] + _NEW_TAB, letter.html, count=1)
    return HTMLResponse(
        html if found else _NEW_TAB + html,
        headers={
            "Content-Security-Policy": policy,
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def _readable(letter: Letter) -> str:
    return letter.message.source.decode("utf-8", "backslashreplace")


def _place(app: "App") -> str:
    """Where the inbox listens, as seen from this process."""
    if app.inbox is not None:
        return f"{app.inbox.host}:{app.inbox.port}"
    return f"{app.settings.inbox_host}:{app.settings.inbox_port}"
