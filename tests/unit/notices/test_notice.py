"""Which letter a wish calls for, and whose mailbox it is counted for."""

from datetime import UTC, datetime

import pytest

from mailer.kit.signing import Keyring, Purpose
from mailer.notices.notice import (
    IN_A_TOKEN,
    Kind,
    NoticeId,
    budget_key,
    called_for,
    confirm_token,
)
from subscribers.address import EmailAddress
from subscribers.subscriber import State, SubscriberId
from subscribers.suppression import Reason, Scope, Suppression

KEYRING = Keyring.of("a secret")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def stopped(reason: Reason, scope: Scope = Scope.ALL) -> Suppression:
    return Suppression("0" * 32, reason, scope, "", NOON, None, "")


@pytest.mark.parametrize(
    ("here", "follows", "suppression", "kind"),
    [
        (State.PENDING, {"ai"}, None, Kind.CONFIRM),
        (State.UNSUBSCRIBED, set(), None, Kind.CONFIRM),
        (State.CONFIRMED, {"luxury"}, None, Kind.CONFIRM),
        (State.CONFIRMED, {"ai", "luxury"}, None, Kind.ALREADY),
        (State.BOUNCED, {"ai"}, stopped(Reason.BOUNCED), Kind.CONFIRM),
        (State.SUPPRESSED, {"ai"}, stopped(Reason.ASKED), Kind.CONFIRM),
        (State.SUPPRESSED, set(), stopped(Reason.ERASED), Kind.CONFIRM),
        (State.COMPLAINED, {"ai"}, stopped(Reason.COMPLAINED), None),
        (State.SUPPRESSED, {"ai"}, stopped(Reason.OPERATOR), None),
        (State.COMPLAINED, {"ai"}, stopped(Reason.COMPLAINED, Scope.CAMPAIGNS), Kind.CONFIRM),
    ],
)
def test_a_wish_calls_for_one_letter_or_none(
    here: State, follows: set[str], suppression: Suppression | None, kind: Kind | None
) -> None:
    assert called_for(here, follows, ("ai",), suppression) is kind


def test_spellings_of_one_mailbox_are_counted_together() -> None:
    def key(text: str) -> str:
        return budget_key(KEYRING, EmailAddress.parse(text))

    gmail = {key(each) for each in ("ada@gmail.com", "a.d.a+x@gmail.com", "ADA@googlemail.com")}
    assert len(gmail) == 1
    assert key("ada+x@example.org") == key("ada@example.org")
    assert key("a.da@example.org") != key("ada@example.org")
    assert "ada" not in key("ada@example.org")


def test_a_token_names_its_notice_however_many_there_were() -> None:
    token = confirm_token(KEYRING, NoticeId(IN_A_TOKEN * 3 + 7), SubscriberId(5))
    bearer = KEYRING.verify(Purpose.CONFIRM, token)

    assert bearer is not None
    assert (bearer.campaign, bearer.subscriber) == (7, 5)
    assert len(token) == 24
