"""Rules of the house that a machine can check; the rest is in CONTRIBUTING.md."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "mailer/migrations"  # past schemas are not rewritten to fit today's taste
MODULES = sorted(
    path
    for package in ("mailer", "subscribers")
    for path in ROOT.glob(f"{package}/**/*.py")
    if not path.is_relative_to(HISTORY)
)
VAGUE = {
    *("base", "common", "core", "helper", "helpers", "manager", "managers", "misc"),
    *("service", "services", "shared", "stuff", "util", "utils"),
}
DAMAGE = {"\ufffd": "a character that was lost in a copy", "\r": "a line end of another system"}

# What a file must not say: it would be wrong, or nobody's business, on every other machine.
PRIVATE = {
    r"/(?:work|root)/[a-z]": "a path of one machine",
    r"/home/[a-z]+/": "a path of one machine",
    r"(?:files\.pythonhosted|registry\.npmjs|index\.crates)\.": "the host of a registry",
    r"pypi\.org/simple|--(?:extra-)?index-url|--find-links": "the address of a registry",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]{20}": "a private key",
}

# Third-party packages that any module may use: they keep no state and open no connection.
FREE = {
    *("email_validator", "idna", "jinja2", "markdown_it", "nh3", "packaging", "pydantic"),
    *("structlog", "uvloop", "wcwidth", "yaml"),
}


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def stage(path: Path) -> str:
    parts = name(path).split(".")
    return ".".join(parts[:2]) if parts[0] == "mailer" else parts[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its length in lines, docstring included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def written_files() -> list[Path]:
    """What git has or would take: not the ignored, not what is deleted but not committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: what its files are allowed to say is not checked")
    return [ROOT / file for file in listed.stdout.split("\0") if file and (ROOT / file).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "says in its first line what it is for"
    assert not VAGUE & set(name(path).split(".")), "has a name that excludes something"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for function, lines in functions(path):
        assert lines <= 60, f"{function} fits on one screen"


def test_nine_functions_in_ten_are_short() -> None:
    lengths = sorted(lines for path in MODULES for _, lines in functions(path))

    assert lengths[len(lengths) * 9 // 10] <= 25


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_tables_stay_in_their_stage(path: Path) -> None:
    tables = {imported for imported in imports(path) if imported.endswith(".models")}

    assert tables <= {f"{stage(path)}.models"} or name(path) == "mailer.reports.queries"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_who_passes_a_session_on_writes_no_sql(path: Path) -> None:
    passing = ("mailer.app", "mailer.jobs", "mailer.reports.explain", "mailer.web")
    named = {imported for imported in imports(path) if imported.startswith("sqlalchemy")}
    allowed = {"sqlalchemy.orm", "sqlalchemy.orm.Session", "sqlalchemy.exc"}

    if name(path).startswith(passing):
        assert named <= {*allowed, "sqlalchemy.exc.SQLAlchemyError"}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_clock_asks_the_time(path: Path) -> None:
    asking = {"datetime.now", "datetime.utcnow", "date.today", "time.time"}
    calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    calls = {call.removeprefix("datetime.") if call.count(".") > 1 else call for call in calls}
    asked = calls & asking or {imported for imported in imports(path) if imported == "time.time"}

    assert not asked or name(path) == "mailer.kit.clock"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nobody_commits_inside(path: Path) -> None:
    committing = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"commit", "rollback"}
    ]

    assert not committing or name(path) == "mailer.kit.database"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_library_has_one_door_or_is_named_as_free(path: Path) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    behind_a_door = {
        library for door in contracts["contracts"] for library in door.get("protected_modules", ())
    }
    own = {"mailer", "subscribers", "worker"} | set(sys.stdlib_module_names)
    libraries = {imported.split(".")[0] for imported in imports(path)} - own

    assert libraries <= behind_a_door | FREE


def test_every_library_we_import_is_one_of_our_own_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^A-Za-z0-9_.-]", wish)[0].lower() for wish in project["dependencies"]}
    distributions = packages_distributions()
    imported = {each.split(".")[0] for path in MODULES for each in imports(path)}
    third_party = {library for library in imported if library in distributions}
    third_party -= {"mailer", "subscribers", "worker", "starlette"}  # FastAPI is made of it

    for library in sorted(third_party):
        offered = {each.lower().replace("_", "-") for each in distributions[library]}
        assert offered & declared, f"{library} comes with something else, by chance"


def test_no_test_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_file_speaks_of_one_machine_or_holds_a_secret() -> None:
    found = []
    for file in written_files():
        content = file.read_bytes()
        if b"\0" in content:  # a picture
            continue
        text = content.decode()
        for pattern, why in PRIVATE.items():
            if file.resolve() != Path(__file__).resolve() and re.search(pattern, text):
                found.append(f"{file.relative_to(ROOT)}: {why}")
        found += [
            f"{file.relative_to(ROOT)}: {why}" for sign, why in DAMAGE.items() if sign in text
        ]

    assert not found
