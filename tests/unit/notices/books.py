"""People who ask, a worker that answers them, and a relay that does as it is told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mailer.content.issue import Publication
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from mailer.notices import actions, queries
from mailer.notices.letters import Letters, Stationery
from mailer.notices.models import NoticeRow
from mailer.notices.notice import Wish
from mailer.notices.sending import Sender, Terms
from subscribers import actions as subscribers
from subscribers import queries as subscriber_queries
from subscribers.address import EmailAddress
from subscribers.subscriber import SubscriberId
from tests.fakes.relay import ScriptedRelay

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = b"a key for tests"
KEYRING = Keyring.of("a secret")
PUBLICATION = Publication(
    name="The Digital Gazette",
    from_address="news@dibao.example",
    postal_address="1 Courier Lane, Springfield",
)
LETTERS = Letters(Stationery(KEYRING, PUBLICATION, "https://news.example", 7))


@dataclass
class Books:
    """A database with three segments, and its clock."""

    database: Database
    monkeypatch: Any
    now: datetime = NOON
    relay: ScriptedRelay = field(default_factory=ScriptedRelay)
    directory: Path = Path("/nowhere")  # of data: with a file HOLD in it nothing leaves

    def __post_init__(self) -> None:
        self.monkeypatch.setattr("mailer.kit.clock.now", lambda: self.now)
        with self.database.transaction() as session:
            subscribers.ensure_segments(session)

    def wish(self, local: str = "ada", /, *segments: str, **changes: Any) -> None:
        values: dict[str, Any] = {
            "address": EmailAddress.parse(f"{local}@example.org"),
            "segments": segments or ("ai",),
            "wording": "Send me the news.",
            "source": "a form",
            "at": self.now,
        }
        with self.database.transaction() as session:
            actions.wish(session, Wish(**(values | changes)), key=KEY, keyring=KEYRING)

    def sender(self, relay: ScriptedRelay | None = None, **terms: Any) -> Sender:
        found = relay or self.relay
        return Sender(
            self.database,
            lambda: found,
            LETTERS,
            key=KEY,
            directory=self.directory,
            terms=Terms(**terms),
        )

    def who(self, name: str = "ada") -> SubscriberId:
        with self.database.reading() as session:
            found = subscriber_queries.by_address(
                session, EmailAddress.parse(f"{name}@example.org"), key=KEY
            )
        assert found is not None
        return found

    def notices(self, name: str = "ada") -> list[NoticeRow]:
        """Theirs, oldest first, as they stand."""
        theirs = select(NoticeRow).where(NoticeRow.subscriber_id == self.who(name))
        with self.database.reading() as session:
            found = list(session.scalars(theirs.order_by(NoticeRow.id)))
            session.expunge_all()
        return found

    def due(self) -> bool:
        with self.database.reading() as session:
            return queries.due(session, self.now)

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)
