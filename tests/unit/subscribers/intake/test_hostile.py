"""Files made to harm cost their own rows, and no memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailer.kit.database import Database
from subscribers import actions

HOSTILE = Path(__file__).with_name("hostile.py")
ROOT = Path(__file__).parents[4]
WHOLE = {  # refused as a whole, and why
    "first row of 256 MB": "longer than 64 KB",
    "zeros": "UTF-16 without a byte order mark",
    "twin headings": "2 columns are the email",
    "10,000 columns": "10,001 columns; at most 200",
    "bomb": "200-fold",
    "several bombs": "240 MB when expanded",
    "repeated cells": "spans more than 1,000,000 cells",
}
ROWS = {  # refused row by row, and the first reason
    "line of 1 GB": "longer than 64 KB",
    "cell of 10 MB": "longer than 64 KB",
    "cell of 1 MB over lines": "a quote is opened and never closed",
    "NUL": "has a NUL octet",
    "unclosed quote": "a quote is opened and never closed",
    "unclosed quotes": "is no CSV",  # each closes the one before
    "quotes anywhere": "",
    "formulas": "email: ",
    "10,000 cells": "10001 cells under 2 headings",
    "noise": "",
}


@pytest.fixture(scope="module")
def results(
    _sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What became of each file, in a process of its own."""
    file = tmp_path_factory.mktemp("hostile") / "dibao.db"
    file.write_bytes(_sqlite_template.read_bytes())
    database = Database(f"sqlite:///{file}")
    with database.transaction() as session:
        actions.ensure_segments(session)
    database.close()
    done = subprocess.run(
        [sys.executable, str(HOSTILE), f"sqlite:///{file}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_memory_stays_flat(results: dict[str, dict[str, Any]]) -> None:
    peaks = {name: found["peak"] for name, found in results.items()}

    assert max(peaks.values()) < 300
    # making the bombs takes some itself: they are the last of the corpus
    assert peaks["noise"] - peaks[""] < 100, peaks


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_a_table_is_refused_whole(
    results: dict[str, dict[str, Any]], name: str
) -> None:
    (reason,) = results[name]["reasons"]

    assert WHOLE[name] in reason
    assert results[name]["there"] == 0


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_row_costs_itself_and_the_last_one_is_read(
    results: dict[str, dict[str, Any]], name: str
) -> None:
    assert ROWS[name] in next(iter(results[name]["reasons"]))
    assert results[name]["there"] >= 1


def test_utf_16_is_read(results: dict[str, dict[str, Any]]) -> None:
    assert results["UTF-16"] == {"there": 2, "reasons": {}, "peak": results["UTF-16"]["peak"]}
