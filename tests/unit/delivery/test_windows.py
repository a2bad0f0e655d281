"""Mail goes at hours of the day, by the clock on the recipient's wall, in every kind of night."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.windows import Hours, NoWindow, Window, alike

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYTIME = Hours.of("08:00-20:00")


@pytest.mark.parametrize(
    ("text", "clock", "inside"),
    [
        ("08:00-20:00", time(8), True),
        ("08:00-20:00", time(19, 59, 59), True),
        ("08:00-20:00", time(20), False),
        ("8:00 - 20:00", time(7, 59), False),
        ("22:00-07:00", time(23), True),
        ("22:00-07:00", time(6, 59), True),
        ("22:00-07:00", time(7), False),
        ("18:00-24:00", time(0), False),
        ("24:00-06:00", time(0), True),
    ],
)
def test_hours_are_read_over_midnight_too(text: str, clock: time, *, inside: bool) -> None:
    assert (clock in Window.parse(text)) is inside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8-20",
        "08:00",
        "25:00-26:00",
        "08:60-09:00",
        "08:00-08:00",
        "24:30-06:00",
        "00:00-24:00",
    ],
)
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(NoWindow, match="write 08:00-20:00"):
        Window.parse(text)


def test_quiet_hours_are_the_rest_of_the_day() -> None:
    assert str(Window.parse("22:00-07:00").rest) == "07:00-22:00"
    assert str(Window.parse("00:00-06:00").rest) == "06:00-24:00"
    assert str(Window.parse("18:00-24:00").rest) == "00:00-18:00"
    assert str(Hours.of(quiet="22:00-07:00").windows[0]) == "07:00-22:00"


def test_a_window_and_quiet_hours_that_leave_nothing_are_refused() -> None:
    assert Hours.of("06:00-09:00", "22:00-07:00").opens("UTC", NOON) == datetime(
        2026, 3, 2, 7, tzinfo=UTC
    )
    with pytest.raises(NoWindow, match="nothing of 06:00-07:00 is left"):
        Hours.of("06:00-07:00", "22:00-07:00")


def test_without_hours_mail_may_always_go() -> None:
    assert Hours.of().opens("Europe/Paris", NOON) is None


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("Europe/Paris", None),  # 13:00
        ("America/Los_Angeles", datetime(2026, 3, 1, 16, tzinfo=UTC)),  # 04:00 there
        ("Asia/Shanghai", datetime(2026, 3, 2, 0, tzinfo=UTC)),  # 20:00 there
        ("Asia/Kathmandu", None),  # 17:45
        ("Pacific/Kiritimati", datetime(2026, 3, 1, 18, tzinfo=UTC)),  # tomorrow, 02:00
        ("", datetime(2026, 3, 2, 0, tzinfo=UTC)),  # the publication's: Shanghai
        ("Mars/Olympus", datetime(2026, 3, 2, 0, tzinfo=UTC)),
        ("../etc/passwd", datetime(2026, 3, 2, 0, tzinfo=UTC)),
    ],
)
def test_a_window_opens_by_the_clock_of_the_recipient(zone: str, opens: datetime | None) -> None:
    assert DAYTIME.opens(zone, NOON, default="Asia/Shanghai") == opens


def test_hours_that_begin_in_the_hour_that_is_left_out_begin_right_after_it() -> None:
    night = datetime(2026, 3, 28, 23, tzinfo=UTC)  # Paris: at 02:00 it is 03:00

    assert Hours.of("02:30-06:00").opens("Europe/Paris", night) == datetime(
        2026, 3, 29, 1, tzinfo=UTC
    )


def test_hours_in_the_hour_that_comes_twice_begin_with_the_first() -> None:
    night = datetime(2026, 10, 24, 23, tzinfo=UTC)  # Paris: at 03:00 it is 02:00 again
    hours = Hours.of("02:30-06:00")

    first = hours.opens("Europe/Paris", night)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert hours.opens("Europe/Paris", first) is None


def test_a_day_that_a_zone_leaves_out_is_waited_for() -> None:
    last = datetime(2011, 12, 30, 9, 59, tzinfo=UTC)  # Samoa, the 29th, 23:59; then the 31st

    assert DAYTIME.opens("Pacific/Apia", last) == datetime(2011, 12, 30, 18, tzinfo=UTC)


ZONES = ("Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Shanghai", "UTC")


@given(
    zone=st.sampled_from(ZONES),
    minutes=st.integers(0, 525_600),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
)
def test_mail_goes_inside_its_hours_within_two_days(
    zone: str, minutes: int, start: int, length: int
) -> None:
    hours = Hours((Window(start, (start + length) % 1440 or 1440),))
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)

    opens = hours.opens(zone, now)

    moment = opens or now
    assert moment.astimezone(ZoneInfo(zone)).time() in hours
    assert moment - now < timedelta(hours=49)
    if opens is not None:
        assert hours.opens(zone, opens) is None


def test_zones_whose_clocks_show_the_same_are_one() -> None:
    found = alike(
        ["Europe/Paris", "Europe/Berlin", "Asia/Tokyo", "", "Asia/Shanghai", "Mars/Olympus"],
        NOON,
        default="Asia/Shanghai",
    )

    assert found == {
        "": "",
        "Asia/Shanghai": "",
        "Mars/Olympus": "",
        "Asia/Tokyo": "Asia/Tokyo",
        "Europe/Berlin": "Europe/Berlin",
        "Europe/Paris": "Europe/Berlin",
    }


def test_zones_that_change_on_different_days_are_two() -> None:
    found = alike(["Europe/Paris", "Africa/Lagos"], NOON)  # an hour ahead of UTC both, until spring

    assert found["Europe/Paris"] != found["Africa/Lagos"]
