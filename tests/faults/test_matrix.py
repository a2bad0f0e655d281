"""The smoke set of the fault matrix: workers struck at every named place, then everybody counted.

They run side by side from the first test on; each test waits for its own.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from tests.faults import matrix
from tests.faults.cells import Cell, Lanes, Outcome, play
from tests.faults.failpoints import POINTS, Armed, PointGone, resolve, targets
from tests.faults.world import World
from tests.servers import Missing

LANES = 4


class Smoke:
    """The runs under way."""

    def __init__(self, world: World, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._world, self._folder, self._pool, self._lanes = world, folder, pool, Lanes(LANES)
        self._going: dict[Cell, Future[Outcome]] = {}

    def outcome(self, cell: Cell, wanted: list[Cell]) -> Outcome:
        """Of one cell, once it is there; the first to ask begins all that are wanted."""
        for number, each in enumerate(wanted if not self._going else []):
            self._going[each] = self._pool.submit(self._play, number, each)
        if cell not in self._going:
            self._going[cell] = self._pool.submit(self._play, len(self._going), cell)
        return self._going[cell].result()

    def _play(self, number: int, cell: Cell) -> Outcome:
        with self._lanes.taken() as lane:
            return play(self._world, cell, matrix.SEED, self._folder / f"{number}", lane=lane)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smoke]:
    folder = tmp_path_factory.mktemp("faults")
    pool = ThreadPoolExecutor(LANES)
    with World(folder / "world", matrix.SMOKE_PEOPLE) as world:
        yield Smoke(world, folder / "runs", pool)
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(300)  # some wait for those before them
@pytest.mark.parametrize("cell", matrix.smoke(), ids=str)
def test_nobody_is_lost_or_mailed_twice(
    cell: Cell, smoke: Smoke, request: pytest.FixtureRequest
) -> None:
    wanted = [
        cast("Cell", item.callspec.params["cell"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == request.node.originalname
    ]
    try:
        outcome = smoke.outcome(cell, wanted)
    except Missing as missing:
        pytest.skip(f"not tested here: runs on {cell.database}, because {missing}")

    assert outcome.holds, matrix.line(outcome)


@pytest.mark.parametrize("name", POINTS)
def test_every_failpoint_finds_its_place(name: str) -> None:
    for target in targets(POINTS[name].place):
        resolve(target)


def test_a_place_that_is_gone_is_named() -> None:
    with pytest.raises(PointGone, match="no_such_thing"):
        resolve("mailer.delivery.batch:no_such_thing")


def test_the_full_matrix_strikes_every_failpoint_everywhere() -> None:
    found = list(matrix.cells())

    assert len(found) == len(set(found)) > 1000
    assert {cell.point for cell in found} == set(POINTS) - matrix.BY_HAND
    assert {(cell.database, cell.broker) for cell in found} == {
        (database, broker)
        for database in ("sqlite", "postgresql")
        for broker in ("none", "redis", "rabbitmq")
    }


def test_a_failpoint_is_written_as_it_is_read() -> None:
    assert str(Armed.parse("after_dot:kill9@3")) == "after_dot:kill9@3"
    assert Armed.parse("after_dot:kill9").nth == 1
    with pytest.raises(ValueError, match="no failpoint"):
        Armed.parse("before_dot:kill9")
