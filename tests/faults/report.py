"""Writes docs/faults.md from the outcomes of a run of the matrix."""

import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mailer.kit import clock
from tests.faults.cells import Cell, Outcome
from tests.faults.failpoints import POINTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/faults.md"


def write(outcomes: Sequence[Outcome], chosen: Sequence[Cell], *, seed: int, people: int) -> None:
    """Write the page."""
    PAGE.write_text(page(outcomes, chosen, seed=seed, people=people), encoding="utf-8")


def page(outcomes: Sequence[Outcome], chosen: Sequence[Cell], *, seed: int, people: int) -> str:
    """The page: how it was made, the totals, a line for each failpoint, what broke."""
    broken = [one for one in outcomes if not one.holds]
    parts = [
        "# Faults",
        _introduction(len(outcomes), len(chosen), people, seed),
        "## Totals",
        _table(("figure", "value"), _totals(outcomes)),
        "## By failpoint",
        "Runs that kept the promise, of all runs, and the uncertain letters of all of them.",
        _table(("failpoint", "kill9", "stop", "raise", "enospc", "uncertain"), _by_point(outcomes)),
        "## By database and broker",
        _table(("database", "broker", "runs", "kept", "uncertain"), _by_stack(outcomes)),
        "## What broke",
        _broken(broken),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(done: int, wanted: int, people: int, seed: int) -> str:
    how = "all of them" if done == wanted else f"{done} of {wanted}: the run was cut short"
    return (
        "Worker processes are struck at named places while they send, and then the sink's own\n"
        "record, the audience and the books are compared. Each run is a campaign of\n"
        f"{people} people with a twelfth of them put off once or refused, in chunks of 20.\n"
        "`kill9` kills the process, `stop` stops it until others have gone on without it,\n"
        "`raise` is what can go wrong at that place without anybody dying (the connection breaks,\n"
        "the database goes away, the outcome of a commit is unknown), `enospc` is a full disk.\n"
        "\n"
        f"Written by `make faults FULL=1` on {clock.now():%Y-%m-%d}, commit {_commit()},\n"
        f"seed {seed}, {how}. Machine: {_machine()}.\n"
        "\n"
        "A matrix may be run in parts: what kept the promise in an earlier part is not run again,\n"
        "even where the code has changed since, and what broke is. The commit named is that of\n"
        "the last part; `--fresh` makes it one part only. Which cells of a matrix that was cut\n"
        "short were run is chance, but for the first part, which took them in order.\n"
        "\n"
        "One run again: `.venv/bin/python -m tests.faults.matrix --seed "
        f"{seed} --people {people} --only '<cell>'`."
    )


def _totals(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    def total(name: str) -> int:
        return sum(int(one.counts.get(name, 0)) for one in outcomes)

    names = (
        *("lost", "duplicated", "unexpected", "phantom", "contradicted"),
        *("uncertain_resolved_wrong", "bled"),
    )
    rows: list[tuple[Any, ...]] = [
        ("runs", len(outcomes)),
        ("runs that kept the promise", sum(one.holds for one in outcomes)),
        ("people", total("audience")),
        ("letters at the sink", total("sent")),
        *((name.replace("_", " "), total(name)) for name in names),
        ("sums that do not hold", sum(bool(one.counts.get("conservation")) for one in outcomes)),
        ("uncertain in the end", sum(one.uncertain for one in outcomes)),
        ("uncertain that were allowed", sum(one.budget for one in outcomes)),
        ("uncertain at first, known later", total("resolved")),
    ]
    return rows


def _by_point(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    by: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        name, _, action = one.cell.split(" ")[0].partition(":")
        by[name, action].append(one)
    rows = []
    for name, point in POINTS.items():
        if point.needs == "long body":  # no part of the matrix
            continue
        cells = [_kept(by[name, action]) for action in ("kill9", "stop", "raise", "enospc")]
        doubtful = sum(one.uncertain for (n, _), ones in by.items() if n == name for one in ones)
        rows.append((f"`{name}`", *cells, doubtful))
    return rows


def _by_stack(outcomes: Sequence[Outcome]) -> list[tuple[Any, ...]]:
    by: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        *_, database, broker = one.cell.split(" ")
        by[database, broker].append(one)
    return [
        (*stack, len(ones), sum(o.holds for o in ones), sum(o.uncertain for o in ones))
        for stack, ones in sorted(by.items())
    ]


def _kept(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(o.holds for o in outcomes)} of {len(outcomes)}" if outcomes else ""


def _broken(broken: Sequence[Outcome]) -> str:
    if not broken:
        return "Nothing."
    lines = []
    for one in broken:
        why = "; ".join(one.wrong) if one.fired else "the failpoint was never reached"
        lines.append(f"- `{one.cell}` ({one.struck}): {why}")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip() or "unknown"


def _machine() -> str:
    system, python = f"{platform.system()} {platform.machine()}", platform.python_version()
    return f"{os.cpu_count()} cores, {system}, Python {python}"
