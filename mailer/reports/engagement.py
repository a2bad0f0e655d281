"""What a reader's events say of an issue: opened, clicked, and for which segments. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailer.tracking.event import Event, Kind
from mailer.tracking.machines import Verdict
from subscribers.engagement import EVERYTHING, Act, Deed, Fact
from subscribers.subscriber import SubscriberId

if TYPE_CHECKING:
    from datetime import datetime

ACTS: Mapping[Kind, Act] = {Kind.OPEN: Act.OPENED, Kind.CLICK: Act.CLICKED}


@dataclass(frozen=True, slots=True)
class Carried:
    """What a campaign carried."""

    issue: int
    segments: Mapping[str, Sequence[int]]  # of each item that is for some segments only


def facts(events: Iterable[Event], carried: Mapping[int, Carried]) -> tuple[Fact, ...]:
    """The first time of everything these events tell of; `carried` by campaign.

    A machine's hit is nobody's act. A doubtful one counts: Gmail's readers all come through its
    image proxy, and "never opened" must not be true of every one of them.
    """
    first: dict[Deed, datetime] = {}
    for event in events:
        act = ACTS.get(event.kind)
        if act is None or event.verdict is Verdict.MACHINE:
            continue
        letter = carried[event.campaign]
        about = letter.segments.get(event.item, ()) if act is Act.CLICKED else ()
        for segment in (EVERYTHING, *about):
            deed = Deed(letter.issue, act, segment, SubscriberId(event.subscriber))
            first[deed] = min(event.at, first.get(deed, event.at))
    return tuple(Fact(deed, at) for deed, at in first.items())
