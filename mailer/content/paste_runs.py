"""Runs of numbered headlines: 1, 2, 3, each with something under it.

A list inside a story is numbered too; it differs in that nothing stands between its lines.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mailer.content.paste_lines import Form, Line, ends_sentence

_LONGEST = 25  # words of a numbered headline


@dataclass(frozen=True, slots=True)
class Run:
    """The places of the headlines 1, 2, 3 and so on."""

    places: tuple[int, ...]


def numbered_runs(lines: Sequence[Line]) -> list[Run]:
    """The runs of numbered headlines, in order, none inside another."""
    listed = _listed(lines)
    open_lines = [n for n, line in enumerate(lines) if line.form is Form.NUMBERED and n not in listed]
    runs = _chains(lines, open_lines)
    if not runs:  # headlines only, with nothing under them
        everything = [n for n, line in enumerate(lines) if line.form is Form.NUMBERED]
        runs = [run for run in _chains(lines, everything) if len(run) >= 0.5 * len(lines)]  # noqa: PLR2004
    return [Run(tuple(run)) for run in runs if _are_headlines([lines[n] for n in run])]


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
    chains = [run for run in _chains(lines, [n for n, x in enumerate(lines) if x.ordinal]) if run]
    for run in chains:  # "1. A", "2. B", text, "3. C": a headline may lack its text
        bodied = sum(n not in listed for n in run)
        if len(set(run) & listed) < bodied:
            listed -= set(run)
    return listed


def _chains(lines: Sequence[Line], numbered: list[int]) -> list[list[int]]:
    """The longest chains of growing numbers from 1, one after another; a gap of one is allowed."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place in numbered:
        places[lines[place].ordinal].append(place)
    length: dict[int, int] = {}
    after: dict[int, int] = {}
    for place in reversed(numbered):
        options = []
        for step in (1, 2):
            later = places[lines[place].ordinal + step]
            at = bisect_right(later, place)
            if at < len(later):
                options.append((length[later[at]], -step, later[at]))
        best = max(options, default=(0, 0, -1))
        length[place], after[place] = 1 + best[0], best[2]
    chains: list[list[int]] = []
    starts = [place for place in places[1] if length[place] > 1]
    end = -1
    for place in starts:
        if place <= end:
            continue
        rivals = [n for n in starts if place < n <= _last(after, place)][:8]
        best_start = max([place, *rivals], key=lambda n: (length[n], -n))
        chain = [best_start]
        while after[chain[-1]] >= 0:
            chain.append(after[chain[-1]])
        chains.append(chain)
        end = chain[-1]
    return chains


def _last(after: dict[int, int], place: int) -> int:
    while after[place] >= 0:
        place = after[place]
    return place


def _are_headlines(lines: list[Line]) -> bool:
    """Whether numbered lines are headlines rather than numbered paragraphs."""
    short = [n for n in lines if len(n.rest.split()) <= _LONGEST]
    plain = [n for n in lines if not ends_sentence(n.rest) or n.rest.endswith(("?", "!"))]
    return len(lines) > 1 and min(len(short), len(plain)) >= 0.7 * len(lines)  # noqa: PLR2004
