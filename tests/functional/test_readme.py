"""The tour in the README works as it is written there."""

import re
import shlex
from pathlib import Path

from tests.functional.house import ROOT, embedded, write_people
from tests.servers import free_port

NOTES = """\
Couriers and Carts, Week 48

Hello everybody, here is the week.

1. A Marketplace Opens Its Checkout to Rival Online Shops

Shoppers on the marketplace may pay in four other online stores from December. Merchants asked.

https://tradewinds.example/checkout

2. A Language Model That Reads Receipts

The new artificial intelligence model turns receipts into entries. Clerks correct what is left.

https://machinepost.example/receipts

Wrapping Up

That was the week.
"""


def tour() -> list[str]:
    """The lines of the block that the README marks as run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- run: tour -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert block, "the README marks its tour"
    return block[1].splitlines()


def test_the_tour_of_the_marketer(tmp_path: Path) -> None:
    house = embedded(tmp_path, port=free_port())
    (tmp_path / "notes.txt").write_text(NOTES, encoding="utf-8")
    people = [("ada@example.com", "Ada", "ai"), ("ben@example.com", "Ben", "e-commerce ai")]
    write_people(tmp_path / "people.csv", people)
    said = []
    for line in tour():
        program, *words = shlex.split(line)
        assert program == "dibao"
        files = {"issue.md", "notes.txt", "people.csv"}
        said.append(house.dibao(*[str(tmp_path / w) if w in files else w for w in words]))

    everything = "\n".join(said)
    assert "2 of 2 people would get one mail each" in everything
    assert "finished" in everything
    assert "A Language Model That Reads Receipts" in everything
