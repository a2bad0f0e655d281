"""What the values of an issue file must satisfy, beyond their type."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

_LINES = {"body", "greeting", "intro", "outro", "contact", "correction"}
"""Fields whose text may have several lines; every other is a line without control characters."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_SEGMENT = re.compile(r"[a-z0-9][a-z0-9-]*")
_ID = re.compile(r"[\w-]+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_WEB = ("http", "https")
_PRIVATE = ("mailto", "tel")


def broken(key: str, value: object) -> str:
    """What is wrong with a value of this field and what to do, or ""."""
    if not isinstance(value, str):
        return ""
    if key not in _LINES and _CONTROL.search(value):
        return f"`{key}` has to be one line without control characters"
    check = _CHECKS.get(key)
    return check(key, value) if check and value else ""


def _address(key: str, value: str) -> str:
    """Whether a link leads to the web, or writes or calls; relative ones lead nowhere in a mail."""
    try:
        scheme, host = urlsplit(value).scheme.lower(), urlsplit(value).netloc
    except ValueError as bad:
        return f"`{key}` is no URL ({bad}); copy it from the browser"
    if re.search(r"\s", value):
        return f"`{key}` has a space in it; write %20"
    if scheme in _WEB and host:
        return ""
    if scheme in _PRIVATE and key == "url":
        return ""
    found = f"{scheme}:" if scheme else f"{value[:40]!r}"
    return f"`{key}` has to start with https:// or http://, not {found}"


def _of(pattern: re.Pattern[str], wanted: str) -> Callable[[str, str], str]:
    def check(key: str, value: str) -> str:
        return "" if pattern.fullmatch(value) else f"`{key}` takes {wanted}, not {value[:40]!r}"

    return check


_CHECKS: dict[str, Callable[[str, str], str]] = {
    "url": _address,
    "link": _address,
    "comments_url": _address,
    "language": _of(_LANGUAGE, "a language tag like en or zh-Hans"),
    "slug": _of(_SEGMENT, "lower-case letters, digits and hyphens"),
    "segments": _of(_SEGMENT, "keys like e-commerce: lower-case letters, digits and hyphens"),
    "id": _of(_ID, "letters, digits, - and _"),
    "duplicate_of": _of(_ID, "the id of an item"),
}
