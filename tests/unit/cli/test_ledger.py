"""The commands of the books: verify, ledger, uncertain, resolve, reconcile, journal import."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner, Result

from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.cli import app
from mailer.cli.journal import JournalNotFound, WorkerMayLive, WorkerUnknown
from mailer.cli.ledger import LedgerBroken, LedgerNotFound, LedgerNotWritten
from mailer.cli.terminal import MomentInvalid, application
from mailer.delivery import actions, batch, chunk, ledger, resolving
from mailer.delivery.journal import Journal
from mailer.delivery.ledger import Result as Outcome
from mailer.delivery.models import BatchRow
from mailer.delivery.postfix_log import LogNotFound
from mailer.delivery.reconciling import Naming
from mailer.delivery.relay import Message, Reply
from mailer.delivery.resolving import AlreadyKnown, NotUncertain
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.postfix import Postfix

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHY = ("--evidence", "their log, line 7", "--yes")


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An installation of its own."""
    monkeypatch.setenv("DIBAO_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("TZ", "UTC")
    application.cache_clear()
    house = application()
    yield house.database
    house.database.close()
    application.cache_clear()


def dibao(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def sent(database: Database, outcomes: str = "aauur") -> CampaignId:
    """A finished campaign: one letter per word, accepted (a), uncertain (u) or refused (r)."""
    campaign = books.sending(database, len(outcomes))
    words = {"u": "uncertain", "a": "accepted", "r": "refused"}
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
        results = [Outcome(n, words[w], NOON, chunk=1) for n, w in enumerate(outcomes, 1)]
        ledger.record(session, held, results, relay="mx1")
        batch.account(session, held, flushed=1, done=True)
        assert ledger.close(session, campaign, now=NOON)
        session.execute(update(CampaignRow).values(frozen_at=NOON - timedelta(seconds=30)))
    return campaign


def rows(ledger: str) -> list[str]:
    """Without the lines about it, which say when it was written, and the hashes that say it too."""
    lines = (line for line in ledger.splitlines() if not line.startswith("#"))
    return [line.rpartition(",")[0] for line in lines]


def test_verify_says_what_holds_and_what_does_not(database: Database) -> None:
    campaign = sent(database)
    said = json.loads(dibao("campaign", "verify", campaign, "--json").stdout)

    assert list(said) == ["campaign", "state", "holds", "sums", "breaches"]
    assert (said["campaign"], said["state"], said["holds"]) == (1, "finished", True)
    assert said["sums"]["uncertain"] == 2
    with database.transaction() as session:
        session.execute(update(CampaignRow).values(uncertain_count=7))
    broken = dibao("campaign", "verify", campaign, "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["breaches"] == [
        "7 uncertain letters were counted, the rows say otherwise"
    ]
    assert "does not hold" in dibao("campaign", "verify", campaign).stdout


def test_a_ledger_is_written_checked_and_found_out(database: Database, tmp_path: Path) -> None:
    campaign = sent(database)
    with database.transaction() as session:
        resolving.came_back(session, [(campaign, 3, "click")], now=NOON)
    file = tmp_path / "ledger.csv"
    written = dibao("campaign", "ledger", campaign, "-o", file)
    head = written.stderr.strip().rpartition(" ")[2]
    checked = dibao("ledger", "check", file, "--head", head)

    assert written.exit_code == checked.exit_code == 0
    assert "5 rows, as they were written" in checked.stdout
    assert "accepted=3" in checked.stdout
    assert rows(file.read_text()) == rows(dibao("campaign", "ledger", campaign).stdout)
    assert isinstance(dibao("ledger", "check", file, "--head", "0").exception, LedgerBroken)
    file.write_text(file.read_text().replace("refused", "accepted", 2))
    broken = dibao("ledger", "check", file).exception
    assert isinstance(broken, LedgerBroken)
    assert "ledger.csv, line" in str(broken)
    assert isinstance(dibao("ledger", "check", tmp_path / "none").exception, LedgerNotFound)
    assert list(tmp_path.glob("*.part")) == []


def test_a_ledger_that_cannot_be_written_is_refused_and_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    campaign = sent(database)
    nowhere = dibao("campaign", "ledger", campaign, "-o", tmp_path / "none" / "ledger.csv")
    folder = tmp_path / "folder"
    folder.mkdir()
    taken = dibao("campaign", "ledger", campaign, "-o", folder)

    assert isinstance(nowhere.exception, LedgerNotWritten)
    assert "No such file or directory" in str(nowhere.exception)
    assert isinstance(taken.exception, LedgerNotWritten)
    assert list(tmp_path.glob("**/*.part")) == []


def test_an_excerpt_has_a_chain_of_its_own(database: Database, tmp_path: Path) -> None:
    campaign = sent(database)
    file = tmp_path / "excerpt.csv"
    dibao("campaign", "ledger", campaign, "--outcome", "uncertain", "--output", file)
    checked = json.loads(dibao("ledger", "check", file, "--json").stdout)

    assert (checked["rows"], checked["fault"]) == (2, None)
    assert checked["about"][-1] == "excerpt outcome=uncertain"
    assert dibao("campaign", "ledger", campaign, "--outcome", "lost").exit_code == 2
    lines = dibao("campaign", "ledger", campaign, "--json").stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == [
        *("accepted", "accepted", "uncertain", "uncertain", "refused"),
    ]


def test_uncertain_letters_are_listed_by_name(database: Database) -> None:
    campaign = sent(database)
    listed = json.loads(dibao("campaign", "uncertain", campaign, "--json").stdout)

    assert [one["subscriber"] for one in listed] == [3, 4]
    assert "3" in dibao("campaign", "uncertain", campaign).stdout
    clean = sent_clean(database)
    assert "No letter is uncertain." in dibao("campaign", "uncertain", clean).stdout


def sent_clean(database: Database) -> CampaignId:
    with database.transaction() as session:
        return books.campaign(session, number=2)


def test_resolving_shows_first_and_asks(database: Database) -> None:
    campaign = sent(database)
    asked = CliRunner().invoke(
        app,
        ["campaign", "resolve", str(campaign), "3", "--as", "accepted", "--evidence", "seen"],
        input="n\n",
    )

    assert asked.exit_code == 1
    assert "may leave until" in asked.stdout
    assert "Resolve 1 as accepted?" in asked.stderr
    done = json.loads(
        dibao("campaign", "resolve", campaign, 3, "--as", "accepted", *WHY, "--json").stdout
    )
    assert done == {"changed": [3], "unchanged": []}
    again = dibao("campaign", "resolve", campaign, 3, "--as", "accepted", *WHY)
    assert "0 resolved, 1 as they were." in again.stdout
    denied = dibao("campaign", "resolve", campaign, 3, "--as", "resend", *WHY)
    assert isinstance(denied.exception, AlreadyKnown)
    never = dibao("campaign", "resolve", campaign, 1, "--as", "resend", *WHY)
    assert isinstance(never.exception, NotUncertain)


def test_all_uncertain_letters_can_be_sent_again_at_once(database: Database) -> None:
    campaign = sent(database)
    done = dibao("campaign", "resolve", campaign, "--all-uncertain", "--as", "resend", *WHY)

    assert "2 resolved" in done.stdout
    with database.reading() as session:
        again = session.get_one(BatchRow, (campaign, 2))
        assert (again.resend, again.size) == (True, 2)
    assert dibao("campaign", "resolve", campaign, "--as", "resend", *WHY).exit_code == 2
    both = ("resolve", campaign, 3, "--all-uncertain", "--as", "resend", *WHY)
    assert dibao("campaign", *both).exit_code == 2
    assert dibao("campaign", "resolve", campaign, 3, "--as", "lost", *WHY).exit_code == 2


def test_it_warns_while_the_worker_may_still_live(database: Database) -> None:
    campaign = sent(database)
    quiet = dibao("campaign", "resolve", campaign, 3, "--as", "accepted", *WHY)
    with database.transaction() as session:
        actions.register(session, "one", host="web1", boot_id="", pid=1, journal="", version="")
    warned = dibao("campaign", "resolve", campaign, 4, "--as", "abandoned", *WHY)

    assert "may still be running" not in quiet.stderr
    assert "may still be running" in warned.stderr
    assert "1 resolved" in warned.stdout


def test_a_campaign_is_reconciled_with_a_mail_log(database: Database, tmp_path: Path) -> None:
    campaign = sent(database, "auu")
    naming = Naming.of(application().keyring, "news@gazette.example")
    mta = Postfix(random.Random(1))  # noqa: S311  # a script
    mta.noise(NOON - timedelta(hours=2), NOON + timedelta(hours=2), timedelta(minutes=9))
    for n in (1, 2):
        mta.sent(NOON, naming.name(campaign, n))
    log = mta.write(tmp_path / "mail.log", NOON - timedelta(hours=1))
    queue = tmp_path / "queue.json"
    queue.write_text(mta.postqueue())
    words = ("campaign", "reconcile", campaign, "--postfix-log", log, "--postqueue", queue)
    dry = json.loads(dibao(*words, "--dry-run", "--json").stdout)

    assert [one["outcome"] for one in dry["findings"]] == ["accepted", "resend"]
    assert dry["changed"] == []
    done = dibao(*words)
    assert (done.exit_code, "2 resolved" in done.stdout) == (0, True)
    again = dibao(*words)
    assert again.exit_code == 7
    assert "sent again already" in again.stdout
    unproven = dibao(*words, "--since", "2026-03-01T11:59:58Z", "--dry-run")
    assert unproven.exit_code == 7
    assert isinstance(dibao(*words, "--since", "today").exception, MomentInvalid)
    gone = dibao("campaign", "reconcile", campaign, "--postfix-log", tmp_path / "none")
    assert isinstance(gone.exception, LogNotFound)


def test_nothing_uncertain_needs_no_log(database: Database, tmp_path: Path) -> None:
    campaign = sent(database, "aa")
    done = dibao("campaign", "reconcile", campaign, "--postfix-log", tmp_path / "none")

    assert (done.exit_code, done.stdout) == (0, "No letter is uncertain.\n")


def test_a_journal_of_a_lost_host_is_imported_once(database: Database, tmp_path: Path) -> None:
    campaign = books.sending(database, 3)
    with database.transaction() as session:
        held = batch.lease(session, "lost", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, 3, flushed=0, seconds=60)
        actions.register(session, "lost", host="web9", boot_id="x", pid=1, journal="", version="")
    kept = Journal.open(tmp_path, "lost", boot_id="another boot")
    for n in (1, 2):
        message = Message(campaign, n, held.number, held.epoch, 1, "", "", b"")
        kept.append(kept.intent(message, 1) + kept.dot(message, 1))
        if n == 1:
            kept.append(kept.reply(message, 1, Reply(250, "2.0.0", "ok")))
    kept.close()
    file = tmp_path / "lost.journal"

    assert isinstance(dibao("journal", "import", file).exception, WorkerMayLive)
    (first,) = json.loads(dibao("journal", "import", file, "--dead", "--json").stdout)
    assert (first["results"], first["uncertain"], first["batches"]) == (3, 2, 1)
    (second,) = json.loads(dibao("journal", "import", file, "--dead", "--json").stdout)
    assert (second["results"], second["uncertain"], second["new"]) == (0, 0, False)
    shown = dibao("journal", "import", file, "--dead")
    assert "taken in before" in shown.stdout
    missing = dibao("journal", "import", tmp_path / "none.journal")
    assert isinstance(missing.exception, JournalNotFound)
    counted = json.loads(dibao("campaign", "verify", campaign, "--json").stdout)["sums"]
    assert (counted["accepted"], counted["uncertain"]) == (1, 2)


def test_a_journal_of_another_installation_is_not_taken_for_ours(
    database: Database, tmp_path: Path
) -> None:
    campaign = books.sending(database, 3)
    kept = Journal.open(tmp_path, "stranger")
    message = Message(campaign, 1, 1, 1, 1, "", "", b"")
    kept.append(kept.intent(message, 1) + kept.dot(message, 1))
    kept.append(kept.reply(message, 1, Reply(250, "2.0.0", "ok")))
    kept.close()

    refused = dibao("journal", "import", tmp_path / "stranger.journal")

    assert isinstance(refused.exception, WorkerUnknown)
    counted = json.loads(dibao("campaign", "verify", campaign, "--json").stdout)["sums"]
    assert (counted["accepted"], counted["open"]) == (0, 3)


def test_the_hours_of_a_campaign_are_those_it_was_given() -> None:
    refused = dibao("campaign", "create", "weekly", "--window", "noon").exception

    assert "08:00-20:00" in str(refused)
