"""Results in the books, without a relay."""

from sqlalchemy.orm import Session

from mailer.delivery import batch, chunk, ledger
from mailer.delivery.ledger import Result
from tests.fakes.books import NOON


def settled(session: Session, outcome: str, *people: int) -> None:
    held = batch.lease(session, "one", seconds=60)
    assert held is not None
    chunk.start(session, held, 1, held.size, flushed=0, seconds=60)
    ledger.store(session, held, [Result(n, outcome, NOON, chunk=1) for n in people])
