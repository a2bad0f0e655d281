"""From hits as they came to hits judged together: thinned, looked up, weighed. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.rendering.edition import EditionLink
from mailer.tracking import agents, clicks, machines, opens
from mailer.tracking.event import Event, Kind, Recipient
from mailer.tracking.machines import Judgement, Look
from mailer.tracking.spool import Hit

REPEAT = timedelta(seconds=10)
"""The same request again within this time is the same event: a reload, a retry, a flood."""

BITS = {Kind.OPEN: 1, Kind.CLICK: 2}
"""What a recipient has to allow for a hit to be stored."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A hit of the last minutes: its event, and what else it was judged by."""

    event: Event
    agent: agents.Kind
    crowd: str  # see `crowd`
    head: bool
    prefetch: bool
    waiting: bool  # for its letter's acceptance, which had not been recorded


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters that hits may come from: who got them, and the links in them."""

    people: Mapping[tuple[int, int], Recipient]  # by campaign and subscriber
    links: Mapping[int, Mapping[int, EditionLink]]  # by edition and number

    def link(self, hit: Hit | Event) -> EditionLink | None:
        """The link a click was on; None for an open, a letter or a link there is not."""
        person = self.people.get((hit.campaign, hit.subscriber))
        if person is None or hit.kind != Kind.CLICK:
            return None
        return self.links[person.edition].get(hit.link)

    def crowd(self, hit: Hit) -> str:
        """The crowd a hit came out of; "" for none, and for a letter there is not."""
        person = self.people.get((hit.campaign, hit.subscriber))
        return "" if person is None else crowd(hit.network, person.domain)

    def __or__(self, others: "Letters") -> "Letters":
        """These letters and the others."""
        return Letters({**self.people, **others.people}, {**self.links, **others.links})

    def allow(self, hit: Hit) -> bool:
        """Whether a hit may be stored: its letter exists, its link too, and its reader agrees."""
        person = self.people.get((hit.campaign, hit.subscriber))
        if person is None or not person.tracking & BITS[Kind(hit.kind)]:
            return False
        return hit.kind != Kind.CLICK or self.link(hit) is not None


def crowd(network: str, domain: str) -> str:
    """A name for one domain's readers in one network; "" where being many there says nothing.

    Only they are judged by each other. A network alone would not do: behind the proxies of a large
    provider sit a hundred thousand strangers, and each load would look at all of them again.
    """
    if not network or not domain:
        return ""
    return hashlib.sha256(f"{network} {domain}".encode()).hexdigest()[:16]


def thinned(hits: Iterable[Hit]) -> list[Hit]:
    """One of each run of equal requests, in order: that it came matters, not how often a second."""
    kept: list[Hit] = []
    last: dict[tuple[object, ...], datetime] = {}
    for hit in sorted(hits, key=lambda hit: (hit.at, hit.id)):
        what = (hit.kind, hit.campaign, hit.subscriber, hit.link)
        request = (*what, hit.agent, hit.network, hit.head, hit.prefetch)
        if request not in last or hit.at - last[request] >= REPEAT:
            kept.append(hit)
            last[request] = hit.at
    return kept


def judged(
    hits: Iterable[Hit], old: Iterable[Remembered], letters: Letters
) -> dict[str, Judgement]:
    """The class of every new hit by its id, and of those remembered by their event's number."""
    looks = [_look(hit, letters) for hit in hits]
    people = letters.people
    looks += [_again(o, letters) for o in old if (o.event.campaign, o.event.subscriber) in people]
    around = machines.company(looks)
    judge = {Kind.OPEN: opens.judge, Kind.CLICK: clicks.judge}
    return {look.id: judge[Kind(look.kind)](look, around[look.id]) for look in looks}


def _look(hit: Hit, letters: Letters) -> Look:
    person = letters.people[hit.campaign, hit.subscriber]
    return Look(
        id=hit.id,
        kind=hit.kind,
        campaign=hit.campaign,
        subscriber=hit.subscriber,
        at=hit.at,
        link=hit.link,
        agent=agents.read(hit.agent).kind,
        head=hit.head,
        prefetch=hit.prefetch,
        accepted_at=person.accepted_at,
        links=_tracked(letters, person),
        domain=person.domain,
        network=crowd(hit.network, person.domain),
    )


def _again(old: Remembered, letters: Letters) -> Look:
    event = old.event
    person = letters.people[event.campaign, event.subscriber]
    return Look(
        id=str(event.id),
        kind=event.kind,
        campaign=event.campaign,
        subscriber=event.subscriber,
        at=event.at,
        link=event.link,
        agent=old.agent,
        head=old.head,
        prefetch=old.prefetch,
        accepted_at=person.accepted_at,
        links=_tracked(letters, person),
        domain=person.domain,
        network=old.crowd,
    )


def _tracked(letters: Letters, person: Recipient) -> int:
    return sum(link.tracked for link in letters.links[person.edition].values())
