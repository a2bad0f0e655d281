"""Lines of a text file, each with its number, and never more of one than fits in memory."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from subscribers.intake.encoding import Encoding

MAX_RECORD: Final = 64 * 1024  # characters
SHOWN: Final = 200  # characters of a line that is refused for its length


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end, or what is wrong with it."""

    number: int  # from 1
    text: str
    fault: str = ""


def numbered(stream: IO[bytes], encoding: Encoding) -> Iterator[Line]:
    """Read line by line, at most MAX_RECORD characters of each, whatever the file's length."""
    text = io.TextIOWrapper(stream, encoding.codec, encoding.escape, newline="")
    number = 0
    try:
        while line := text.readline(MAX_RECORD + 1):
            number += 1
            if line.isascii() and len(line) <= MAX_RECORD and "\0" not in line:
                yield Line(number, line)
            elif len(line) > MAX_RECORD and line[-1] not in "\r\n":
                _skip(text)
                yield Line(number, line[:SHOWN], f"longer than {MAX_RECORD // 1024} KB")
            elif "\0" in line:
                yield Line(number, line.replace("\0", ""), "has a NUL octet")
            elif _is_broken(line):
                shown = line.encode("utf-8", "replace").decode()
                yield Line(number, shown, f"is not {encoding.words}")
            else:
                yield Line(number, line)
    finally:
        with suppress(ValueError):  # closed already, where somebody stopped half way
            text.detach()


def _skip(text: io.TextIOWrapper) -> None:
    while (rest := text.readline(MAX_RECORD)) and rest[-1] not in "\r\n":
        pass


def _is_broken(line: str) -> bool:
    """Whether some octets stood for no character: they came as surrogates, or were replaced."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return True
    return "\ufffd" in line
