"""The database itself refuses every move of a subscriber's state that is not on the list."""

import itertools

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from subscribers import actions, bulk, queries
from subscribers.address import EmailAddress
from subscribers.subscriber import MOVES, OWN, NewPerson, State, SubscriberId
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


def own_state(session: Session, person: SubscriberId) -> str:
    """As it is stored, whatever suppresses them."""
    found = text("SELECT state FROM subscriber WHERE id = :id")
    return str(session.scalar(found, {"id": person}))


@pytest.mark.parametrize(("here", "there"), [(here, there) for here, there in EVERY if here in OWN])
def test_a_state_moves_along_the_arrows_only(session: Session, here: State, there: State) -> None:
    person = placed(session, here)
    assert own_state(session, person) == here
    if there in MOVES[here] & OWN:
        write(session, person, there)
        assert own_state(session, person) == there
    else:
        with pytest.raises(DBAPIError, match="not a move of a subscriber"):
            write(session, person, there)
        assert own_state(session, person) == here


def test_staying_is_no_move_and_other_columns_are_free(session: Session, cast: Cast) -> None:
    write(session, cast.ada, State.CONFIRMED)
    actions.set_details(session, cast.ada, now=NOON, name="Ada L.")

    assert queries.subscriber(session, cast.ada).name == "Ada L."


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
