"""Author's text into HTML text: escaped, runs of Chinese, Japanese or Korean marked as such.

A screen reader changes its voice and a browser its glyphs by the `lang` of a span. Braces that a
template engine would act on become character references: they look the same and do nothing.
"""

import re
from functools import partial
from html import escape, unescape

from mailer.rendering import fields

_EAST_ASIAN = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_EAST_ASIAN}]+(?:[\u00b7\u3000-\u303f\uff00-\uffef]*[{_EAST_ASIAN}]+)*")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_BRACES = re.compile(r"\{(?=[{%])|(?<=\\u)\{|\[(?=\[)")
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})


def direction(language: str) -> str:
    """`ltr` or `rtl`, as the language (BCP 47) is written."""
    return "rtl" if language.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"


def text(source: str, language: str) -> str:
    """One line of author's text as HTML, its fields as marks. Raises fields.UnknownField."""
    return fields.mark(fields.line(source), partial(_html, language))


def passage(escaped: str, language: str) -> str:
    """The same for text that is HTML-escaped already and may have several lines."""
    return fields.mark(escaped, partial(_dressed, language), unescape=unescape)


def inert(escaped: str) -> str:
    """Escaped text whose braces no template engine would act on; it looks the same."""
    if "{" in escaped or "[" in escaped:
        return _BRACES.sub(lambda found: f"&#{ord(found[0])};", escaped)
    return escaped


def _html(language: str, raw: str) -> str:
    return _dressed(language, escape(raw))


def _dressed(language: str, escaped: str) -> str:
    escaped = inert(escaped)
    if escaped.isascii() or language.partition("-")[0].lower() in {"zh", "ja", "ko"}:
        return escaped
    return _RUN.sub(lambda found: f'<span lang="{_language(found[0])}">{found[0]}</span>', escaped)


def _language(run: str) -> str:
    if _KANA.search(run):
        return "ja"
    return "ko" if _HANGUL.search(run) else "zh"
