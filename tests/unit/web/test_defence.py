"""Sign-ups are judged by who asks, by their form and by how many there were."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from structlog.testing import capture_logs

from mailer.kit.signing import Keyring, Purpose
from mailer.web.public import defence
from mailer.web.public.budgets import Budget, Budgets
from mailer.web.public.defence import Attempt, Gate, Judgement, solves

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEYRING = Keyring.of("a secret")
LATER = NOON + timedelta(seconds=5)


@pytest.fixture
def gate() -> Gate:
    return Gate(KEYRING, Budgets("memory://", b"a key"))


def attempt(gate: Gate, **changes: str) -> Attempt:
    values = {
        "peer": "203.0.113.7",
        "token": gate.form(NOON),
        "trap": "",
        "work": "",
        "mailbox": "a mailbox",
        "domain": "gmail.com",
    }
    return Attempt(**(values | changes))


def test_a_person_passes(gate: Gate) -> None:
    assert gate.judge(attempt(gate), LATER) is Judgement.PASSED
    assert not gate.counts


def test_programs_are_ignored_and_counted(gate: Gate) -> None:
    """Row 49."""
    token = gate.form(NOON)
    other = Gate(Keyring.of("another secret"), Budgets("memory://", b"a key"))
    cases = {
        "trap": (attempt(gate, trap="http://spam.example"), LATER),
        "too quick": (attempt(gate), NOON + timedelta(seconds=1)),
        "no form": (attempt(gate, token=""), LATER),
    }
    for why, (made, at) in cases.items():
        assert gate.judge(made, at) is Judgement.IGNORED, why
        assert gate.counts[why] == 1
    for forged in (other.form(NOON), KEYRING.sign(Purpose.CONFIRM, 1, 1), "a" * 24):
        assert gate.judge(attempt(gate, token=forged), LATER) is Judgement.IGNORED
    assert gate.judge(attempt(gate, token=token), LATER) is Judgement.PASSED
    assert gate.judge(attempt(gate, token=token, mailbox="b"), LATER) is Judgement.IGNORED
    assert gate.counts["form"] == 1


def test_a_form_from_the_future_is_no_form(gate: Gate) -> None:
    made = attempt(gate, token=gate.form(NOON + timedelta(hours=1)))

    assert gate.judge(made, NOON) is Judgement.IGNORED


def test_an_old_form_is_handed_back(gate: Gate) -> None:
    assert gate.judge(attempt(gate), NOON + timedelta(hours=4, minutes=1)) is Judgement.STALE


def test_a_form_that_came_back_is_as_old_as_the_first(gate: Gate) -> None:
    first = gate.form(NOON)
    again = gate.form(LATER, instead_of=first)

    assert again != first
    assert gate.judge(attempt(gate, token=again), LATER) is Judgement.PASSED
    morning = gate.form(NOON - timedelta(hours=9))
    fresh = gate.form(NOON, instead_of=morning)
    assert gate.judge(attempt(gate, token=fresh), LATER) is Judgement.PASSED


@pytest.mark.parametrize(
    ("peers", "passed"),
    [
        (["203.0.113.7"] * 12, 10),  # one address
        ([f"203.0.113.{n}" for n in range(50)], 40),  # a /24
        ([f"2001:db8:1:1::{n:x}" for n in range(12)], 10),  # a /64: one household
        ([f"2001:db8:1:{n:x}::1" for n in range(50)], 40),  # a /48
        ([f"203.0.{n}.7" for n in range(50)], 50),  # different networks
        ([f"::ffff:203.0.113.{n % 2}" for n in range(24)], 20),
        ([""] * 12, 10),  # who cannot be told apart is one
    ],
)
def test_a_network_has_a_budget(gate: Gate, peers: list[str], passed: int) -> None:
    """Row 48."""
    found = [
        gate.judge(attempt(gate, peer=peer, mailbox=str(n)), LATER) for n, peer in enumerate(peers)
    ]

    assert found.count(Judgement.PASSED) == passed
    assert found.count(Judgement.BUSY) == len(peers) - passed


def test_a_mailbox_and_a_small_domain_have_budgets_and_say_nothing(gate: Gate) -> None:
    peers = (f"203.{n // 250}.{n % 250}.7" for n in itertools.count())
    mailbox = [gate.judge(attempt(gate, peer=next(peers)), LATER) for _ in range(7)]
    domain = [
        gate.judge(attempt(gate, peer=next(peers), mailbox=str(n), domain="school.example"), LATER)
        for n in range(70)
    ]
    provider = [
        gate.judge(attempt(gate, peer=next(peers), mailbox=f"p{n}", domain="qq.com"), LATER)
        for n in range(200)
    ]

    assert mailbox == [Judgement.PASSED] * 5 + [Judgement.IGNORED] * 2
    assert domain == [Judgement.PASSED] * 60 + [Judgement.IGNORED] * 10
    assert provider == [Judgement.PASSED] * 200


def test_the_breaker_rests_everybody_for_a_while(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defence, "_EVERYBODY", Budget("everybody", 3, 3600))
    with time_machine.travel(NOON, tick=False) as clock, capture_logs() as logs:
        found = [
            gate.judge(attempt(gate, peer=f"203.{n}.1.7", mailbox=str(n)), LATER) for n in range(5)
        ]
        clock.shift(timedelta(hours=1, seconds=1))
        after = gate.judge(attempt(gate, peer="203.9.1.7", mailbox="9"), LATER)

    assert found == [Judgement.PASSED] * 3 + [Judgement.BUSY] * 2
    assert after is Judgement.PASSED
    assert [line["log_level"] for line in logs].count("error") == 2


def test_a_flood_that_is_refused_does_not_trip_the_breaker(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defence, "_EVERYBODY", Budget("everybody", 10, 3600))
    for n in range(100):
        gate.judge(attempt(gate, peer=f"203.{n}.1.7"), LATER)

    assert gate.judge(attempt(gate, peer="198.1.1.7", mailbox="ada"), LATER) is Judgement.PASSED


def test_a_proxy_nobody_named_is_hinted_at(gate: Gate) -> None:
    with capture_logs() as logs:
        for n in range(11):
            gate.judge(attempt(gate, peer="10.0.0.1", mailbox=str(n)), LATER)

    assert any("DIBAO_TRUSTED_PROXIES" in line["event"] for line in logs)


def test_work_is_checked_and_good_for_one_form() -> None:
    gate = Gate(KEYRING, Budgets("memory://", b"a key"), bits=12)
    one, other = gate.form(NOON), gate.form(NOON)
    work = next(str(n) for n in itertools.count() if solves(one, str(n), 12))
    idle = next(str(n) for n in itertools.count() if not solves(one, str(n), 12))

    for made in (
        attempt(gate, token=one, work=""),
        attempt(gate, token=one, work=idle),
        attempt(gate, token=one, work="9" * 500),
        attempt(gate, token=one, work="é"),
    ):
        assert gate.judge(made, LATER) is Judgement.IGNORED
    assert solves(other, work, 12) is False
    assert gate.judge(attempt(gate, token=one, work=work), LATER) is Judgement.PASSED
    assert gate.judge(attempt(gate, token=one, work=work), LATER) is Judgement.IGNORED


def test_no_line_of_the_log_names_anybody(gate: Gate) -> None:
    with capture_logs() as logs:
        for n in range(15):
            gate.judge(attempt(gate, trap="x" if n % 2 else "", mailbox="ada@example.org"), LATER)

    assert logs
    assert "ada" not in str(logs)
    assert "203.0.113" not in str(logs)
