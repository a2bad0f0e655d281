"""What a run came to: the audience, the sink's record and the books, side by side.

In the manner of Jepsen's total-queue: the sink is the truth of what left, the audience of what was
to leave, and the books have to agree with both.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.delivery import queries
from mailer.kit.database import Database
from subscribers.models import SubscriberRow
from tests.faults.sink import Letter

_FINAL = {"accepted", "refused"}


@dataclass(frozen=True, slots=True)
class Findings:
    """People by what is wrong with them; `conservation` is what does not add up."""

    audience: int = 0
    sent: int = 0  # letters the sink took
    lost: tuple[str, ...] = ()  # nothing left, and the books do not say why
    duplicated: tuple[str, ...] = ()  # the sink took more than one
    unexpected: tuple[str, ...] = ()  # the sink took one for somebody outside the audience
    phantom: tuple[str, ...] = ()  # accepted in the books, never at the sink
    contradicted: tuple[str, ...] = ()  # at the sink, and the books say it never left
    uncertain: tuple[str, ...] = ()  # and nothing is known yet
    uncertain_resolved_wrong: tuple[str, ...] = ()
    bled: tuple[str, ...] = ()  # To, Message-ID or return path of another
    conservation: tuple[str, ...] = ()
    outcomes: dict[str, int] = field(default_factory=dict)
    resolved: int = 0  # uncertain ones of which more is known now

    def wrong(self, *, uncertain: int) -> tuple[str, ...]:
        """What breaks the promise, where so many may be uncertain at most; empty where it holds."""
        names = (
            *("lost", "duplicated", "unexpected", "phantom", "contradicted"),
            *("uncertain_resolved_wrong", "bled", "conservation"),
        )
        found = [f"{name}: {_some(getattr(self, name))}" for name in names if getattr(self, name)]
        if len(self.uncertain) > uncertain:
            found.append(f"{len(self.uncertain)} uncertain, at most {uncertain} may be")
        return tuple(found)

    def counts(self) -> dict[str, Any]:
        """Everything in numbers."""
        return {
            name: len(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class _Line:
    address: str
    outcome: str  # of `delivery`, or open
    learnt: str  # the last resolution

    @property
    def final(self) -> str:
        return self.learnt if self.learnt in _FINAL else self.outcome


def check(
    database: Database,
    campaign: CampaignId,
    letters: Iterable[Letter],
    *,
    refused: AbstractSet[str] = frozenset(),
    skipped: int = 0,
) -> Findings:
    """Compare. `refused` are the people the sink says no to; `skipped`: so many may be, as told."""
    letters = list(letters)
    lines = _lines(database, campaign)
    with database.reading() as session:
        breaches = list(queries.verify(session, campaign).breaches)
        if not campaigns.campaign(session, campaign).is_over:
            breaches.append("it is not over")
    took = Counter(letter.recipient for letter in letters if letter.taken)
    outcomes = Counter(line.final for line in lines.values())
    lost = [a for a, line in lines.items() if not took[a] and _is_lost(line, refused)]
    if outcomes["skipped"] > skipped:
        breaches.append(f"{outcomes['skipped']} skipped, {skipped} were to be")
    return Findings(
        audience=len(lines),
        sent=took.total(),
        lost=tuple(lost),
        duplicated=tuple(a for a, times in took.items() if times > 1),
        unexpected=tuple(a for a in took if a not in lines),
        phantom=tuple(a for a, it in lines.items() if it.final == "accepted" and not took[a]),
        contradicted=tuple(a for a, it in lines.items() if took[a] and _denies(it)),
        uncertain=tuple(a for a, it in lines.items() if it.final == "uncertain"),
        uncertain_resolved_wrong=tuple(_wrongly_resolved(lines.values(), took)),
        bled=tuple(_bled(letters)),
        conservation=tuple(breaches),
        outcomes=dict(outcomes),
        resolved=sum(line.learnt != "" for line in lines.values()),
    )


def repro(cell: str, seed: int, people: int) -> str:
    """The command that does it again."""
    options = f"--seed {seed} --people {people} --only '{cell}'"
    return f".venv/bin/python -m tests.faults.matrix {options}"


def _lines(database: Database, campaign: CampaignId) -> dict[str, _Line]:
    with database.reading() as session:
        addresses: dict[int, str] = {
            row[0]: row[1] or ""
            for row in session.execute(select(SubscriberRow.id, SubscriberRow.address))
        }
        return {
            addresses[line.subscriber]: _Line(
                addresses[line.subscriber], line.outcome, line.resolution
            )
            for line in queries.ledger_lines(session, campaign)
            if line.outcome != "excluded"
        }


def _is_lost(line: _Line, refused: AbstractSet[str]) -> bool:
    if line.final == "refused":
        return line.address not in refused
    return line.final in {"open", "expired"}


def _denies(line: _Line) -> bool:
    return line.final in {"refused", "skipped", "expired", "open"}


def _wrongly_resolved(lines: Iterable[_Line], took: Counter[str]) -> Iterable[str]:
    for line in lines:
        left = took[line.address] > 0
        if left:  # "resend": known not to have left
            wrong = line.learnt in {"refused", "abandoned", "resend"}
        else:
            wrong = line.learnt == "accepted"
        if wrong:
            yield line.address


def _bled(letters: Iterable[Letter]) -> Iterable[str]:
    whose: dict[str, str] = {}
    identities: dict[str, str] = {}
    for letter in letters:
        if letter.to != letter.recipient:
            yield letter.recipient
        for name in (letter.message_id, letter.return_path):
            if whose.setdefault(name, letter.recipient) != letter.recipient:
                yield letter.recipient
        if identities.setdefault(letter.recipient, letter.message_id) != letter.message_id:
            yield letter.recipient  # every try of a person has the same Message-ID


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} ({shown}{', …' if len(names) > 3 else ''})"
