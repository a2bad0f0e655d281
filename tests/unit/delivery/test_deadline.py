"""No dot past the end of a lease, whatever the clocks do."""

from datetime import UTC, datetime

import pytest

from mailer.delivery import deadline
from mailer.delivery.deadline import Deadline
from mailer.kit import clock


class Clocks:
    """Both clocks, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.boot = 1_000_000.0, 500.0
        monkeypatch.setattr(deadline, "boot_clock", lambda: self.boot)
        monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(self.wall, tz=UTC))

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_the_last_dot_is_written_ten_seconds_before_the_end(clocks: Clocks) -> None:
    """S6, and fault 11: a process that slept through its lease writes no dot."""
    end = Deadline(60)
    end.moved(clocks.boot)

    clocks.pass_by(49.9)
    assert end.in_time()
    clocks.pass_by(0.2)
    assert not end.in_time()


def test_a_lease_that_is_prolonged_holds_on_from_the_moment_it_was_asked(clocks: Clocks) -> None:
    end = Deadline(60)
    end.moved(clocks.boot)
    clocks.pass_by(40)
    asked = clocks.boot
    clocks.pass_by(5)
    end.moved(asked)

    clocks.pass_by(44)
    assert end.in_time()
    clocks.pass_by(2)
    assert not end.in_time()


def test_a_short_lease_keeps_a_share_as_margin(clocks: Clocks) -> None:
    end = Deadline(6)
    end.moved(clocks.boot)

    clocks.pass_by(4.9)
    assert end.in_time()
    clocks.pass_by(0.2)
    assert not end.in_time()


@pytest.mark.parametrize("jump", [3600, -3600, 6, -6])
def test_a_clock_that_jumps_counts_as_past_the_end(clocks: Clocks, jump: float) -> None:
    """Fault 42: until the database has said again that the lease is ours."""
    end = Deadline(60)
    end.moved(clocks.boot)
    clocks.wall += jump

    assert not end.in_time()
    end.moved(clocks.boot)
    assert end.in_time()


def test_a_clock_that_is_put_right_by_a_little_is_no_jump(clocks: Clocks) -> None:
    end = Deadline(60)
    end.moved(clocks.boot)
    clocks.wall += 4

    assert end.in_time()


def test_the_clock_that_counts_sleep_goes_on() -> None:
    assert deadline.boot_clock() <= deadline.boot_clock()
