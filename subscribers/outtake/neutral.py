"""Cells that a spreadsheet program would run as a formula, made plain text.

Whoever signs up chooses a name, and somebody else opens the file: `=HYPERLINK(...)` in a cell is
then theirs to run. A cell that begins with one of = + - @ or their full-width twins gets an
apostrophe before it, which spreadsheet programs take as "this is text". So does one that begins
with a tab or a line end; one where spaces, quotes or what cannot be seen stand before the sign; and
the sign after a semicolon, tab or line end inside a cell, for programs that part cells there.
"""

import re

_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060\u00ad"
_SIGNS = "=+@\uff1d\uff0b\uff0d\uff20\u2212\ufe62\ufe63\ufe66\ufe6b-"
_FORMULA = re.compile(
    rf"(?:^(?=[\t\r\n])|(?P<before>^|[;\t\r\n])(?=[\s\"'{_UNSEEN}\u201c\u201d]*[{_SIGNS}]))"
)


_parts = re.compile(r"[;\t\r\n]").search


def neutral(cell: str) -> str:
    """The cell as text, whatever opens the file; unchanged where nothing in it is dangerous."""
    if cell[:1].isalnum() and _parts(cell) is None:  # nearly every one
        return cell
    return _FORMULA.sub(lambda found: f"{found['before'] or ''}'", cell)
