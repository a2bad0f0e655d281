"""A worker killed in the middle: nobody is lost, nobody is mailed twice.

The sink's own record is the truth; the books may call a letter uncertain only where the worker
died between its final dot and the record of the answer.
"""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import queries, settling, workers
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.smtp import ScriptedSink
from tests.faults import sender

ROOT = Path(__file__).parents[2]
PEOPLE = 500


def killed(database: Database, sink: ScriptedSink, journals: Path, name: str, after: int) -> None:
    """Start a worker and kill it once the sink has got `after` letters of its own."""
    before = len(sink.received)
    command = [sys.executable, "-m", "tests.faults.sender"]
    command += [database.url, str(sink.port), str(journals), name]
    process = subprocess.Popen(command, cwd=ROOT)  # our own command
    until = time.monotonic() + 60
    while len(sink.received) < before + after and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    assert process.poll() is None, "it was to be killed in the middle"
    process.kill()
    process.wait()


def check(database: Database, campaign: CampaignId, sink: ScriptedSink, kills: int) -> int:
    """The promise, against the sink's record; how many letters are uncertain."""
    got = Counter(sink.recipients)
    with database.reading() as session:
        assert queries.verify(session, campaign).breaches == ()
        assert campaigns.campaign(session, campaign).state is State.FINISHED
        lines = list(queries.ledger_lines(session, campaign))
    by_outcome = Counter(line.outcome for line in lines)
    accepted = {f"reader{n.subscriber}@example.org" for n in lines if n.outcome == "accepted"}
    uncertain = {f"reader{n.subscriber}@example.org" for n in lines if n.outcome == "uncertain"}

    assert [address for address, times in got.items() if times > 1] == [], "mailed twice"
    assert accepted <= set(got), "accepted, and never seen"
    assert set(got) <= accepted | uncertain, "seen, and not in the books"
    assert by_outcome.total() == len(lines) == PEOPLE
    assert by_outcome["accepted"] + by_outcome["uncertain"] == PEOPLE
    assert by_outcome["uncertain"] <= kills * sender.CONNECTIONS
    return by_outcome["uncertain"]


def test_a_killed_workers_campaign_is_finished_by_the_next(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=100)
    with ScriptedSink(linger=0.002) as sink:
        killed(database, sink, tmp_path, "first", after=130)

        heir = sender.worker(database, sink.port, tmp_path, "second")
        while heir.work().more_due:
            pass
        heir.close()

        check(database, campaign, sink, kills=1)


def test_kills_in_a_row_leave_nobody_out(database: Database, tmp_path: Path) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=100)
    with ScriptedSink(linger=0.002) as sink:
        for n, after in enumerate((1, 40, 90, 60)):
            killed(database, sink, tmp_path, f"worker-{n}", after=after)

        heir = sender.worker(database, sink.port, tmp_path, "heir")
        while heir.work().more_due:
            pass
        heir.close()

        check(database, campaign, sink, kills=4)
        with database.reading() as session:
            assert sum(w.stopped_at is None for w in workers.workers(session, every=True)) == 4


def test_two_workers_at_once_and_one_of_them_killed(database: Database, tmp_path: Path) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=50)
    with ScriptedSink(linger=0.002) as sink:
        other = sender.worker(database, sink.port, tmp_path, "other")
        other.register()
        killed(database, sink, tmp_path, "first", after=120)

        other.sweep()  # finds the journal; nothing waits for a lease to run out
        while other.work().more_due:
            pass
        other.close()

        check(database, campaign, sink, kills=1)


def test_a_worker_whose_journal_is_lost_is_judged_by_time(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, PEOPLE, batch_size=100)
    with ScriptedSink(linger=0.002) as sink:
        killed(database, sink, tmp_path, "first", after=130)
        (tmp_path / "first.journal").unlink()

        heir = sender.worker(database, sink.port, tmp_path, "second")
        while heir.work().more_due:
            pass
        with database.reading() as session:
            assert queries.progress(session, campaign).open > 0
        with database.transaction() as session:
            settled = settling.judge(session, after=-61, now=books.NOON)
        while heir.work().more_due:
            pass
        heir.close()

        got = Counter(sink.recipients)
        with database.reading() as session:
            assert queries.verify(session, campaign).breaches == ()
            assert campaigns.campaign(session, campaign).state is State.FINISHED
            uncertain = queries.uncertain(session, campaign)
        named = {f"reader{line.subscriber}@example.org" for line in uncertain}
        assert max(got.values()) == 1, "mailed twice"
        assert len(named) == settled.uncertain <= 3 * sender.TERMS.chunk_size
        assert len(set(got) | named) == PEOPLE
