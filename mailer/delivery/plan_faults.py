"""What is wrong with a delivery file, in sentences that name the place. No value is ever shown."""

import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mailer.kit.errors import Misconfigured

M = TypeVar("M", bound=BaseModel)
_SAYS = {"missing": "is needed", "extra_forbidden": "is nothing Dibao knows"}


def parsed(path: Path) -> dict[str, Any]:
    """The file as TOML. Raises Misconfigured where it cannot be read, with line and column."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as unreadable:  # no text, no TOML, a maze
        raise Misconfigured(f"{path}: cannot be read: {unreadable}") from None


def checked(kind: type[M], given: Mapping[str, Any], path: Path, known: Mapping[str, Any]) -> M:
    """What the file says, as a model; `known` is the keys of each part, for a better spelling.

    Raises Misconfigured with all faults.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as invalid:
        sentences = [_sentence(error, given, known) for error in invalid.errors()]
    refuse(path, sentences)
    raise AssertionError  # there was a fault, so it has been raised


def refuse(path: Path, sentences: Sequence[str]) -> None:
    """Raise Misconfigured with the sentences, each under the file's name, if there are any."""
    if sentences:
        raise Misconfigured("\n".join(f"{path}: {sentence}" for sentence in sentences))


def hint(word: str, known: Collection[str]) -> str:
    """The question whether something was meant that is spelt nearly so; "" for nothing like it."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def called(name: object, number: int) -> str:
    """What to call the relay of a place: by its name, or counted where it has none fit to show."""
    if not isinstance(name, str) or set(name) & set(":/@"):  # a URL by mistake holds a password
        return f"number {number}"
    return name


def _sentence(error: Any, given: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    place = tuple(part for part in error["loc"] if part != "[key]")
    says = _SAYS.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] == "extra_forbidden":
        says += hint(str(place[-1]), known.get(str(place[0]) if len(place) > 1 else "", ()))
    return f"{'.'.join(_steps(place, given))}: {says}"


def _steps(place: tuple[Any, ...], given: Mapping[str, Any]) -> Iterator[str]:
    """The way to a fault: a relay is called by its name, or counted where it has none."""
    here: Any = given
    for step in place:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            here = None
        name = here.get("name") if isinstance(step, int) and isinstance(here, dict) else None
        if isinstance(step, int):
            yield called(name, step + 1)
        else:
            yield str(step)
