"""Slots: places in a theme that take the issue's words, filled after MJML has been compiled.

MJML sees tokens of ASCII letters and digits where text and addresses will stand, so no word of an
author can break the layout, be read as MJML, or be spoiled by the engine, which writes attributes
the way Rust prints debugging output. Tokens carry a nonce of the compile, and are replaced in one
pass: text that looks like one stays text.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from html import escape

from mailer.rendering import typeset
from mailer.rendering.edition import RenderingRefused


class Kind(Enum):
    """What a slot holds, and so where it may stand."""

    PLAIN = "plain text"  # anywhere: the title, an alt
    HTML = "HTML"  # between tags only
    URL = "an address"  # inside an attribute only


@dataclass(slots=True)
class Slots:
    """The slots of one compile. `add` gives the token for the theme, `fill` puts the content in."""

    nonce: str  # 12 hex digits
    _contents: list[tuple[Kind, str]] = field(default_factory=list)

    def add(self, kind: Kind, content: str) -> str:
        """A token for content; PLAIN and URL are escaped here, HTML must be safe already."""
        if not content:
            return ""  # so that a theme can ask whether there is anything
        fit = content if kind is Kind.HTML else typeset.inert(escape(content))
        self._contents.append((kind, fit))
        return f"z{self.nonce}x{len(self._contents) - 1}z"

    def fill(self, compiled: str) -> str:
        """The compiled HTML with every token replaced.

        Raises RenderingRefused where the theme puts a slot where its kind may not stand.
        """

        def content(found: re.Match[str]) -> str:
            kind, text = self._contents[int(found[1])]
            at = found.start()
            inside = compiled.rfind("<", 0, at) > compiled.rfind(">", 0, at)
            if kind is (Kind.HTML if inside else Kind.URL):
                where = "inside a tag" if inside else "between tags"
                near = re.sub(rf"z{self.nonce}x\d+z", "…", compiled[max(0, at - 60) : at])
                raise RenderingRefused(f"{kind.value} stands {where}, after {near!r}", "theme")
            return text

        return re.sub(rf"z{self.nonce}x(\d+)z", content, compiled)
