"""A ledger shows where it was changed; a third party needs nothing of ours to see it."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mailer.delivery import chain
from mailer.delivery.chain import Writer

DOCS = Path(__file__).parents[3] / "docs/ledger.md"
COLUMNS = ("subscriber", "outcome", "reply", "resolution")
ABOUT = ('campaign 7 "Fans, in the gym", finished', "sums accepted=2 refused=1 uncertain=1")
ROWS = (
    (1, "accepted", "ok", ""),
    (2, "refused", 'no, "never"\r\nagain', ""),
    (3, "uncertain", None, "accepted"),
    (4, "uncertain", "", "abandoned"),
)


def ledger(
    *, about: tuple[str, ...] = ABOUT, rows: tuple[tuple[object, ...], ...] = ROWS
) -> list[str]:
    writer = Writer(about, COLUMNS)
    text = writer.opening + "".join(map(writer.row, rows)) + writer.closing()
    return text.splitlines(keepends=True)


def fault(lines: list[str]) -> tuple[int, str] | None:
    found = chain.check(lines, tally=("outcome", "resolution")).fault
    return None if found is None else (found.line, found.what)


def test_a_ledger_as_it_was_written_holds() -> None:
    lines = ledger()
    found = chain.check(lines, tally=("outcome", "resolution"))

    assert found.fault is None
    assert (found.rows, found.about[0]) == (4, "dibao-ledger 1")
    assert found.sums == {"accepted": 2, "refused": 1, "uncertain": 1}
    assert lines[-1] == f"# end rows=4 head={found.head}\n"
    assert lines[-2].rstrip().endswith(found.head)


def test_it_is_csv_of_one_line_a_row() -> None:
    rows = list(csv.reader(ledger()[3:-1]))

    assert rows[0] == [*COLUMNS, "hash"]
    assert [row[:-1] for row in rows[1:]] == [
        ["1", "accepted", "ok", ""],
        ["2", "refused", 'no, "never"  again', ""],
        ["3", "uncertain", "", "accepted"],
        ["4", "uncertain", "", "abandoned"],
    ]


def changed(line: int, old: str, new: str) -> list[str]:
    lines = ledger()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    return lines


MISDEEDS = {
    "a row changed": (changed(6, "refused", "accepted"), 6),
    "its hash too": (changed(5, "1,accepted,ok,,", "1,accepted,ok,,0"), 5),
    "a row removed": (ledger()[:5] + ledger()[6:], 6),
    "a row added": ([*ledger()[:6], ledger()[5], *ledger()[6:]], 7),
    "two rows exchanged": ([*ledger()[:4], ledger()[5], ledger()[4], *ledger()[6:]], 5),
    "the last row removed": (ledger()[:7] + ledger()[8:], 8),
    "cut off": (ledger()[:6], 7),
    "cut off in a line": ([*ledger()[:6], ledger()[6][:9]], 7),
    "the closing line only": (ledger()[:-1], 9),
    "more after the end": ([*ledger(), "5,accepted,ok,,00\n"], 10),
    "the sums changed": (changed(3, "accepted=2", "accepted=3"), 5),
    "another campaign": (changed(2, "campaign 7", "campaign 8"), 5),
    "a column renamed": (changed(4, "outcome", "result"), 5),
    "line ends changed": ([line.replace("\n", "\r\n") for line in ledger()], 1),
    "another format": (changed(1, "ledger 1", "ledger 2"), 1),
    "a remark between the rows": ([*ledger()[:5], "# nothing\n", *ledger()[5:]], 6),
    "the count changed": (changed(9, "rows=4", "rows=5"), 9),
    "no file of ours": (["subscriber,outcome\n", "1,accepted\n"], 1),
    "nothing": ([], 1),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_the_first_line_that_is_not_as_it_was_written_is_named(misdeed: str) -> None:
    lines, line = MISDEEDS[misdeed]
    found = fault(lines)

    assert found is not None
    assert found[0] == line, found[1]


def test_sums_that_were_never_right_are_named() -> None:
    wrong = ("campaign 7", "sums accepted=1 refused=1 uncertain=1")
    found = fault(ledger(about=wrong))

    assert found is not None
    assert "sums say otherwise" in found[1]
    assert fault(ledger(about=(*wrong, "excerpt outcome=accepted"))) is None, "the whole's sums"


def test_a_ledger_written_anew_has_another_head() -> None:
    forged = ledger(rows=((1, "refused", "", ""), *ROWS[1:]), about=("campaign 7",))

    assert fault(forged) is None, "nothing in the file can show that"
    assert chain.check(forged).head != chain.check(ledger()).head


def test_an_empty_ledger_holds() -> None:
    assert fault(ledger(rows=(), about=("sums accepted=0",))) is None


@pytest.mark.parametrize("misdeed", ["none", *MISDEEDS])
def test_the_script_in_the_documentation_says_the_same(misdeed: str, tmp_path: Path) -> None:
    """Run on its own: no line of it imports anything of ours."""
    script = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert script is not None
    assert len(script[1].splitlines()) <= 20
    assert "mailer" not in script[1]
    lines = ledger() if misdeed == "none" else MISDEEDS[misdeed][0]
    (tmp_path / "check.py").write_text(script[1], encoding="utf-8")
    (tmp_path / "ledger.csv").write_text("".join(lines), encoding="utf-8", newline="")

    run = subprocess.run(  # our own words
        [sys.executable, "-I", "check.py", "ledger.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode == 0) == (misdeed == "none"), run.stdout + run.stderr
    assert run.stderr == "" or misdeed != "none"
    if misdeed == "none":
        assert run.stdout == f"4 rows hold, head {chain.check(ledger()).head}\n"
