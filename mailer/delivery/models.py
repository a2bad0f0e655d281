"""Tables of the delivery: who gets what, who works on it, what became of it, what holds it up.

`audience`, `batch`, `delivery`, `attempt`, `resolution`, `worker`, `brake`, `allowance`,
`mail_domain` and `instance_guard`.

`audience` (once frozen), `delivery`, `attempt` and `resolution` are insert-only: a trigger refuses
UPDATE and DELETE (`guards.py`). They hold ids, never addresses.

These four have no foreign keys on purpose. Each key is one more look-up and one lock on the row
referred to, per row: on PostgreSQL 15 they doubled the cost of a freeze (26 against 13 µs per
person). The freeze takes its ids from the very tables they would be checked against, results come
from the audience, and `queries.verify` names any that does not.
"""

from datetime import date, datetime

from sqlalchemy import DDL, CheckConstraint, ForeignKey, Index, Table, Text, event, false, text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.delivery import guards
from mailer.kit.database import Base, Moment


class AudienceRow(Base):
    """`audience`: one row per campaign and subscriber; those left out carry the reason."""

    __tablename__ = "audience"
    __table_args__ = (
        Index("ix_audience_place", "campaign_id", "batch", "position"),
        Index(  # one mail per mailbox, even with two rows for it
            "uq_audience_address",
            "campaign_id",
            "address_key",
            unique=True,
            sqlite_where=text("excluded IS NULL"),
            postgresql_where=text("excluded IS NULL"),
        ),
    )

    campaign_id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True)
    address_key: Mapped[str] = mapped_column(Text)  # keyed hash of the address
    edition_id: Mapped[int | None]
    lane: Mapped[str | None] = mapped_column(Text)
    batch: Mapped[int | None]  # number of the first batch; later ones stand in `attempt`
    position: Mapped[int | None]  # in the batch, from 1
    excluded: Mapped[str | None] = mapped_column(Text)  # reason


