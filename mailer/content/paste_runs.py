"""Runs of numbered headlines: 1, 2, 3, each with something under it.

A list inside a story is numbered too; it differs in that nothing stands between its lines.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mailer.content.paste_lines import Form, Line, ends_sentence

_LONGEST = 25  # words of a numbered headline
_SHORT = 15  # words of one that ends with a full stop


@dataclass(frozen=True, slots=True)
class Run:
    """The places of the headlines 1, 2, 3 and so on."""

    places: tuple[int, ...]


def numbered_runs(lines: Sequence[Line]) -> list[Run]:
    """The runs of numbered headlines, in order, none inside another."""
    listed = _listed(lines)
    everything = [n for n, line in enumerate(lines) if line.form is Form.NUMBERED]
    chains = _long(lines, _chains(lines, [n for n in everything if n not in listed]))
    runs = [run for run in chains if _are_headlines(lines, run, over_text=True)]
    if not runs:  # headlines only, with nothing under them
        chains = _long(lines, _chains(lines, everything))
        whole = [run for run in chains if len(run) >= 0.5 * len(lines)]
        runs = [run for run in whole if _are_headlines(lines, run, over_text=False)]
    return [Run(tuple(run)) for run in runs]


def _listed(lines: Sequence[Line]) -> set[int]:
    """Numbered lines that stand in lists: from 1 on, with nothing between them."""
    listed: set[int] = set()
    current: list[int] = []
    for place, line in enumerate(lines):
        follows = current and line.ordinal == lines[current[-1]].ordinal + 1
        if line.form is Form.NUMBERED and follows:
            current.append(place)
            continue
        if len(current) > 1:
            listed.update(current)
        current = [place] if line.form is Form.NUMBERED and line.ordinal == 1 else []
    if len(current) > 1:
        listed.update(current)
    # "1. A", "2. B", text, "3. C": a headline may lack its text
    for run in _chains(lines, [n for n, line in enumerate(lines) if line.ordinal]):
        bodied = sum(n not in listed for n in run)
        if len(set(run) & listed) < bodied:
            listed -= set(run)
    return listed


def _chains(lines: Sequence[Line], numbered: Sequence[int]) -> list[list[int]]:
    """From each 1 up to the next: its 2, 3 and so on; one missing number is forgiven."""
    starts = [k for k, place in enumerate(numbered) if lines[place].ordinal == 1]
    chains = []
    for start, end in pairwise([*starts, len(numbered)]):
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place in numbered[start:end]:
            places[lines[place].ordinal].append(place)
        chain = [numbered[start]]
        while (following := _following(places, lines[chain[-1]].ordinal, chain[-1])) is not None:
            chain.append(following)
        chains.append(chain)
    return chains


def _long(lines: Sequence[Line], chains: list[list[int]]) -> list[list[int]]:
    """Chains of two and more, and beside those a lone 1 under a heading: a section of one story."""
    if not any(len(chain) > 1 for chain in chains):
        return []
    headed = [chain[0] and lines[chain[0] - 1].form is Form.HEADLINE for chain in chains]
    return [chain for chain, head in zip(chains, headed, strict=True) if len(chain) > 1 or head]


def _following(places: dict[int, list[int]], ordinal: int, place: int) -> int | None:
    for step in (1, 2):
        later = places.get(ordinal + step, [])
        at = bisect_right(later, place)
        if at < len(later):
            return later[at]
    return None


def _are_headlines(lines: Sequence[Line], run: list[int], *, over_text: bool) -> bool:
    """Whether numbered lines are headlines rather than numbered paragraphs.

    A full stop speaks against it, unless the line is short and has text under it.
    """
    limit = _SHORT if over_text else 0
    good = 0
    for place in run:
        text = lines[place].rest
        count = len(text.split())
        plain = not ends_sentence(text) or text.endswith(("?", "!"))
        good += count <= (_LONGEST if plain else limit)
    return good >= 0.7 * len(run)
