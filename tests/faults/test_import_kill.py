"""An import killed five times at random ends as one that was never interrupted."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailer.kit.database import Database
from tests.unit.subscribers.intake.stored import everything
from tests.unit.subscribers.intake.test_taking import stock

ROOT = Path(__file__).parents[2]
IMPORTER = Path(__file__).with_name("importer.py")
ROWS = 3000
SIZE = 100  # rows per transaction
KILLS = 5
SEED = 20260301
PAUSE = 0.03  # seconds after each batch, so that a slow machine and a fast one are struck alike


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """New people and known ones, duplicates far apart, opt-outs, and rows that are refused."""
    dice = random.Random(SEED)  # noqa: S311  # the same each time
    known = ("ada", "ben", "cleo", "dan")
    lines = ["email,name,segments,city,Points,status"]
    for n in range(ROWS):
        who = dice.choice(known) if n % 50 == 0 else f"reader{dice.randrange(ROWS)}"
        status = "bounced" if n % 41 == 0 else ""
        at = "(at)" if n % 37 == 0 else "@"
        segment = dice.choice(["ai", "luxury", ""])
        lines.append(f"{who}{at}example.org,N{n},{segment},C{n},{n},{status}")
    place = tmp_path / "people.csv"
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@contextmanager
def importing(url: str, file: Path, *, pause: float = 0) -> Iterator["subprocess.Popen[str]"]:
    """The importer in a process of its own; gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(IMPORTER), url, str(file), str(SIZE), str(pause)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(url: str, file: Path) -> tuple[dict[str, int], list[Any]]:
    """Run to the end: the sums, and all that is refused."""
    with importing(url, file) as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    *lines, sums = (json.loads(line) for line in said.splitlines())
    return sums, [tuple(refused) for line in lines for refused in line[1]]


@pytest.fixture
def clean(_sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """Another database, for an import that nobody interrupts."""
    place = tmp_path / "clean.db"
    shutil.copyfile(_sqlite_template, place)
    database = Database(f"sqlite:///{place}")
    yield stock(database)
    database.close()


def test_killed_five_times_it_ends_like_one_clean_run(
    database: Database, clean: Database, file: Path
) -> None:
    stock(database)
    dice = random.Random(SEED)  # noqa: S311  # the same each time
    struck: list[int] = []
    for _ in range(KILLS):
        with importing(database.url, file, pause=PAUSE) as process:
            assert process.stdout is not None
            for _ in range(dice.randrange(2, 8)):
                line = json.loads(process.stdout.readline())[0]
            time.sleep(dice.random() * PAUSE * 2)
            process.kill()
        struck.append(line)
    sums, refused = ended(database.url, file)
    expected, refused_cleanly = ended(clean.url, file)

    assert struck == sorted(struck)
    assert struck[-1] > struck[0] > 0, "it went on each time"
    assert sums == expected
    assert refused == refused_cleanly
    assert everything(database) == everything(clean)
    assert ended(database.url, file)[0] == expected, "once more changes nothing"
    assert everything(database) == everything(clean)
