"""`dibao config --check`: whether a process could start, without starting one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailer import cli
from mailer.kit.errors import Misconfigured

FILE = """
[[relay]]
name = "main"
url = "smtp://10.0.0.1"

[lane.gmail]
rate = "5/s"
"""


def test_what_is_right_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "delivery.toml").write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("DIBAO_DELIVERY_FILE", str(tmp_path / "delivery.toml"))

    told = CliRunner().invoke(cli.app, ["config", "--check"])
    assert told.exit_code == 0
    assert "main" in told.stdout
    told = CliRunner().invoke(cli.app, ["config", "--check", "--json"])
    assert json.loads(told.stdout) == {"relays": ["main"], "lanes": ["gmail"]}


def test_what_is_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "delivery.toml").write_text(FILE.replace("url", "ulr"), encoding="utf-8")
    monkeypatch.setenv("DIBAO_DELIVERY_FILE", str(tmp_path / "delivery.toml"))

    assert isinstance(CliRunner().invoke(cli.app, ["config", "--check"]).exception, Misconfigured)
