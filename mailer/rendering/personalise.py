"""An edition and a reader's values into the bytes of one body, by joining what is encoded already.

Quoted-printable fragments leave each value a line of its own, so a value drops in as it is. In
base64 three bytes make four characters, so a value is encoded together with the few bytes around
it that complete the threes (a *run*); what lies between two runs is encoded once for each of the
three ways a value before it can shift it. Nothing is padded: what is decoded is exactly the text.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Final

from mailer.rendering import fields as merge
from mailer.rendering.edition import Edition, Slot
from mailer.rendering.encode import base64_lines, quoted

FIELDS: Final = merge.FIELDS
_PROGRAMS = 64  # kept per edition: one per combination of value lengths modulo three
_AS_IT_IS: Final = re.compile(rb"[A-EG-Za-z0-9](?:[A-Za-z0-9,;:&#'-]| (?! )){0,70}").fullmatch
_Variable = tuple[str, str, bool, bool]  # field, default, markup, base64
_Run = tuple[bytes | int, ...]  # static bytes and numbers of variables, encoded as one
_Getter = Callable[[Sequence[bytes]], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class _Program:
    """How to make a body: `frame` with `runs` filled into its odd places."""

    frame: list[bytes]
    runs: tuple[_Run, ...]  # each once
    pick: _Getter  # from the encoded runs, the one for each odd place


def reader(token: str, *, name: str = "", address: str = "") -> dict[str, str]:
    """A reader's values for every field; the first name is the name up to its first space."""
    tidy = merge.value("name", name)
    return {
        "token": token,
        "name": tidy,
        "first_name": tidy.partition(" ")[0],
        "email": address,
    }


class Splicer:
    """Makes bodies of one edition: built once, then a few microseconds for each reader.

    `fields` maps the names in FIELDS to a reader's values; a missing or empty one gives the
    author's default. The token is trusted: 24 letters and digits. Everything else is cleaned.
    """

    def __init__(self, edition: Edition) -> None:
        self._variables: tuple[_Variable, ...] = tuple(
            dict.fromkeys(_variable(slot) for slot in edition.slots)
        )
        self._elements = _elements(edition, self._variables)
        self._programs: dict[tuple[int, ...], _Program] = {}
        self._shifting = tuple(  # variables whose length moves what follows
            number for number, v in enumerate(self._variables) if v[3] and v[0] != "token"
        )
        self._encoded = lru_cache(maxsize=None)(base64_lines)  # shared by all programs
        self._html, self._text = edition.html, edition.text

    def body(self, fields: Mapping[str, str]) -> bytes:
        """The MIME body after the header block's empty line.

        Canonical for DKIM relaxed, CRLF only, lines of at most 76, none that needs dot-stuffing,
        ending with one CRLF. Equal for equal values.
        """
        return b"".join(self.pieces(fields))

    def pieces(self, fields: Mapping[str, str]) -> list[bytes]:
        """The body in pieces, for whoever joins it with more: to copy 40 KB twice takes longer."""
        values = [_bytes(variable, fields) for variable in self._variables]
        program = self._program(tuple([len(values[n]) % 3 for n in self._shifting]))
        encoded = [_encode(run, values, self._variables) for run in program.runs]
        frame = program.frame.copy()
        frame[1::2] = program.pick(encoded)
        return frame

    def html(self, fields: Mapping[str, str]) -> str:
        """The HTML part as this reader sees it, for the web and previews."""
        return merge.filled(self._html, fields, escape)

    def text(self, fields: Mapping[str, str]) -> str:
        """The plain-text part as this reader sees it."""
        return merge.filled(self._text, fields)

    def _program(self, shifts: tuple[int, ...]) -> _Program:
        if (known := self._programs.get(shifts)) is not None:
            return known
        if len(self._programs) >= _PROGRAMS:
            self._programs.clear()
        lengths = dict(zip(self._shifting, shifts, strict=True))
        program = self._programs[shifts] = self._compiled(lengths)
        return program

    def _compiled(self, lengths: Mapping[int, int]) -> _Program:
        """The program for values of these lengths modulo three; tokens are a multiple of it."""
        statics, runs = [b""], list[_Run]()
        for base64, group in groupby(self._elements, key=itemgetter(0)):
            parts = [part for _, part in group]
            for run in _runs(parts, lengths) if base64 else _singles(parts):
                if any(isinstance(part, int) for part in run):
                    runs.append(run)
                    statics.append(b"")
                elif base64:
                    statics[-1] += self._encoded(b"".join(p for p in run if isinstance(p, bytes)))
                else:
                    statics[-1] += b"".join(p for p in run if isinstance(p, bytes))
        distinct = tuple(dict.fromkeys(runs))
        numbers = {run: number for number, run in enumerate(distinct)}
        frame = [b""] * (2 * len(statics) - 1)
        frame[0::2] = statics
        return _Program(frame, distinct, _picker([numbers[run] for run in runs]))


