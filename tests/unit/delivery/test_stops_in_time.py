"""A worker stops a campaign soon after it goes wrong, and no campaign that does not."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import Campaign, CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import brakes
from mailer.delivery.compose import Composers, Letterhead
from mailer.delivery.dispatch import Dispatcher
from mailer.delivery.pacing import Pacer
from mailer.delivery.plan import BrakePlan, Plan
from mailer.delivery.relay import Reply
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from mailer.kit.signing import Keyring
from tests.fakes.books import NOON, sending
from tests.fakes.relay import ScriptedRelay

DEAD = Reply(550, "5.1.1", "no such user", "rcpt")


def worker(database: Database, relay: ScriptedRelay, plan: BrakePlan | None = None) -> Dispatcher:
    letterhead = Letterhead(Keyring.of("only for tests"), "https://gazette.example")
    single = Plan.single("smtp://relay.example", 1)
    chosen = single.model_copy(update={"brakes": plan or BrakePlan()})
    return Dispatcher(
        database,
        relay,
        None,
        composers=Composers(database, letterhead),
        worker="one",
        pacer=Pacer(chosen, patience=Patience()),
    )


def dead(*numbers: int) -> dict[str, Reply]:
    return {f"reader{n}@example.org": DEAD for n in numbers}


def stored(database: Database, campaign: CampaignId) -> Campaign:
    with database.reading() as session:
        return campaign_queries.campaign(session, campaign)


def work(dispatcher: Dispatcher) -> None:
    while dispatcher.work().more_due:
        pass


def test_at_most_fifty_letters_leave_after_the_limit(database: Database) -> None:
    campaign = sending(database, 1500)
    relay = ScriptedRelay(dead(*range(600, 1501)), at_once=20)
    work(worker(database, relay))
    crossed = 599 + 32  # 32 of 631 are more than 5 %

    assert stored(database, campaign).state is State.PAUSED
    assert "went to addresses that do not exist" in stored(database, campaign).reason
    assert crossed <= len(relay.sent) <= crossed + 50


def test_a_few_dead_addresses_stop_nothing(database: Database) -> None:
    campaign = sending(database, 1500)
    relay = ScriptedRelay(dead(*range(1, 1501, 33)), at_once=20)  # 3 %
    work(worker(database, relay))

    assert len(relay.sent) == 1500
    assert stored(database, campaign).state is State.FINISHED


@pytest.mark.parametrize("refused", [0, 30])
def test_the_rest_waits_for_the_first_hundred(database: Database, refused: int) -> None:
    campaign = sending(database, 600)
    with database.transaction() as session:
        mine = update(CampaignRow).where(CampaignRow.id == campaign)
        session.execute(mine.values(canary_size=100))
    gone = dead(*range(1, 100, 4)) if refused else {}
    relay = ScriptedRelay(gone, at_once=20)
    plan = BrakePlan(canary_wait=timedelta(0), bounces=0.9 if not refused else 0.05)
    one = worker(database, relay, plan.model_copy(update={"window": 10_000}))
    one.work()
    assert len(relay.sent) <= 100
    one.sweep()
    work(one)

    found = stored(database, campaign)
    if refused:
        assert len(relay.sent) <= 100
        assert found.state is State.PAUSED
        with database.transaction() as session:
            brakes.resume(session, campaign, by="Ada", now=NOON)
    else:
        assert len(relay.sent) == 600
        assert found.canary_passed_at is not None
