"""Who gets what of a campaign, and why: before it is sent a forecast, afterwards the books."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import Campaign, CampaignId, EditionId
from mailer.content.issue import Issue
from mailer.delivery import audience
from mailer.delivery import queries as delivery
from mailer.delivery.audience import NOTHING
from subscribers import queries as subscribers
from subscribers.address import Canon, EmailAddress
from subscribers.standing import EXCLUDED, TOO_SOON, UNFOLLOWED

_TRACKING = ("nothing", "opens", "clicks", "opens and clicks")
_OUTCOMES = {
    "accepted": "The relay took the letter.",
    "refused": "The relay refused the letter for good.",
    "skipped": "The letter was not sent.",
    "expired": "The letter was deferred until our patience ran out.",
    "uncertain": "Whether the letter left was unknown; it is never sent again on a guess.",
    "open": "The letter is still to be sent.",
    "excluded": "Left out when the audience was frozen.",
}
_WHY = {
    UNFOLLOWED: "Follows nothing any more, so that a rule brings them no letter either.",
    EXCLUDED: "Is in a segment that the campaign leaves out ({}).",
    TOO_SOON: "Had another issue too lately for how often they want letters.",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one address has to do with a campaign."""

    campaign: CampaignId
    included: bool
    segments: tuple[str, ...]  # of the campaign, that they are in
    outcome: str  # "" before the freeze and for strangers
    items: tuple[str, ...]  # titles of what they read, in order
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EditionForecast:
    """One edition, and how many would get it now."""

    segments: tuple[str, ...]
    tracking: int
    people: int
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Who would get what if the campaign were sent now."""

    candidates: int
    audience: int
    excluded: Mapping[str, int]  # reason -> people
    editions: tuple[EditionForecast, ...]
    excluded_segments: tuple[str, ...]  # whose people are left out


def explain(
    session: Session,
    campaign: CampaignId,
    address: EmailAddress,
    *,
    key: bytes | Canon,
    now: datetime,
) -> Explanation:
    """Say why an address gets the mail, or does not, and what became of it."""
    found = campaigns.campaign(session, campaign)
    subscriber = subscribers.by_address(session, address, key=key)
    if subscriber is None:
        nobody = ("Nobody subscribes with this address.",)
        return Explanation(
            campaign, included=False, segments=(), outcome="", items=(), sentences=nobody
        )
    standing = subscribers.explain(session, subscriber, now=now)
    mask, why = audience.forecast(session, campaign, subscriber, now=now) or (0, None)
    line = delivery.explain(session, campaign, subscriber)
    frozen = found.frozen_at is not None
    sentences = [*standing.sentences, *_books(found, line)]
    issue = campaigns.issue(session, found, now=now)
    ruled = subscribers.ruled(session)
    segments = issue.read_in(found.keys(mask), ruled)
    if frozen and line is not None and line.line.edition is not None:
        segments = campaigns.edition(session, EditionId(line.line.edition)).segments
    items = _items(issue, segments)
    spoken_to = bool(segments) and (bool(items) or not issue.items)
    included = spoken_to and (
        (line is not None and line.line.outcome != "excluded") if frozen else why is None
    )
    if included:
        sentences.append(_edition(segments, standing.subscriber.tracking & found.tracking))
    elif not segments and standing.subscriber.is_mailable:
        sentences.append(f"Is in none of the campaign's segments ({', '.join(found.segments)}).")
    elif not frozen and why in _WHY:
        sentences.append(_WHY[why].format(", ".join(found.excluded_segments)))
    elif segments and not spoken_to:
        sentences.append(f"The issue has no item for {', '.join(segments)}.")
    outcome = line.line.counts_as if line else ""
    read = items if included else ()
    return Explanation(campaign, included, segments, outcome, read, tuple(sentences))


def preview(session: Session, campaign: CampaignId, *, now: datetime) -> Forecast:
    """Count who would get which edition now; excluded people by reason."""
    found = campaigns.campaign(session, campaign)
    issue = campaigns.issue(session, found, now=now)
    editions = []
    ruled = subscribers.ruled(session)
    excluded = Counter(dict(delivery.left_out(session, campaign, now=now)))
    for mask, tracking, people in delivery.needed(session, campaign, now=now):
        segments = issue.read_in(found.keys(mask), ruled)
        items = _items(issue, segments)
        if issue.items and not items:
            excluded[NOTHING] += people
        else:
            editions.append(EditionForecast(segments, tracking, people, items))
    included = sum(edition.people for edition in editions)
    candidates = included + sum(excluded.values())
    return Forecast(candidates, included, dict(excluded), tuple(editions), found.excluded_segments)


def _items(issue: Issue, segments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item.title or "(tip)" for item in issue.for_segments(segments).items)


def _edition(segments: tuple[str, ...], tracking: int) -> str:
    return f"Reads the edition for {', '.join(segments)}; {_TRACKING[tracking]} tracked."


def _books(campaign: Campaign, known: delivery.Explanation | None) -> list[str]:
    if campaign.frozen_at is None:
        return ["The audience is not frozen yet: this is what would happen now."]
    if known is None:
        return ["Was in none of the campaign's segments when its audience was frozen."]
    line = known.line
    said = [_OUTCOMES[line.outcome]]
    if line.reason:
        said.append(f"Reason: {line.reason}.")
    if line.code:
        said.append(f"The relay said: {line.code} {line.enhanced} {line.reply}".strip())
    if deferrals := len(known.attempts):
        said.append(f"Deferred {'once' if deferrals == 1 else f'{deferrals} times'}.")
    if known.next_try is not None:
        said.append(f"The next try is due at {known.next_try:%Y-%m-%d %H:%M} UTC.")
    if line.evidence:
        said.append(f"Evidence: {line.evidence}.")
    for later in known.resolutions:
        said.append(f"{later.at:%Y-%m-%d %H:%M} UTC: {later.outcome}, says {later.actor}.")
        if later.evidence:
            said.append(f"Evidence: {later.evidence}.")
    return said
