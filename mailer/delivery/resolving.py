"""The verbs about uncertain letters: resolve them, send them again, take in what proves receipt.

A person resolves with evidence, and is refused where a fact is known already. A machine that brings
the opposite of a known fact is logged as a breach, and the first fact stays. Only letters whose row
in `delivery` says uncertain can be resolved; of all others nothing happens.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import opening, resolutions
from mailer.delivery.models import AudienceRow, BatchRow, DeliveryRow
from mailer.delivery.opening import Opening
from mailer.delivery.resolutions import Learnt, Standing
from mailer.kit.database import database_now
from mailer.kit.errors import Conflict, Invalid

CHOICES: Final = ("accepted", "refused", "resend", "abandoned")
"""What somebody can resolve an uncertain letter to."""

PROOF: Final[Mapping[str, str]] = {
    "accepted": "accepted",
    "delivered": "accepted",
    "bounced": "accepted",  # by a receiver later on: the relay had taken it
    "complained": "accepted",
    "open": "accepted",
    "click": "accepted",
    "unsubscribe": "accepted",
    "rejected": "refused",  # the relay itself would not have it
}
"""What a relay's provider or a reader does -> what it proves of the hand-over."""

_BATCH = 1000  # people of one batch that sends letters again
_SOME = 500  # ids in one statement


class NotUncertain(Conflict):
    """Only uncertain letters are resolved; what became of the others is known."""


class AlreadyKnown(Conflict):
    """What became of the letter is known already."""


class NothingToResend(Conflict):
    """Letters are sent again for campaigns that are sending, paused or finished."""


class EvidenceMissing(Invalid):
    """A resolution needs its evidence: what was seen, and where."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What resolving did."""

    changed: tuple[int, ...] = ()  # subscribers
    unchanged: tuple[int, ...] = ()  # it was known, or under way, already

    def plus(self, other: "Resolved") -> "Resolved":
        """Both together."""
        return Resolved(self.changed + other.changed, self.unchanged + other.unchanged)


def resolve(
    session: Session,
    campaign: CampaignId,
    people: int | Collection[int],
    outcome: str,
    *,
    evidence: str,
    actor: str,
    now: datetime,
) -> Resolved:
    """Enter what a person decided about one uncertain letter or many: all of them, or none.

    `outcome` is one of CHOICES; with "resend" a batch is opened that sends the letters again under
    the same Message-IDs. Asking twice changes nothing. Raises NotUncertain, AlreadyKnown where a
    fact says otherwise, NothingToResend, EvidenceMissing, CampaignNotFound.
    """
    if outcome not in CHOICES:
        raise ValueError(f"no outcome of a resolution: {outcome}")
    if not evidence.strip():
        raise EvidenceMissing
    asked = sorted({people} if isinstance(people, int) else set(people))
    here = resolutions.standings(session, campaign, asked)
    if others := [one for one in asked if one not in here]:
        campaigns.campaign(session, campaign)
        raise NotUncertain(f"Not uncertain in campaign {campaign}: {_some(others)}")
    if known := [one for one in asked if here[one].contradicts(outcome)]:
        raise AlreadyKnown(f"Known to be {here[known[0]].outcome}: {_some(known)}")
    fresh = {one: stands for one, stands in here.items() if stands.takes(outcome)}
    if outcome == "resend":
        _send_again(session, campaign, fresh, evidence=evidence, actor=actor, now=now)
    else:
        _add(session, campaign, fresh, outcome, evidence=evidence, actor=actor, now=now)
    return Resolved(tuple(fresh), tuple(one for one in asked if one not in fresh))


def learn(
    session: Session,
    campaign: CampaignId,
    proofs: Mapping[int, str],
    outcome: str,
    *,
    actor: str,
    now: datetime,
) -> Resolved:
    """Enter what a machine proved: subscriber -> evidence. Whoever is not uncertain is left out.

    A contradiction is logged as a breach, and what was known stays.
    """
    here = resolutions.standings(session, campaign, proofs)
    fresh = []
    for subscriber, stands in here.items():
        if stands.contradicts(outcome):
            resolutions.breach(campaign, subscriber, stands, outcome)
        elif stands.takes(outcome):
            told = (outcome, proofs[subscriber], actor, now)
            fresh.append(Learnt(subscriber, stands.number + 1, *told))
    resolutions.add(session, campaign, fresh)
    changed = tuple(one.subscriber for one in fresh)
    return Resolved(changed, tuple(one for one in here if one not in set(changed)))


def resend(
    session: Session,
    campaign: CampaignId,
    people: Collection[int],
    *,
    evidence: str,
    actor: str,
    now: datetime,
    whole: bool = False,
) -> Resolved:
    """Send uncertain letters again that are proven not to have left, where that is still open.

    For machines. The evidence of most speaks of the first time a letter was offered, so whoever
    was resolved since is left alone; `whole` says that it speaks of every time, and then only
    those are whose fate is known or who are under way again. Raises NothingToResend.
    """
    here = resolutions.standings(session, campaign, people)
    fresh = {
        one: stands
        for one, stands in here.items()
        if stands.takes("resend") and (whole or not stands.number)
    }
    _send_again(session, campaign, fresh, evidence=evidence, actor=actor, now=now)
    return Resolved(tuple(fresh), tuple(one for one in here if one not in fresh))


