"""Two hundred people who differ in everything a rule can ask about, and what a rule says of each.

`finds` reads a rule the slow way: one person at a time, in plain Python, from the guide's words.
"""

import operator
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from subscribers import actions
from subscribers.models import (
    CustomFieldRow,
    EngagementRow,
    FollowRow,
    SegmentRow,
    SentIssueRow,
    SubscriberRow,
    SuppressionRow,
)
from subscribers.provider import provider_of
from subscribers.rules import json_tree
from subscribers.rules.language import parse
from subscribers.rules.tree import DaysAgo, Group, Leaf, Rule, Unit, Window

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TODAY = NOW.date()
FOLLOWED = ("e-commerce", "ai", "luxury")
RULES = {
    "near": parse('country in ("US", "FR") or provider = "gmail"'),
    "far": parse("not in:near and follows:ai"),
    "keen": parse("clicked:ai in last 3 issues or (in:far and never opened in last 2 issues)"),
}
COUNTRIES = ("US", "FR", "cn", 'O"o')
TAGS = ("vip", "beta", "VIP", "50%")
TOWNS = ("Paris", "paris_2", "Lyon 100%", "Émile", "上海", "a/b")
DOMAINS = ("gmail.com", "qq.com", "outlook.fr", "example.org", "xn--bcher-kva.example")
SOURCES = ("", "form", "import 7", "Fair")
STATES = ("pending", "confirmed", "confirmed", "confirmed", "unsubscribed", "erased")
REASONS = (None, None, None, "bounced", "complained", "asked", "operator")
SENT = {n: NOW - timedelta(days=7 * (12 - n) + 1) for n in range(1, 13)} | {13: NOW}
SENT[5] = SENT[4]  # two on one day: the number decides


@dataclass(frozen=True)
class Human:
    """Everything known of one person."""

    id: int
    address: str
    domain: str
    name: str
    language: str
    timezone: str
    source: str
    frequency: str
    own: str
    reason: str | None  # of an active suppression
    tracking: int
    created: datetime
    confirmed: datetime | None
    fields: Mapping[str, Any]
    follows: frozenset[str]
    acts: Mapping[tuple[int, int, str], datetime] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if self.reason in {"bounced", "complained"}:
            return str(self.reason)
        return "suppressed" if self.reason else self.own


class People(list[Human]):
    """Everybody; short to show where a test fails."""

    def __repr__(self) -> str:
        return f"{len(self)} people"


def humans(seed: int = 7, count: int = 200) -> People:
    """Make people up, always the same ones."""
    chance = random.Random(seed)  # noqa: S311  # a fixed population, not a secret
    return People(_human(chance, number) for number in range(1, count + 1))


def _moment(chance: random.Random) -> datetime:
    whole = TODAY - timedelta(chance.choice((0, 1, 2, 29, 30, 31, 60, 400)))
    at = datetime(whole.year, whole.month, whole.day, tzinfo=UTC)
    return chance.choice((at, at + timedelta(hours=12, minutes=30), at + timedelta(hours=7)))


def _human(chance: random.Random, number: int) -> Human:
    own = chance.choice(STATES)
    domain = "" if own == "erased" else chance.choice(DOMAINS)
    tracking = chance.randrange(4)
    fields = {
        "country": chance.choice(COUNTRIES),
        "town": chance.choice(TOWNS),
        "age": chance.choice((0.0, 17.0, 18.0, 18.5, -3.0, 1e12)),
        "renewal": str(TODAY + timedelta(chance.choice((-400, -31, -30, -1, 0, 1, 6, 7, 30)))),
        "interests": chance.sample(TAGS, chance.randint(1, 3)),
    }
    kept = {key: value for key, value in fields.items() if chance.random() < 0.7}
    acts = {}
    for issue, sent in SENT.items():
        for act in (1, 2):
            if tracking & act and chance.random() < 0.15:
                acts[issue, act, ""] = sent + timedelta(hours=chance.randrange(-3, 60))
                if act == 2 and chance.random() < 0.5:
                    acts[issue, 2, chance.choice(FOLLOWED)] = acts[issue, act, ""]
    return Human(
        id=number,
        address=""
        if own == "erased"
        else f"{chance.choice(('Ada', 'ben_', 'c%'))}{number}@{domain}",
        domain=domain,
        name=chance.choice(("", "Ada", "ada Löwe", "李雷")),
        language=chance.choice(("", "en", "fr", "zh-Hans")),
        timezone=chance.choice(("", "Europe/Paris", "Asia/Shanghai")),
        source=chance.choice(SOURCES),
        frequency=chance.choice(("", "", "fortnightly", "monthly")),
        own=own,
        reason=chance.choice(REASONS),
        tracking=tracking,
        created=_moment(chance),
        confirmed=None if own == "pending" else chance.choice((None, _moment(chance))),
        fields={} if own == "erased" else kept,
        follows=frozenset(chance.sample(FOLLOWED, chance.randint(0, 3))),
        acts={} if own == "erased" else acts,
    )


def settle(session: Session, people: People) -> None:
    """Store the people, the fields, the segments and the issues."""
    actions.ensure_segments(session)
    _fields(session)
    for key, rule in RULES.items():
        session.add(SegmentRow(key=key, name=key.title(), rule=json_tree.write(rule), position=9))
    session.add_all([SentIssueRow(issue_id=n, sent_at=at) for n, at in SENT.items()])
    session.flush()
    numbers = {row.key: row.id for row in session.query(SegmentRow)}
    for human in people:
        session.add(_row(human))
    session.flush()
    for human in people:
        for key in human.follows:
            session.add(FollowRow(subscriber_id=human.id, segment_id=numbers[key], since=NOW))
        for (issue, act, key), at in human.acts.items():
            segment = numbers[key] if key else 0
            row = {"issue_id": issue, "act": act, "segment_id": segment, "at": at}
            session.add(EngagementRow(subscriber_id=human.id, **row))
        if human.reason:
            session.add(_suppression(human, human.reason, None))
        elif human.id % 5 == 0:
            session.add(_suppression(human, "bounced", NOW))  # lifted since
    session.flush()


