"""The matrix: failpoints x actions x connections x database x broker, each a run of its own.

    python -m tests.faults.matrix [--full] [--seed N] [--only TEXT] [--lanes N] [--fresh]

The smoke set is the same in every run of the tests; --full runs all cells and writes
docs/faults.md. It may be interrupted: results are appended to var/faults/, and the same seed goes
on where it stopped; what broke a promise is run again. --only runs the cells whose name holds the
text, and prints what they came to.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random

from tests.faults import report
from tests.faults.cells import Cell, Lanes, Outcome, plan, play
from tests.faults.checker import repro
from tests.faults.failpoints import POINTS, Append, Point
from tests.faults.world import BROKERS, DATABASES, World
from tests.servers import Missing

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "var/faults"
SEED = 20260301
PEOPLE = 500
SMOKE_PEOPLE = 100
LANES = 3


def actions(point: Point) -> tuple[str, ...]:
    """What can happen there."""
    more = ("enospc",) if isinstance(point.place, Append) and point.place.when == "before" else ()
    return ("kill9", "stop", "raise", *more)


def cells() -> Iterator[Cell]:
    """The whole matrix. What has to be set up by hand is struck without a broker only."""
    for broker in BROKERS:
        for name, point in POINTS.items():
            if name in BY_HAND or (broker != "none" and (point.needs or name in _ON_THE_WAY_OUT)):
                continue
            for action in actions(point):
                for connections in (1, 4):
                    for database in DATABASES:
                        yield Cell(name, action, connections, database, broker)


BY_HAND = {"long_body_half"}  # struck in a test of its own
_ON_THE_WAY_OUT = {"quit", "retire"}  # a Celery worker ends its child by a signal


def smoke() -> tuple[Cell, ...]:
    """Some sixty cells: each failpoint killed once, the rest in turn."""
    chosen = []
    struck = [(name, point) for name, point in POINTS.items() if name not in BY_HAND]
    for number, (name, point) in enumerate(struck):
        database = DATABASES[number % 2]
        connections = (1, 4)[number // 2 % 2]
        chosen.append(Cell(name, "kill9", connections, database, "none"))
        other = DATABASES[1 - number % 2]
        if number % 3 == 0:
            action = actions(point)[1:][number // 3 % (len(actions(point)) - 1)]
            chosen.append(Cell(name, action, 5 - connections, other, "none"))
    return tuple(chosen)


def run(
    world: World, chosen: Iterable[Cell], seed: int, folder: Path, *, side_by_side: int
) -> Generator[Outcome, None, None]:
    """Run cells side by side; outcomes as they come."""
    lanes = Lanes(side_by_side)

    def one(number: int, cell: Cell) -> Outcome:
        with lanes.taken() as lane:
            return play(world, cell, seed, folder / f"{number}", lane=lane)

    with ThreadPoolExecutor(side_by_side) as pool:
        going = [pool.submit(one, number, cell) for number, cell in enumerate(chosen)]
        try:
            for done in as_completed(going):
                yield done.result()
        finally:
            for each in going:
                each.cancel()


def line(outcome: Outcome) -> str:
    """An outcome for a reader."""
    verdict = "ok  " if outcome.holds else "FAIL"
    text = f"{verdict} {outcome.seconds:5.1f} s  {outcome.cell} ({outcome.struck})"
    text += f"  uncertain {outcome.uncertain}/{outcome.budget}"
    if outcome.holds:
        return text
    wrong = outcome.wrong if outcome.fired else ("never reached", *outcome.wrong)
    details = "".join(f"\n       {what}" for what in wrong)
    again = repro(outcome.cell, outcome.seed, outcome.counts.get("audience", 0))
    return f"{text}{details}\n       again: {again}"


def kept(file: Path) -> list[Outcome]:
    """The outcomes of an earlier run of the same seed."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Outcome(**json.loads(text)) for text in lines]


def main() -> int:
    """Run what the command line asks for; 1 where a promise was broken."""
    options = _options()
    chosen = list(cells()) if options.full or options.only else list(smoke())
    if options.only:
        chosen = [cell for cell in chosen if options.only in str(cell)]
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{options.seed}.jsonl"
    if options.fresh:
        file.unlink(missing_ok=True)
    before = kept(file) if options.full else []
    people = options.people or (PEOPLE if options.full else SMOKE_PEOPLE)
    same = {str(cell): str(plan(cell, options.seed, people).armed) for cell in chosen}
    outcomes = [one for one in before if one.holds and same.get(one.cell) == one.struck]
    there = {outcome.cell for outcome in outcomes}
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="dibao-faults-") as folder,
        World(Path(folder) / "world", people) as world,
    ):
        todo = [cell for cell in chosen if str(cell) not in there and _possible(world, cell)]
        # A run that is cut short has seen of everything.
        Random(options.seed).shuffle(todo)  # noqa: S311  # the same each time
        done = run(*(world, todo, options.seed, Path(folder) / "runs"), side_by_side=options.lanes)
        for outcome in done:
            outcomes.append(outcome)
            sys.stdout.write(line(outcome) + "\n")
            sys.stdout.flush()
            if options.full:
                with file.open("a", encoding="utf-8") as results:
                    results.write(json.dumps(outcome.dumps()) + "\n")
            if options.minutes and time.monotonic() - begun > options.minutes * 60:
                sys.stdout.write("time is up; the same seed goes on from here\n")
                done.close()
                break
    if options.full:
        report.write(outcomes, chosen, seed=options.seed, people=people)
    broken = [outcome for outcome in outcomes if not outcome.holds]
    sys.stdout.write(f"{len(outcomes)} runs, {len(broken)} broke a promise\n")
    return int(bool(broken))


def _possible(world: World, cell: Cell) -> bool:
    try:
        for kind in (cell.database, cell.broker):
            if kind not in {"sqlite", "none"}:
                world.server(kind)
    except Missing as missing:
        sys.stdout.write(f"not run: {cell}, because {missing}\n")
        return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="all cells, and docs/faults.md")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="", help="cells whose name holds this")
    parser.add_argument("--people", type=int, default=0, help="recipients of each run")
    parser.add_argument("--lanes", type=int, default=LANES, help="runs side by side")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so many")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results of the seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
