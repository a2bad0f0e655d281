"""A batch in hand knows of everybody in a started chunk: waiting, settled or surely unsent."""

from datetime import timedelta
from typing import Any

import pytest

from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.delivery.batch import Chunk, Lease, Person
from mailer.delivery.held import Held
from mailer.delivery.ledger import Result
from mailer.delivery.relay import Reply
from mailer.delivery.verdict import Patience
from tests.fakes.books import NOON


@pytest.fixture
def held() -> Held:
    """Chunk 1 of two: 1 and 2 are to be sent to, 3 has left."""
    until = NOON + timedelta(minutes=1)
    lease = Lease(CampaignId(1), 1, EditionId(1), "other", 1, 6, 1, "one", 0, until)
    composer: Any = None  # nothing is composed here
    held = Held(lease, composer, Patience(), relay="postfix")
    people = tuple(Person(n, f"reader{n}@a.example", "", None) for n in (1, 2))
    held.begin(1, 3, Chunk(people, ((3, "unsubscribed"),)), NOON)
    return held


def accept(held: Held, subscriber: int) -> None:
    held.accepted.append((subscriber, 1, Reply(250), NOON))
    held.waiting[1].discard(subscriber)


def test_who_has_left_since_the_freeze_is_skipped_at_once(held: Held) -> None:
    (entry,) = held.take().entries

    assert isinstance(entry, Result)
    assert (entry.subscriber, entry.outcome, entry.reason) == (3, "skipped", "unsubscribed")


def test_a_chunk_is_flushed_when_everybody_in_it_has_a_row(held: Held) -> None:
    accept(held, 1)
    assert (held.take().flushed, held.idle) == (0, False)
    accept(held, 2)
    news = held.take()

    assert (news.flushed, news.done, held.idle) == (1, False, True)
    assert [row[1] for row in news.rows] == [2]
    assert news.rows[0][7] == "postfix", "the relay that took it"


def test_a_chunk_with_somebody_unsent_is_never_flushed(held: Held) -> None:
    """S7a: the process itself names the unsent."""
    accept(held, 1)
    held.leave(1, 2, NOON)
    news = held.take()

    assert (news.flushed, held.idle, held.unsent) == (0, True, {1: {2}})


def test_who_may_not_be_mailed_any_more_is_skipped_instead(held: Held) -> None:
    held.unmailable[2] = "unsubscribed"
    held.leave_all(NOON)
    entries = held.take().entries

    skipped = {e.subscriber for e in entries if isinstance(e, Result) and e.outcome == "skipped"}
    assert (skipped, held.unsent) == ({2, 3}, {1: {1}})


def test_what_could_not_be_written_is_told_again(held: Held) -> None:
    accept(held, 1)
    news = held.take()
    accept(held, 2)
    held.put_back(news)

    again = held.take()

    assert [row[1] for row in again.rows] == [1, 2]
    assert [e.subscriber for e in again.entries] == [3]


def test_what_is_written_is_forgotten(held: Held) -> None:
    accept(held, 1)
    accept(held, 2)
    held.written(held.take())

    assert (held.flushed, held.waiting, held.take().rows) == (1, {}, [])