def _fields(session: Session) -> None:
    kinds = {"country": "choice", "town": "text", "age": "number", "renewal": "date"}
    for key, kind in {**kinds, "interests": "tags"}.items():
        choices = list(COUNTRIES) if kind == "choice" else []
        session.add(CustomFieldRow(key=key, label=key.title(), kind=kind, choices=choices))


def _row(human: Human) -> SubscriberRow:
    return SubscriberRow(
        id=human.id,
        address=human.address or None,
        address_key=f"{human.id:032x}",
        domain=human.domain,
        name=human.name,
        language=human.language,
        timezone=human.timezone,
        source=human.source,
        frequency=human.frequency,
        state=human.own,
        tracking=human.tracking,
        fields=dict(human.fields),
        created_at=human.created,
        confirmed_at=human.confirmed,
        updated_at=human.created,
    )


def _suppression(human: Human, reason: str, lifted: datetime | None) -> SuppressionRow:
    key = f"{human.id:032x}"
    return SuppressionRow(address_key=key, reason=reason, evidence="", at=NOW, lifted_at=lifted)


def found(people: People, rule: Rule) -> set[int]:
    """The ids of those whom a rule finds."""
    return {human.id for human in people if human.own != "erased" and finds(human, rule)}


def finds(human: Human, rule: Rule) -> bool:
    if isinstance(rule, Group):
        answers = [finds(human, each) for each in rule.rules]
        return (all(answers) if rule.combinator == "and" else any(answers)) is not rule.negated
    name, _, key = rule.field.partition(":")
    if name == "follows":
        return rule.value in human.follows
    if name == "in":
        return finds(human, RULES[str(rule.value)])
    if name in {"opened", "clicked"}:
        return _acted(human, 1 if name == "opened" else 2, key, rule)
    if rule.operator in {"!=", "unknown"}:
        said = {"!=": "=", "unknown": "known"}[rule.operator]
        return not finds(human, Leaf(rule.field, type(rule.operator)(said), rule.value))
    return _compared(_known(human, rule.field), rule)


def _known(human: Human, name: str) -> Any:
    """What is known, None where nothing is."""
    match name:
        case "provider":
            return provider_of(human.domain)
        case "tracking":
            return [word for bit, word in ((1, "opens"), (2, "clicks")) if human.tracking & bit]
        case "frequency":
            return human.frequency or "every"
        case "address" | "domain":
            return getattr(human, name).lower() or None
        case "name" | "language" | "timezone" | "source" | "state" | "created" | "confirmed":
            return getattr(human, name) or None
    return human.fields.get(name)


def _small(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


SAYS: Mapping[str, Callable[[Any, Any], bool]] = {
    "known": lambda known, value: True,  # noqa: ARG005
    "=": operator.eq,
    "in": lambda known, value: known in value,
    "contains": lambda known, value: _small(value) in _small(known),
    "starts_with": lambda known, value: _small(known).startswith(_small(value)),
    "ends_with": lambda known, value: _small(known).endswith(_small(value)),
    "has": lambda known, value: value in known,
    "has_any": lambda known, value: not set(value).isdisjoint(known),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(known: Any, rule: Leaf) -> bool:
    value: Any = rule.value
    if known is None:
        return False
    if rule.operator not in SAYS:
        return _timed(known, rule)
    if rule.field in {"address", "domain"}:
        value = tuple(map(_small, value)) if isinstance(value, tuple) else _small(value)
    return bool(SAYS[rule.operator](known, value))


def _timed(known: Any, rule: Leaf) -> bool:
    """Compare a moment (a datetime) or a date (as it is stored) with a day or a window."""
    value, day = rule.value, rule.value
    if isinstance(value, DaysAgo):
        day = TODAY - timedelta(value.days)
        if isinstance(known, datetime) and rule.operator in {"before", "after"}:
            then = NOW - timedelta(value.days)
            return known < then if rule.operator == "before" else known > then
    if isinstance(value, Window):
        span = timedelta(value.number)
        if isinstance(known, datetime):
            return NOW - span < known <= NOW
        on = date.fromisoformat(known)
        return (
            TODAY - span < on <= TODAY if rule.operator == "in_last" else TODAY <= on < TODAY + span
        )
    on = known.date() if isinstance(known, datetime) else date.fromisoformat(known)
    assert isinstance(day, date)
    return {"before": on < day, "after": on > day, "on": on == day}[rule.operator.value]


def _acted(human: Human, act: int, key: str, rule: Leaf) -> bool:
    done = {
        issue: at for (issue, kind, about), at in human.acts.items() if (kind, about) == (act, key)
    }
    window = rule.value
    if not isinstance(window, Window):
        return bool(done)
    if window.unit is Unit.DAYS:
        begun = NOW - timedelta(window.number)
        did = any(begun < at <= NOW for at in done.values())
    else:
        last = sorted(SENT, key=lambda n: (SENT[n], n), reverse=True)[: window.number]
        begun = SENT[last[-1]]
        did = bool(set(last) & set(done))
    if rule.operator == "in_last":
        return did
    there = human.confirmed is not None and human.confirmed < begun
    return there and bool(human.tracking & act) and not did
