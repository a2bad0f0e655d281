"""The examples of docs/issue-file.md are what they claim to be."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from mailer.content.document import DocumentInvalid, read, write
from mailer.content.issue import Issue, Item, Section

GUIDE = (Path(__file__).parents[3] / "docs/issue-file.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", blocks("issue"))
def test_an_example_is_written_the_way_dibao_writes_it(example: str) -> None:
    assert write(read(example)) == example


def test_the_refused_example_is_refused_for_the_reasons_given() -> None:
    (example,), (reasons,) = blocks("refused"), blocks("reasons")

    with pytest.raises(DocumentInvalid) as refused:
        read(example)

    assert str(refused.value) == reasons.strip()


def test_the_guide_names_every_key() -> None:
    elsewhere = {"id", "greeting", "sections", "outro", "outro_title", "intro", "items", "body"}
    for cls in (Issue, Section, Item):
        for field in fields(cls):
            assert f"`{field.name}`" in GUIDE or field.name in elsewhere
