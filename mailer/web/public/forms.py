"""What readers and mail programs post: small forms, in either encoding, from anybody."""

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

LIMIT = 8_192  # bytes; ours are some hundred
_FIELDS = 100


class _TooLong(Exception):
    """More came than any form of ours holds."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields that came, in order; no files."""

    fields: tuple[tuple[str, str], ...] = ()

    def one(self, name: str) -> str:
        """The last value of a field, or ""."""
        return next((value for key, value in reversed(self.fields) if key == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field."""
        return tuple(value for key, value in self.fields if key == name)

    @property
    def is_one_click(self) -> bool:
        """Whether a mail program asks to unsubscribe its owner (RFC 8058, section 3.2)."""
        return self.one("List-Unsubscribe") == "One-Click"


async def posted(request: Request) -> Form:
    """The form in the request; an empty one for anything that is none. A dependency.

    RFC 8058 lets a mail program choose between multipart/form-data and
    application/x-www-form-urlencoded; one that names neither is taken to mean the latter.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _limited(request)
    try:
        if kind == "multipart/form-data":
            parser = MultiPartParser(
                request.headers, body, max_files=0, max_fields=_FIELDS, max_part_size=LIMIT
            )
            read = await parser.parse()
        elif kind in {"", "application/x-www-form-urlencoded"}:
            read = await FormParser(request.headers, body).parse()
        else:
            return Form()
    # UnicodeError, KeyError: a boundary that is missing, a charset that no form has
    except (_TooLong, MultiPartException, FormParserError, UnicodeError, KeyError):
        return Form()
    fields = [
        (_sound(name), _sound(value))
        for name, value in read.multi_items()
        if isinstance(value, str)
    ]
    return Form(tuple(fields[:_FIELDS]))


async def posted_json(request: Request) -> Form:
    """The JSON object in the request as a form: texts, lists of texts, truths. A dependency.

    An empty one for anything else, deep nesting and long bodies included.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return Form()
    try:
        read = json.loads(b"".join([part async for part in _limited(request)]))
    except (_TooLong, ValueError, RecursionError):
        return Form()
    fields = read.items() if isinstance(read, dict) else ()
    pairs = [pair for name, value in fields for pair in _pairs(name, value)]
    return Form(tuple(pairs[:_FIELDS]))


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool):
        yield _sound(name), "1" if value else ""
    elif isinstance(value, str):
        yield _sound(name), _sound(value)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, str):
                yield _sound(name), _sound(each)


def _sound(text: str) -> str:
    """Text that can be stored and shown: a charset of the sender's choice may yield surrogates."""
    return text.encode("utf-8", "replace").decode()


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > LIMIT:
            raise _TooLong
        yield part
