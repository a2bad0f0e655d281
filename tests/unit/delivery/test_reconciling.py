"""A mail log settles uncertain letters rightly or not at all: never one wrongly, in 1,000 cases."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.campaigns.models import CampaignRow
from mailer.delivery import batch, chunk, ledger, postfix_log, queries, reconciling
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.doubts import LIVES, Doubt
from mailer.delivery.ledger import Result
from mailer.delivery.models import BatchRow, DeliveryRow, ResolutionRow
from mailer.delivery.postfix_log import Log
from mailer.delivery.reconciling import Finding, Inquiry, Naming, Queue
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from tests.fakes import books
from tests.fakes.postfix import LOST, NOON, TAKEN, Postfix, rfc3339, syslog

KEYRING = Keyring.of("only for tests")
NAMING = Naming.of(KEYRING, "news@gazette.example")
CAMPAIGN = CampaignId(7)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FROZEN, NOW = NOON - HOUR, NOON + 3 * HOUR
WITNESSES = range(1001, 1021)


def doubt(subscriber: int, *, relay: str = "mx1", at: datetime = NOON) -> Doubt:
    return Doubt(
        subscriber=subscriber,
        batch=1,
        chunk=1,
        worker="one",
        host="web1",
        relay=relay,
        evidence="the connection broke after the final dot",
        resolution="",
        waits=False,
        since=FROZEN,
        until=at + LIVES,
        alive=False,
    )


def name(subscriber: int) -> str:
    return NAMING.name(CAMPAIGN, subscriber)


def inquiry(*doubts: Doubt, witnesses: bool = True) -> Inquiry:
    accepted = {name(n): ("mx1", NOON - MINUTE) for n in WITNESSES} if witnesses else {}
    return Inquiry(CAMPAIGN, {name(one.subscriber): one for one in doubts}, accepted)


def server(chance: random.Random, *, witnesses: bool = True) -> Postfix:
    mta = Postfix(
        chance,
        stamp=chance.choice((syslog, rfc3339)),
        long_ids=chance.random() < 0.5,
        instance=chance.choice(("postfix", "postfix-out")),
    )
    mta.noise(NOON - 2 * HOUR, NOON + 2 * HOUR, timedelta(minutes=7))
    for n in WITNESSES if witnesses else ():
        getattr(mta, chance.choice(("sent", "deferred", "bounced")))(NOON - MINUTE, name(n))
    return mta


def settled(
    mta: Postfix, asked: Inquiry, path: Path, *cuts: datetime, listing: bool = True
) -> dict[int, Finding]:
    files, gaps = postfix_log.rotated(mta.write(path, *cuts))
    log = postfix_log.read(files, asked.wanted, now=NOW, zone=UTC)
    log.gaps.extend(gaps)
    queue = Queue(postfix_log.queued(mta.postqueue().splitlines()), NOW) if listing else None
    return {one.subscriber: one for one in asked.findings(log, queue, now=NOW)}


def test_a_thousand_letters_are_all_settled_rightly(tmp_path: Path) -> None:
    """Forty servers, each with 25 letters of every fate, rotated anywhere."""
    right = 0
    for seed in range(40):
        chance = random.Random(seed)  # noqa: S311  # a script, not a secret
        mta = server(chance)
        fates = [chance.choice(TAKEN + LOST) for _ in range(25)]
        for subscriber, fate in enumerate(fates, 1):
            at = NOON + timedelta(seconds=chance.randrange(0, 30))
            getattr(mta, fate)(at, name(subscriber))
        asked = inquiry(*(doubt(n) for n in range(1, 26)))
        cuts = [NOON + MINUTE * chance.randrange(-90, 90) for _ in range(chance.randrange(4))]
        folder = tmp_path / str(seed)
        folder.mkdir()

        found = settled(mta, asked, folder / "mail.log", *cuts)
        for subscriber, fate in enumerate(fates, 1):
            wanted = "accepted" if fate in TAKEN else "resend"
            assert found[subscriber].outcome == wanted, (seed, fate, found[subscriber])
            right += 1
    assert right == 1000


DEFECTS = (
    *("begins late", "ends early", "rotation lost", "rate limited", "damaged"),
    *("witness lacking", "another server's", "no queue listing", "old queue listing"),
)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_log_that_may_lack_something_settles_nothing_wrongly(defect: str, tmp_path: Path) -> None:
    undecided = 0
    for seed in range(12):
        chance = random.Random(seed)  # noqa: S311
        mta = server(chance)
        fates = [chance.choice(TAKEN + LOST) for _ in range(10)]
        for subscriber, fate in enumerate(fates, 1):
            getattr(mta, fate)(NOON + timedelta(seconds=subscriber), name(subscriber))
        asked = inquiry(*(doubt(n) for n in range(1, 11)))
        path = tmp_path / f"{seed}" / "mail.log"
        path.parent.mkdir()
        found = _with(defect, mta, asked, path)
        for subscriber, fate in enumerate(fates, 1):
            assert found[subscriber].outcome in {"", "accepted" if fate in TAKEN else "resend"}
            undecided += not found[subscriber].outcome
    assert undecided, "or the defect is none"


def _with(defect: str, mta: Postfix, asked: Inquiry, path: Path) -> dict[int, Finding]:
    cut = NOON - 30 * MINUTE
    if defect == "begins late":
        mta.lines = [(at, line) for at, line in mta.lines if at > cut]
    elif defect == "ends early":
        mta.lines = [(at, line) for at, line in mta.lines if at < NOON + 5 * MINUTE]
    elif defect == "rate limited":
        line = "rsyslogd: imuxsock lost 3 messages from pid 7 due to rate-limiting"
        mta.lines.append((NOON, f"{mta.stamp(NOON)} mx1 {line}"))
        mta.lines = [one for one in mta.lines if one[1].count("message-id") == 0]
    elif defect == "damaged":
        mta.lines.append((NOON, "\0\0\0\0\0"))
    elif defect == "witness lacking":
        mta.lines = [one for one in mta.lines if name(1007) not in one[1]]
    elif defect == "another server's":
        mta = server(mta.chance, witnesses=False)
    if defect == "rotation lost":
        settled(mta, asked, path, NOON - 5 * MINUTE, NOON + 20 * MINUTE)
        path.with_name("mail.log.1").unlink()
        files, gaps = postfix_log.rotated(path)
        log = postfix_log.read(files, asked.wanted, now=NOW, zone=UTC)
        log.gaps.extend(gaps)
        return {one.subscriber: one for one in asked.findings(log, None, now=NOW)}
    found = settled(mta, asked, path, listing=defect != "no queue listing")
    if defect == "old queue listing":
        log = postfix_log.read([path], asked.wanted, now=NOW, zone=UTC)
        old = Queue(frozenset(), NOON)
        found = {one.subscriber: one for one in asked.findings(log, old, now=NOW)}
    return found


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"waits": True}, "sent again already"),
        ({"until": NOW + MINUTE}, "may still leave"),
        ({"since": NOON - 9 * HOUR}, "begins at"),
        ({"until": NOON + 2 * HOUR + 30 * MINUTE}, "ends at"),
    ],
)
def test_absence_proves_nothing_while_a_letter_can_still_leave(
    change: dict[str, object], why: str, tmp_path: Path
) -> None:
    mta = server(random.Random(1))  # noqa: S311
    one = replace(doubt(1), **change)  # type: ignore[arg-type]

    found = settled(mta, inquiry(one), tmp_path / "mail.log")[1]
    assert (found.outcome, why in found.evidence) == ("", True)


def test_a_relay_of_which_the_log_knows_nothing_is_not_settled_by_it(tmp_path: Path) -> None:
    mta = server(random.Random(1))  # noqa: S311
    asked = inquiry(doubt(1), doubt(2, relay="elsewhere"), doubt(3, relay=""))

    found = settled(mta, asked, tmp_path / "mail.log")
    assert [found[n].outcome for n in (1, 2, 3)] == ["resend", "", "resend"]
    asked = replace(asked, witnesses={**asked.witnesses, name(99): ("elsewhere", NOON)})
    found = settled(mta, asked, tmp_path / "mail.log")
    assert [found[n].outcome for n in (1, 2, 3)] == ["resend", "", ""], "it may have been either"


def test_without_witnesses_the_letters_themselves_have_to_speak_for_the_log(
    tmp_path: Path,
) -> None:
    mta = server(random.Random(1), witnesses=False)  # noqa: S311
    asked = inquiry(doubt(1), doubt(2), witnesses=False)

    found = settled(mta, asked, tmp_path / "mail.log")
    assert found[2].outcome == ""
    assert "knows no letter" in found[2].evidence
    mta.sent(NOON, name(1))
    found = settled(mta, asked, tmp_path / "mail.log")
    assert [found[n].outcome for n in (1, 2)] == ["accepted", "resend"]


def test_message_ids_are_those_of_the_letters(database: Database) -> None:
    campaign = books.sending(database, 1)
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, 1, flushed=0, seconds=60)
        (person,) = chunk.people(session, held, ("ai", "luxury"), 0, 1, now=NOON).people
    composers = Composers(database, Letterhead(KEYRING, "https://gazette.example"))
    letter = composers.of(campaign, held.edition).compose(held, 1, person)

    assert f"Message-ID: {NAMING.name(campaign, 1)}\r\n".encode() in letter.data


def uncertain(database: Database, *people: int, of: int = 5) -> CampaignId:
    """A finished campaign two hours ago by every clock; these letters are uncertain."""
    campaign = books.sending(database, of)
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, of, flushed=0, seconds=60)
        results = [
            Result(n, "uncertain" if n in people else "accepted", NOON, chunk=1)
            for n in range(1, of + 1)
        ]
        ledger.record(session, held, results, relay="mx1")
        batch.account(session, held, flushed=1, done=True)
        session.execute(update(CampaignRow).values(frozen_at=NOON - MINUTE))
        assert ledger.close(session, campaign, now=NOON)
    return campaign


def test_a_campaign_is_reconciled_in_one_go_and_once(database: Database, tmp_path: Path) -> None:
    campaign = uncertain(database, 1, 2, 3)
    mta = server(random.Random(1), witnesses=False)  # noqa: S311
    for n in (4, 5):
        mta.sent(NOON, NAMING.name(campaign, n))
    mta.sent(NOON, NAMING.name(campaign, 1))
    mta.deferred(NOON, NAMING.name(campaign, 2))
    path = mta.write(tmp_path / "mail.log")
    for _ in range(2):
        with database.transaction() as session:
            asked = reconciling.inquiry(session, campaign, KEYRING)
            log = postfix_log.read([path], asked.wanted, now=NOW, zone=UTC)
            found = asked.findings(log, None, now=NOW)
            reconciling.settle(session, campaign, found, actor="ada, Postfix log", now=NOW)

    with database.reading() as session:
        rows = select(ResolutionRow.subscriber_id, ResolutionRow.outcome, ResolutionRow.actor)
        assert sorted(map(tuple, session.execute(rows))) == [
            (1, "accepted", "ada, Postfix log"),
            (2, "accepted", "ada, Postfix log"),
            (3, "resend", "ada, Postfix log"),
        ]
        again = session.scalars(select(BatchRow).where(BatchRow.resend)).one()
        assert again.size == 1
        found_now = queries.verify(session, campaign)
        assert (found_now.breaches, found_now.sums["uncertain"]) == ((), 1)
        assert session.get_one(DeliveryRow, (campaign, 3)).relay == "mx1"


def test_of_a_cancelled_campaign_nothing_is_sent_again(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        chunk.start(session, held, 1, 2, flushed=0, seconds=60)
        ledger.record(session, held, [Result(n, "uncertain", NOON, chunk=1) for n in (1, 2)])
        batch.account(session, held, flushed=1, done=True)
        campaigns.cancel(session, campaign, now=NOON)
        found = (Finding(1, "accepted", "queue 3F"), Finding(2, "resend", "absent"))

        done = reconciling.settle(session, campaign, found, actor="ada", now=NOON)
        assert (done.changed, done.unchanged) == ((1,), ())
        assert queries.verify(session, campaign).sums["uncertain"] == 1


def test_a_letter_is_found_by_its_message_id(database: Database) -> None:
    campaign = uncertain(database, 2, 3)
    wanted = NAMING.name(campaign, 3)
    with database.reading() as session:
        assert reconciling.named(session, wanted, KEYRING) == (campaign, 3)
        assert reconciling.named(session, wanted.strip("<>"), KEYRING) == (campaign, 3)
        assert reconciling.named(session, NAMING.name(campaign, 1), KEYRING) is None, "accepted"


def test_a_log_that_was_not_asked_proves_nothing() -> None:
    (found,) = inquiry(doubt(1)).findings(Log(), None, now=NOW)
    assert (found.outcome, found.evidence) == ("", "the log is empty")
