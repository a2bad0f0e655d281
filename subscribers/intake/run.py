"""One import as it is kept: the file's fingerprint, how far it is read, what became of its rows."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import IO, Final, NewType

from mailer.kit.errors import Conflict, NotFound

RunId = NewType("RunId", int)

_PIECE: Final = 1 << 20  # octets


class RunNotFound(NotFound):
    """There is no such import."""


class RunTaken(Conflict):
    """Somebody else goes on with this import, or has taken it back."""


class State(StrEnum):
    """Where an import stands."""

    RUNNING = "running"  # or was, when its process ended
    FINISHED = "finished"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows so far; `rows` is the sum of all that follow it."""

    line: int = 0  # the last one dealt with
    rows: int = 0  # without the header and empty lines
    added: int = 0
    updated: int = 0
    unchanged: int = 0  # there already, as the file says
    skipped: int = 0  # there already, and the policy is to skip
    duplicates: int = 0  # an address that stood further up in the file
    opted_out: int = 0  # kept as suppressions
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of the people when an import was taken back."""

    erased: int = 0  # added by it, and nothing since
    restored: int = 0  # changed by it, and as before again
    kept: int = 0  # did something since, or were changed since
    lifted: int = 0  # suppressions for opt-outs it brought
    after: int = 0  # the last person dealt with


@dataclass(frozen=True, slots=True)
class Run:
    """One import as stored."""

    id: RunId
    file_name: str
    state: State
    counts: Counts
    actor: str
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    undone_at: datetime | None
    plan: Mapping[str, object] = field(default_factory=dict)
    undone: Undone | None = None

    @property
    def source(self) -> str:
        """What the consent of its people names as their source."""
        return source_of(self.id, self.file_name)


def source_of(run: int, file_name: str) -> str:
    """Name an import in the history of its people."""
    return f"{file_name[:200]}, import {run}"


def fingerprint(stream: IO[bytes], plan: Mapping[str, object]) -> str:
    """Hash a file and what is to be done with it: the same again is the same import."""
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode())
    stream.seek(0)
    while piece := stream.read(_PIECE):
        digest.update(piece)
    stream.seek(0)
    return digest.hexdigest()
