"""A signal breaks a worker off in the middle: what is on the wire is looked up in the journal.

Celery ends a child with SIGTERM, which raises SystemExit wherever the child happens to be.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import State
from mailer.delivery import queries
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.smtp import Answer, ScriptedSink
from tests.faults import sender

PEOPLE = 200


@pytest.fixture
def exiting() -> Iterator[None]:
    """SIGUSR1 raises SystemExit, as SIGTERM does in a child of Celery's."""

    def leave(*_: object) -> None:
        raise SystemExit(15)

    before = signal.signal(signal.SIGUSR1, leave)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("exiting")
def test_a_worker_that_is_broken_off_sends_nobody_a_second_letter(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=100)
    dots: list[str] = []

    def script(stage: str, about: str) -> Answer:
        if stage == "dot":
            dots.append(about)
            if len(dots) == 50:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return None

    with ScriptedSink(script, linger=0.02) as sink:
        one = sender.worker(database, sink.port, tmp_path, f"worker-{os.getpid()}")
        with pytest.raises(SystemExit):
            one.work(campaign)
        for _ in range(4):
            w = one.work(campaign); print(w, one._relay._live, one._relay._joining, one._relay._dialling, one._relay._idle)
            with database.reading() as se: print(queries.progress(se, campaign)); from sqlalchemy import text; print(se.execute(text("select number,state,epoch,worker,not_before,chunks_started,chunks_flushed,reason,lease_until from batch")).all())
        while one.work(campaign).more_due:
            pass
        one.close()

        got = Counter(sink.recipients)
    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        assert campaigns.campaign(session, campaign).state is State.FINISHED
        progress = queries.progress(session, campaign)
    assert max(got.values()) == 1, "mailed twice"
    assert progress.uncertain <= sender.CONNECTIONS
    assert progress.accepted <= len(got) <= progress.accepted + progress.uncertain == PEOPLE
