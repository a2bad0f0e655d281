"""An issue and a theme into an edition: rendered once for each set of segments, sent to many.

issue -> outline in slots -> the theme's MJML -> HTML -> slots filled -> encoded pieces. The text
part comes from the same outline in plain words, never from the HTML.
"""

import hashlib
import re

from mailer.content.issue import Issue, Publication
from mailer.rendering import encode, fields, outline, theme, typeset
from mailer.rendering.edition import REFUSE_BYTES, Edition, RenderingRefused
from mailer.rendering.ink import HtmlInk, TextInk, refusing
from mailer.rendering.links import Links, checked
from mailer.rendering.mjml import compile_mjml
from mailer.rendering.slots import Kind, Slots

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_SECOND_WAY_OUT = 80_000  # bytes of HTML from which unsubscribing is offered at the top as well


def render(
    issue: Issue,
    publication: Publication,
    *,
    followed: tuple[str, ...],
    tracking: int,
    public_url: str,
    theme: str = "digest",
) -> Edition:
    """The edition of an issue for those who follow exactly these of its segments.

    `tracking` is bits: 1 puts the open pixel in, 2 sends links through us. Equal input gives an
    equal edition. Raises RenderingRefused with the place: an unfit address, an unknown field, a
    body too long or deep, no item for these segments, HTML past what mailboxes show.
    """
    return _Rendering(issue, publication, followed, tracking, public_url, theme).edition()


class _Rendering:
    """One edition in the making."""

    def __init__(  # the arguments of render, in one place
        self,
        issue: Issue,
        publication: Publication,
        followed: tuple[str, ...],
        tracking: int,
        public_url: str,
        theme_name: str,
    ) -> None:
        self.theme = theme.load(theme_name)
        cut = issue.for_segments(followed)
        if issue.items and not cut.items:
            raise RenderingRefused(f"no item for {', '.join(followed)}", "issue")
        if not _LANGUAGE.fullmatch(cut.language):
            raise RenderingRefused(f"{cut.language!r} is no language tag (BCP 47)", "issue")
        self.frame = outline.Frame(
            cut,
            publication,
            followed,
            tracking,
            checked(public_url, "public address").rstrip("/"),
            self.theme.wording(cut.language),
        )
        self.links = Links(self.frame.public_url, tracking)

    def edition(self) -> Edition:
        issue = self.frame.issue
        html = self._html(second_way_out=False)
        if len(html.encode()) > _SECOND_WAY_OUT:
            html = self._html(second_way_out=True)
        text = self._text()
        subject = self._one_line(issue.subject or issue.title, "subject")
        preheader = self._one_line(outline.preheader(issue), "preheader")
        body = encode.body(text, html)
        return Edition(
            segments=self.frame.followed,
            tracking=self.frame.tracking,
            language=issue.language,
            subject=subject,
            preheader=preheader,
            html=html,
            text=text,
            links=self.links.table,
            content_type=body.content_type,
            pieces=body.pieces,
            slots=body.slots,
            sha256="",
            html_bytes=len(html.encode()),
            text_bytes=len(text.encode()),
        ).sealed()

    def _one_line(self, text: str, place: str) -> str:
        line = fields.line(text)
        with refusing(place):
            fields.mark(line)
        return line

    def _html(self, *, second_way_out: bool) -> str:
        frame = self.frame
        nonce = hashlib.sha256(repr((frame, self.theme.name)).encode()).hexdigest()[:12]
        slots = Slots(nonce)
        ink = HtmlInk(slots, self.links, frame.issue.language, self.theme.prose)
        data = outline.drawn(frame, ink)
        direction = typeset.direction(frame.issue.language)
        data |= {
            **self.theme.settings,
            "language": frame.issue.language,
            "dir": direction,
            "start": "left" if direction == "ltr" else "right",
            "end": "right" if direction == "ltr" else "left",
            "pixel": slots.add(Kind.URL, self.links.pixel()),
            "second_way_out": second_way_out,
        }
        compiled = compile_mjml(self.theme.mjml(data), name=f"{self.theme.name}/layout.mjml")
        html = slots.fill(compiled)
        _check(html, nonce)
        if (size := len(html.encode())) > REFUSE_BYTES:
            raise RenderingRefused(_too_large(size, ink.weights), "html")
        return html

    def _text(self) -> str:
        data = outline.drawn(self.frame, TextInk(self.links))
        text = self.theme.text(data)
        if fields.OPEN in fields.MARK.sub("", text):
            raise RenderingRefused(
                "a merge field was torn apart", f"theme {self.theme.name}/text.txt"
            )
        return text


def _check(html: str, nonce: str) -> None:
    """Nothing unfinished leaves the house. Raises RenderingRefused for what a theme left over."""
    for sign in ("{{", "{%", "[[", nonce, "\\u{", '\\n"'):
        if sign in html:
            at = html.index(sign)
            near = html[max(0, at - 40) : at + 40]
            raise RenderingRefused(f"{sign!r} is left in the mail, near {near!r}", "theme")


def _too_large(size: int, weights: dict[str, int]) -> str:
    heaviest = sorted(weights.items(), key=lambda place: -place[1])[:3]
    longest = "; ".join(f"{place} ({weight / 1000:.1f} kB)" for place, weight in heaviest)
    return (
        f"{size / 1000:.0f} kB, and mailboxes cut a mail off at 100 kB, unsubscribe link and all;"
        f" shorten or move to the web: {longest}"
    )


__all__ = ["RenderingRefused", "render"]
