"""What is shut counts at once, for this process first; what is probed is open to its prober."""

import time

import pytest

from mailer.delivery.brakes import Brake, Seen
from mailer.delivery.breakers import Trip
from mailer.delivery.closures import Closures
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import Plan, RelayPlan
from tests.fakes.books import NOON


def closures(*relays: str) -> Closures:
    plans = tuple(
        RelayPlan.model_construct(name=name, url=f"smtp://{name}.example")
        for name in relays or ("one", "two")
    )
    return Closures(Pacer(Plan.model_construct(relays=plans)))


def brake(scope: str, name: str, *, number: int = 1, probing: bool = False) -> Brake:
    return Brake(number, scope, name, "hand", "why", "ada", NOON, NOON, 1, probing)


def test_nothing_is_shut_at_first() -> None:
    shut = closures()

    assert not shut.some
    assert shut.relays("gmail") == frozenset()
    assert shut.lanes(["gmail", "other"]) == frozenset()
    assert (shut.held, shut.why(1, "one", "gmail")) == ("", "")


def test_a_trip_counts_at_once_and_until_the_books_say_more() -> None:
    shut = closures()
    trip = Trip("relay", "one", "auth", "no login")
    shut.trip(trip)

    assert shut.relays("gmail") == {"one"}
    assert shut.lanes(["gmail"]) == frozenset(), "the other relay serves it"
    assert shut.why(1, "one", "gmail") == "no login"
    shut.entered(shut.trips(), [])
    assert not shut.some


def test_a_trip_that_comes_while_another_is_entered_is_not_forgotten() -> None:
    shut = closures()
    shut.trip(Trip("relay", "one", "auth", "no login"))
    before = shut.trips()
    later = Trip("relay", "one", "tls", "no encryption")
    shut.trip(later)

    shut.entered(before, [])

    assert shut.trips() == [later]


def test_a_lane_under_a_brake_has_no_relay() -> None:
    shut = closures()
    shut.looked(Seen((brake("lane", "gmail"),)), "")

    assert shut.lanes(["gmail", "other"]) == {"gmail"}
    assert shut.relays("gmail") == {"one", "two"}
    assert shut.waiting("gmail") == (0.0, "why")


def test_a_paused_campaign_is_left_out() -> None:
    shut = closures()
    shut.trip(Trip("campaign", "7", "bounces", "too many"))

    assert shut.campaigns() == {7}
    assert shut.why(7, "one", "other") == "too many"


def test_a_relay_waits_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    shut = closures()
    shut.wait("one", "gmail", 60, "the day's share is used")
    shut.wait("two", "", 30, "no connection")

    assert shut.relays("gmail") == {"one", "two"}
    assert shut.relays("other") == {"two"}
    assert shut.lanes(["gmail", "other"]) == {"gmail"}
    seconds, why = shut.waiting("gmail")
    assert (round(seconds), why) == (30, "no connection")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 45)
    assert shut.relays("gmail") == {"one"}


def test_a_probe_is_open_to_this_process_until_it_fails() -> None:
    shut = closures("one")
    on = brake("lane", "gmail")
    shut.looked(Seen((on,)), "")
    shut.probe(on)

    assert shut.lanes(["gmail"]) == frozenset()
    assert shut.probes("one", "gmail") == (on,)
    assert shut.probes("one", "other") == ()
    assert shut.went("one", "gmail")
    assert shut.proven() == [on]
    shut.trip(Trip("lane", "gmail", "blocked", "again"))
    assert shut.lanes(["gmail"]) == {"gmail"}
    assert shut.probes("one", "gmail") == ()


def test_a_probe_of_a_brake_that_is_off_is_over() -> None:
    shut = closures("one")
    on = brake("lane", "gmail")
    shut.looked(Seen((on,)), "")
    shut.probe(on)

    shut.looked(Seen(), "")
    shut.looked(Seen((on,)), "")

    assert shut.lanes(["gmail"]) == {"gmail"}


@pytest.mark.parametrize(
    ("refusal", "file", "on", "held"),
    [
        ("", "", (), ""),
        ("restored", "wrong picture", (), "restored"),
        ("", "wrong picture", (), "wrong picture"),
        ("", "", (brake("all", ""),), "why"),
    ],
)
def test_a_hold_comes_from_the_guard_the_file_or_the_books(
    refusal: str, file: str, on: tuple[Brake, ...], held: str
) -> None:
    shut = closures()
    shut.refusal = refusal
    shut.looked(Seen(on), file)

    assert shut.held == held
