"""`dibao issue`: paste, import, list, show, export, approve, suggest."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mailer.cli import issue as command
from mailer.content.document import read
from mailer.content.queries import IssueNotFound
from mailer.kit.clock import now
from mailer.kit.database import Database
from mailer.kit.errors import Invalid

DIGEST = """The Paper Weekly

Hello, welcome back.

1. Chatbot answers the night post

The chatbot answers at once.

2. Scent sells

Source link

Unsubscribe
"""

FILE = "---\ntitle: A week\nslug: week\n---\n\n### Chatbot wakes {#bot}\n\nText.\n"

Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command of `dibao issue` in an empty folder, on an empty database."""
    house = SimpleNamespace(database=sqlite_database, now=now)
    monkeypatch.setattr(command, "application", lambda: house)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digest.txt").write_text(DIGEST, encoding="utf-8")
    (tmp_path / "issue.md").write_text(FILE, encoding="utf-8")

    def invoke(*words: str, fails: bool = False, given: str | None = None) -> Result:
        result = CliRunner().invoke(command.app, list(words), input=given)
        assert bool(result.exception) is fails, result.output
        return result

    return invoke


def answer(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_digest_becomes_a_file_and_says_what_it_left_out(run: Run) -> None:
    result = run("paste", "digest.txt", "-o", "new.md")

    issue = read(Path("new.md").read_text(encoding="utf-8"))
    assert [item.title for item in issue.items] == ["Chatbot answers the night post", "Scent sells"]
    assert "2 items (2 news)" in result.stderr
    assert "line 13: Unsubscribe (page chrome)" in result.stderr
    assert "line 11: Source link (words of a link without its address)" in result.stderr


def test_the_summary_for_programs_counts_and_lists(run: Run) -> None:
    told = answer(run("paste", "digest.txt", "--json"))

    assert (told["items"], told["kinds"], told["sources"]) == (2, {"news": 2}, 0)
    assert told["dropped"] == [{"line": 13, "text": "Unsubscribe", "reason": "page chrome"}]
    assert told["not_understood"] == []


def test_a_pipe_works_both_ways(run: Run) -> None:
    assert read(run("paste", "-", given=DIGEST).stdout).title == "The Paper Weekly"


def test_a_file_that_is_there_is_not_written_over_by_mistake(run: Run) -> None:
    refused = run("paste", "digest.txt", "-o", "issue.md", fails=True)

    assert "--force" in str(refused.exception)
    assert Path("issue.md").read_text(encoding="utf-8") == FILE
    run("paste", "digest.txt", "-o", "issue.md", "--force")
    assert "Chatbot answers" in Path("issue.md").read_text(encoding="utf-8")


def test_an_issue_is_imported_listed_shown_approved_and_exported(run: Run) -> None:
    stored = answer(run("import", "issue.md", "--json"))
    assert (stored["slug"], stored["state"], stored["revision"]) == ("week", "draft", 1)

    approved = answer(run("approve", "week", "--json"))
    assert (approved["state"], approved["hash"]) == ("approved", stored["hash"])

    (listed,) = answer(run("list", "--json"))
    assert (listed["id"], listed["items"], listed["state"]) == (stored["id"], 1, "approved")
    assert answer(run("show", str(stored["id"]), "--json"))["issue"]["title"] == "A week"
    assert "Chatbot wakes" in run("show", "week").stdout
    assert "week" in run("list").stdout

    run("export", "week", "-o", "out.md")
    assert Path("out.md").read_text(encoding="utf-8") == FILE
    assert run("export", "week").stdout == FILE


def test_importing_again_is_a_new_revision_and_can_approve_at_once(run: Run) -> None:
    run("import", "issue.md")
    Path("issue.md").write_text(FILE.replace("Text.", "Better text."), encoding="utf-8")

    told = answer(run("import", "issue.md", "--approve", "--json"))

    assert (told["revision"], told["state"]) == (2, "approved")
    assert "revision 2: approved" in run("approve", "week").stdout


def test_suggestions_show_their_words_and_can_be_written(run: Run) -> None:
    (row,) = answer(run("suggest", "issue.md", "--json"))
    assert (row["item"], row["segments"]) == ("bot", [])
    assert row["suggestions"][0]["segment"] == "ai"
    assert row["suggestions"][0]["words"] == ["chatbot"]
    assert "chatbot" in run("suggest", "issue.md").stdout

    run("suggest", "issue.md", "-o", "with.md")
    assert read(Path("with.md").read_text(encoding="utf-8")).items[0].segments == ("ai",)
    run("import", "issue.md")
    assert answer(run("suggest", "week", "--json")) == [row]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import", "nothing.md"), "Cannot read nothing.md: No such file or directory."),
        (("import", "broken.md"), "broken.md, line 3: 'subjet' is no key here"),
        (("import", "latin.md"), "latin.md, line 2: not UTF-8"),
        (("paste", "empty.txt"), "There is no text to make an issue of"),
        (("paste", "digest.txt", "-o", "no/such/folder.md"), "Cannot write no/such/folder.md"),
        (("suggest", "nothing.md"), "Cannot read nothing.md"),
    ],
)
def test_a_refusal_is_one_sentence_with_its_place(
    run: Run, words: tuple[str, ...], says: str
) -> None:
    Path("broken.md").write_text("---\ntitle: T\nsubjet: S\n---\n", encoding="utf-8")
    Path("latin.md").write_bytes(b"---\ntitle: \xe9\n---\n")
    Path("empty.txt").write_text("\n", encoding="utf-8")

    refused = run(*words, fails=True).exception

    assert isinstance(refused, Invalid)
    assert says in str(refused)


@pytest.mark.parametrize("command_name", ["show", "export", "approve", "suggest"])
@pytest.mark.parametrize("name", ["7", "x"])
def test_an_issue_that_is_not_there_is_not_found(run: Run, command_name: str, name: str) -> None:
    assert isinstance(run(command_name, name, fails=True).exception, IssueNotFound)
