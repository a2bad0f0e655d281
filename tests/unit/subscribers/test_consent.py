"""What was agreed to can be shown, never altered, and an old request brings nobody back."""

import hashlib
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.address import EmailAddress
from subscribers.consent import MAX_EVIDENCE, Act, Consent, network, open_request, sha256
from tests.unit.subscribers.people import KEY, NOON, Cast, subscribed


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
        ((act(Act.SUBSCRIBED, "ai"), act(Act.UNDONE)), None),
        ((act(Act.SUBSCRIBED, "ai"), act(Act.PAUSED), act(Act.ADDRESS_CHANGED)), ("ai",)),
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


@pytest.mark.parametrize(
    ("peer", "truncated", "full"),
    [
        ("192.0.2.77", "192.0.2.0/24", "192.0.2.77"),
        (" 192.0.2.77 ", "192.0.2.0/24", "192.0.2.77"),
        ("::ffff:192.0.2.77", "192.0.2.0/24", "192.0.2.77"),
        ("2001:db8:1:2::7", "2001:db8:1::/48", "2001:db8:1:2::7"),
        ("fe80::1%eth0", "fe80::/48", "fe80::1"),
        ("testclient", "", ""),
        ("", "", ""),
        ("192.0.2.0/24", "", ""),
    ],
)
def test_of_an_address_as_much_is_kept_as_was_chosen(peer: str, truncated: str, full: str) -> None:
    assert network(peer, "truncated") == truncated
    assert network(peer, "full") == full
    assert network(peer, "none") == ""


def test_an_entry_says_from_where_while_that_is_kept(session: Session) -> None:
    ben = actions.subscribe(
        session,
        EmailAddress.parse("ben@example.org"),
        key=KEY,
        segments=["ai"],
        source="form",
        wording="Send me the news.",
        now=NOON,
        network="192.0.2.0/24",
        timezone="Europe/Paris",
        fields={"city": "Paris"},
    )
    actions.confirm(session, ben, now=NOON, source="link", network="2001:db8:1::/48")
    person = queries.subscriber(session, ben)

    assert [each.network for each in queries.history(session, ben)] == [
        *("192.0.2.0/24", "2001:db8:1::/48")
    ]
    assert (person.source, person.timezone, person.fields) == (
        *("form", "Europe/Paris", {"city": "Paris"}),
    )
    session.execute(text("DELETE FROM consent_network"))
    assert [each.network for each in queries.history(session, ben)] == ["", ""]


def test_an_erasure_takes_along_from_where_somebody_came(session: Session) -> None:
    ben = subscribed(session, "ben")
    subscribed(session, "eve")
    session.execute(text("INSERT INTO consent_network VALUES (1, '192.0.2.0/24', '2026-03-01')"))
    session.execute(text("INSERT INTO consent_network VALUES (2, '192.0.2.0/24', '2026-03-01')"))
    actions.erase(session, ben, now=NOON, source="link")

    assert list(session.scalars(text("SELECT consent_id FROM consent_network"))) == [2]


def test_what_awaits_a_confirmation_can_be_asked(session: Session, cast: Cast) -> None:
    assert queries.open_segments(session, cast.ben) == ("ai",)
    assert queries.open_segments(session, cast.ada) is None
    subscribed(session, "ada", "e-commerce", "luxury")
    assert queries.open_segments(session, cast.ada) == ("e-commerce", "luxury")


def test_what_a_form_says_of_somebody_known_is_not_believed(session: Session, cast: Cast) -> None:
    before = queries.subscriber(session, cast.ada)
    actions.subscribe(
        session,
        EmailAddress.parse("ada@example.org"),
        key=KEY,
        segments=["ai"],
        source="another form",
        wording="",
        now=NOON,
        name="Eve",
        timezone="UTC",
        fields={"city": "Rome"},
    )

    assert queries.subscriber(session, cast.ada) == before


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
