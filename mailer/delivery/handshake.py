"""From the greeting to a connection ready for mail: EHLO, STARTTLS, AUTH. No sockets here.

A generator: it yields what to write (None: nothing, UPGRADE: make the transport TLS), is sent each
answer, and returns what the relay offers.
"""

import base64
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from mailer.delivery.dialect import Features
from mailer.delivery.relay import Hindrance
from mailer.delivery.replies import Answer, brief

UPGRADE: Final = "upgrade"
Handshake = Generator[bytes | Literal["upgrade"] | None, Answer, Features]
Mechanism = Literal["plain", "login", "xoauth2"]
_Dialogue = Generator[bytes, Answer, Answer]


class Setback(Exception):
    """A connection could not be made or used. `everyone`: no other would fare better.

    Of the cause "auth" or "tls" and not for everyone, it may be better in a while (454, 421).
    """

    def __init__(self, reason: str, *, cause: Hindrance = "closed", everyone: bool = False) -> None:
        super().__init__(reason)
        self.cause = cause
        self.everyone = everyone


@dataclass(frozen=True, slots=True)
class Login:
    """Who we say we are, and how; without a mechanism PLAIN, or LOGIN where that is not offered."""

    user: str
    password: str = field(default="", repr=False)  # or token
    mechanism: Mechanism | None = None
    file: Path | None = None  # holds the password, or a token that is renewed now and then

    def secret(self) -> str:
        """The password or token, from its file anew each time. Raises Setback without it."""
        if self.file is None:
            return self.password
        try:
            return self.file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as unreadable:
            raise Setback(
                f"no password can be read from {self.file.name}", cause="auth", everyone=True
            ) from unreadable


def handshake(
    name: str, *, starttls: bool, login: Login | None, opportunistic: bool = False
) -> Handshake:
    """Lead a new connection to where it takes mail; `name` is our own in EHLO.

    With `starttls` there is TLS or nothing; with `opportunistic` there is TLS where the relay
    offers it (RFC 7435). Raises Setback where the relay will not have us, or offers less than
    was asked for.
    """
    code, text = yield None
    if code != 220:
        raise Setback(f"the relay greets with {brief(code, text)}", cause="spoke")
    features = yield from _hello(name)
    if starttls or (opportunistic and b"STARTTLS" in features):
        features = yield from _secured(name, features, required=starttls)
    if login is not None:
        yield from _authenticate(login, features.get(b"AUTH", b"").split())
    return features


def literal(sockname: tuple[str, int] | None) -> str:
    """Our end of a socket as a name for EHLO (RFC 5321 4.1.3)."""
    host = sockname[0] if sockname else "127.0.0.1"
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _hello(name: str) -> Handshake:
    code, text = yield b"EHLO %b\r\n" % name.encode()
    if code in {500, 502, 504}:
        code, text = yield b"HELO %b\r\n" % name.encode()
        text = b""  # HELO offers nothing
    if code != 250:
        raise Setback(f"the relay answers EHLO with {brief(code, text)}", cause="spoke")
    offers = (line.partition(b" ") for line in text.upper().split(b"\n")[1:])
    return {keyword: value for keyword, _, value in offers}


def _secured(name: str, features: Features, *, required: bool) -> Handshake:
    if b"STARTTLS" not in features:
        raise Setback(
            "the relay offers no STARTTLS, and without it we send nothing",
            cause="tls",
            everyone=True,
        )
    code, text = yield b"STARTTLS\r\n"
    if code == 220:
        yield UPGRADE
        return (yield from _hello(name))  # RFC 3207 4.2: what was said before is void
    if required or code == 421:
        raise Setback(
            f"the relay refuses STARTTLS: {brief(code, text)}",
            cause="spoke" if code == 421 else "tls",
            everyone=code >= 500,
        )
    return features


def _authenticate(login: Login, offered: list[bytes]) -> Generator[bytes, Answer, None]:
    """RFC 4954. What asks for more than its mechanism knows is called off with `*`."""
    secret = login.secret()
    mechanism = login.mechanism or ("plain" if b"PLAIN" in offered else "login")
    if mechanism.upper().encode() not in offered:
        wanted = f"AUTH {login.mechanism.upper()}" if login.mechanism else "AUTH PLAIN or LOGIN"
        raise Setback(f"the relay does not offer {wanted}", cause="auth", everyone=True)
    if mechanism == "plain":
        code, text = yield from _at_once(b"PLAIN", b"\0%b\0%b" % _bytes(login.user, secret))
    elif mechanism == "login":
        code, text = yield b"AUTH LOGIN\r\n"
        for part in _bytes(login.user, secret):
            if code == 334:
                code, text = yield base64.b64encode(part) + b"\r\n"
    else:
        bearer = b"user=%b\x01auth=Bearer %b\x01\x01" % _bytes(login.user, secret)
        code, text = yield from _at_once(b"XOAUTH2", bearer)
        if code == 334:  # why not, for programs; an empty answer brings the reply for people
            code, text = yield b"\r\n"
    if code == 334:
        code, text = yield b"*\r\n"
    if code != 235:
        said = brief(code, _without(text, *_bytes(login.user, secret)))
        raise Setback(f"the relay does not let us in: {said}", cause="auth", everyone=code >= 500)


def _without(text: bytes, user: bytes, secret: bytes) -> bytes:
    """What a relay said, with whatever it repeats of our login cut out, encoded or not."""
    encoded = (base64.b64encode(part) for part in (b"\0%b\0%b" % (user, secret), user, secret))
    for ours in (*encoded, user, secret):
        text = text.replace(ours, "…".encode()) if ours else text
    return text


def _at_once(mechanism: bytes, initial: bytes) -> _Dialogue:
    return (yield b"AUTH %b %b\r\n" % (mechanism, base64.b64encode(initial)))


def _bytes(user: str, secret: str) -> tuple[bytes, bytes]:
    return user.encode(), secret.encode()
