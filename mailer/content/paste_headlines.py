"""Which lines of a digest are its title, its sections, its headlines, its closing words.

What a line is for shows in its neighbours: a run of numbers, what stands between two addresses,
whether body text follows, how the other headlines are written. Three kinds of digest are known:
one whose input marked its headings (HTML), one with numbered headlines, one with plain ones; a
numbered run inside a plain digest is an article with parts.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from mailer.content import paste_words as words
from mailer.content.paste_lines import Form, Line, ends_sentence, title_case
from mailer.content.paste_runs import Run, numbered_runs


class Role(StrEnum):
    """What a line is for; TEXT goes by its form."""

    TEXT = "text"
    TITLE = "title"
    SECTION = "section"
    ITEM = "item"
    ARTICLE = "article"  # an item with parts
    PART = "part"
    TIP = "tip"  # the first line of an item without a headline
    SUBHEADING = "subheading"
    CAPTION = "caption"
    REPEAT = "repeat"  # the headline once more, as a link
    QUESTION = "question"  # of a rating
    OUTRO = "outro"  # the heading of the closing words
    FAREWELL = "farewell"  # their first line, without a heading
    STRAY = "stray"  # a short line that belongs nowhere

    @property
    def opens(self) -> bool:
        """Whether an item starts here."""
        return self in {Role.ITEM, Role.ARTICLE, Role.PART, Role.TIP}


_PASSING = {Form.CHROME, Form.RULE, Form.DATE, Form.BYLINE, Form.CAPTION, Form.RATING}
"""Forms that come between lines without parting them."""

_BODY = {
    *(Form.PROSE, Form.LABEL, Form.BULLET, Form.SOURCE, Form.NUMBERED, Form.FRAGMENT),
    *(Form.RELATED, Form.CALL, Form.POINTER),
}


def roles(lines: Sequence[Line]) -> list[Role]:
    """The role of each line."""
    found = _Roles(lines)
    if any(line.level for line in lines):
        found.from_levels()
    else:
        found.from_shapes()
    found.finish()
    return found.roles


class _Roles:
    """The roles of one digest while they are being found."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.roles = [Role.TEXT] * len(lines)
        self.flow = [n for n, line in enumerate(lines) if line.form not in _PASSING]
        for before, here in pairwise([*self.flow, len(lines)]):
            rated = any(lines[n].form is Form.RATING for n in range(before, min(here, before + 4)))
            if rated and lines[before].text.endswith("?"):
                self.roles[before] = Role.QUESTION
        self.flow = [n for n in self.flow if self.roles[n] is Role.TEXT]
        blocks = sum(lines[n].gap > 0 for n in self.flow)
        self.spaced = blocks >= 0.5 * len(self.flow)

    def from_levels(self) -> None:
        """Headings marked as such: the first of level 1 is the title, the two others nest."""
        marked = [n for n in self.flow if self.lines[n].level]
        titles = [n for n in marked if self.lines[n].level == 1]
        levels = sorted({self.lines[n].level for n in marked if n not in titles[:1]})[:2]
        for place, here in enumerate(marked):
            level = self.lines[here].level
            after = marked[place + 1] if place + 1 < len(marked) else len(self.lines)
            holds_text = bisect_right(self.flow, after - 1) > bisect_right(self.flow, here)
            if here == (titles or [-1])[0]:
                self.roles[here] = Role.TITLE
            elif level not in levels:
                self.roles[here] = Role.SUBHEADING
            elif len(levels) > 1 and level == levels[0] and not holds_text:
                self.roles[here] = Role.SECTION
            else:
                self.roles[here] = Role.ITEM

    def from_shapes(self) -> None:
        """Nothing is marked: numbers first, then plain headlines around them."""
        runs = numbered_runs(self.lines)
        first = runs[0].places[0] if runs else len(self.lines)
        before = [n for n in self.flow if n < first]
        stories = _Plain(self, before, follows=bool(runs))
        if runs and not self._nested(stories.headlines(), runs):
            self._top_level(runs, before)
            return
        stories.decide()
        for run in runs:
            self._article(run)
        if not runs:
            return
        places = runs[-1].places
        tail = [n for n in self.flow if n > places[-1]]
        inside = [n for n in self.flow if places[0] < n < places[-1]]
        if any(self._over_text(n) for n in inside):  # the parts have headings of their own
            ends = [k for k, n in enumerate(tail) if self.lines[n].form is Form.SOURCE]
            tail = tail[ends[0] + 1 :] if ends else []
        if tail:
            _Plain(self, tail, follows=False, begins=False).decide()

    def _over_text(self, place: int) -> bool:
        at = bisect_right(self.flow, place)
        after = self.lines[self.flow[at]].form if at < len(self.flow) else None
        headline = self.lines[place].form is Form.HEADLINE
        return headline and after in {Form.PROSE, Form.LABEL, Form.BULLET}

    def _nested(self, stories: list[int], runs: list[Run]) -> bool:
        """Whether the numbered lines are parts of an article among plain stories."""
        first, last = runs[0].places[0], runs[-1].places[-1]
        sourced = any(self.lines[n].form is Form.SOURCE for n in range(first))
        inside = sum(first <= n <= last for n in self.flow)
        return len(stories) >= 2 and (sourced or inside < 0.6 * len(self.flow))

    def _top_level(self, runs: list[Run], before: list[int]) -> None:
        heads = [n for n in before if self.lines[n].form is Form.HEADLINE]
        if heads:
            self.roles[heads[0]] = Role.TITLE
        if len(heads) > 1 and heads[-1] == before[-1]:
            self.roles[heads[-1]] = Role.SECTION
        for run in runs:
            for place in run.places:
                self.roles[place] = Role.ITEM
        places = [place for run in runs for place in run.places]
        restarts = {run.places[0] for run in runs[1:]}
        ends = [self._before(place) for place in places[1:]]
        between = [
            end
            for end, place in zip(ends, places[1:], strict=True)
            if end is not None and self._interposed(end, place)
        ]
        sections = len(heads) > 1 and bool(between) and all(map(self._heads_section, between))
        for end in between:
            after_restart = self.flow[bisect_right(self.flow, end)] in restarts
            if sections or (after_restart and self.lines[end].form is Form.HEADLINE):
                self.roles[end] = Role.SECTION
            elif self.spaced:
                self._caption(end)
        self._closing(places[-1])

    def _heads_section(self, place: int) -> bool:
        before = self._before(place)
        after_related = before is not None and self.lines[before].form is Form.RELATED
        return self.lines[place].form is Form.HEADLINE and not after_related

    def _interposed(self, place: int, number: int) -> bool:
        """Whether a short line stands alone between a text and the next numbered headline."""
        line = self.lines[place]
        short = line.form in {Form.HEADLINE, Form.FRAGMENT} and len(line.text.split()) <= 8
        if self.spaced:
            return short and self.lines[number].gap > 0 and line.gap > 0
        return short and title_case(line.text)

    def _before(self, place: int) -> int | None:
        """The line before, of those that count."""
        at = bisect_right(self.flow, place - 1)
        return self.flow[at - 1] if at else None

    def _closing(self, last: int) -> None:
        """After the last number: a short line with capitals, then text, closes the digest."""
        tail = [n for n in self.flow if n > last]
        if any(self.lines[n].form is Form.CLOSING for n in tail):
            return
        for here, after in pairwise(tail[1:]):
            line, before = self.lines[here], self.lines[self._before(here) or 0]
            rhythm = line.gap >= self.lines[last].gap and title_case(line.text)
            heads = line.form is Form.HEADLINE and ends_sentence(before.text)
            if heads and rhythm and self.lines[after].form in _BODY:
                self.roles[here] = Role.OUTRO
                return

    def _article(self, run: Run) -> None:
        first = run.places[0]
        opened = first - 1
        while opened >= 0 and not (self.roles[opened].opens or self.roles[opened] is Role.SECTION):
            opened -= 1
        if opened >= 0 and self.roles[opened] is Role.ITEM:
            self.roles[opened] = Role.ARTICLE
        for place in run.places:
            self.roles[place] = Role.PART
        before = self._before(first)
        if before is not None and self.lines[before].form is Form.HEADLINE:
            free = self.roles[before] in {Role.TEXT, Role.STRAY}
            self.roles[before] = Role.SUBHEADING if free else self.roles[before]
        for place in run.places[1:]:
            end = self._before(place)
            if end is not None and self.spaced and self._interposed(end, place):
                self._caption(end)

    def _caption(self, place: int) -> None:
        before = self._before(place)
        if self.roles[place] is Role.TEXT and before is not None and not self.roles[before].opens:
            self.roles[place] = Role.CAPTION

    def finish(self) -> None:
        """The closing words: after the last headline only."""
        opened = [n for n, role in enumerate(self.roles) if role.opens]
        last = opened[-1] if opened else -1
        tail = [n for n in self.flow if n > last]
        for here in tail:
            if self.lines[here].form is Form.CLOSING:
                self.roles[here] = Role.OUTRO
                return
        for here in tail[-4:]:
            if self.lines[here].form is Form.PROSE and words.FAREWELL.match(self.lines[here].text):
                if Role.OUTRO not in self.roles:
                    self.roles[here] = Role.FAREWELL
                return


