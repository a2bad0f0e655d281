"""What was agreed to can be shown, never altered, and an old request brings nobody back."""

import hashlib
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.consent import MAX_EVIDENCE, Act, Consent, open_request, sha256
from tests.unit.subscribers.people import NOON, Cast, subscribed


def act(act: Act, *segments: str) -> Consent:
    return Consent(act, segments, "", "", "form", "", "", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("history", "request_"),
    [
        ((), None),
        ((act(Act.SUBSCRIBED, "ai"),), ("ai",)),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.SUBSCRIBED, "luxury", "ai")), ("ai", "luxury")),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.CONFIRMED, "ai")), None),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.UNSUBSCRIBED)), None),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.UNSUBSCRIBED, "luxury")), ("ai",)),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.ERASED)), None),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.UNSUBSCRIBED), act(Act.SUBSCRIBED)), ()),
        ((act(Act.IMPORTED, "ai"), act(Act.TRACKING_CHANGED)), None),
    ],
)
def test_a_request_is_open_until_confirmed_or_withdrawn(
    history: tuple[Consent, ...], request_: tuple[str, ...] | None
) -> None:
    assert open_request(history) == request_


def test_an_entry_says_what_in_which_words_from_where_and_when(session: Session) -> None:
    ben = subscribed(session, "ben", "ai", "luxury")
    (entry,) = queries.history(session, ben)

    assert entry.act is Act.SUBSCRIBED
    assert entry.segments == ("ai", "luxury")
    assert entry.wording == "Send me the news."
    assert entry.wording_sha256 == hashlib.sha256(b"Send me the news.").hexdigest()
    assert (entry.source, entry.actor, entry.at) == ("form", "", NOON)


def test_other_words_have_another_hash_and_none_have_none() -> None:
    assert sha256("Send me the news.") != sha256("Send me the news!")
    assert not sha256("")


def test_evidence_is_cut_rather_than_refused(session: Session, cast: Cast) -> None:
    actions.unsubscribe(
        session, cast.ada, segments=None, now=NOON, source="link", evidence="x" * 9000
    )

    assert len(queries.history(session, cast.ada)[-1].evidence) == MAX_EVIDENCE


@pytest.mark.parametrize("table", ["consent", "wording"])
@pytest.mark.parametrize("verb", ["UPDATE {0} SET {1} = 'other'", "DELETE FROM {0}"])
def test_history_cannot_be_rewritten(session: Session, cast: Cast, table: str, verb: str) -> None:
    assert queries.history(session, cast.ada)
    column = {"consent": "source", "wording": "text"}[table]

    with pytest.raises(DBAPIError, match="insert-only"), session.begin_nested():
        session.execute(text(verb.format(table, column)))
