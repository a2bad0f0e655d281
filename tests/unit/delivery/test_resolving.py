"""Uncertain letters are resolved by evidence, once; a letter sent again keeps its Message-ID."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import batch, chunk, ledger, queries, resolving
from mailer.delivery.batch import Lease
from mailer.delivery.ledger import Deferral, Entry, Result
from mailer.delivery.models import BatchRow, DeliveryRow, ResolutionRow
from mailer.delivery.relay import Message, Reply, Silence
from mailer.delivery.resolving import (
    AlreadyKnown,
    EvidenceMissing,
    NothingToResend,
    NotUncertain,
    Resolved,
)
from mailer.kit.database import Database
from subscribers import actions as subscribers
from subscribers.subscriber import SubscriberId
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.relay import ScriptedRelay

ADA, BEN, CLEO, DAN = 1, 2, 3, 4
BY_ADA: dict[str, Any] = {"evidence": "the relay's log of 12:01", "actor": "ada", "now": NOON}


def started(session: Session) -> Lease:
    held = batch.lease(session, "one", seconds=60)
    assert held is not None
    chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
    return held


def recorded(session: Session, held: Lease, entries: Sequence[Entry]) -> None:
    ledger.record(session, held, entries)
    batch.account(session, held, flushed=1, done=True)


def finished(database: Database, outcomes: str = "uuuu") -> CampaignId:
    """A finished campaign: one letter per word, uncertain (u), accepted (a) or refused (r)."""
    campaign = books.sending(database, len(outcomes))
    words = {"u": "uncertain", "a": "accepted", "r": "refused"}
    with database.transaction() as session:
        held = started(session)
        results = [Result(n, words[w], NOON, chunk=1) for n, w in enumerate(outcomes, 1)]
        recorded(session, held, results)
        assert ledger.close(session, campaign, now=NOON)
    return campaign


def sent_again(database: Database, entries: Sequence[Entry]) -> Lease:
    with database.transaction() as session:
        held = started(session)
        assert held.resend
        recorded(session, held, entries)
    return held


def words(session: Session, subscriber: int) -> list[str]:
    rows = select(ResolutionRow.outcome).where(ResolutionRow.subscriber_id == subscriber)
    return list(session.scalars(rows.order_by(ResolutionRow.number)))


def verified(session: Session, campaign: CampaignId) -> dict[str, int]:
    found = queries.verify(session, campaign)
    assert found.breaches == ()
    return {name: people for name, people in found.sums.items() if people}


def test_what_a_person_decides_is_kept_with_evidence_and_counted(database: Database) -> None:
    campaign = finished(database, "uuua")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA)
        resolving.resolve(session, campaign, [BEN], "refused", **BY_ADA)
        resolving.resolve(session, campaign, CLEO, "abandoned", **BY_ADA)

        assert ledger.counts(session, campaign) == {
            "accepted": 2,
            "refused": 1,
            "skipped": 0,
            "expired": 0,
            "uncertain": 1,
        }
        row = session.get_one(ResolutionRow, (campaign, ADA, 1))
        assert (row.evidence, row.actor, row.at) == ("the relay's log of 12:01", "ada", NOON)
        assert books.stored(session, campaign).uncertain_count == 1
        assert verified(session, campaign)["uncertain"] == 1


def test_asking_twice_changes_nothing(database: Database) -> None:
    campaign = finished(database, "uu")
    with database.transaction() as session:
        first = resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)
        again = resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)

        assert first == Resolved(changed=(ADA, BEN))
        assert again == Resolved(unchanged=(ADA, BEN))
        assert words(session, ADA) == ["resend"]
        resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA)
        assert not resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA).changed


def test_a_person_cannot_deny_a_fact_and_then_nobody_is_resolved(database: Database) -> None:
    campaign = finished(database, "uu")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA)
    for outcome in ("refused", "abandoned", "resend"):
        refused = pytest.raises(AlreadyKnown, match="Known to be accepted: 1")
        with refused, database.transaction() as session:
            resolving.resolve(session, campaign, [ADA, BEN], outcome, **BY_ADA)
    with database.reading() as session:
        assert words(session, BEN) == []


def test_only_uncertain_letters_are_resolved_and_only_with_evidence(database: Database) -> None:
    campaign = finished(database, "ua")
    with database.transaction() as session:
        with pytest.raises(NotUncertain, match="2, 77"):
            resolving.resolve(session, campaign, [ADA, BEN, 77], "accepted", **BY_ADA)
        with pytest.raises(EvidenceMissing):
            resolving.resolve(session, campaign, ADA, "accepted", **(BY_ADA | {"evidence": " "}))
        with pytest.raises(ValueError, match="lost"):
            resolving.resolve(session, campaign, ADA, "lost", **BY_ADA)
        assert words(session, ADA) == []


def test_an_abandoned_letter_may_still_turn_out_to_have_arrived(database: Database) -> None:
    campaign = finished(database, "u")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "abandoned", **BY_ADA)
        resolving.came_back(session, [(campaign, ADA, "click")], now=NOON)

        assert words(session, ADA) == ["abandoned", "accepted"]
        assert verified(session, campaign)["accepted"] == 1


def test_a_letter_sent_again_is_counted_as_uncertain_until_it_ends(database: Database) -> None:
    campaign = finished(database, "uuuu")
    with database.transaction() as session:
        resolving.resolve(session, campaign, [ADA, BEN, CLEO, DAN], "resend", **BY_ADA)
        assert verified(session, campaign)["uncertain"] == 4
        row = session.scalars(select(BatchRow).where(BatchRow.resend)).one()
        assert (row.attempt, row.size, row.lane) == (2, 4, "other")
        assert batch.due(session) == (campaign,)
    sent_again(
        database,
        [
            Result(ADA, "accepted", NOON, 250, "2.0.0", "ok"),
            Result(BEN, "refused", NOON, 550, "5.1.1", "no", "address", suppresses=True),
            Result(CLEO, "uncertain", NOON, evidence="broke again"),
            Result(DAN, "skipped", NOON, reason="unsubscribed"),
        ],
    )
    with database.transaction() as session:
        assert {n: words(session, n)[-1] for n in (ADA, BEN, CLEO, DAN)} == {
            ADA: "accepted",
            BEN: "refused",
            CLEO: "uncertain",
            DAN: "abandoned",
        }
        sums = verified(session, campaign)
        assert (sums["accepted"], sums["refused"], sums["uncertain"]) == (1, 1, 2)
        assert books.stored(session, campaign).uncertain_count == 2
        resolving.resolve(session, campaign, [CLEO], "resend", **BY_ADA)
        third = session.scalars(select(BatchRow).where(BatchRow.number == 3)).one()
        assert third.attempt == 3, "the try after the last"


def test_a_deferred_resend_waits_for_a_later_batch_of_resends(database: Database) -> None:
    campaign = finished(database, "uu")
    moment = NOON + timedelta(days=9999)
    with database.transaction() as session:
        resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)
    put_off = Deferral(ADA, NOON, NOON, moment, 451, "4.7.1", "later")
    sent_again(database, [put_off, Result(BEN, "accepted", NOON, 250)])
    with database.transaction() as session:
        later = session.get_one(BatchRow, (campaign, 3))
        assert (later.resend, later.attempt, later.size, later.state) == (True, 3, 1, "open")
        assert later.not_before >= moment
        row = session.get_one(ResolutionRow, (campaign, ADA, 2))
        assert (row.outcome, row.batch, row.position) == ("resend", 3, 1)
        assert verified(session, campaign)["uncertain"] == 1


def test_a_commit_of_unknown_outcome_of_a_resend_may_be_repeated(database: Database) -> None:
    campaign = finished(database, "uu")
    with database.transaction() as session:
        resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)
    put_off = Deferral(BEN, NOON, NOON, NOON, 451, "4.7.1", "later")
    entries: list[Entry] = [Result(ADA, "uncertain", NOON, evidence="broke again"), put_off]
    with database.transaction() as session:
        held = started(session)
        ledger.record(session, held, entries)
        ledger.record(session, held, entries, again=True)

        assert words(session, ADA) == ["resend", "uncertain"]
        assert words(session, BEN) == ["resend", "resend"]


def test_what_came_back_while_a_letter_was_sent_again_stays(database: Database) -> None:
    campaign = finished(database, "uu")
    with database.transaction() as session:
        resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)
        held = started(session)
        resolving.came_back(session, [(campaign, ADA, "open"), (campaign, BEN, "open")], now=NOON)
        recorded(session, held, [Result(ADA, "accepted", NOON, 250), Result(BEN, "refused", NOON)])

        assert words(session, ADA) == words(session, BEN) == ["resend", "accepted"]
        assert verified(session, campaign)["accepted"] == 2


@pytest.mark.parametrize("kind", ["open", "click", "unsubscribe"])
def test_whatever_comes_back_proves_receipt(database: Database, kind: str) -> None:
    campaign = finished(database, "uua")
    with database.transaction() as session:
        seen = [(campaign, ADA, kind), (campaign, ADA, "open"), (campaign, 3, kind), (99, 1, kind)]
        assert resolving.came_back(session, seen, now=NOON) == Resolved(changed=(ADA,))
        assert not resolving.came_back(session, seen, now=NOON).changed, "once"

        row = session.get_one(ResolutionRow, (campaign, ADA, 1))
        assert (row.outcome, row.evidence, row.actor) == (
            "accepted",
            f"came back: {kind}",
            "tracking",
        )
        assert verified(session, campaign) | {"candidates": 3} == {
            "candidates": 3,
            "audience": 3,
            "accepted": 2,
            "uncertain": 1,
        }


def test_nothing_comes_back_of_other_events(database: Database) -> None:
    campaign = finished(database, "u")
    with database.transaction() as session:
        assert not resolving.came_back(session, [(campaign, ADA, "archive")], now=NOON).changed
        assert not resolving.came_back(session, [], now=NOON).changed


@pytest.mark.parametrize(
    ("happened", "outcome"),
    [
        ("delivered", "accepted"),
        ("bounced", "accepted"),  # by the receiver: the relay had taken it
        ("complained", "accepted"),
        ("rejected", "refused"),
    ],
)
def test_a_provider_tells_what_became_of_a_letter(
    database: Database, happened: str, outcome: str
) -> None:
    campaign = finished(database, "ua")
    told: dict[str, Any] = {"evidence": "event 17", "now": NOON}
    with database.transaction() as session:
        assert resolving.provider_event(session, campaign, ADA, happened, **told).changed == (ADA,)
        assert not resolving.provider_event(session, campaign, BEN, happened, **told).changed
        assert words(session, ADA) == [outcome]
        assert session.get_one(ResolutionRow, (campaign, ADA, 1)).evidence == (
            f"provider: {happened} event 17"
        )
        with pytest.raises(ValueError, match="opened"):
            resolving.provider_event(session, campaign, ADA, "opened", **told)


def test_a_machine_that_denies_a_fact_is_a_breach_and_changes_nothing(database: Database) -> None:
    campaign = finished(database, "u")
    told: dict[str, Any] = {"evidence": "", "now": NOON}
    with database.transaction() as session:
        resolving.provider_event(session, campaign, ADA, "rejected", **told)
        assert not resolving.provider_event(session, campaign, ADA, "delivered", **told).changed
        assert words(session, ADA) == ["refused"]


def test_a_machine_resends_only_whom_nobody_has_resolved(database: Database) -> None:
    campaign = finished(database, "uu")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "abandoned", **BY_ADA)

        done = resolving.resend(session, campaign, [ADA, BEN], **BY_ADA)
        assert done == Resolved(changed=(BEN,), unchanged=(ADA,))
        whole = resolving.resend(session, campaign, [ADA, BEN], **BY_ADA, whole=True)
        assert whole == Resolved(changed=(ADA,), unchanged=(BEN,))


def test_nothing_of_a_cancelled_campaign_is_sent_again(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = started(session)
        recorded(session, held, [Result(n, "uncertain", NOON, chunk=1) for n in (ADA, BEN)])
        campaigns.cancel(session, campaign, now=NOON)
        with pytest.raises(NothingToResend, match="cancelled"):
            resolving.resolve(session, campaign, ADA, "resend", **BY_ADA)
        resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA)


def test_those_who_were_tried_a_different_number_of_times_go_by_different_batches(
    database: Database,
) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = started(session)
        put_off = Deferral(BEN, NOON, NOON, NOON, 451, "4.7.1", "later")
        recorded(session, held, [Result(ADA, "uncertain", NOON, chunk=1), put_off])
        second = started(session)
        recorded(session, second, [Result(BEN, "uncertain", NOON, chunk=1)])
        resolving.resolve(session, campaign, [ADA, BEN], "resend", **BY_ADA)

        rows = select(BatchRow.attempt, BatchRow.size).where(BatchRow.resend)
        assert sorted(map(tuple, session.execute(rows))) == [(2, 1), (3, 1)]


def test_a_letter_sent_again_is_the_same_letter(database: Database) -> None:
    """Through a whole worker: same Message-ID, same body; the campaign is finished meanwhile."""
    campaign = books.sending(database, 2)
    relay = ScriptedRelay({"reader1@example.org": Silence()})
    worker = books.dispatcher(database, relay)
    worker.work()
    with database.transaction() as session:
        assert books.stored(session, campaign).state is State.FINISHED
        assert books.stored(session, campaign).uncertain_count == 1
        resolving.resolve(session, campaign, ADA, "resend", **BY_ADA)
    relay.endings.clear()
    worker.work()
    worker.close()

    first, _, again = relay.sent
    assert message_id(first) == message_id(again)
    assert first.data.partition(b"\r\n\r\n")[2] == again.data.partition(b"\r\n\r\n")[2]
    with database.reading() as session:
        assert verified(session, campaign)["accepted"] == 2
        assert books.stored(session, campaign).uncertain_count == 0


def test_an_unsubscribed_reader_is_not_sent_to_again(database: Database) -> None:
    campaign = books.sending(database, 1)
    relay = ScriptedRelay({"reader1@example.org": Silence()})
    worker = books.dispatcher(database, relay)
    worker.work()
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "resend", **BY_ADA)
        reader = SubscriberId(ADA)
        subscribers.unsubscribe(session, reader, segments=None, now=NOON, source="a page")
    worker.work()
    worker.close()

    assert len(relay.sent) == 1
    with database.reading() as session:
        row = session.get_one(ResolutionRow, (campaign, ADA, 2))
        assert (row.outcome, row.evidence) == ("abandoned", "not sent again: unsubscribed")


def test_the_count_of_a_campaign_that_is_not_over_is_left_alone(database: Database) -> None:
    campaign = books.sending(database, 2)
    with database.transaction() as session:
        held = started(session)
        ledger.record(session, held, [Result(ADA, "uncertain", NOON, chunk=1)])
        resolving.resolve(session, campaign, ADA, "accepted", **BY_ADA)
        assert books.stored(session, campaign).uncertain_count == 0
        assert verified(session, campaign)["accepted"] == 1


def message_id(message: Message) -> bytes:
    return message.data.split(b"Message-ID: ")[1].split(b"\r\n")[0]


def test_a_count_that_says_otherwise_is_a_breach(database: Database) -> None:
    campaign = finished(database, "ua")
    with database.transaction() as session:
        session.execute(update(CampaignRow).values(uncertain_count=5))
        assert (
            "5 uncertain letters were counted, the rows say otherwise"
            in queries.verify(session, campaign).breaches
        )
        assert session.get_one(DeliveryRow, (campaign, ADA)).outcome == "uncertain"


def test_what_was_learnt_later_is_explained(database: Database) -> None:
    campaign = finished(database, "u")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "abandoned", **BY_ADA)
        resolving.came_back(session, [(campaign, ADA, "click")], now=NOON)
        found = queries.explain(session, campaign, ADA)

    assert found is not None
    assert (found.line.outcome, found.line.counts_as) == ("uncertain", "accepted")
    assert [(one.outcome, one.actor) for one in found.resolutions] == [
        ("abandoned", "ada"),
        ("accepted", "tracking"),
    ]


def test_a_reply_counts_however_often_the_letter_was_offered(database: Database) -> None:
    campaign = finished(database, "u")
    with database.transaction() as session:
        resolving.resolve(session, campaign, ADA, "resend", **BY_ADA)
    row = Reply(250, "2.0.0", "ok")
    with database.transaction() as session:
        held = started(session)
        rows = [ledger.accepted(held, ADA, 1, row, "relay", NOON)]
        ledger.record(session, held, [], rows=rows)
        assert session.get_one(ResolutionRow, (campaign, ADA, 2)).evidence == (
            "sent again: 250 2.0.0 ok"
        )
