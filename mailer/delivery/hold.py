"""The file HOLD in the data directory: while it is there nothing leaves this host.

For the moment when the database is away too. Its text is the reason; a `touch` is enough.
"""

import os
import tempfile
from pathlib import Path

NAME = "HOLD"

_MOST = 500  # characters of a reason
_NONE_GIVEN = "the file HOLD is in the data directory"


def hold_file(directory: Path) -> str | None:
    """Why this host is held, or None. A file that cannot be read holds too."""
    path = directory / NAME
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as refused:
        return f"{_NONE_GIVEN}, perhaps: {refused.strerror}"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:_MOST]
    except FileNotFoundError:
        return None  # it was taken away this moment
    except OSError:
        return _NONE_GIVEN
    return " ".join(text.split()) or _NONE_GIVEN


def write(directory: Path, reason: str) -> None:
    """Hold this host; a reason that is there already stays. Raises OSError.

    Whole or not at all, and on the disk when this returns.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    if not path.exists():
        replace(path, reason + "\n")


def remove(directory: Path) -> bool:
    """Let this host go on; whether it was held. Raises OSError."""
    try:
        (directory / NAME).unlink()
    except FileNotFoundError:
        return False
    return True


def replace(path: Path, text: str) -> None:
    """Put a small file in its place at once, and on the disk: nobody ever reads half of it."""
    descriptor, unborn = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(unborn).replace(path)
    except OSError:
        Path(unborn).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