class BatchRow(Base):
    """`batch`: what a worker leases."""

    __tablename__ = "batch"
    __table_args__ = (Index("ix_batch_due", "state", "not_before"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    edition_id: Mapped[int] = mapped_column(ForeignKey("edition.id"))
    lane: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=1)  # which try of its people this is, from 1
    not_before: Mapped[datetime] = mapped_column(Moment)
    size: Mapped[int]
    state: Mapped[str] = mapped_column(Text, default="open")  # open, done
    epoch: Mapped[int] = mapped_column(default=0)  # rises with each lease, release and judgement
    worker: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[datetime | None] = mapped_column(Moment)
    chunks_started: Mapped[int] = mapped_column(default=0)
    chunks_flushed: Mapped[int] = mapped_column(default=0)
    started_to: Mapped[int] = mapped_column(default=0)  # highest position of a started chunk
    deaths: Mapped[int] = mapped_column(default=0)  # leases lost by the death of their worker
    reason: Mapped[str] = mapped_column(Text, default="")  # why it was given back early
    wave: Mapped[int] = mapped_column(default=0, server_default="0")  # the most engaged are in 0
    zone: Mapped[str] = mapped_column(Text, default="", server_default="")  # its people's clock
    resend: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Its people stand in `resolution`: uncertain letters that are known not to have left."""
    relay: Mapped[str] = mapped_column(Text, default="", server_default="")  # it was last sent by


class DeliveryRow(Base):
    """`delivery`: the result for one recipient, at most one."""

    __tablename__ = "delivery"
    __table_args__ = (
        CheckConstraint(
            "outcome IN ('accepted', 'refused', 'skipped', 'expired', 'uncertain')", name="outcome"
        ),
        Index(  # the few that are listed by name
            "ix_delivery_uncertain",
            "campaign_id",
            sqlite_where=text("outcome = 'uncertain'"),
            postgresql_where=text("outcome = 'uncertain'"),
        ),
    )

    campaign_id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(Text)  # accepted refused skipped expired uncertain
    code: Mapped[int | None]
    enhanced: Mapped[str] = mapped_column(Text, default="")
    reply: Mapped[str] = mapped_column(Text, default="")  # the recipient's address cut out
    reason: Mapped[str] = mapped_column(Text, default="")  # cause of a refusal, why skipped
    relay: Mapped[str] = mapped_column(Text, default="")
    worker: Mapped[str] = mapped_column(Text, default="")
    batch: Mapped[int | None]
    epoch: Mapped[int | None]
    chunk: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(Moment)
    evidence: Mapped[str] = mapped_column(Text, default="")


class AttemptRow(Base):
    """`attempt`: one try that was deferred, and the later batch it goes to."""

    __tablename__ = "attempt"
    __table_args__ = (Index("ix_attempt_place", "campaign_id", "batch", "position"),)

    campaign_id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # of the try, from 1
    code: Mapped[int | None]
    enhanced: Mapped[str] = mapped_column(Text, default="")
    reply: Mapped[str] = mapped_column(Text, default="")
    worker: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime] = mapped_column(Moment)
    first_tried: Mapped[datetime] = mapped_column(Moment)
    batch: Mapped[int]  # the later batch
    position: Mapped[int]


class ResolutionRow(Base):
    """`resolution`: what was learnt later about an uncertain letter."""

    __tablename__ = "resolution"
    __table_args__ = (Index("ix_resolution_place", "campaign_id", "batch", "position"),)

    campaign_id: Mapped[int] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(Text)  # accepted refused resend abandoned
    evidence: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Moment)
    batch: Mapped[int | None]  # with resend: the batch that sends it again
    position: Mapped[int | None]  # in it


class WorkerRow(Base):
    """`worker`: who is, or was, sending."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    boot_id: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    journal: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(Moment)
    heartbeat_at: Mapped[datetime] = mapped_column(Moment)
    stopped_at: Mapped[datetime | None] = mapped_column(Moment)  # left in order
    queues: Mapped[str] = mapped_column(Text, default="", server_default="")  # it hears knocks of


class BrakeRow(Base):
    """`brake`: what must not be sent now, and why. Closed ones stay, as the history."""

    __tablename__ = "brake"
    __table_args__ = (
        Index(  # one at a time for each thing
            "uq_brake_on",
            "scope",
            "name",
            unique=True,
            sqlite_where=text("off_at IS NULL"),
            postgresql_where=text("off_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(Text)  # all, relay, lane, campaign
    name: Mapped[str] = mapped_column(Text)  # of the relay or lane, number of the campaign; "" all
    cause: Mapped[str] = mapped_column(Text)  # a word: auth, refused, blocked, deferrals, hand …
    reason: Mapped[str] = mapped_column(Text)  # a sentence, with the figures or the reply
    actor: Mapped[str] = mapped_column(Text)  # who put it on: a worker, or a person by name
    on_at: Mapped[datetime] = mapped_column(Moment)
    probe_at: Mapped[datetime | None] = mapped_column(Moment)  # None: only a person takes it off
    trips: Mapped[int] = mapped_column(default=1)  # times it went on without a success between
    probing: Mapped[bool] = mapped_column(default=False)  # a little may go, to see
    off_at: Mapped[datetime | None] = mapped_column(Moment)
    off_by: Mapped[str] = mapped_column(Text, default="")  # what or who took it off


class AllowanceRow(Base):
    """`allowance`: how much of a day's warm-up allowance of a relay and lane is taken."""

    __tablename__ = "allowance"

    relay: Mapped[str] = mapped_column(Text, primary_key=True)
    lane: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)  # UTC
    step: Mapped[int] = mapped_column(default=0)  # rung of the ladder, from 0
    cap: Mapped[int]
    taken: Mapped[int] = mapped_column(default=0)


class MailDomainRow(Base):
    """`mail_domain`: where a domain's mail goes, looked up now and then."""

    __tablename__ = "mail_domain"

    domain: Mapped[str] = mapped_column(Text, primary_key=True)
    mx: Mapped[str] = mapped_column(Text)  # the preferred host, lower case; "" where there is none
    looked_up_at: Mapped[datetime] = mapped_column(Moment)


class InstanceGuardRow(Base):
    """`instance_guard`: one row that a restored or copied database gives itself away by."""

    __tablename__ = "instance_guard"

    id: Mapped[int] = mapped_column(primary_key=True)  # 1
    instance: Mapped[str] = mapped_column(Text)  # made once, kept beside every journal too
    counter: Mapped[int] = mapped_column(default=0)  # rises with each sign of life
    cluster: Mapped[str] = mapped_column(Text, default="")  # system and timeline of PostgreSQL
    alive_at: Mapped[datetime] = mapped_column(Moment)


def _install() -> None:
    for row in (AudienceRow, BatchRow, DeliveryRow, AttemptRow, ResolutionRow):
        table = row.__table__
        assert isinstance(table, Table)
        for dialect, statement in guards.STATEMENTS[table.name]:
            ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


_install()
