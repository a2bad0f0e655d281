"""From the greeting to a connection ready for mail: EHLO, STARTTLS, AUTH. No input or output.

A generator: it yields what to write (None: nothing, UPGRADE: make the transport TLS), is sent each
answer, and returns what the relay offers.
"""

import base64
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final, Literal

from mailer.delivery.envelope import Features
from mailer.delivery.replies import Answer, brief

UPGRADE: Final = "upgrade"
Handshake = Generator[bytes | Literal["upgrade"] | None, Answer, Features]


class Setback(Exception):
    """A connection could not be made or used. `everyone`: no other would fare better."""

    def __init__(self, reason: str, *, everyone: bool = False) -> None:
        super().__init__(reason)
        self.everyone = everyone


@dataclass(frozen=True, slots=True)
class Login:
    """Who we say we are."""

    user: str
    password: str = field(repr=False)


def handshake(name: str, *, starttls: bool, login: Login | None) -> Handshake:
    """Lead a new connection to where it takes mail; `name` is our own in EHLO.

    Raises Setback where the relay will not have us, or offers less safety than was asked for.
    """
    code, text = yield None
    if code != 220:
        raise Setback(f"the relay greets with {brief(code, text)}")
    features = yield from _hello(name)
    if starttls:
        if b"STARTTLS" not in features:
            raise Setback("the relay offers no STARTTLS, and without it we send nothing")
        code, text = yield b"STARTTLS\r\n"
        if code != 220:
            raise Setback(f"the relay refuses STARTTLS: {brief(code, text)}")
        yield UPGRADE
        features = yield from _hello(name)  # RFC 3207 4.2: what was said before is void
    if login is not None:
        yield from _authenticate(login, features.get(b"AUTH", b"").split())
    return features


def _hello(name: str) -> Handshake:
    code, text = yield b"EHLO %b\r\n" % name.encode()
    if code in {500, 502, 504}:
        code, text = yield b"HELO %b\r\n" % name.encode()
        text = b""  # HELO offers nothing
    if code != 250:
        raise Setback(f"the relay answers EHLO with {brief(code, text)}")
    offers = (line.partition(b" ") for line in text.upper().split(b"\n")[1:])
    return {keyword: value for keyword, _, value in offers}


def _authenticate(login: Login, ways: list[bytes]) -> Generator[bytes, Answer, None]:
    user, password = login.user.encode(), login.password.encode()
    if b"PLAIN" in ways:
        initial = base64.b64encode(b"\0%b\0%b" % (user, password))
        code, text = yield b"AUTH PLAIN %b\r\n" % initial
    elif b"LOGIN" in ways:
        code, text = yield b"AUTH LOGIN\r\n"
        for part in (user, password):
            if code == 334:
                code, text = yield base64.b64encode(part) + b"\r\n"
    else:
        raise Setback("the relay offers neither AUTH PLAIN nor AUTH LOGIN", everyone=True)
    if code != 235:
        said = brief(code, text).replace(login.user, "…").replace(login.password, "…")
        raise Setback(f"the relay does not let us in: {said}", everyone=True)
