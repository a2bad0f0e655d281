"""The guide names every table and every privacy item, and no test that is not there."""

import re
from pathlib import Path

from mailer.kit.settings import PREFIX, Settings
from mailer.privacy.held import HELD

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")


def test_every_table_with_data_of_people_is_in_the_guide() -> None:
    assert [held.table for held in HELD if f"`{held.table}`" not in GUIDE] == []


def test_every_privacy_item_has_its_line() -> None:
    items = [int(number) for number in re.findall(r"^\| P(\d+) ", GUIDE, re.MULTILINE)]

    assert items == list(range(1, 31))


def test_what_an_item_says_it_has_a_test_for_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", GUIDE))

    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
    for line in re.findall(r"^\| P\d+ [^|]*\| yes \|.*$", GUIDE, re.MULTILINE):
        assert "`tests/" in line, line


def test_the_terms_are_those_of_the_settings() -> None:
    named = {name.lower() for name in re.findall(rf"{PREFIX}(KEEP_\w+)", GUIDE)}

    assert named - {"keep_"} == {name for name in Settings.model_fields if name.startswith("keep_")}
