"""One batch after the other into the database, each in one transaction with the import's sums."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.kit.database import Database
from subscribers import bulk
from subscribers.address import Canon
from subscribers.consent import Origin
from subscribers.intake import runs
from subscribers.intake.batch import Batch
from subscribers.intake.merge import Outcome
from subscribers.intake.plan import Plan, Progress
from subscribers.intake.row import Refusal
from subscribers.intake.run import Run


class Entering:
    """One import on its way into the database."""

    def __init__(
        self,
        database: Database,
        plan: Plan,
        run: Run | None,
        *,
        key: bytes | Canon,
        now: datetime,
    ) -> None:
        self._database, self._plan, self._run = database, plan, run
        self._key, self._now = key, now
        self._source = run.source if run else plan.source

    def store(self, batch: Batch, so_far: Progress) -> Progress:
        """Store a batch in one transaction; return the sums with it."""
        if self._plan.dry_run:
            with self._database.reading() as session:
                return self._entered(session, batch, so_far)
        return self._database.settled(lambda session: self._entered(session, batch, so_far))

    def refused_before(self, batch: Batch) -> tuple[Refusal, ...]:
        """Refuse again what an earlier start of this import refused, for the file of refusals."""
        assert self._run is not None
        with self._database.reading() as session:
            ours = runs.dealt_with(session, self._run.id, [key for _, key, _ in batch.people])
            rest = replace(batch, people=[each for each in batch.people if each[1] not in ours])
            return rest.refused(self._decided(session, rest, dry_run=True))

    def _entered(self, session: Session, batch: Batch, so_far: Progress) -> Progress:
        outcomes = self._decided(session, batch, dry_run=self._plan.dry_run)
        counts = batch.summed(so_far.counts, outcomes)
        if self._run:
            if batch.opted_out:
                bulk.suppress(session, batch.opted_out, now=self._now, evidence=self._source)
            runs.note(session, self._run.id, so_far.counts, counts, now=self._now)
        return replace(so_far, counts=counts, refusals=batch.refused(outcomes))

    def finish(self) -> None:
        """Note that the file is read to its end."""
        if self._run:
            with self._database.transaction() as session:
                runs.finish(session, self._run.id, now=self._now)

    def _decided(self, session: Session, batch: Batch, *, dry_run: bool) -> tuple[Outcome, ...]:
        return bulk.store(
            session,
            [incoming.person for _, _, incoming in batch.people],
            policy=self._plan.policy,
            now=self._now,
            key=self._key,
            wording=self._plan.basis.strip(),
            origin=Origin(self._source, self._plan.actor),
            dry_run=dry_run,
            keys=[key for _, key, _ in batch.people],
            evidence=[incoming.evidence for _, _, incoming in batch.people],
            run=self._run.id if self._run else None,
        )
