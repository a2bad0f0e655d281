"""The project holds together: what is written down is so, and what is shipped is whole."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from mailer import __version__
from mailer.kit import paths
from tests import servers, written_settings

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / lock).read_text()))


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its result yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_example_of_the_environment_is_what_the_settings_say() -> None:
    assert written_settings.EXAMPLE.read_text() == written_settings.example(), "make settings"


def test_the_operators_page_lists_every_setting() -> None:
    assert written_settings.OPERATIONS.read_text() == written_settings.operations(), "make settings"


def test_every_locked_package_has_its_hash() -> None:
    for lock in ("requirements.lock", "requirements-run.lock"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text().strip())
        assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_what_runs_is_what_was_tested() -> None:
    everything, running = pinned("requirements.lock"), pinned("requirements-run.lock")

    assert running.items() <= everything.items()
    assert "pytest" in everything
    assert "pytest" not in running


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]

    def names(wishes: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9_.-]", wish)[0].lower() for wish in wishes}

    running = names([*project["project"]["dependencies"], *groups["build"]])
    assert running <= set(pinned("requirements-run.lock")), "make lock"
    assert running | names(groups["dev"]) <= set(pinned("requirements.lock")), "make lock"


def test_the_changelog_knows_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[:2] in (["Unreleased", __version__], [__version__])


def test_every_local_link_in_a_page_leads_somewhere() -> None:
    lost = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
            if "://" not in target and not target.startswith("mailto:"):
                place = page.parent / target
                lost += [] if place.exists() else [f"{page.relative_to(ROOT)}: {target}"]

    assert not lost


def test_make_does_what_the_readme_promises() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    promised = re.findall(r"\bmake ((?:[a-z]+ ?)+)", (ROOT / "README.md").read_text())

    assert {word for words in promised for word in words.split()[:1]} <= targets


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("dibao-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())

    def lying(folder: Path, there: str) -> set[str]:
        files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
        return {f"{there}/{f}" for f in files if not {"__pycache__", ".DS_Store"} & set(f.parts)}

    assert "worker.py" in packed
    assert lying(ROOT / "mailer", "mailer") <= packed
    assert lying(ROOT / "subscribers", "subscribers") <= packed
    assert lying(ROOT / "templates", "mailer/templates") <= packed
    assert not [file for file in packed if file.startswith(("tests", "docs"))]


def test_templates_are_found_in_a_checkout() -> None:
    assert (paths.TEMPLATES / "email").is_dir()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux what runs")
def test_not_even_a_killed_session_leaves_a_server_behind() -> None:
    script = (
        "import time\n"
        "from tests import servers\n"
        "with servers.smtp_sink() as sink:\n"
        "    print(sink.pid, sink.directory, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    session = subprocess.Popen(
        [sys.executable, "-c", script], stdout=-1, text=True, env=environment
    )
    assert session.stdout
    said = session.stdout.readline().split()
    session.send_signal(signal.SIGKILL)
    session.wait()
    session.stdout.close()
    if not said:
        pytest.skip("smtp-sink is not installed: whether servers outlive a session is not tested")

    end = time.monotonic() + 10
    while not gone(int(said[0])):
        assert time.monotonic() < end, "the server outlives its session"
        time.sleep(0.02)
    Path(said[1], "log").unlink(missing_ok=True)
    Path(said[1]).rmdir()


def test_a_missing_program_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    with (
        pytest.raises(servers.Missing, match="apt-get install redis-server"),
        servers.redis_server(),
    ):
        pass
