"""A database with segments, and the cast in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from mailer.kit.database import Database
from subscribers import actions
from subscribers.suppression import Reason
from tests.unit.subscribers.people import NOON, Cast, confirmed, subscribed


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A transaction in a database with the starting segments, on each kind of database."""
    with database.transaction() as session:
        actions.ensure_segments(session)
        yield session


@pytest.fixture
def cast(session: Session) -> Cast:
    """Ada, Ben, Cleo and Dan."""
    ada = confirmed(session, "ada", "ai", "luxury")
    ben = subscribed(session, "ben")
    cleo, dan = confirmed(session, "cleo"), confirmed(session, "dan")
    actions.unsubscribe(session, cleo, segments=None, now=NOON, source="link")
    actions.suppress(session, Cast.key("dan"), Reason.OPERATOR, now=NOON)
    return Cast(ada, ben, cleo, dan)
