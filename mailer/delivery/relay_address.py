"""Where a relay is and how to talk to it, read from a URL. A password never shows in an error."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from mailer.delivery.handshake import Login
from mailer.kit.errors import Misconfigured

_HARBOUR = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}  # default ports
_ESCAPE = "write @ : / ? # in a password as %40 %3A %2F %3F %23"
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|::1|localhost").fullmatch


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where a relay is and how to talk to it."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "none"
    login: Login | None = None
    name: str = ""  # what we call ourselves in EHLO; empty is our end's address literal
    tls: ssl.SSLContext | None = None  # None is the system's authorities, TLS 1.2 at least


def relay_address(url: str, *, name: str = "") -> RelayAddress:
    """The relay at `smtp://`, `smtp+starttls://` or `smtps://[user:password@]host[:port]`.

    `?ca=/path.pem` names the authority to trust. Raises Misconfigured for anything else, and for
    a password without TLS to another host than this one (RFC 4954 section 4).
    """
    scheme = url.partition("://")[0]
    if scheme not in _HARBOUR:
        raise Misconfigured(
            "DIBAO_SMTP_URL: no way to a relay; "
            "use smtp://host:25, smtp+starttls://user:password@host:587 or smtps://…:465"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _HARBOUR[scheme]
    except ValueError:
        raise Misconfigured(f"DIBAO_SMTP_URL: the port has to be a number; {_ESCAPE}") from None
    if not host or parts.path.strip("/") or parts.fragment:
        raise Misconfigured(
            f"DIBAO_SMTP_URL: a relay is scheme://[user:password@]host[:port]; {_ESCAPE}"
        )
    login = None
    if parts.username:
        login = Login(unquote(parts.username), unquote(parts.password or ""))
        if scheme == "smtp" and not _LOOPBACK(host):
            raise Misconfigured(
                "DIBAO_SMTP_URL: a password needs TLS; use smtp+starttls:// or smtps://"
            )
    security: Literal["none", "starttls", "tls"] = "none"
    if scheme != "smtp":
        security = "tls" if scheme == "smtps" else "starttls"
    return RelayAddress(host, port, security, login, name, _trust(parts.query, security))


def _trust(query: str, security: str) -> ssl.SSLContext | None:
    options = parse_qs(query, keep_blank_values=True)
    if options.keys() - {"ca"}:
        raise Misconfigured(f"DIBAO_SMTP_URL: there is no option but ca; {_ESCAPE}")
    if security == "none":
        return None
    authority = options.get("ca", [""])[0]
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as unreadable:
        raise Misconfigured(
            f"DIBAO_SMTP_URL: no certificates in {Path(authority).name}: {unreadable}"
        ) from unreadable
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
