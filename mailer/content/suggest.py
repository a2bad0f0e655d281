"""Which segments an item belongs to, with the words that say so. A proposal: people decide.

Each different word counts with its weight, twice over where the title has it, and half as much
again for each of the first two times it comes back. A segment is proposed from a score of 4.5 on:
a word of the subject in the title, or two in the text, or one and some hints; a single mention in
passing is not enough. Companies sell more than what made them known: outside the title their
names, however many, count like one word.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mailer.content.issue import Item
from mailer.content.segment_words import WORDS

THRESHOLD = 4.5
_TITLE = 2.0  # a word in the title counts so much
_AGAIN = 0.5  # a repetition counts so much of the first time
_MOST = 2  # repetitions that count
_HINTS = 2.0  # the most that words of weight 1 make together
_NAMES = 3.0  # the most that names of companies make outside the title


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A segment an item may belong to."""

    segment: str
    score: float  # from THRESHOLD on
    words: tuple[str, ...]  # as the lists have them, the loudest first


def suggest(item: Item) -> tuple[Suggestion, ...]:
    """Segments for an item, likeliest first; for an article its parts' titles count as text."""
    title = _plain(item.title)
    body = _plain(" . ".join([item.body, *(part.title for part in item.items)]))
    found = (_scored(segment, title, body) for segment in WORDS)
    proposed = [suggestion for suggestion in found if suggestion.score >= THRESHOLD]
    return tuple(sorted(proposed, key=lambda suggestion: -suggestion.score))


def _scored(segment: str, title: str, body: str) -> Suggestion:
    in_title = set(_words(segment, title))
    counts = Counter([*_words(segment, title), *_words(segment, body)])
    weights = _WEIGHTS[segment]
    loud: dict[str, float] = {}
    for word, count in counts.items():
        again = _AGAIN * min(count - 1, _MOST)
        loud[word] = weights[word] * ((_TITLE if word in in_title else 1.0) + again)
    names = {word for word in loud if _is_name(word) and word not in in_title}
    hints = {word for word in loud if weights[word] == 1} - names
    score = sum(loud[word] for word in loud.keys() - names - hints)
    score += min(sum(loud[word] for word in names), _NAMES)
    score += min(sum(loud[word] for word in hints), _HINTS)
    words = sorted(loud, key=lambda word: (-loud[word], word))
    return Suggestion(segment, round(score, 1), tuple(words))


def _is_name(word: str) -> bool:
    return word not in {word.lower(), word.upper()}


def _words(segment: str, text: str) -> Iterator[str]:
    """Words of a segment as they come; a longer one hides those inside it."""
    for found in _PATTERNS[segment].finditer(text):
        word = found[0]
        yield _KNOWN[segment].get(word) or _KNOWN[segment][_singular(segment, word)]


def _singular(segment: str, word: str) -> str:
    low = word.lower()
    known = _KNOWN[segment]
    return next(form for form in (low, word[:-1], low[:-1], low[:-2]) if form in known)


def _plain(text: str) -> str:
    """Without addresses, which name shops and brands that the story is not about."""
    return re.sub(r"\]\([^)\s]*\)|<?https?://\S+", " ", text).replace("’", "'").replace("\\", "")  # noqa: RUF001


def _weights(lists: dict[int, str]) -> dict[str, int]:
    return {
        " ".join(word.split()): weight
        for weight, words in lists.items()
        for word in words.split(";")
    }


def _form(word: str) -> str:
    """A word's pattern: any capitals where it has none, as written where it has; plurals too."""
    pattern = re.escape(word).replace(r"\ ", r"\s+")
    if not word.isascii() and any(c > "\u2e80" for c in word):
        return pattern  # no spaces between words
    if word != word.lower():
        return pattern
    first = f"[{word[0]}{word[0].upper()}]" if word[0].isalpha() else re.escape(word[0])
    return f"(?i:{first}{re.escape(word[1:])})" + ("" if word[-1] == "s" else "(?:s|es)?")


def _pattern(weights: dict[str, int]) -> re.Pattern[str]:
    words = sorted(weights, key=len, reverse=True)
    latin = "|".join(_form(word) for word in words if word[0] < "\u2e80")
    wide = "|".join(re.escape(word) for word in words if word[0] >= "\u2e80")
    return re.compile(rf"(?<![\w@])(?:{latin})(?!\w)|{wide}")


_WEIGHTS = {segment: _weights(lists) for segment, lists in WORDS.items()}
_PATTERNS = {segment: _pattern(weights) for segment, weights in _WEIGHTS.items()}
_KNOWN = {segment: {word: word for word in weights} for segment, weights in _WEIGHTS.items()}
