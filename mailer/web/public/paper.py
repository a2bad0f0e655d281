"""How readers' pages are made: no script, one small style sheet, headers that give nothing away."""

import base64
import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse

from mailer.kit.paths import TEMPLATES
from mailer.web.pages import Pages

if TYPE_CHECKING:
    from mailer.app import App

STYLE = (TEMPLATES / "web" / "public" / "public.css").read_text(encoding="utf-8").strip()
"""Inlined: a page is one request, and its hash is the only style the policy lets in."""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
LETTER_POLICY = (
    # a letter's links open in a new tab, which the sandbox would else hold back
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation; default-src 'none'; "
    "img-src https: data:{own}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""`own` is our own address where it is no https one: pictures of somebody trying things out."""

NO_STORE = "no-store"
PRIVATE = {
    "Referrer-Policy": "no-referrer",  # the address of the page is a token
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": NO_STORE,
}
FRESH = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": NO_STORE,  # the form in it is used once
}
OPEN = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=300",
}


class Paper:
    """Makes the pages of one installation."""

    def __init__(self, app: "App") -> None:
        self._pages = Pages.of(app)
        address = app.settings.public_url
        own = "" if address.startswith("https:") else " " + "/".join(address.split("/")[:3])
        self._letter_policy = LETTER_POLICY.format(own=own)

    def page(self, name: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """A page that belongs to one reader, or to nobody: never kept, never indexed."""
        return self._made(name, status, PRIVATE, values)

    def public(self, name: str, **values: Any) -> HTMLResponse:
        """A page for everybody."""
        return self._made(name, HTTPStatus.OK, OPEN, values)

    def form(
        self, name: str, status: int = HTTPStatus.OK, *, scripted: bool = False, **values: Any
    ) -> HTMLResponse:
        """A page for everybody with a form that is used once; with our own script if need be."""
        return self._made(name, status, FRESH, values, "; script-src 'self'" if scripted else "")

    def letter(self, html: str, *, public: bool) -> HTMLResponse:
        """A letter as a page: its own styles, pictures, links, and nothing else."""
        headers = {**(OPEN if public else PRIVATE), "Content-Security-Policy": self._letter_policy}
        return HTMLResponse(html, headers=headers)

    def nothing(self) -> HTMLResponse:
        """There is no such page; the same for a token forged, cut off, or of somebody erased."""
        return self.page("nothing.html", HTTPStatus.NOT_FOUND)

    def senseless(self) -> HTMLResponse:
        """A form came back without what we put into it; nothing was changed."""
        return self.page("senseless.html", HTTPStatus.BAD_REQUEST)

    def _made(
        self,
        name: str,
        status: int,
        headers: dict[str, str],
        values: dict[str, Any],
        more: str = "",
    ) -> HTMLResponse:
        html = self._pages.fragment(f"public/{name}", style=STYLE, **values)
        policy = {"Content-Security-Policy": PAGE_POLICY + more}
        return HTMLResponse(html, status_code=status, headers={**headers, **policy})
