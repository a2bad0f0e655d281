"""Hits outlive the process that took them, and are loaded once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer.tracking.spool import Hit, Spool, network_of, peek

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from mailer.tracking.spool import Hit, Spool
spool = Spool(Path(sys.argv[1]), segment=20_000)
for n in range(1, 1_000_000):
    spool.append(Hit("open", 1, n, datetime(2026, 11, 20, tzinfo=UTC)))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def hit(subscriber: int = 7) -> Hit:
    return Hit("click", 3, subscriber, NOON, link=2, agent='Mozilla/5.0 \u2028 "x"', network="n")


def drained(spool: Spool) -> list[Hit]:
    found: list[Hit] = []
    for part in spool.ready():
        found += part.hits
        part.done()
    return found


def test_what_was_appended_comes_back_as_it_was(tmp_path: Path) -> None:
    spool, here = Spool(tmp_path), hit()
    spool.append(here)

    assert drained(spool) == [here]
    assert drained(spool) == []
    assert spool.waiting() == 0


def test_a_part_that_was_not_done_with_comes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(hit())
    first = [part.hits for part in spool.ready()]

    assert [part.hits for part in spool.ready()] == first


def test_a_writer_goes_on_in_a_new_file_after_another_took_its_own(tmp_path: Path) -> None:
    writer, loader = Spool(tmp_path), Spool(tmp_path)
    writer.append(hit(1))
    parts = loader.ready()
    part = next(parts)
    writer.append(hit(2))  # while the other is still loading
    part.done()

    assert [h.subscriber for h in part.hits] == [1]
    assert list(parts) == []
    assert [h.subscriber for h in drained(loader)] == [2]


def test_two_loaders_never_get_the_same_part(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(hit())
    first = spool.ready()

    assert len(next(first).hits) == 1
    assert list(Spool(tmp_path).ready()) == []


def test_files_stay_small(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment=1000)
    for n in range(50):
        spool.append(hit(n))

    assert len(list(tmp_path.iterdir())) > 5
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 1500
    assert sorted(h.subscriber for h in drained(spool)) == list(range(50))


def test_a_line_cut_off_by_a_full_disk_costs_that_hit_and_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(hit(1))
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"kind": "open", "camp\n[]\n{"kind": 1}\n')
    spool.append(hit(2))

    (part,) = spool.ready()

    assert [h.subscriber for h in part.hits] == [1, 2]
    assert part.damaged == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("campaign", "3"),
        ("campaign", 10**30),
        ("subscriber", None),
        ("subscriber", -1),
        ("link", True),
        ("id", 7),
        ("id", "a\x00"),
        ("agent", ["x"]),
        ("head", "no"),
        ("at", "2026-11-20T12:00:00"),
    ],
)
def test_a_field_of_another_kind_makes_a_line_no_hit(
    tmp_path: Path, field: str, value: object
) -> None:
    spool = Spool(tmp_path)
    spool.append(hit())
    (file,) = tmp_path.glob("*.jsonl")
    whole = file.read_text()
    file.write_text(json.dumps(json.loads(whole) | {field: value}) + "\n" + whole)

    (part,) = spool.ready()

    assert ([each.agent for each in part.hits], part.damaged) == ([hit().agent], 1)


def test_a_line_nested_without_end_is_no_hit(tmp_path: Path) -> None:
    (tmp_path / "1-a.jsonl").write_text("[" * 100_000 + "\n")

    (part,) = Spool(tmp_path).ready()

    assert (part.hits, part.damaged) == ((), 1)


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment=5000)

    def write() -> None:
        for _ in range(100):
            spool.append(hit())

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    found = drained(spool)
    for thread in threads:
        thread.join()
    found += drained(spool)

    assert len({h.id for h in found}) == len(found) == 400


def test_a_killed_process_loses_nothing_it_had_answered(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "spool")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdout is not None
        loader = Spool(tmp_path / "spool")
        found: list[Hit] = []
        while len(found) < 200:
            found += drained(loader)
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        answered = writer.stdout.read().count(b"\n")
    found += drained(loader)

    numbers = sorted(h.subscriber for h in found)
    assert len(numbers) >= answered
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.114.7", "203.0.114.250", True),
        ("203.0.114.7", "203.0.115.7", False),
        ("2a01:4f8:1::1", "2a01:4f8:1:ffff::9", True),
        ("2a01:4f8:1::1", "2a01:4f8:2::1", False),
        ("203.0.114.7", "::ffff:203.0.114.9", True),
    ],
)
def test_a_network_has_one_name_a_day(one: str, other: str, same: bool) -> None:
    first, second = network_of(b"key", one, NOON), network_of(b"key", other, NOON)

    assert (first == second) is same
    assert first != network_of(b"key", one, NOON.replace(day=21))
    assert first != network_of(b"another", one, NOON)


@pytest.mark.parametrize("address", ["", "testclient", "127.0.0.1", "10.2.3.4", "::1", "fe80::1"])
def test_an_address_that_is_nobodys_or_our_proxys_has_no_name(address: str) -> None:
    assert network_of(b"key", address, NOON) == ""


def test_hits_may_be_looked_at_without_being_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(hit())

    assert [hit.subscriber for hit in peek(tmp_path)] == [7]
    assert [hit.subscriber for part in spool.ready() for hit in part.hits] == [7]
