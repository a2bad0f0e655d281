"""An ending settles a recipient, postpones them, or leaves them uncertain."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.delivery.relay import Ending, Reply, Silence, Trouble, Unsent
from mailer.delivery.verdict import (
    Accepted,
    Cause,
    Deferred,
    Expired,
    Patience,
    Refused,
    Uncertain,
    Verdict,
    blames,
    is_rate_limit,
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
def test_a_relay_that_takes_no_mail_from_us_fails_nobody(enhanced: str) -> None:
    assert decide(Reply(550, enhanced, stage="mail")) == Deferred(NOON + timedelta(minutes=30))


@pytest.mark.parametrize(
    ("reply", "blamed"),
    [
        (Reply(535, "5.7.8", "Authentication failed", "mail"), "relay"),
        (Reply(530, "5.7.0", "Authentication required", "rcpt"), "relay"),
        (Reply(554, "5.7.1", "<…>: Relay access denied", "rcpt"), "relay"),
        (Reply(550, "5.7.1", "Sender address rejected", "mail"), "relay"),
        (Reply(550, "5.7.26", "unauthenticated mail", "dot"), "sender"),
        (Reply(550, "5.1.8", "bad sender's domain", "rcpt"), "sender"),
        (Reply(552, "5.3.4", "too big", "dot"), "sender"),
        (Reply(552, "", "message size exceeds limit", "mail"), "sender"),
        (Reply(554, "5.6.0", "malformed", "dot"), "sender"),
        (Reply(550, "5.1.1", "no such user", "rcpt"), "recipient"),
        (Reply(552, "5.2.2", "mailbox full", "rcpt"), "recipient"),
        (Reply(550, "", "no", "rcpt"), "recipient"),
        (Reply(553, "5.6.7", "local: the relay takes no such address", "rcpt"), "recipient"),
        (Reply(552, "5.3.4", "local: the relay takes at most 9 bytes", "data"), "sender"),
        (Reply(554, "5.7.1", "no relay access denied to dots", "dot"), "sender"),
    ],
)
def test_a_refusal_is_somebodys_and_only_the_recipients_counts_against_them(
    reply: Reply, blamed: str
) -> None:
    assert blames(reply) == blamed


def test_what_was_never_handed_over_is_no_verdict() -> None:
    unsent = Unsent(Trouble("connect", "refused", everyone=True))

    with pytest.raises(ValueError, match="nothing was decided"):
        decide(unsent)


@pytest.mark.parametrize(
    ("reply", "attempt", "minutes"),
    [
        (Reply(451, "4.7.1", "Greylisting in action, come back later"), 1, 6),
        (Reply(450, "4.2.0", "Recipient address rejected: Greylisted"), 1, 6),
        (Reply(451, "", "Graylisted, please try again"), 1, 6),
        (Reply(450, "4.7.0", "not now"), 1, 6),
        (Reply(450, "4.7.0", "not now"), 2, 60),  # it is no stranger any more
        (Reply(451, "4.7.650", "temporarily rate limited"), 1, 30),  # a provider's own
        (Reply(421, "4.7.28", "unusual rate of unsolicited mail"), 1, 30),
        (Reply(450, "4.7.1", "rate limit exceeded"), 1, 30),
        (Reply(450, "4.2.2", "mailbox full"), 1, 30),
    ],
)
def test_a_stranger_comes_back_to_a_greylist_soon(reply: Reply, attempt: int, minutes: int) -> None:
    assert decide(reply, attempt=attempt) == Deferred(NOON + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("text", "attempt", "seconds"),
    [
        ("Greylisted, try again in 300 seconds", 1, 300),
        ("please retry in 15 minutes", 1, 900),
        ("Try again after 2 hours.", 2, 7200),
        ("Resources unavailable, wait 90s and come again", 1, 90),
        ("try again in 5 seconds", 1, 60),  # a minute at least
        ("try again in 90 hours", 1, 4 * 3600),  # four hours at most
        ("try again in 5 minutes", 4, 4 * 3600),  # it has said so often enough
        ("try again later", 1, 1800),
        ("TRY AGAIN IN 10 MIN", 1, 600),
        ("limit is 5 messages in 10 minutes", 1, 1800),  # no word on when
    ],
)
def test_a_wait_that_the_server_asks_for_is_kept_within_bounds(
    text: str, attempt: int, seconds: int
) -> None:
    assert decide(Reply(450, "", text), attempt=attempt) == Deferred(
        NOON + timedelta(seconds=seconds)
    )


@pytest.mark.parametrize(
    ("reply", "yes"),
    [
        (Reply(421, "4.7.28", "unusual rate"), True),
        (Reply(450, "4.7.28", "unusual rate"), True),
        (Reply(550, "5.7.28", "unusual rate"), True),
        (Reply(421, "4.7.0", "closing"), False),
        (Reply(250, "2.7.28", "thanks"), False),
        (Reply(421, "", "4.7.28 in words only"), False),
    ],
)
def test_gmails_word_for_too_fast_is_known_by_its_code(reply: Reply, *, yes: bool) -> None:
    assert is_rate_limit(reply) is yes


@pytest.mark.parametrize(
    ("code", "enhanced", "text"),
    [
        (552, "5.1.1", "sorry, that mailbox is over quota"),
        (553, "5.1.3", "listed at http://rbl.example/"),
        (550, "5.1.1", "Refused due to recipient preferences"),
    ],
)
def test_words_clear_an_address_that_the_code_condemns(code: int, enhanced: str, text: str) -> None:
    refused = decide(Reply(code, enhanced, text, "rcpt"))

    assert refused == Refused(Cause.UNSTATED)
    assert isinstance(refused, Refused)
    assert not refused.suppresses


def test_hardly_any_soft_refusal_of_the_corpus_is_taken_for_a_dead_address(shared: Path) -> None:
    records = json.loads((shared / "corpora/smtp_replies/train.json").read_text(encoding="utf-8"))
    said = {True: 0, False: 0}
    for record in records:
        code = int(record["reply"] or 0) or int(record["status"][:1] + "50")
        enhanced = record["status"] if record["status"][:1] == str(code)[:1] else ""
        found = decide(Reply(code, enhanced, record["text"], "rcpt"))
        said[record["hard"]] += isinstance(found, Refused) and found.suppresses

    assert said[False] <= 1  # of 201
    assert said[True] >= 44  # of 83, by the code alone: who reads reports knows more


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
