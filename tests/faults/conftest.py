"""Scenes: a campaign under way, a sink and worker processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mailer.kit.database import Database
from tests.faults.scene import Scene


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a scene on either database; its processes are gone afterwards."""
    with ExitStack() as stack:
        yield lambda **wanted: stack.enter_context(Scene(database, tmp_path, **wanted))


@pytest.fixture
def sqlite_scene(sqlite_database: Database, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a scene on SQLite, where the database makes no difference."""
    with ExitStack() as stack:

        def make(**wanted: Any) -> Scene:
            return stack.enter_context(Scene(sqlite_database, tmp_path, **wanted))

        yield make
