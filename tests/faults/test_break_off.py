"""A worker is broken off in the middle and lives on: what is on the wire is in its own journal.

Celery ends a child with SIGTERM, which raises SystemExit wherever the child happens to be; its
clean-up still runs, and must not give back a letter that may have left.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import State
from mailer.delivery import queries
from mailer.delivery.engine import SmtpRelay, relay_from_url
from mailer.delivery.journal import Journal
from mailer.delivery.relay import Ending, Message
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.smtp import ScriptedSink
from tests.faults import sender

PEOPLE = 200


class BrokenOff:
    """A relay that is left, once, in the middle of its letters."""

    def __init__(self, relay: SmtpRelay, after: int) -> None:
        self.relay, self.after = relay, after
        self.stop, self.close = relay.stop, relay.close
        self.room, self.slow_start, self.drop = relay.room, relay.slow_start, relay.drop
        self.wait = relay.wait

    def send(
        self, messages: Iterable[Message], *, in_time: Callable[[], bool] | None = None
    ) -> Iterator[tuple[Message, Ending]]:
        for pair in self.relay.send(messages, in_time=in_time):
            yield pair
            self.after -= 1
            if not self.after:
                raise SystemExit(15)


def test_a_worker_that_is_broken_off_sends_nobody_a_second_letter(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=100)
    journal = Journal.open(tmp_path, "one")
    with ScriptedSink(linger=0.02) as sink:
        url = f"smtp://127.0.0.1:{sink.port}"
        relay = relay_from_url(url, connections=sender.CONNECTIONS, journal=journal, ahead=20)
        one = books.dispatcher(
            database, BrokenOff(relay, after=50), worker="one", journal=journal, terms=sender.TERMS
        )
        with pytest.raises(SystemExit):
            one.work(campaign)
        one.work(campaign)
        one.sweep()
        one.close()
        got = Counter(sink.recipients)

    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        assert campaigns.campaign(session, campaign).state is State.FINISHED
        progress = queries.progress(session, campaign)
    assert max(got.values()) == 1, "mailed twice"
    assert 0 < progress.uncertain <= sender.CONNECTIONS
    assert progress.accepted <= len(got) <= progress.accepted + progress.uncertain == PEOPLE
