"""E-mail addresses: parsed once, written for the wire, known by one key however they are spelt.

Accepted is what a mailbox provider hands out: `local@domain.tld` with an unquoted local part
(RFC 5321's Dot-string; RFC 6531's beyond ASCII) and a domain of at least two labels. Quoted local
parts, comments, groups, display names and address literals are refused: legal, but hardly anybody
has them, and each has been used to smuggle a second recipient past a parser.
"""

import hmac
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from email_validator import EmailNotValidError, validate_email

from mailer.kit.errors import Invalid

MAX_LOCAL: Final = 64  # octets, RFC 5321 4.5.3.1.1
MAX_ADDRESS: Final = 254  # octets: a path of 256 (RFC 5321 4.5.3.1.3) without its brackets
GMAIL: Final[Collection[str]] = frozenset({"gmail.com", "googlemail.com"})
"""Domains of the one provider that ignores dots, and says so; both lead to the same mailbox."""

_KEY_DIGITS: Final = 32  # hexadecimal: 128 bits

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Most addresses are this plain, and matching costs a twentieth of validating; a test holds the two
# to the same answer.
_PLAIN = re.compile(rf"({_ATEXT}(?:\.{_ATEXT})*)@((?:{_LABEL}\.)+[A-Za-z]{{2,63}})", re.ASCII)
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class AddressInvalid(Invalid):
    """Not an e-mail address that mail can be sent to."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """One mailbox."""

    address: str  # for the wire: the local part as written, the domain as A-labels in lower case
    domain: str  # A-labels, lower case
    key: str  # the same for every spelling of the mailbox; never shown, never sent to

    @classmethod
    def parse(cls, text: str) -> "EmailAddress":
        """Read one address; spaces around it are dropped. Nothing is asked of the network.

        Parsing the result's `address` again gives the same. Raises AddressInvalid with the reason,
        which never repeats the address.
        """
        text = text.strip(" ")
        if len(text) > MAX_ADDRESS:
            raise AddressInvalid(f"The address is longer than {MAX_ADDRESS} characters.")
        plain = _PLAIN.fullmatch(text)
        local, domain = plain.groups() if plain and "--" not in text else _validated(text)
        domain = domain.lower()
        if len(local.encode()) > MAX_LOCAL:
            raise AddressInvalid(f"The part before the @ is longer than {MAX_LOCAL} octets.")
        address = f"{local}@{domain}"
        if len(address.encode()) > MAX_ADDRESS:
            raise AddressInvalid(f"The address is longer than {MAX_ADDRESS} octets.")
        return cls(address, domain, address.translate(_ASCII_LOWER))

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class Canon:
    """Which addresses are one person's, and the key that they are hashed with.

    Upper and lower case and the two spellings of an international domain always are. Dots and plus
    tags are by choice, for the choice holds for everybody who is stored: folding changes every
    hash, so that a start with another choice is noticed like one with another secret.
    """

    secret: bytes  # from key_from
    dots: bool = False  # Gmail gives every spelling with dots to one mailbox
    plus: bool = False  # ada+news@ is ada@, at any domain

    @classmethod
    def of(cls, secrets: Sequence[str], same_person: str = "") -> "Canon":
        """The canon of an installation: its secrets, newest first, and what it chose to fold."""
        chosen = same_person.split()
        return cls(key_from(secrets), dots="dots" in chosen, plus="plus" in chosen)

    @property
    def folds(self) -> str:
        """What is folded, in the words of the setting: "", "dots", "plus", "dots plus"."""
        dots, plus = ("dots" if self.dots else ""), ("plus" if self.plus else "")
        return f"{dots} {plus}".strip()  # plain: this is asked for every address of an import

    @property
    def proof(self) -> str:
        """Tells another secret or another choice apart, and says nothing about either."""
        return _digest(_hashing(self.secret, self.folds), b"proof of the address key")

    def key(self, address: EmailAddress) -> str:
        """Hash an address: the same 32 hexadecimal digits for all spellings that are one person."""
        return _digest(_hashing(self.secret, self.folds), self._folded(address.key).encode())

    def _folded(self, spelling: str) -> str:
        local, _, domain = spelling.rpartition("@")
        if self.plus:
            local = local.partition("+")[0] or local  # "+news@" is nobody's tag
        if self.dots and domain in GMAIL:
            local, domain = local.replace(".", ""), "gmail.com"
        return f"{local}@{domain}"


def key_from(secrets: Sequence[str]) -> bytes:
    """Derive the key that addresses are hashed with from an installation's secrets, newest first.

    The oldest secret counts, so that adding a new one in front changes no hash. Taking the oldest
    away would make every suppression unfindable: `queries.key_fits` notices.
    """
    return hmac.digest(secrets[-1].encode(), b"dibao address key", "sha256")


def address_key(key: bytes | Canon, address: EmailAddress) -> str:
    """Hash an address so that it can be recognised and not read: HMAC-SHA256 cut to 128 bits.

    32 hexadecimal digits. A bare key folds nothing beyond upper and lower case.
    """
    return (key if isinstance(key, Canon) else Canon(key)).key(address)


def masked(address: str) -> str:
    """Show just enough to recognise one's own address: a***@example.org."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def _validated(text: str) -> tuple[str, str]:
    """Split an address that is not plain ASCII, the domain as A-labels (UTS 46, IDNA 2008)."""
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as refused:
        raise AddressInvalid(str(refused)) from None  # its own text may carry the address
    except (UnicodeError, ValueError):  # lone surrogates and what idna did not foresee
        raise AddressInvalid from None
    domain = found.ascii_domain
    top = domain.rpartition(".")[2]
    if top == domain:
        raise AddressInvalid("The domain has no dot: mail cannot reach it from outside.")
    if top.isdigit():
        raise AddressInvalid("The part after the @ is a number, not a domain.")
    return str(found.local_part), domain


@cache
def _hashing(secret: bytes, folds: str) -> bytes:
    """The key hashes are made with; without folding it is the secret's own, as it always was."""
    return hmac.digest(secret, f"same person: {folds}".encode(), "sha256") if folds else secret


def _digest(key: bytes, text: bytes) -> str:
    return hmac.digest(key, text, "sha256").hex()[:_KEY_DIGITS]
