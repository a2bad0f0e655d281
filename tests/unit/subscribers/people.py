"""The cast: Ada confirmed, Ben pending, Cleo unsubscribed, Dan suppressed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from subscribers import actions
from subscribers.address import EmailAddress, address_key
from subscribers.subscriber import SubscriberId

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"a key for tests"


@dataclass(frozen=True)
class Cast:
    """Everybody follows AI; Ada follows luxury too."""

    ada: SubscriberId
    ben: SubscriberId
    cleo: SubscriberId
    dan: SubscriberId

    @staticmethod
    def key(name: str) -> str:
        return address_key(KEY, EmailAddress.parse(f"{name}@example.org"))


def subscribed(session: Session, name: str, *segments: str) -> SubscriberId:
    """Somebody who asked and has not confirmed."""
    return actions.subscribe(
        session,
        EmailAddress.parse(f"{name}@example.org"),
        key=KEY,
        name=name.title(),
        segments=segments or ("ai",),
        source="form",
        wording="Send me the news.",
        now=NOON,
    )


def confirmed(session: Session, name: str, *segments: str) -> SubscriberId:
    """Somebody who asked and confirmed."""
    person = subscribed(session, name, *segments)
    actions.confirm(session, person, now=NOON, source="link")
    return person
