"""The links of one edition: which addresses are fit for a mail, their numbers, who is counted.

A tracked link is `<public address>/c/<token>/<number>`: the target is fixed here, when the edition
is made, so no address travels inside an address and nobody can make us redirect elsewhere.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from mailer.rendering import fields
from mailer.rendering.edition import EditionLink, RenderingRefused

OPENS, CLICKS = 1, 2  # bits, as campaigns.campaign.Tracking has them
SCHEMES: Final = ("http", "https", "mailto", "tel")
LONGEST = 2000  # characters; past it some servers and mailboxes give up

_FORBIDDEN = re.compile('[\x00-\x20\x7f-\xa0\u2028\u2029\\\\<>"]')
_SAFE = "/:?#[]@!$&'()*+,;=%~-._|^{}`"  # stays as it is; what is not ASCII is percent-encoded


def checked(url: str, place: str) -> str:
    """The address in ASCII, if a mail may lead there. Raises RenderingRefused saying why not."""
    try:
        return _checked(url)
    except ValueError as error:
        raise RenderingRefused(str(error), place) from None


@lru_cache(maxsize=4096)
def _checked(url: str) -> str:
    tidy = url.strip(" \t\r\n")
    if fields.clean(tidy) != tidy or _FORBIDDEN.search(tidy):
        raise ValueError(f"a space or control character in the address {tidy!r}")
    if "{{" in tidy:
        raise ValueError(f"fields are never filled in an address: {tidy!r}")
    try:
        parts = urlsplit(tidy)
        host = parts.hostname or ""
        _ = parts.port  # looks at it, and may object
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        raise ValueError(f"not an address: {tidy!r}") from None
    if reason := _objection(parts, tidy):
        raise ValueError(f"{reason}: {tidy!r}")
    if host != ascii_host:
        tidy = parts._replace(netloc=parts.netloc.lower().replace(host, ascii_host)).geturl()
    return tidy if tidy.isascii() else quote(tidy, safe=_SAFE)


def _objection(parts: SplitResult, url: str) -> str:
    """Why a well-formed address is not fit for a mail, or ""."""
    web = parts.scheme in {"http", "https"}
    objections = {
        "write the whole address, beginning with https://": not parts.scheme,
        f"only {', '.join(SCHEMES)} lead anywhere in a mail": parts.scheme not in SCHEMES,
        f"longer than {LONGEST} characters": len(url) > LONGEST,
        "nobody to write to or call": not web and (not parts.path or bool(parts.netloc)),
        "no host": web and not parts.hostname,
        "a name or password before the host": "@" in parts.netloc,
    }
    return next((reason for reason, holds in objections.items() if holds), "")


@dataclass(slots=True)
class Links:
    """The link table as it grows: one address in one slot of one item has one number."""

    public_url: str  # where readers reach us
    tracking: int
    _table: dict[tuple[str, str, str], EditionLink] = field(default_factory=dict)

    @property
    def table(self) -> tuple[EditionLink, ...]:
        """All links so far, by number."""
        return tuple(self._table.values())

    @property
    def counts_clicks(self) -> bool:
        """Whether links lead through us."""
        return bool(self.tracking & CLICKS)

    def href(
        self, url: str, *, place: str, item: str, slot: str, text: str, tracked: bool = True
    ) -> str:
        """What a link holds: our address with the token's mark, or the target where not tracked.

        mailto: and tel: never lead through us. Raises RenderingRefused for an unfit address.
        """
        target = checked(url, place)
        key = (target, item, slot)
        link = self._table.get(key)
        if link is None:
            counted = tracked and self.counts_clicks and target.startswith("http")
            link = EditionLink(len(self._table) + 1, target, item, slot, text, counted)
            self._table[key] = link
        return f"{self.page('c')}/{link.number}" if link.tracked else target

    def page(self, name: str) -> str:
        """One of a reader's own pages: u unsubscribe, p preferences, v view, o the open pixel."""
        return f"{self.public_url}/{name}/{fields.TOKEN}"

    def pixel(self) -> str:
        """The open pixel's address, or "" where opens are not counted."""
        return self.page("o") if self.tracking & OPENS else ""
