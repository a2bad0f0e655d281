"""The database itself refuses every move of a subscriber's state that is not on the list."""

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers import actions, bulk, queries
from subscribers.address import EmailAddress
from subscribers.subscriber import MOVES, OWN, NewPerson, State, SubscriberId, may_move
from subscribers.suppression import Reason
from tests.unit.subscribers.people import KEY, NOON, Cast, confirmed, subscribed

EVERY = [*itertools.permutations(sorted(State), 2)]


def placed(session: Session, state: State) -> SubscriberId:
    """Somebody whose own state it is, by what people do."""
    person = subscribed(session, "eve")
    if state is not State.PENDING:
        actions.confirm(session, person, now=NOON, source="link")
    if state is State.UNSUBSCRIBED:
        actions.unsubscribe(session, person, segments=None, now=NOON, source="link")
    if state is State.ERASED:
        actions.erase(session, person, now=NOON, source="link")
    return person


def write(session: Session, person: SubscriberId, state: State) -> None:
    with session.begin_nested():
        session.execute(
            text("UPDATE subscriber SET state = :state WHERE id = :id"),
            {"state": state.value, "id": person},
        )


@pytest.mark.parametrize(("here", "there"), [(here, there) for here, there in EVERY if here in OWN])
def test_a_state_moves_along_the_arrows_only(session: Session, here: State, there: State) -> None:
    person = placed(session, here)
    assert queries.own_state(session, person) is here
    if there in OWN and may_move(here, there):
        write(session, person, there)
        assert queries.own_state(session, person) is there
    else:
        with pytest.raises(DBAPIError, match="not a move of a subscriber"):
            write(session, person, there)
        assert queries.own_state(session, person) is here


def test_staying_is_no_move_and_other_columns_are_free(session: Session, cast: Cast) -> None:
    write(session, cast.ada, State.CONFIRMED)
    actions.set_details(session, cast.ada, now=NOON, name="Ada L.")

    assert queries.subscriber(session, cast.ada).name == "Ada L."


def test_an_undone_import_may_be_asked_or_imported_again(session: Session) -> None:
    """Taken back without a suppression: the person did not ask to be forgotten."""
    for back in (State.PENDING, State.CONFIRMED):
        assert back in MOVES[State.ERASED]
    person = placed(session, State.ERASED)
    assert queries.suppression(session, queries.subscriber(session, person).address_key)


def test_what_the_actions_do_is_on_the_arrows_whatever_suppresses(session: Session) -> None:
    """Also somebody suppressed leaves, is erased and comes back."""
    for reason in Reason:
        name = f"reader-{reason}"
        person = confirmed(session, name)
        actions.suppress(session, Cast.key(name), reason, now=NOON)
        actions.unsubscribe(session, person, segments=None, now=NOON, source="link")
        subscribed(session, name)
        actions.confirm(session, person, now=NOON, source="link")
        actions.erase(session, person, now=NOON, source="link")
        assert subscribed(session, name) == person
    again = [NewPerson(EmailAddress.parse("reader-asked@example.org"))]
    assert not bulk.add_confirmed(session, again, now=NOON, key=KEY, source="x", wording="x")