@lru_cache(maxsize=1024)
def _marked(text: str) -> str:
    return merge.mark(merge.line(text))


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Author's one-line text, such as a subject, with a reader's values, none of them escaped.

    The result has no line break and no control character. Raises fields.UnknownField (a
    ValueError) for a field outside FIELDS; rendering has refused such a text long before.
    """
    marked = _marked(text)
    return merge.filled(marked, fields) if merge.OPEN in marked else marked


def _variable(slot: Slot) -> _Variable:
    return slot.field, slot.default, slot.markup, slot.base64


def _elements(
    edition: Edition, variables: tuple[_Variable, ...]
) -> tuple[tuple[bool, bytes | int], ...]:
    """Pieces as bytes and slots as numbers of variables, in order; True marks those in base64."""
    numbers = {variable: number for number, variable in enumerate(variables)}
    base64 = {p for slot in edition.slots if slot.base64 for p in (slot.before - 1, slot.before)}
    slots = iter((*edition.slots, None))
    following = next(slots)
    out: list[tuple[bool, bytes | int]] = []
    for place, piece in enumerate(edition.pieces):
        while following is not None and following.before == place:
            out.append((following.base64, numbers[_variable(following)]))
            following = next(slots)
        in_base64 = place in base64
        out.append((in_base64, b64decode(piece) if in_base64 else piece.encode("ascii")))
    return tuple(out)


def _singles(parts: Sequence[bytes | int]) -> Iterator[_Run]:
    return ((part,) for part in parts)


def _runs(parts: Sequence[bytes | int], lengths: Mapping[int, int]) -> Iterator[_Run]:
    """Cut one part's fragments and values into runs that are whole threes, but for the last."""
    pending: list[bytes | int] = []
    length, has_value = 0, False
    for part in parts:
        if isinstance(part, int):
            pending.append(part)
            length, has_value = length + lengths.get(part, 0), True
            continue
        need = -length % 3 if has_value else 0
        if len(part) < need or not has_value:
            pending.append(part)
            length += len(part)
            if has_value:
                continue
            rest = b"".join(p for p in pending if isinstance(p, bytes))
        else:
            yield (*pending, part[:need])
            rest = part[need:]
        whole = len(rest) - len(rest) % 3
        yield (rest[:whole],)
        pending, length, has_value = [rest[whole:]], len(rest) - whole, False
    yield tuple(pending)


def _picker(places: list[int]) -> _Getter:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda encoded: tuple(encoded[place] for place in places)


def _bytes(variable: _Variable, fields: Mapping[str, str]) -> bytes:
    """A reader's value for one variable, not yet in a transfer encoding."""
    field, default, markup, _ = variable
    given = fields.get(field, "")
    if field == "token":
        return given.encode("ascii")
    text = merge.value(field, given) or default
    return (escape(text) if markup else text).encode()


def _encode(run: _Run, values: Sequence[bytes], variables: Sequence[_Variable]) -> bytes:
    first = run[0]
    if len(run) == 1 and isinstance(first, int) and not variables[first][3]:
        raw = values[first]
        return raw if variables[first][0] == "token" or _AS_IT_IS(raw) else quoted(raw)
    return base64_lines(b"".join([values[p] if isinstance(p, int) else p for p in run]))


__all__ = ["FIELDS", "Splicer", "fill", "reader"]
