"""A person takes another address and stays the same person, stopped where they were stopped."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from subscribers import actions, queries
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Act
from subscribers.models import FormerAddressRow
from subscribers.subscriber import AddressTaken, State, SubscriberId, SubscriberNotFound
from subscribers.suppression import OF_THE_PERSON, Reason, Scope
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed


def move(session: Session, person: SubscriberId, address: str) -> bool:
    return actions.change_address(
        session,
        person,
        EmailAddress.parse(address),
        key=KEY,
        now=NOON,
        source="telephone",
        actor="Eve",
        evidence="call 17",
    )


def test_everything_goes_along_to_the_new_address(session: Session, cast: Cast) -> None:
    before = queries.history(session, cast.ada)
    assert move(session, cast.ada, "Lovelace@bücher.example")
    person = queries.subscriber(session, cast.ada)
    *earlier, last = queries.history(session, cast.ada)

    assert person.address == "Lovelace@xn--bcher-kva.example"
    assert person.domain == "xn--bcher-kva.example"
    assert person.address_key == address_key(KEY, EmailAddress.parse("lovelace@bücher.example"))
    assert queries.following(session, cast.ada) == ("ai", "luxury")
    assert tuple(earlier) == before
    assert (last.act, last.source, last.actor, last.evidence) == (
        *(Act.ADDRESS_CHANGED, "telephone", "Eve", "call 17"),
    )
    former = session.execute(select(FormerAddressRow.subscriber_id, FormerAddressRow.address_key))
    assert [tuple(row) for row in former] == [(cast.ada, Cast.key("ada"))]


def test_the_old_address_is_free_and_may_be_taken_back(session: Session, cast: Cast) -> None:
    move(session, cast.ada, "lovelace@example.org")
    assert queries.by_address(session, EmailAddress.parse("ada@example.org"), key=KEY) is None
    assert move(session, cast.ada, "ada@example.org")
    move(session, cast.ada, "lovelace@example.org")
    other = confirmed(session, "ada")

    assert other != cast.ada
    with pytest.raises(AddressTaken):
        move(session, cast.ada, "ada@example.org")


def test_another_spelling_is_written_down_and_the_same_one_changes_nothing(
    session: Session, cast: Cast
) -> None:
    assert not move(session, cast.ada, "ada@example.org")
    assert move(session, cast.ada, "Ada@Example.org")
    assert queries.subscriber(session, cast.ada).address == "Ada@example.org"
    assert session.scalar(select(FormerAddressRow.id)) is None


def test_nobody_takes_somebody_elses_address(session: Session, cast: Cast) -> None:
    actions.erase(session, cast.cleo, now=NOON, source="link")
    for address in ("BEN@example.org", "dan@example.org", "cleo@example.org"):
        with pytest.raises(AddressTaken):
            move(session, cast.ada, address)

    assert queries.subscriber(session, cast.ada).address == "ada@example.org"
    with pytest.raises(SubscriberNotFound):
        move(session, cast.cleo, "new@example.org")
    with pytest.raises(SubscriberNotFound):
        move(session, SubscriberId(99), "new@example.org")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ERASED])
@pytest.mark.parametrize("scope", Scope)
def test_what_concerns_the_person_goes_along_and_a_dead_address_stays_behind(
    session: Session, cast: Cast, reason: Reason, scope: Scope
) -> None:
    old = Cast.key("ada")
    actions.suppress(session, old, reason, now=NOON, scope=scope)
    move(session, cast.ada, "lovelace@example.org")
    person = queries.subscriber(session, cast.ada)
    new = queries.suppression(session, person.address_key)

    assert queries.suppression(session, old) is not None
    assert (new is not None) is (reason in OF_THE_PERSON)
    assert person.is_mailable is (reason is Reason.BOUNCED)
    assert new is None or (new.reason, new.scope) == (reason, scope)


def test_who_moves_to_a_suppressed_address_is_not_mailed(session: Session, cast: Cast) -> None:
    actions.suppress(session, Cast.key("trap"), Reason.OPERATOR, now=NOON)
    move(session, cast.ada, "trap@example.org")

    assert queries.subscriber(session, cast.ada).state is State.SUPPRESSED


def test_an_erasure_covers_earlier_addresses_unless_they_are_somebody_elses(
    session: Session, cast: Cast
) -> None:
    for address in ("lovelace@example.org", "countess@example.org"):
        move(session, cast.ada, address)
    other = confirmed(session, "ada")
    actions.erase(session, cast.ada, now=NOON, source="link")
    keys = [Cast.key(name) for name in ("ada", "lovelace", "countess")]

    assert set(queries.active_suppressions(session, keys)) == set(keys[1:])
    assert queries.subscriber(session, other).is_mailable
    assert session.scalar(select(FormerAddressRow.id)) is None
