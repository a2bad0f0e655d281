"""The clock says the time in UTC and knows that it does."""

from datetime import UTC, datetime

import time_machine

from mailer.kit import clock


def test_now_is_aware_and_in_utc() -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        assert clock.now() == datetime(2026, 3, 1, 12, tzinfo=UTC)
        assert clock.now().tzinfo is UTC