class _Plain:
    """Headlines without numbers, in one stretch of a digest."""

    def __init__(
        self, found: _Roles, flow: list[int], *, follows: bool, begins: bool = True
    ) -> None:
        self.found = found
        self.lines = found.lines
        self.flow = flow
        self.follows = follows  # a numbered run comes next
        self.begins = begins  # this is where the digest starts
        self.repeats: set[int] = set()
        self.text: set[int] = set()  # lines that look like headlines and are none
        self.heads = self._filtered(self._candidates())
        self.text = {n for n in flow if found.lines[n].form is Form.HEADLINE} - set(self.heads)
        self.terminated = self._is_terminated()

    def headlines(self) -> list[int]:
        """The candidates that body text follows."""
        return [here for here in self.heads if self._after(here) in _BODY]

    def decide(self) -> None:
        """Give every line of the stretch its role."""
        for place in self.repeats:
            self.found.roles[place] = Role.REPEAT
        runs = self._runs()
        decks = len(runs) > 3 and sum(len(run) == 2 for run in runs) >= 0.8 * len(runs)
        for number, run in enumerate(runs):
            if self._after(run[-1]) not in _BODY:
                self._dangling(run)
                continue
            starts = self.begins and run[0] == self.flow[0]
            given = self._given(run, starts=starts, decks=decks, after=runs[number + 1 :])
            for place, role in zip(run, given, strict=True):
                self.found.roles[place] = role
        if self.terminated:
            self._tips()

    def _candidates(self) -> list[int]:
        heads: list[int] = []
        current = ""
        for place, here in enumerate(self.flow):
            line = self.lines[here]
            if line.form is Form.RELATED and self._leads(place):
                heads.append(here)
            if line.form is not Form.HEADLINE:
                continue
            if " ".join(line.text.casefold().split()) == current:
                self.repeats.add(here)
                continue
            heads.append(here)
            if self._after(here) in _BODY:
                current = " ".join(line.text.casefold().split())
        return heads

    def _leads(self, place: int) -> bool:
        """Whether a line with an emoji has text of its own right after it."""
        line = self.lines[self.flow[place]]
        after = self.lines[self.flow[place + 1]] if place + 1 < len(self.flow) else None
        return after is not None and after.form is Form.PROSE and not ends_sentence(line.text)

    def _filtered(self, heads: list[int]) -> list[int]:
        """Without those that break the digest's own habits: place in a block, capitals."""
        index = {here: place for place, here in enumerate(self.flow)}
        blocks = sum(self.lines[n].gap > 0 for n in self.flow)
        starting = [n for n in heads if self.lines[n].gap or not index[n]]
        if blocks >= 3 and len(starting) >= 0.7 * len(heads):
            heads = starting
        sure = {n for n in heads if index[n] and self._terminates(index[n] - 1)}
        capital = {n for n in heads if title_case(self.lines[n].text)}
        habit = len(capital) > 0.6 * len(heads) and (len(sure) < 2 or sure <= capital)
        if habit and len(capital) > 1:
            heads = [n for n in heads if n in capital or n in sure]
        certain = sure | capital | set(self.flow[:1])
        return [n for n in heads if n in certain or not self.lines[n].text.endswith(("?", "!"))]

    def _terminates(self, place: int) -> bool:
        here = self.flow[place]
        return self.lines[here].form in {Form.SOURCE, Form.POINTER} or here in self.repeats

    def _is_terminated(self) -> bool:
        """Whether stories end with their address."""
        last = [self._terminates(place) for place in range(len(self.flow))]
        ends = [place for place, (here, after) in enumerate(pairwise(last)) if here and not after]
        heads = set(self.heads)
        closed = sum(self.flow[place + 1] in heads for place in ends)
        return len(ends) >= 3 and closed >= 0.7 * len(ends)

    def _after(self, here: int) -> Form | None:
        """The form of the next line that counts; what only looks like a headline is body."""
        at = bisect_right(self.flow, here)
        if at < len(self.flow):
            after = self.flow[at]
            body = after in self.text or after in self.repeats
            return Form.PROSE if body else self.lines[after].form
        return None

    def _runs(self) -> list[list[int]]:
        """Headlines that follow one another directly."""
        runs: list[list[int]] = []
        index = {here: place for place, here in enumerate(self.flow)}
        for here in self.heads:
            if runs and index[here] == index[runs[-1][-1]] + 1:
                runs[-1].append(here)
            else:
                runs.append([here])
        return runs

    def _given(
        self, run: list[int], *, starts: bool, decks: bool, after: list[list[int]]
    ) -> list[Role]:
        if len(run) == 1:
            return [Role.TITLE if starts and self._is_title(run[0], after) else Role.ITEM]
        if decks and len(run) == 2:
            return [Role.ITEM, Role.TEXT]
        if starts:
            inner = [Role.SECTION] if len(run) > 2 else []
            return [Role.TITLE, *inner, *[Role.ITEM] * (len(run) - 1 - len(inner))]
        return [Role.SECTION, *[Role.ITEM] * (len(run) - 1)]

    def _is_title(self, here: int, after: list[list[int]]) -> bool:
        """Whether the first short line names the digest rather than its first story."""
        if not after:
            return False
        body = [n for n in self.flow if here < n < after[0][0]]
        sourced = any(self.lines[n].form in {Form.SOURCE, Form.POINTER} for n in body)
        if sourced or self.lines[body[0]].form in {Form.LABEL, Form.BULLET}:
            return False
        text = self.lines[body[0]].text
        if words.GREETING.match(text) or words.DIGEST.search(self.lines[here].text):
            return True
        return self.terminated or len(after[0]) > 1

    def _dangling(self, run: list[int]) -> None:
        """Short lines with nothing under them: a subheading, a caption, or not understood."""
        ends, after = run[-1] == self.flow[-1], self._after(run[-1])
        for here in run:
            if ends and self.follows:
                self.found.roles[here] = Role.SUBHEADING
            elif here != self.flow[0] and self.found.spaced and after is Form.CLOSING:
                self.found.roles[here] = Role.CAPTION
            else:
                self.found.roles[here] = Role.STRAY

    def _tips(self) -> None:
        """Text after the address that ended a story starts one without a headline."""
        for place in range(1, len(self.flow)):
            here = self.flow[place]
            fresh = self._terminates(place - 1) and self.found.roles[here] is Role.TEXT
            if fresh and self.lines[here].form is Form.PROSE:
                self.found.roles[here] = Role.TIP
