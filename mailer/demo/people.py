"""Synthetic people: the same ones each time, all at addresses nobody has (RFC 2606)."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

GIVEN = (
    *("Ada", "Ben", "Cleo", "Dan", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kateryna"),
    *("Liam", "Mei", "Noor", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Tomás", "Uma", "Viktor"),
    *("Wen", "Ximena", "Yusuf", "Zoë", "小明", "丽华", "さくら", "민준", "Δήμητρα", "Амина"),
)
FAMILY = (
    *("Abbott", "Baker", "Castillo", "Dubois", "Eriksen", "Fischer", "García", "Huang", "Ivanova"),
    *("Jansen", "Kim", "Lopez", "Müller", "Nguyen", "O'Brien", "Petrov", "Qureshi", "Rossi"),
    *("Sato", "Tanaka", "Usman", "Varga", "Wang", "Xu", "Yamamoto", "Zhang"),
)
DOMAINS = (
    *("gmail.example", "outlook.example", "yahoo.example", "qq.example", "163.example"),
    *("example.com", "example.org", "example.net", "mail.example", "shop.example"),
)
SETS = (
    (("e-commerce",), 24),
    (("ai",), 18),
    (("luxury",), 12),
    (("e-commerce", "ai"), 16),
    (("e-commerce", "luxury"), 12),
    (("ai", "luxury"), 7),
    (("e-commerce", "ai", "luxury"), 11),
)
"""The seven sets of segments with their weights."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who could read the demo's issues."""

    address: str
    name: str
    segments: tuple[str, ...]
    tracking: int  # bits of campaigns.campaign.Tracking


def people(number: int, seed: int = 42) -> Iterator[Person]:
    """That many different people over all seven sets of segments.

    One in fifty has an address the inbox defers once, one in a hundred one that it refuses; one in
    twenty allows no tracking at all.
    """
    chance = random.Random(seed)  # noqa: S311  # nothing secret about a demo
    sets, weights = zip(*SETS, strict=True)
    for n in range(number):
        given, family = chance.choice(GIVEN), chance.choice(FAMILY)
        prefix = "defer-once." if n % 50 == 7 else "refuse." if n % 100 == 13 else ""
        local = f"{prefix}{_ascii(given)}.{_ascii(family)}.{n}"
        segments = sets[n] if n < len(sets) else chance.choices(sets, weights)[0]
        yield Person(
            address=f"{local}@{chance.choice(DOMAINS)}",
            name=f"{given} {family}",
            segments=segments,
            tracking=0 if chance.random() < 0.05 else 3,
        )


def _ascii(name: str) -> str:
    plain = "".join(c for c in name.lower() if c.isascii() and c.isalpha())
    return plain or "reader"