def came_back(
    session: Session, events: Iterable[tuple[int, int, str]], *, now: datetime
) -> Resolved:
    """Letters that something came back of have been received, whoever or whatever opened them.

    `events`: campaign, subscriber, and what it was ("open", "click", "unsubscribe"). One look-up
    by index where nobody is uncertain, which is nearly always. In the transaction that stores them.
    """
    what: dict[int, dict[int, str]] = defaultdict(dict)
    for campaign, subscriber, kind in events:
        if subscriber and PROOF.get(kind) == "accepted":
            what[campaign].setdefault(subscriber, f"came back: {kind}")
    total = Resolved()
    for number in _with_doubts(session, what):
        proofs = what[number]
        total = total.plus(
            learn(session, CampaignId(number), proofs, "accepted", actor="tracking", now=now)
        )
    return total


def provider_event(
    session: Session,
    campaign: CampaignId,
    subscriber: int,
    happened: str,
    *,
    evidence: str,
    now: datetime,
) -> Resolved:
    """Take in what the relay's provider reports of a letter; `happened` is one of PROOF.

    Of a letter that is not uncertain nothing happens here. `reconciling.named` finds a letter by
    its Message-ID. Raises ValueError for a happening that proves nothing.
    """
    if happened not in PROOF:
        raise ValueError(f"no proof of a hand-over: {happened}")
    said = {subscriber: f"provider: {happened} {evidence}".strip()}
    return learn(session, campaign, said, PROOF[happened], actor="provider", now=now)


def _some(people: Sequence[int]) -> str:
    more = f" and {len(people) - 10:,} more" if len(people) > 10 else ""
    return ", ".join(map(str, people[:10])) + more


def _add(
    session: Session,
    campaign: CampaignId,
    people: Mapping[int, Standing],
    outcome: str,
    *,
    evidence: str,
    actor: str,
    now: datetime,
) -> None:
    learnt = [
        Learnt(subscriber, stands.number + 1, outcome, evidence, actor, now)
        for subscriber, stands in people.items()
    ]
    resolutions.add(session, campaign, learnt)


def _send_again(
    session: Session,
    campaign: CampaignId,
    people: Mapping[int, Standing],
    *,
    evidence: str,
    actor: str,
    now: datetime,
) -> None:
    """Open a batch, or some, of the edition and lane these people's letters were in."""
    if not people:
        return
    state = campaigns.campaign(session, campaign).state
    if state not in {State.SENDING, State.PAUSED, State.FINISHED}:
        raise NothingToResend(f"Campaign {campaign} is {state}: nothing of it is sent again")
    moment = database_now(session)
    learnt = []
    for place, group in sorted(_places(session, campaign, people).items()):
        edition, lane, attempt, zone = place
        for start in range(0, len(group), _BATCH):
            part = group[start : start + _BATCH]
            size = len(part)
            wanted = Opening(edition, lane, attempt + 1, moment, size, zone=zone, resend=True)
            number = opening.opened(session, campaign, wanted)
            told = ("resend", evidence, actor, now, number)
            learnt += [
                Learnt(one, people[one].number + 1, *told, position)
                for position, one in enumerate(part, 1)
            ]
    resolutions.add(session, campaign, learnt)


def _places(
    session: Session, campaign: CampaignId, people: Mapping[int, Standing]
) -> dict[tuple[int, str, int, str], list[int]]:
    """Edition, lane, last try and time zone of people's letters -> who."""
    last_try = {
        row.number: (row.attempt, row.zone)
        for row in session.execute(
            select(BatchRow.number, BatchRow.attempt, BatchRow.zone).where(
                BatchRow.campaign_id == campaign
            )
        )
    }
    found: dict[tuple[int, str, int, str], list[int]] = defaultdict(list)
    everybody = sorted(people)
    for start in range(0, len(everybody), _SOME):
        rows = (
            select(
                DeliveryRow.subscriber_id,
                AudienceRow.edition_id,
                AudienceRow.lane,
                func.coalesce(DeliveryRow.batch, AudienceRow.batch),
            )
            .join(
                AudienceRow,
                and_(
                    AudienceRow.campaign_id == DeliveryRow.campaign_id,
                    AudienceRow.subscriber_id == DeliveryRow.subscriber_id,
                ),
            )
            .where(
                DeliveryRow.campaign_id == campaign,
                DeliveryRow.subscriber_id.in_(everybody[start : start + _SOME]),
            )
            .order_by(DeliveryRow.subscriber_id)
        )
        for subscriber, edition, lane, batch in session.execute(rows):
            tries, zone = last_try.get(people[subscriber].batch or batch, (1, ""))
            found[edition or 0, lane or "", tries, zone].append(subscriber)
    return found


def _with_doubts(session: Session, seen: Mapping[int, Mapping[int, str]]) -> tuple[int, ...]:
    """Which of these campaigns have uncertain letters at all."""
    if not seen:
        return ()
    rows = (
        select(DeliveryRow.campaign_id)
        .where(DeliveryRow.campaign_id.in_(sorted(seen)), DeliveryRow.outcome == "uncertain")
        .distinct()
    )
    return tuple(sorted(session.scalars(rows)))
