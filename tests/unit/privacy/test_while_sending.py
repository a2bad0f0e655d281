"""Who is erased while a campaign runs is not written to from the next chunk on (R27)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mailer.delivery import queries
from mailer.delivery.relay import Ending, Message
from mailer.delivery.tools import Terms
from mailer.kit.database import Database
from mailer.privacy import erasing
from mailer.privacy.erasing import House
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.relay import ScriptedRelay

SMALL = Terms(chunk_size=5, batch_size=10)
ERASED = (11, 13, 19, 23)


class Interrupted(ScriptedRelay):
    """Does something after the first ending."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        for count, pair in enumerate(super().send(messages, in_time=in_time)):
            if count == 0:
                self.act()
            yield pair


def test_an_erased_person_is_in_no_chunk_started_afterwards(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, 23, batch_size=10)
    house = House(database, tmp_path / "var", b"key")

    def erase() -> None:
        for number in ERASED:
            erasing.erase(house, str(number), now=NOON, reason="asked", source="test")

    relay = Interrupted(erase)
    books.dispatcher(database, relay, terms=SMALL).work(campaign)

    written_to = {message.subscriber for message in relay.sent}
    assert written_to == set(range(1, 24)) - set(ERASED)
    with database.reading() as session:
        assert queries.verify(session, campaign).holds
        assert queries.progress(session, campaign).sums["skipped"] == len(ERASED)
        for number in ERASED:
            told = queries.explain(session, campaign, number)
            assert told is not None
            assert (told.line.outcome, told.line.reason) == ("skipped", "erased")
