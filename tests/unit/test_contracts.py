"""Who may import whom: the contracts of pyproject.toml hold, and leave no stage out."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"


def test_the_contracts_hold() -> None:
    linted = subprocess.run(
        [sys.executable, "-c", LINT], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert linted.returncode == 0, linted.stdout


def test_the_way_of_a_letter_names_every_stage() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    letter = next(each for each in contracts["contracts"] if each["id"] == "letter")
    named = {part.strip(" ()") for layer in letter["layers"] for part in layer.split("|")}
    stages = {path.parent.name for path in ROOT.glob("mailer/*/__init__.py")}

    assert letter["exhaustive"]
    assert stages <= named | set(letter["exhaustive_ignores"])


def test_celerys_way_in_is_a_door_and_nothing_else() -> None:
    lines = (ROOT / "worker.py").read_text().splitlines()

    assert len(lines) < 10
    assert [line for line in lines if "import" in line] == ["from mailer.app import worker"]
