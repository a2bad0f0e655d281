"""Where a relay is and how to talk to it, read from a URL. A password never shows in an error."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mailer.delivery.dialect import Notify
from mailer.delivery.handshake import Login, Mechanism
from mailer.kit.errors import Misconfigured

Security = Literal["none", "opportunistic", "starttls", "tls"]

_HARBOUR = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}  # default ports
_ESCAPE = "write @ : / ? # in a password as %40 %3A %2F %3F %23"
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|::1|localhost").fullmatch
_CHOICES = {  # of each option; an empty one takes any value
    "ca": (),
    "secret": (),
    "tls": ("none", "opportunistic"),
    "auth": ("plain", "login", "xoauth2"),
    "dsn": ("none", "never", "failure"),
    "chunking": ("off", "on"),
}


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where a relay is and how to talk to it."""

    host: str
    port: int
    security: Security = "none"
    login: Login | None = None
    name: str = ""  # what we call ourselves in EHLO; empty is our end's address literal
    tls: ssl.SSLContext | None = None  # None only without TLS
    notify: Notify = "none"  # the bounces to ask for, where the relay offers DSN
    chunking: bool = False  # BDAT instead of DATA, where the relay offers it


def relay_address(url: str, *, name: str = "") -> RelayAddress:
    """The relay at `smtp://`, `smtp+starttls://` or `smtps://[user:password@]host[:port]`.

    Options, after `?` and between `&`: `ca=/path.pem` names the authority to trust;
    `tls=opportunistic`, of smtp:// only, encrypts where the relay offers it and asks for no
    certificate (RFC 7435); `auth=plain|login|xoauth2` insists on that way to log in, the password
    being the token with the last; `secret=/path` names a file with the password or token, read
    anew for each connection; `dsn=failure|never` asks for bounces or for none (RFC 3461);
    `chunking=on` sends with BDAT (RFC 3030).

    Raises Misconfigured for anything else, and for a password without certain TLS to another host
    than this one (RFC 4954 section 4).
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
    options = _options(parts.query)
    login = _login(parts, options)
    if login is not None and scheme == "smtp" and not _LOOPBACK(host):
        raise Misconfigured(
            "DIBAO_SMTP_URL: a password needs TLS that is certain; use smtp+starttls:// or smtps://"
        )
    security = _security(scheme, options)
    return RelayAddress(
        host,
        port,
        security,
        login,
        name,
        _trust(security, options.get("ca", "")),
        cast("Notify", options.get("dsn", "none")),
        options.get("chunking") == "on",
    )


def _options(query: str) -> dict[str, str]:
    given = parse_qsl(query, keep_blank_values=True)
    options = dict(given)
    if options.keys() - _CHOICES.keys():
        names = ", ".join(_CHOICES)
        raise Misconfigured(f"DIBAO_SMTP_URL: there are no options but {names}; {_ESCAPE}")
    for option, value in options.items():
        choices = _CHOICES[option]
        if choices and value not in choices:
            raise Misconfigured(f"DIBAO_SMTP_URL: {option} is one of {', '.join(choices)}")
    if len(given) > len(options):
        raise Misconfigured("DIBAO_SMTP_URL: each option once")
    return options


def _login(parts: SplitResult, options: dict[str, str]) -> Login | None:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        if options.keys() & {"auth", "secret"}:
            raise Misconfigured("DIBAO_SMTP_URL: auth and secret need a user: user@host")
        return None
    if {"\0", "\x01"} & {*user, *password}:  # they part what AUTH sends
        raise Misconfigured("DIBAO_SMTP_URL: no user or password holds control characters")
    file = options.get("secret")
    if file is not None and (password or not Path(file).is_file()):
        raise Misconfigured(
            "DIBAO_SMTP_URL: secret names a file with the password, and then the URL has none"
        )
    mechanism = cast("Mechanism | None", options.get("auth"))
    return Login(user, password, mechanism, Path(file) if file else None)


def _security(scheme: str, options: dict[str, str]) -> Security:
    if scheme != "smtp":
        if "tls" in options:
            raise Misconfigured("DIBAO_SMTP_URL: tls is an option of smtp:// only")
        return "tls" if scheme == "smtps" else "starttls"
    security: Security = "opportunistic" if options.get("tls") == "opportunistic" else "none"
    if "ca" in options:
        raise Misconfigured(
            "DIBAO_SMTP_URL: ca needs a certificate to check; use smtp+starttls:// or smtps://"
        )
    return security


def _trust(security: Security, authority: str) -> ssl.SSLContext | None:
    if security == "none":
        return None
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as unreadable:
        raise Misconfigured(
            f"DIBAO_SMTP_URL: no certificates in {Path(authority).name}: {unreadable}"
        ) from unreadable
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if security == "opportunistic":  # a certificate nobody checks is still better than plain text
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
