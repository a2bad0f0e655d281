"""Writes what the settings say of themselves: .env.example and the table in docs/operations.md.

`python -m tests.written_settings` writes them; tests/unit/test_project.py fails where they differ.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from mailer.kit.settings import DEFAULT_SECRET, PREFIX, Settings

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / ".env.example"
OPERATIONS = ROOT / "docs/operations.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
WIDTH = 100
HEAD = """\
# Every setting with its default. Each may also come from a file: DIBAO_..._FILE=/path.
# Written by `make settings` from mailer/kit/settings.py.
"""


@dataclass(frozen=True, slots=True)
class Written:
    """One setting as a reader sees it."""

    variable: str
    default: str
    meaning: str  # one paragraph


def settings() -> Iterator[Written]:
    """Every setting in the order of the class."""
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(Settings))).body
    assert isinstance(written, ast.ClassDef)
    for field, doc in zip(written.body, written.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        assert isinstance(doc, ast.Expr), f"{field.target.id} says nothing about itself"
        meaning = ast.literal_eval(doc.value)
        name = field.target.id
        yield Written(f"{PREFIX}{name.upper()}", _default(name), " ".join(meaning.split()))


def example() -> str:
    """The text of .env.example: every setting with its default, all commented out."""
    parts = [HEAD]
    for each in settings():
        meaning = textwrap.fill(each.meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"{meaning}\n#{each.variable}={each.default}\n")
    return "\n".join(parts)


def table() -> str:
    """The table of docs/operations.md."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for each in settings():
        default = f"`{each.default}`" if each.default else ""
        meaning = each.meaning.replace("|", "\\|")
        lines.append(f"| `{each.variable}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def operations() -> str:
    """The text of docs/operations.md with the table as it should be."""
    page = OPERATIONS.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return "" if value == DEFAULT_SECRET else str(value)


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")
    OPERATIONS.write_text(operations(), encoding="utf-8")
