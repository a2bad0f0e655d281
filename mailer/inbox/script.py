"""Scripted replies: what a rehearsal's recipients do with their mail.

Some local parts act by their name alone, so that any list of people can hold a few troublesome
ones: `refuse@`, `defer-once.ada@`, `drop+7@`. A test may script anybody by pattern.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Stage(StrEnum):
    """When the answer comes."""

    RECIPIENT = "recipient"  # at RCPT TO
    DOT = "dot"  # after the final dot, for the whole message


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal for good (5xx) or for now (4xx); 421 also ends the connection."""

    code: int
    text: str  # with the enhanced code: "5.1.1 no such mailbox"
    times: int = 0  # tries answered so before the message is taken; 0 is every one
    stage: Stage = Stage.RECIPIENT


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection breaks and no reply is ever sent."""

    after_dot: bool = True
    keeps: bool = True  # whether the message is in the inbox nonetheless; only after the dot
    times: int = 0  # messages dropped before one is taken; 0 is every one


Act = Answer | Drop


@dataclass(frozen=True, slots=True)
class Rule:
    """What those whose address fits the pattern do."""

    pattern: str  # shell style, in lower case: "*@slow.example"
    act: Act


BY_NAME: dict[str, Act] = {
    "defer-once": Answer(451, "4.3.0 not now, try once more", times=1),
    "defer-twice": Answer(451, "4.3.0 not now, try twice more", times=2),
    "defer": Answer(451, "4.3.0 not now"),
    "defer-dot": Answer(452, "4.3.1 no room for this message now", stage=Stage.DOT),
    "full": Answer(552, "5.2.2 mailbox full"),
    "refuse": Answer(550, "5.1.1 no such mailbox"),
    "refuse-dot": Answer(554, "5.6.0 message not wanted", stage=Stage.DOT),
    "blocked": Answer(550, "5.7.1 sender not wanted here"),
    "drop": Drop(),
    "drop-once": Drop(times=1),
    "drop-before": Drop(after_dot=False, keeps=False),
    "lose": Drop(keeps=False),
}
"""Local parts that act by their name, alone or before one of . + - and more."""


class Script:
    """Who answers how; counts the tries of those who change their mind. Not thread-safe."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._tries: Counter[tuple[str, Stage]] = Counter()

    def at_recipient(self, address: str) -> Answer | None:
        """Answer RCPT TO; None goes on."""
        act = self._act(address)
        if not isinstance(act, Answer) or act.stage is not Stage.RECIPIENT:
            return None
        return act if self._still(act, address) else None

    def at_data(self, addresses: Iterable[str]) -> Drop | None:
        """Whether the connection breaks in the middle of the message."""
        for address in addresses:
            act = self._act(address)
            if isinstance(act, Drop) and not act.after_dot and self._still(act, address):
                return act
        return None

    def at_dot(self, addresses: Iterable[str]) -> Act | None:
        """Answer the final dot; None takes the message."""
        for address in addresses:
            act = self._act(address)
            late = act.after_dot if isinstance(act, Drop) else act and act.stage is Stage.DOT
            if act and late and self._still(act, address):
                return act
        return None

    def _act(self, address: str) -> Act | None:
        folded = address.lower()
        for rule in self.rules:
            if fnmatchcase(folded, rule.pattern):
                return rule.act
        return _by_name(folded.rpartition("@")[0])

    def _still(self, act: Act, address: str) -> bool:
        if not act.times:
            return True
        stage = act.stage if isinstance(act, Answer) else Stage.DOT
        self._tries[address, stage] += 1
        return self._tries[address, stage] <= act.times


def _by_name(local: str) -> Act | None:
    """Find the longest name that begins the local part and ends there or at one of . + -."""
    if local[:1] not in _FIRST:  # nearly everybody
        return None
    fitting = (n for n in BY_NAME if local == n or local.startswith((f"{n}.", f"{n}+", f"{n}-")))
    name = max(fitting, key=len, default="")
    return BY_NAME.get(name)


_FIRST = frozenset(name[0] for name in BY_NAME)
