"""Who may see the pages that are not for readers, while there are no accounts.

Until somebody can log in, studio and inbox answer only a browser on this machine: the connection
comes from the loopback address, the Host header names it (a foreign name that resolves here is DNS
rebinding), and nothing forwarded the request. In production, where a proxy on the same machine
would pass for a local browser, they are closed; the command line does all they do.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fastapi import Request

from mailer.kit.errors import DibaoError
from mailer.kit.settings import Settings

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = re.compile(
    r"forwarded|via|x-forwarded-.+|x-real-ip|x-client-ip|x-cluster-client-ip|x-original-.+"
    r"|true-client-ip|cf-.+|fastly-.+|fly-.+"
)
"""What proxies and tunnels add to a request, each its own."""


class AccessRefused(DibaoError):
    """You may not see this page."""


class CrossSite(AccessRefused):
    """The request came from another site. Open the page itself and use its buttons."""


def private(settings: Settings) -> Callable[[Request], None]:
    """A dependency for routers nobody from outside may use."""

    def check(request: Request) -> None:
        peer = request.client.host if request.client else ""
        refused = refusal(peer, request.headers, production=settings.env == "production")
        if refused:
            raise AccessRefused(refused)
        if request.method not in SAFE and is_cross_site(request.headers):
            raise CrossSite

    return check


def refusal(peer: str, headers: Mapping[str, str], *, production: bool) -> str:
    """Why a request may not see private pages, or "" where it may."""
    if production:
        return (
            "There are no accounts yet, so in production the studio and the inbox are closed. "
            "The command `dibao` on the server does all they do."
        )
    if not is_loopback(peer):
        return (
            "There are no accounts yet, so the studio and the inbox open only on the machine they "
            "run on. From elsewhere use a tunnel: ssh -L 8000:127.0.0.1:8000 and the server's name."
        )
    if not is_loopback(_hostname(headers.get("host", ""))):
        return (
            "There are no accounts yet, so the studio and the inbox open only under the name "
            "localhost or the address 127.0.0.1."
        )
    if any(_FORWARDED.fullmatch(name.lower()) for name in headers):
        return (
            "There are no accounts yet, so the studio and the inbox are not served through a proxy."
        )
    return ""


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something may come from another site's page.

    Browsers send Sec-Fetch-Site, Origin, or both; each that is there has to say "same origin", and
    one has to be there.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return True
    if site is not None and site != "same-origin":
        return True
    return origin is not None and _authority(origin) != headers.get("host")


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _authority(origin: str) -> str:
    """Host and port of an Origin header; "" for "null" and for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _hostname(authority: str) -> str:
    try:
        parts = urlsplit(f"//{authority}")
    except ValueError:
        return ""
    if "@" in authority or parts.path or parts.query or parts.fragment:
        return ""
    return parts.hostname or ""
