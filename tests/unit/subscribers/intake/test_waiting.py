"""Files wait, whole or not at all, for one worker at a time."""

import io
from pathlib import Path

import pytest

from mailer.kit.errors import Unavailable
from subscribers.intake.merge import Policy
from subscribers.intake.plan import Plan
from subscribers.intake.waiting import Waiting

PLAN = Plan(
    "A fair.",
    "people.csv",
    ("ai", "luxury"),
    policy=Policy.SKIP,
    actor="Ada",
    told={"mail": "address"},
    encoding="utf-8",
    keep_opt_outs=True,
)


def test_what_is_put_in_comes_out_once_the_oldest_first(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path / "waiting")
    for run in (10, 9):
        waiting.put(run, io.BytesIO(b"email\n"), PLAN)
    waiting.put(9, io.BytesIO(b"another file"), PLAN)  # it waits already

    taken = []
    for _ in range(2):
        with waiting.next() as found:
            assert found is not None
            taken.append((found.run, found.file.read(), found.plan))
            found.done()
    assert taken == [(9, b"email\n", PLAN), (10, b"email\n", PLAN)]
    with waiting.next() as found:
        assert found is None
    assert list((tmp_path / "waiting").iterdir()) == []


def test_nobody_gets_what_somebody_is_at_until_they_let_go(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    assert not waiting.idle()
    waiting.put(1, io.BytesIO(b"email\n"), PLAN)
    assert waiting.idle()

    with waiting.next() as mine:
        assert mine is not None
        assert not waiting.idle(), "no worker need be asked for"
        with waiting.next() as theirs:
            assert theirs is None
    with waiting.next() as again:
        assert again is not None
        assert again.run == 1


def test_a_worker_that_fails_leaves_it_to_the_next(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.put(1, io.BytesIO(b"email\n"), PLAN)

    with pytest.raises(FileNotFoundError, match="away"), waiting.next():
        raise FileNotFoundError("away")
    assert waiting.idle()


def test_half_a_file_is_no_file(tmp_path: Path) -> None:
    class Torn(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError(28, "No space left on device")

    waiting = Waiting(tmp_path)
    with pytest.raises(Unavailable, match="No space left"):
        waiting.put(1, Torn(), PLAN)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_people_are_for_nobody_elses_eyes(tmp_path: Path) -> None:
    Waiting(tmp_path).put(1, io.BytesIO(b"email\n"), PLAN)

    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o700
