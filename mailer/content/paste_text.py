"""The body of a pasted story: its lines as CommonMark blocks that show the same text."""

from collections import Counter
from collections.abc import Iterable

from mailer.content import commonmark
from mailer.content import paste_words as words
from mailer.content.paste_lines import Form, Line

_LONGEST_LABEL = 5  # words


class Text:
    """Blocks, as they come."""

    def __init__(self, labels: frozenset[str] = frozenset()) -> None:
        self._labels = labels  # words that start several paragraphs of the digest: "Context"
        self._blocks: list[tuple[str, list[str]]] = []
        self._pending = ""  # a label that waits for its paragraph
        self._ordinal = 0

    def __bool__(self) -> bool:
        return bool(self._blocks) or bool(self._pending)

    def add(self, line: Line) -> None:
        """Append a line in the shape its form asks for."""
        if line.form is Form.BULLET:
            self._listed("-", line)
        elif line.form is Form.NUMBERED and self._continues(line):
            self._ordinal = line.ordinal
            self._listed(f"{line.ordinal}.", line)
        elif line.form is Form.LABEL:
            self.flush()
            self._pending = _bold(line.text)
        elif line.form is Form.PROSE and words.QUOTATION.match(line.text) and not line.markdown:
            self.flush()
            self._blocks.append(("quote", ["> " + commonmark.line(line.text)]))
        else:
            self._paragraph(line)

    def heading(self, line: Line) -> None:
        """Append a subheading: a paragraph in bold."""
        self.flush()
        self._blocks.append(("text", [_bold(line.text)]))

    def flush(self) -> None:
        """A label that waits becomes a paragraph of its own."""
        if self._pending:
            self._blocks.append(("text", [self._pending]))
            self._pending = ""

    def __str__(self) -> str:
        self.flush()
        return "\n\n".join("\n".join(lines) for _, lines in self._blocks)

    def _paragraph(self, line: Line) -> None:
        text = line.markdown or self._labelled(line.text)
        if self._pending:
            text = f"{self._pending} {line.markdown or commonmark.inline(line.text)}"
            self._pending = ""
        self._blocks.append(("text", [text]))

    def _labelled(self, text: str) -> str:
        label, colon, _ = text[:60].partition(": ")
        if colon and label.casefold() in self._labels:
            return f"{_bold(label + ':')} {commonmark.inline(text[len(label) + 2 :])}"
        return commonmark.line(text)

    def _listed(self, mark: str, line: Line) -> None:
        self.flush()
        kind = "bullets" if mark == "-" else "numbers"
        if not self._blocks or self._blocks[-1][0] != kind:
            self._blocks.append((kind, []))
        self._blocks[-1][1].append(f"{mark} {line.markdown or commonmark.line(line.rest)}")

    def _continues(self, line: Line) -> bool:
        """Whether a number starts a list or goes on with it; others would be counted anew."""
        inside = bool(self._blocks) and self._blocks[-1][0] == "numbers"
        return line.ordinal == self._ordinal + 1 if inside else line.ordinal == 1


def labels_of(lines: Iterable[Line]) -> frozenset[str]:
    """Words before a colon with which at least two paragraphs of the digest start."""
    seen: Counter[str] = Counter()
    for line in lines:
        label, colon, _ = line.text[:60].partition(": ")
        if colon and line.form is Form.PROSE and len(label.split()) <= _LONGEST_LABEL:
            seen[label.casefold()] += 1
    return frozenset(label for label, count in seen.items() if count > 1)


def _bold(text: str) -> str:
    return f"**{commonmark.escaped(text)}**"
