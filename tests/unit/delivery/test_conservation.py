"""audience = accepted + refused + skipped + expired + uncertain + open: always, and to the last."""

import os
import random
from collections import Counter
from itertools import count

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.models import CampaignRow
from mailer.delivery import actions, batch, chunk, guards, ledger, queries, resolving
from mailer.delivery.ledger import Deferral, Entry, Result
from mailer.delivery.resolutions import FACTS
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON

CAMPAIGNS = int(os.environ.get("DIBAO_TEST_CAMPAIGNS", "40"))
"""On each database; 1,000 take some minutes: -o timeout=0."""

FATES = (
    *("accepted", "accepted", "accepted", "refused", "skipped", "expired"),
    *("uncertain", "uncertain", "deferred", "deferred", "unsent"),
)


class Ledger:
    """One campaign, and what ought to stand in its books."""

    def __init__(self, session: Session, campaign: CampaignId, chance: random.Random) -> None:
        self.session, self.campaign, self.chance = session, campaign, chance
        self.audience = books.stored(session, campaign).audience_count
        self.outcomes: dict[int, str] = {}
        self.uncertain: set[int] = set()  # in `delivery`, whatever was learnt since
        self.cancelled = False

    def step(self) -> bool:
        """Work a batch, or a part of it; whether there was one."""
        held = batch.lease(self.session, "one", seconds=60)
        if held is None:
            return False
        assert held.campaign == self.campaign
        chunk.start(self.session, held, 1, held.size, flushed=0, seconds=60)
        segments = books.stored(self.session, self.campaign).segments
        people = chunk.people(self.session, held, segments, 0, held.size, now=NOON)
        entries: list[Entry] = []
        left = 0
        for person in people.people:
            fate = self.chance.choice(FATES)
            if fate == "unsent":
                left += 1
            elif fate == "deferred":
                who = person.subscriber
                entries.append(Deferral(who, NOON, NOON, NOON, 451, "4.7.1", "later"))
            else:
                entries.append(Result(person.subscriber, fate, NOON, chunk=1))
                self.note(person.subscriber, fate, again=held.resend)
        ledger.record(self.session, held, entries)
        if left:
            batch.release(self.session, held)
        else:
            assert batch.account(self.session, held, flushed=1, done=True)
        return True

    def note(self, subscriber: int, outcome: str, *, again: bool) -> None:
        if not again:
            assert subscriber not in self.outcomes
            self.outcomes[subscriber] = outcome
            if outcome == "uncertain":
                self.uncertain.add(subscriber)
        elif outcome in FACTS:
            self.outcomes[subscriber] = outcome

    def learn(self) -> None:
        """Something comes to light about an uncertain letter, or somebody decides."""
        open_ = [n for n in sorted(self.uncertain) if self.outcomes[n] == "uncertain"]
        if not open_:
            return
        who = self.chance.choice(open_)
        what = self.chance.choice(("accepted", "refused", "resend", "abandoned", "open"))
        if what == "open":
            resolving.came_back(self.session, [(self.campaign, who, "open")], now=NOON)
            self.outcomes[who] = "accepted"
        elif what != "resend" or not self.cancelled:
            words = {"evidence": "seen", "actor": "ada"}
            resolving.resolve(self.session, self.campaign, who, what, now=NOON, **words)
            self.outcomes[who] = what if what in FACTS else "uncertain"

    def cancel(self) -> None:
        if books.stored(self.session, self.campaign).is_over:
            return
        actions.cancel(self.session, self.campaign, now=NOON)
        self.cancelled = True
        rows = queries.ledger_lines(self.session, self.campaign, outcome="skipped")
        for line in rows:
            self.outcomes.setdefault(line.subscriber, "skipped")

    def holds(self) -> None:
        """The law, now."""
        counted = ledger.counts(self.session, self.campaign)
        assert {k: n for k, n in counted.items() if n} == Counter(self.outcomes.values())
        sums = queries.progress(self.session, self.campaign)
        assert sums.audience == self.audience == sum(sums.sums.values())
        assert sums.open >= 0


@pytest.mark.slow
def test_any_campaign_adds_up_at_every_step(database: Database) -> None:
    """Any outcome, in any order, with resends, resolutions and cancels between."""
    with database.transaction() as session:
        books.people(session, 4)
        books.people(session, 3, first=20, segments=("luxury",), domain="gmail.com")
        books.people(session, 2, first=40, segments=("ai", "luxury"))
        books.people(session, 1, first=60, state="pending")
    ends: Counter[State] = Counter()
    seen: Counter[str] = Counter()
    for number in range(1, CAMPAIGNS + 1):
        chance = random.Random(number)  # noqa: S311  # a script, not a secret
        with database.transaction() as session:
            keys = chance.choice((("ai",), ("luxury",), ("ai", "luxury")))
            campaign = books.campaign(session, segments=keys, number=number)
            books.launched(session, campaign, batch_size=chance.choice((2, 3, 100)))
            one = Ledger(session, campaign, chance)
            for turn in count():
                went_on = one.step()
                if chance.random() < 0.4:
                    one.learn()
                if turn and chance.random() < 0.02:
                    one.cancel()
                one.holds()
                ledger.close(session, campaign, now=NOON)
                if not went_on and not batch.due(session):
                    break
            one.holds()
            found = queries.verify(session, campaign)
            assert found.breaches == (), (number, found)
            assert found.sums["open"] == 0
            ends[books.stored(session, campaign).state] += 1
            seen += Counter(one.outcomes.values())

    assert set(ends) == {State.FINISHED, State.CANCELLED}
    assert set(seen) == set(ledger.OUTCOMES)


@pytest.mark.parametrize("missing", [1, 3])
def test_the_database_itself_refuses_to_close_a_campaign_that_does_not_add_up(
    database: Database, missing: int
) -> None:
    campaign = books.sending(database, 3)
    finished = update(CampaignRow).where(CampaignRow.id == campaign).values(state=State.FINISHED)
    with database.transaction() as session:
        held = batch.lease(session, "one", seconds=60)
        assert held is not None
        some = [Result(n, "accepted", NOON, chunk=1) for n in range(1, 4 - missing)]
        ledger.store(session, held, some)
    with (
        pytest.raises(DatabaseError, match="the campaign does not add up"),
        database.transaction() as session,
    ):
        session.execute(finished)
    with database.transaction() as session:
        rest = [Result(n, "accepted", NOON, chunk=1) for n in range(4 - missing, 4)]
        ledger.store(session, held, rest)
        session.execute(finished)
        assert books.stored(session, campaign).state is State.FINISHED


def test_a_guard_that_is_gone_is_a_breach(database: Database) -> None:
    campaign = books.sending(database, 1)
    for statement in ("DROP TRIGGER campaign_adds_up", "DROP TRIGGER delivery_keeps_rows"):
        name = statement.split()[-1]
        if not database.is_sqlite:
            name = {"delivery_keeps_rows": "delivery_keeps"}.get(name, name)
            table = "campaign" if name == "campaign_adds_up" else "delivery"
            statement = f"DROP TRIGGER {name} ON {table}"  # noqa: PLW2901
        kept = next(
            words
            for dialect, words in (one for all_ in guards.STATEMENTS.values() for one in all_)
            if dialect == ("sqlite" if database.is_sqlite else "postgresql")
            and words.startswith(f"CREATE TRIGGER {name} ")
        )
        with database.transaction() as session:
            session.execute(text(statement))
            found = queries.verify(session, campaign).breaches
            session.execute(text(kept))
            assert found == ("1 guards that the database lacks",)
            assert queries.verify(session, campaign).holds
