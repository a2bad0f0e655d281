"""Which relay takes a lane, over which way, and how much of it may go now."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.pacing import Allowed, Pacer, hours, turns
from mailer.delivery.plan import Plan
from mailer.delivery.verdict import Patience
from mailer.kit.buckets import MemoryBuckets

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "smtp://relay.example:25"
POOL = """
[[relay]]
name = "big"
url = "smtp://10.0.0.1"
weight = 3
rate = "100/s"
connections = 8

[[relay]]
name = "small"
url = "smtp://10.0.0.2"
messages_per_connection = 500

[[relay]]
name = "china"
url = "smtp://10.0.0.3"
lanes = ["qq", "netease"]

[[relay]]
name = "spare"
url = "smtp://10.0.0.4"
weight = 0

[lane.gmail]
rate = "20/s"
connections = 5
messages_per_connection = 50
backoff = "5m 15m"
expiry = "1d"

[lane.yahoo]
rate = "30/min"

[lane.apple]
connections = 50
"""


@pytest.fixture
def pacer(tmp_path: Path) -> Pacer:
    (tmp_path / "d.toml").write_text(POOL, encoding="utf-8")
    return Pacer(Plan.read(tmp_path / "d.toml", url=URL, connections=20))


def test_relays_take_turns_by_weight_and_evenly_mixed(pacer: Pacer) -> None:
    chosen = [pacer.choose("gmail", turn=turn) for turn in range(8)]

    assert chosen == ["big", "big", "small", "big"] * 2
    assert chosen == [pacer.choose("gmail", turn=turn) for turn in range(8)]


@given(
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=6),
    begin=st.integers(0, 1000),
    length=st.integers(1, 500),
)
def test_in_any_stretch_each_relay_gets_its_share_to_within_one_or_two(
    weights: list[int], begin: int, length: int
) -> None:
    order = turns(tuple((f"r{n}", weight) for n, weight in enumerate(weights)))
    taken = Counter(order[turn % len(order)] for turn in range(begin, begin + length))

    for n, weight in enumerate(weights):
        assert abs(taken[f"r{n}"] - length * weight / sum(weights)) <= 2


def test_a_relay_serves_its_lanes_only(pacer: Pacer) -> None:
    assert "china" not in {pacer.choose("gmail", turn=n) for n in range(50)}
    assert "china" in {pacer.choose("qq", turn=n) for n in range(50)}


def test_others_take_over_where_one_is_shut_and_the_spare_comes_last(pacer: Pacer) -> None:
    assert {pacer.choose("gmail", shut={"big"}, turn=n) for n in range(9)} == {"small"}
    assert {pacer.choose("gmail", shut={"big", "small"}, turn=n) for n in range(9)} == {"spare"}
    assert pacer.choose("gmail", shut={"big", "small", "spare"}) is None


def test_only_a_lane_with_connections_of_its_own_has_a_way_of_its_own(pacer: Pacer) -> None:
    assert pacer.way("big", "gmail") == "big/gmail"
    assert pacer.way("big", "yahoo") == pacer.way("big", "other") == "big"

    own, shared = pacer.way_of("big/gmail"), pacer.way_of("big")
    assert (own.relay, own.connections, own.per_connection) == ("big", 5, 50)
    assert (shared.relay, shared.connections, shared.per_connection) == ("big", 8, None)
    assert own.address == shared.address
    assert pacer.way_of("small").per_connection == 500
    assert pacer.way_of("big/apple").connections == 8  # never more than the relay's
    assert pacer.way_of("big/gmail") is own
    assert pacer.most == {"big": 8, "small": 20, "china": 20, "spare": 20}
    with pytest.raises(KeyError):
        pacer.way_of("gone/gmail")


def test_a_lane_that_is_to_be_slowed_down_is_told_apart_from_then_on() -> None:
    pacer = Pacer(Plan.single(URL, 20))
    assert pacer.way("relay.example", "gmail") == "relay.example"

    assert pacer.set_apart("gmail") == ("relay.example/gmail",)

    assert pacer.way("relay.example", "gmail") == "relay.example/gmail"
    assert pacer.way("relay.example", "yahoo") == "relay.example"
    assert pacer.way_of("relay.example/gmail").connections == 20


def test_a_chunk_of_a_slow_lane_holds_two_seconds_of_it(pacer: Pacer) -> None:
    assert pacer.chunk_size("big", "gmail", 200) == 40
    assert pacer.chunk_size("big", "other", 150) == 150
    assert pacer.chunk_size("big", "yahoo", 200) == 1  # one every two seconds
    assert pacer.chunk_size("small", "other", 200) == 200


def test_rates_of_lane_and_relay_hold_both(pacer: Pacer) -> None:
    fast = pacer.allow("big", "gmail", 100)
    assert (fast.count, fast.why) == (2, "rate of big/gmail")
    assert fast.wait == pytest.approx(0.05, abs=0.01)
    assert pacer.allow("big", "yahoo", 1) == Allowed(1)
    slow = pacer.allow("big", "yahoo", 1)
    assert (slow.count, slow.why) == (0, "rate of big/yahoo")
    assert slow.wait == pytest.approx(2, abs=0.01)
    assert pacer.allow("small", "yahoo", 1) == Allowed(1)  # another address, another rate
    rest = pacer.allow("big", "other", 100)
    assert (rest.count, rest.why) == (7, "rate of big")


class NoBuckets(MemoryBuckets):
    def take(self, *_: object) -> NoReturn:
        raise AssertionError


def test_what_is_not_limited_is_never_counted() -> None:
    free = Pacer(Plan.single(URL, 20), NoBuckets())
    relay = free.choose("gmail", turn=7)
    assert relay == "relay.example"

    assert not free.paced(relay, "gmail")
    assert free.allow(relay, "gmail", 200) == Allowed(200)
    assert free.reserve(None, relay, "gmail", 200, NOON) == Allowed(200)  # type: ignore[arg-type]
    assert free.chunk_size(relay, "gmail", 200) == 200
    assert free.way(relay, "gmail") == relay
    assert free.opens("Asia/Tokyo", "", NOON) is None


def test_a_lane_has_patience_of_its_own_before_the_plans_and_the_settings(tmp_path: Path) -> None:
    text = 'expiry = "2d"\n[lane.gmail]\nbackoff = "5m 15m"\nexpiry = "1d"\n'
    (tmp_path / "d.toml").write_text(text, encoding="utf-8")
    plan = Plan.read(tmp_path / "d.toml", url=URL, connections=20)
    pacer = Pacer(plan, patience=Patience(waits=(timedelta(hours=1),)))

    waits = (timedelta(minutes=5), timedelta(minutes=15))
    assert pacer.patience("gmail") == Patience(waits, timedelta(days=1))
    assert pacer.patience("other") == Patience((timedelta(hours=1),), timedelta(days=2))
    assert Pacer(Plan.single(URL, 1)).patience("other") == Patience()


def test_mail_goes_inside_the_window_and_outside_the_quiet_hours(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('quiet_hours = "13:00-15:00"', encoding="utf-8")
    plan = Plan.read(tmp_path / "d.toml", url=URL, connections=20)
    pacer = Pacer(plan, zone="Europe/Paris")

    assert pacer.opens("UTC", "", NOON) is None
    assert pacer.opens("", "", NOON) == NOON + timedelta(hours=2)  # Paris: 13:00
    assert pacer.opens("UTC", "14:00-18:00", NOON) == NOON + timedelta(hours=3)
    assert pacer.opens("UTC", "13:30-14:00", NOON) is None  # older than the quiet hours
    assert hours("", "") is hours("", "")
