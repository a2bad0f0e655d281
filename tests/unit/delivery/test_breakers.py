"""Breakers trip on what they should, soon, and on nothing else."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.breakers import (
    BLOCKS,
    BLOCKS_OTHER,
    FEWEST,
    RATE_REST,
    Breakers,
    Trip,
    blames_us,
    complaint,
    percent,
)
from mailer.delivery.plan import BrakePlan
from mailer.delivery.relay import Reply, Trouble
from tests.fakes.books import NOON

PLAN = BrakePlan()
DEAD = Reply(550, "5.1.1", "no such user", "rcpt")
FULL = Reply(452, "4.2.2", "mailbox full", "rcpt")
BLOCKED = Reply(550, "5.7.1", "your network is not liked here", "rcpt")
FAST = Reply(421, "4.7.28", "unusual rate", "dot")
GREY = Reply(450, "4.7.1", "Greylisted, come again", "rcpt")
DOWN = Trouble("connect", "no route to host")


def bounce(breakers: Breakers, *, campaign: int = 1, after: float = 0) -> tuple[Trip, ...]:
    now = NOON + timedelta(seconds=after)
    return breakers.reply(campaign, "main", "gmail", DEAD, "address", now)


def test_one_bounce_of_three_is_no_alarm() -> None:
    breakers = Breakers(PLAN)
    breakers.accepted(1, "main", "gmail", 2, NOON)

    assert bounce(breakers) == ()


@given(good=st.integers(0, 3000))
def test_a_campaign_stops_within_fifty_letters_of_its_limit(good: int) -> None:
    breakers = Breakers(PLAN)
    breakers.accepted(1, "main", "gmail", good, NOON)
    crossed = None
    for count in range(1, 200):
        kept = min(good, PLAN.window - count)
        if crossed is None and count > PLAN.bounces * (kept + count):
            crossed = count
        stopped = [trip for trip in bounce(breakers) if trip.stops]
        if stopped:
            break
    else:
        raise AssertionError("it never stopped")

    assert crossed is not None
    assert 0 <= count - crossed <= 50
    assert stopped[0].scope == "campaign"
    assert stopped[0].name == "1"
    assert stopped[0].probe_after is None  # a person goes on with it


@given(
    st.lists(st.sampled_from(["good", "dead", "full"]), max_size=400),
    st.integers(10, 60),
)
def test_it_never_pauses_while_the_share_in_the_window_is_within_the_limit(
    results: list[str], window: int
) -> None:
    breakers = Breakers(PLAN.model_copy(update={"window": window, "bounces": 0.2}))
    final: list[bool] = []
    for n, result in enumerate(results):
        now = NOON + timedelta(milliseconds=400 * n)
        trips: tuple[Trip, ...] = ()
        match result:
            case "good":
                breakers.accepted(1, "main", "gmail", 1, now)
                final.append(False)
            case "dead":
                trips = breakers.reply(1, "main", "gmail", DEAD, "address", now)
                final.append(True)
            case "full":
                breakers.reply(1, "main", "gmail", FULL, None, now)
        seen = final[-window:]
        over = sum(seen) >= FEWEST and sum(seen) > 0.2 * len(seen)
        assert any(trip.stops for trip in trips) == (over and result == "dead")
        if over and result == "dead":
            final.clear()  # it begins anew


def test_a_warning_comes_once_before_the_pause() -> None:
    breakers = Breakers(PLAN)
    breakers.accepted(1, "main", "gmail", 1000, NOON)
    trips = [trip for _ in range(51) for trip in bounce(breakers)]

    assert [trip.stops for trip in trips] == [False, True]
    assert "31 of the last 1,000" in trips[0].reason
    assert "51 of the last 1,000 letters went to addresses that do not exist" in trips[1].reason
    assert "5.1 %" in trips[1].reason
    assert "5 %" in trips[1].reason


def test_results_older_than_a_quarter_of_an_hour_count_no_more() -> None:
    breakers = Breakers(PLAN)
    for _ in range(FEWEST - 1):
        bounce(breakers)

    assert bounce(breakers, after=901) == ()
    assert [t.stops for n in range(FEWEST - 1) for t in bounce(breakers, after=902 + n)] == [True]


def test_each_campaign_is_judged_by_its_own_letters() -> None:
    breakers = Breakers(PLAN)
    for _ in range(FEWEST - 1):
        bounce(breakers, campaign=1)

    assert bounce(breakers, campaign=2) == ()
    assert bounce(breakers, campaign=1)[0].name == "1"


def test_a_full_mailbox_blames_no_campaign() -> None:
    breakers = Breakers(PLAN)
    reply = Reply(552, "5.2.2", "full", "rcpt")

    assert [breakers.reply(1, "main", "qq", reply, "mailbox", NOON) for _ in range(99)] == [()] * 99


def test_who_resumed_a_campaign_has_seen_why_it_paused() -> None:
    breakers = Breakers(PLAN)
    breakers.began(1, 0)
    for _ in range(FEWEST - 1):
        bounce(breakers)
    breakers.began(1, 0)  # the next batch of the same stretch changes nothing
    breakers.began(1, 1)

    assert bounce(breakers) == ()


def test_a_slow_down_at_gmail_shuts_its_lane_at_once_and_nothing_else() -> None:
    (trip,) = Breakers(PLAN).reply(1, "main", "gmail", FAST, None, NOON)

    assert (trip.scope, trip.name, trip.cause) == ("lane", "gmail", "rate")
    assert trip.probe_after == RATE_REST == 600
    assert trip.slow
    assert "421 4.7.28 unusual rate" in trip.reason


@pytest.mark.parametrize(("lane", "row"), [("gmail", BLOCKS), ("other", BLOCKS_OTHER)])
def test_refusals_of_us_in_a_row_shut_the_lane(lane: str, row: int) -> None:
    breakers = Breakers(PLAN)

    def refused() -> list[str]:
        trips = breakers.reply(1, "main", lane, BLOCKED, "policy", NOON)
        return [trip.cause for trip in trips if trip.stops]

    before = [refused() for _ in range(row - 1)]
    breakers.accepted(1, "main", lane, 1, NOON)  # breaks the row
    again = [refused() for _ in range(row)]

    assert before == [[]] * (row - 1)
    assert again == [[]] * (row - 1) + [["blocked"]]


def test_greylisting_is_no_refusal_of_us() -> None:
    breakers = Breakers(PLAN)
    stopped = [
        trip
        for _ in range(100)
        for trip in breakers.reply(1, "main", "gmail", GREY, None, NOON)
        if trip.stops
    ]

    assert stopped == []
    assert not blames_us(GREY, None)
    assert not blames_us(Reply(250, "2.0.0"), None)
    assert blames_us(Reply(421, "4.7.0", "[TSS04]"), None)
    assert blames_us(Reply(554, "", "denied"), "policy")
    assert not blames_us(Reply(550, "5.1.1"), "address")


def test_many_deferrals_slow_a_lane_down_and_do_not_stop_it() -> None:
    breakers = Breakers(PLAN)
    breakers.accepted(1, "main", "qq", 70, NOON)
    trips = [t for _ in range(31) for t in breakers.reply(1, "main", "qq", FULL, None, NOON)]

    (trip,) = trips
    assert (trip.scope, trip.name, trip.cause) == ("lane", "qq", "deferrals")
    assert trip.slow
    assert not trip.stops
    assert "31 of 101 letters (30.7 %; the limit is 30 %): 452 4.2.2 mailbox full" in trip.reason


def test_a_refused_login_opens_the_breaker_at_once() -> None:
    trouble = Trouble("auth", "535 5.7.8 bad credentials", everyone=True)
    (trip,) = Breakers(PLAN).trouble("main", trouble)

    assert (trip.scope, trip.name, trip.cause) == ("relay", "main", "auth")
    assert trip.reason == "The relay main refuses our login: 535 5.7.8 bad credentials"
    assert trip.probe_after == 60


def test_five_troubles_in_a_row_open_the_breaker() -> None:
    breakers = Breakers(PLAN)
    four = [breakers.trouble("main", DOWN) for _ in range(4)]
    breakers.accepted(1, "main", "qq", 1, NOON)  # it works after all
    four += [breakers.trouble("main", DOWN) for _ in range(4)]
    (trip,) = breakers.trouble("main", DOWN)

    assert four == [()] * 8
    assert trip.reason == (
        "The relay main takes no connection (5 times in a row): no route to host"
    )


def test_a_relay_that_talks_about_recipients_is_not_in_trouble() -> None:
    breakers = Breakers(PLAN)
    for _ in range(4):
        breakers.trouble("main", DOWN)
    breakers.reply(1, "main", "qq", FULL, None, NOON)

    assert breakers.trouble("main", DOWN) == ()


def test_our_own_stop_is_no_trouble() -> None:
    stopped = Trouble("stopped", "")

    assert [Breakers(PLAN).trouble("main", stopped) for _ in range(9)] == [()] * 9


def test_a_refusal_before_anybody_was_named_is_about_the_relay() -> None:
    breakers = Breakers(PLAN)
    sender = Reply(550, "5.1.8", "sender domain", "mail")
    login = Reply(530, "5.7.0", "log in first", "mail")
    five = [breakers.reply(1, "main", "qq", sender, "policy", NOON) for _ in range(5)]

    assert five[:4] == [()] * 4
    assert five[4][0].scope == "relay"
    assert breakers.reply(1, "main", "qq", login, "policy", NOON)[0].cause == "auth"


def test_what_we_refuse_ourselves_says_nothing_about_anybody_else() -> None:
    breakers = Breakers(PLAN)
    ours = Reply(550, "5.7.1", "local: no such encoding", "rcpt")

    assert [breakers.reply(1, "m", "qq", ours, "unstated", NOON) for _ in range(50)] == [()] * 50


def test_a_positive_reply_counts_as_accepted() -> None:
    breakers = Breakers(PLAN)
    for _ in range(4):
        breakers.trouble("main", DOWN)
    breakers.reply(1, "main", "qq", Reply(250), None, NOON)

    assert breakers.trouble("main", DOWN) == ()


@pytest.mark.parametrize(
    ("complaints", "delivered", "stops"),
    [(0, 0, None), (2, 10, None), (7, 10_000, None), (8, 10_000, False), (10, 10_000, True)],
)
def test_complaints_warn_and_then_pause(
    complaints: int, delivered: int, stops: bool | None
) -> None:
    trip = complaint(7, complaints, delivered, PLAN)

    assert (trip.stops if trip else None) is stops


def test_a_complaint_trip_says_its_figures() -> None:
    trip = complaint(7, 10, 10_000, PLAN)

    assert trip is not None
    assert trip.reason == "10 of 10,000 readers called it spam (0.1 %; it pauses at 0.1 %)"
    assert percent(0, 0) == "0 %"
