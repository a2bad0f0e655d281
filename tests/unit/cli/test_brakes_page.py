"""What docs/brakes.md shows can be typed: its commands are there, its limits are the defaults."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailer import cli
from mailer.delivery import brakes, breakers, instance
from mailer.delivery.plan import BrakePlan, Plan

PAGE = (Path(__file__).parents[3] / "docs/brakes.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^dibao ((?:[a-z]+ ?)+)", PAGE, re.MULTILINE)))


def block(kind: str) -> str:
    found = re.search(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_limits_shown_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "delivery.toml"
    file.write_text(block("toml"), encoding="utf-8")
    plan = Plan.read(file, url="smtp://127.0.0.1", connections=1)

    assert plan.brakes == BrakePlan()
    assert set(BrakePlan.model_fields) == set(re.findall(r"^(\w+) =", block("toml"), re.MULTILINE))


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_shown_is_there(words: str) -> None:
    typed = words.split()
    longest = 2 if typed[0] == "brake" else 1
    result = CliRunner().invoke(cli.app, [*typed[:longest], "--help"])

    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("words", "figure"),
    [
        ("nothing counts below ten", breakers.FEWEST == 10),
        ("a warning in the log | it pauses", breakers.WARNED_AT == 0.6),
        ("0.1 %, from the third on", breakers.FEWEST_COMPLAINTS == 3),
        (
            "5 refusals of *us* in a row (x.7.x; 20",
            (breakers.BLOCKS, breakers.BLOCKS_OTHER) == (5, 20),
        ),
        ("no letter to this provider for 10 minutes", breakers.RATE_REST == 600),
        ("A relay rests for a minute, a blocked provider for 5 or 10", breakers.BLOCK_REST == 300),
        ("up to an hour", brakes.LONGEST_REST == 3600),
        ("more than 30 seconds apart", (instance.SKEW, instance.SKEW_WARNED) == (30, 2)),
        ("last quarter of an hour", breakers.SPAN.total_seconds() == 900),
    ],
)
def test_the_figures_shown_are_those_in_force(words: str, figure: bool) -> None:
    assert words in PAGE
    assert figure
