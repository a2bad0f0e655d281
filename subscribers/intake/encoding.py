"""Which characters the octets of a text file stand for, found out from its beginning."""

import codecs
from dataclasses import dataclass
from typing import Final

from subscribers.intake.row import FileInvalid

LOOKED_AT: Final = 1 << 20  # octets: enough to meet a few names beyond ASCII
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 little endian"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 big endian"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, and how we know."""

    codec: str
    words: str  # as people call it
    note: str = ""  # where it is a guess: a sentence that says so

    @property
    def escape(self) -> str:
        """What to do about octets that stand for nothing: never lose the place in the file."""
        return "replace" if self.codec.startswith(("utf-16", "utf-32")) else "surrogateescape"


def find(beginning: bytes, asked: str = "") -> Encoding:
    """Find out the encoding of a file from its first octets, or take the one asked for.

    UTF-8 wherever that fits most lines; GB18030 where what is no UTF-8 reads as common Chinese;
    else Windows-1252. Raises FileInvalid for an encoding nobody knows, and for UTF-16 without a
    byte order mark.
    """
    if asked:
        return _readable(_asked(beginning, asked), beginning)
    for mark, codec, words in _MARKS:
        if beginning.startswith(mark):
            return Encoding(codec, words)
    if beginning.count(0) * 4 > len(beginning):
        raise FileInvalid(
            "The file looks like UTF-16 without a byte order mark: say --encoding utf-16-le, or "
            "utf-16-be, or save it as CSV in UTF-8."
        )
    lines = [line for line in beginning.splitlines()[:-1] or [beginning] if not line.isascii()]
    fitting = sum(_fits(line) for line in lines)
    if fitting * 2 >= len(lines):  # a few broken lines are refused, not all others misread
        return Encoding("utf-8", "UTF-8")
    if _is_chinese(b"\n".join(lines)):
        return Encoding("gb18030", "GB18030", _guessed("GB18030"))
    return Encoding("cp1252", "Windows-1252", _guessed("Windows-1252"))


def _asked(beginning: bytes, asked: str) -> Encoding:
    try:
        codec = codecs.lookup(asked)
        "a".encode(codec.name)  # not every codec is of texts
    except (LookupError, UnicodeError, TypeError, ValueError):
        raise FileInvalid(f"No encoding is called {asked[:40]!r}.") from None
    if codec.name == "utf-8" and beginning.startswith(codecs.BOM_UTF8):
        return Encoding("utf-8-sig", asked)
    if codec.name in {"utf-16-le", "utf-16-be"} and beginning.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    ):
        return Encoding("utf-16", asked)
    return Encoding(codec.name, asked)


def _readable(found: Encoding, beginning: bytes) -> Encoding:
    """Raise FileInvalid for a codec that cannot read on behind octets that stand for nothing."""
    try:
        codecs.getincrementaldecoder(found.codec)(found.escape).decode(beginning)
    except (LookupError, UnicodeError):
        raise FileInvalid(
            f"The file cannot be read as {found.words[:40]}: leave --encoding out, or name another."
        ) from None
    return found


def _fits(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_chinese(octets: bytes) -> bool:
    """Whether octets beyond ASCII mostly come in the pairs of everyday Chinese (GB 2312)."""
    text = octets.decode("gb18030", "replace")
    beyond = [character for character in text if not character.isascii()]
    common = sum(len(character.encode("gb2312", "ignore")) == 2 for character in beyond)
    return common * 10 >= len(beyond) * 8


def _guessed(words: str) -> str:
    return (
        f"The file is no UTF-8 and was read as {words}: look whether names are right in the "
        "preview, and say --encoding otherwise."
    )
