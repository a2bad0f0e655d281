"""Plain text as CommonMark that shows exactly that text."""

import re

_INLINE = re.compile(r"[\\`*\[\]<]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])|~(?=~)|(?<=~)~")
_START = re.compile(r"#{1,6}(?=\s|$)|[-+](?=\s|$)|>|=+$|-[-\s]*$|~")
_ORDINAL = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
_LINK = re.compile(r"https?://[!-;=?-~]*[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_SHOWN_OTHERWISE = re.compile(r"[%\\`\[\]^|{}\"]|xn--", re.IGNORECASE)
"""What a reader's program may decode for show, so that the text would change."""


def line(text: str) -> str:
    """One line of text as a paragraph; bare URLs and e-mail addresses become links."""
    shown = inline(text)
    if _START.match(text) and shown[0] == text[0]:
        return "\\" + shown
    return _ORDINAL.sub(r"\1\\\2", shown, count=1) if _ORDINAL.match(text) else shown


def inline(text: str) -> str:
    """Text in the middle of a line."""
    out, end = [], 0
    for found in _LINK.finditer(text):
        if _SHOWN_OTHERWISE.search(found[0]):
            continue
        out += [escaped(text[end : found.start()]), f"<{found[0]}>"]
        end = found.end()
    return "".join([*out, escaped(text[end:])])


def escaped(text: str) -> str:
    """Text without any links in it."""
    return _INLINE.sub(r"\\\g<0>", text)


def link(text: str, url: str) -> str:
    """Words that lead somewhere."""
    target = url.replace("\\", "%5C").replace("<", "%3C").replace(">", "%3E").replace(" ", "%20")
    return f"[{escaped(text)}](<{target}>)"
