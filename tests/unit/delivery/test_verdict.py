"""An ending settles a recipient, postpones them, or leaves them uncertain."""

from datetime import UTC, datetime, timedelta

import pytest

from mailer.delivery.relay import Ending, Reply, Silence
from mailer.delivery.verdict import (
    Accepted,
    Cause,
    Deferred,
    Expired,
    Patience,
    Refused,
    Uncertain,
    Verdict,
    verdict,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def decide(ending: Ending, *, attempt: int = 1, tried_for: timedelta = timedelta(0)) -> Verdict:
    return verdict(
        ending, attempt=attempt, first_tried=NOON - tried_for, now=NOON, patience=Patience()
    )


def test_acceptance_settles_the_recipient() -> None:
    assert decide(Reply(250, "2.0.0")) == Accepted()


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 30), (2, 60), (4, 240), (9, 240)])
def test_a_deferral_waits_longer_each_time_then_steadily(attempt: int, minutes: int) -> None:
    assert decide(Reply(451), attempt=attempt) == Deferred(NOON + timedelta(minutes=minutes))


def test_patience_ends_before_a_try_that_would_come_too_late() -> None:
    in_time = Patience().limit - timedelta(minutes=30)
    too_late = Patience().limit - timedelta(minutes=29)

    assert decide(Reply(451), tried_for=in_time) == Deferred(NOON + timedelta(minutes=30))
    assert decide(Reply(451), tried_for=too_late) == Expired()


def test_silence_after_the_dot_is_uncertain_however_often_we_tried() -> None:
    assert decide(Silence(), attempt=9, tried_for=Patience().limit) == Uncertain()


@pytest.mark.parametrize(
    ("enhanced", "cause", "suppresses"),
    [
        ("5.1.1", Cause.ADDRESS, True),  # no such user
        ("5.1.10", Cause.ADDRESS, True),  # null MX: the domain takes no mail (RFC 7505)
        ("5.1.0", Cause.UNSTATED, False),  # "other address status" may mean the sender's
        ("5.1.8", Cause.POLICY, False),  # our own sender domain is bad
        ("5.2.2", Cause.MAILBOX, False),  # mailbox full
        ("5.2.3", Cause.UNSTATED, False),  # message too long for this server
        ("5.7.26", Cause.POLICY, False),  # unauthenticated: our DKIM or SPF
        ("", Cause.UNSTATED, False),
        ("five", Cause.UNSTATED, False),
    ],
)
def test_a_refusal_says_whom_it_speaks_about(enhanced: str, cause: Cause, suppresses: bool) -> None:
    refused = Refused(cause)

    assert decide(Reply(550, enhanced)) == refused
    assert refused.suppresses is suppresses


@pytest.mark.parametrize("code", [100, 354, 0, 999])
def test_a_reply_that_ends_nothing_is_a_bug(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        decide(Reply(code))


@pytest.mark.parametrize("enhanced", ["", "5.1.1", "5.2.2", "5.7.1"])
def test_a_refused_sender_says_nothing_about_the_recipient(enhanced: str) -> None:
    assert decide(Reply(550, enhanced, stage="mail")) == Refused(Cause.POLICY)


@pytest.mark.parametrize(
    ("code", "enhanced", "cause"),
    [
        (553, "5.1.3", Cause.ADDRESS),  # no SMTP command can carry it
        (553, "5.6.7", Cause.UNSTATED),  # the relay takes no addresses beyond ASCII
        (552, "5.3.4", Cause.UNSTATED),  # too long for this relay: not the address's fault
        (552, "", Cause.UNSTATED),
        (550, "4.1.1", Cause.UNSTATED),  # a code of another class says nothing
    ],
)
def test_our_own_refusals_blame_only_whom_they_must(code: int, enhanced: str, cause: Cause) -> None:
    assert decide(Reply(code, enhanced)) == Refused(cause)


@pytest.mark.parametrize(("code", "kind"), [(299, Accepted), (499, Deferred), (599, Refused)])
def test_unknown_codes_are_judged_by_their_first_digit(code: int, kind: type[Verdict]) -> None:
    assert isinstance(decide(Reply(code)), kind)
