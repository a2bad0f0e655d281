"""Every row of the fault table is a named test, or says why it cannot be one on this machine.

Tests in this folder name their rows in their docstrings: "Fault 22", "Faults 12 and 58".
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ROWS = set(range(1, 63))

_BROKERS = "tests/functional/test_brokers.py"
_DELIVERY = "tests/unit/delivery"

ELSEWHERE: dict[int, tuple[str, str]] = {
    16: (_BROKERS, "test_whatever_becomes_of_knocks_nobody_is_lost_or_mailed_twice"),
    17: (_BROKERS, "test_without_any_broker_a_campaign_goes_out_whole"),
    19: (_BROKERS, "test_whatever_becomes_of_knocks_nobody_is_lost_or_mailed_twice"),
    20: (
        "tests/unit/kit/test_broker.py",
        "test_a_redis_that_is_there_and_says_nothing_costs_little_time",
    ),
    43: (
        f"{_DELIVERY}/test_windows.py",
        "test_hours_in_the_hour_that_comes_twice_begin_with_the_first",
    ),
    49: (f"{_DELIVERY}/test_audience.py", "test_two_people_with_one_address_get_one_letter"),
    51: (
        "tests/unit/tracking/test_spool.py",
        "test_a_killed_process_loses_nothing_it_had_answered",
    ),
    52: (
        "tests/faults/test_import_kill.py",
        "test_killed_five_times_it_ends_like_one_clean_run",
    ),
    53: ("tests/integration/test_migrations.py", "test_upgrading_again_changes_nothing"),
}
"""Rows that a test of another folder, or of another stage, stands for."""

NOT_HERE: dict[int, str] = {
    25: "a synchronous standby needs a failover tool to be worth a test; the guard's part of it "
    "(same system, synchronous before) is in tests/unit/delivery/test_instance.py",
    26: "a worker bound to the old primary needs a failover tool that fences it; not promised for "
    "an asynchronous standby",
    30: "power loss below SQLite needs LazyFS or a virtual machine; row 56 models what it leaves",
    50: "the stage that takes bounces from webhooks is not built",
    54: "backups are not built; a key that does not fit is refused at the start",
}
"""Rows that cannot be tested here, and why."""


def named() -> dict[int, list[str]]:
    """Row -> the tests of this folder that name it."""
    found: dict[int, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            said = (ast.get_docstring(node) or "").split(":")[0]
            if not said.startswith("Fault"):
                continue
            for row in re.findall(r"\d+", re.sub(r"R\d+", "", said)):
                found.setdefault(int(row), []).append(f"{path.name}::{node.name}")
    return found


def test_every_row_of_the_table_is_covered_or_says_why_not() -> None:
    here = named()
    print("\n".join(f"fault {row}: not here: {why}" for row, why in sorted(NOT_HERE.items())))  # noqa: T201

    assert set(here) | set(ELSEWHERE) | set(NOT_HERE) == ROWS
    assert not set(NOT_HERE) & (set(here) | set(ELSEWHERE))


def test_tests_that_stand_for_a_row_are_there() -> None:
    for path, name in ELSEWHERE.values():
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), path


if __name__ == "__main__":
    for row, tests in sorted(named().items()):
        print(row, *tests)  # noqa: T201
