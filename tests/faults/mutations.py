"""Takes each safety rule out of the code in turn: the tests have to notice.

    python -m tests.faults.mutations [--only S3]

Works on a copy of the project in a temporary folder. A mutation is an exact piece of text and what
stands there instead; one whose text is gone fails loudly, and has to be mended here.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".git", ".venv", "node_modules", "var", "__pycache__", ".hypothesis", ".mypy_cache"}
MACHINE = "tests/faults/test_state_machine.py"
PATIENCE = 240  # seconds for one subset; a mutant that hangs is noticed too


class TextGone(LookupError):
    """The text of a mutation is not in its file any more: mend the table in mutations.py."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule taken out."""

    rule: str
    what: str  # is not done any more
    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # of which at least one must fail


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "S1",
        "the sums of a freeze are checked",
        "mailer/delivery/audience.py",
        "    if candidates != excluded + audience:\n",
        "    if candidates < 0:\n",
        ("tests/faults/test_rows_database.py::test_a_freeze_that_does_not_add_up_is_thrown_away",),
    ),
    Mutation(
        "S1",
        "a frozen audience stays as it is",
        "mailer/delivery/audience.py",
        "    if found.frozen_at is not None:\n        raise AudienceFrozen\n",
        "",
        ("tests/unit/delivery/test_audience.py",),
    ),
    Mutation(
        "S2",
        "a lease counts the epoch up",
        "mailer/delivery/batch.py",
        "            epoch=BatchRow.epoch + 1,\n            worker=worker,\n",
        "            epoch=BatchRow.epoch,\n            worker=worker,\n",
        ("tests/unit/delivery/test_batch.py", MACHINE),
    ),
    Mutation(
        "S2",
        "leases go by the database's clock",
        "mailer/delivery/batch.py",
        "        or_(BatchRow.lease_until.is_(None), BatchRow.lease_until < now),\n",
        "",
        ("tests/unit/delivery/test_batch.py", MACHINE),
    ),
    Mutation(
        "S3",
        "the fence asks for the epoch",
        "mailer/delivery/batch.py",
        '        BatchRow.epoch == bindparam("e"),\n',
        "",
        (
            "tests/faults/test_rows_database.py::test_a_lease_that_was_taken_away_is_good_for_nothing",
        ),
    ),
    Mutation(
        "S3",
        "a chunk reads who may still be mailed",
        "mailer/delivery/chunk.py",
        "        if why is None and address:\n            mailable",
        "        if address:\n            mailable",
        ("tests/unit/delivery/test_chunk.py", MACHINE),
    ),
    Mutation(
        "S4",
        "results that could not be written are kept",
        "mailer/delivery/held.py",
        "        self.rows[:0], self.entries[:0] = news.rows, news.entries\n",
        "        del news\n",
        ("tests/unit/delivery/test_held.py", MACHINE),
    ),
    Mutation(
        "S4",
        "a chunk is flushed when all of it has rows",
        "mailer/delivery/held.py",
        "        while flushed < self.chunk and not self.waiting[flushed + 1]:\n",
        "        while flushed < self.chunk:\n",
        ("tests/unit/delivery/test_held.py", MACHINE),
    ),
    Mutation(
        "S5",
        "without a witness there is no dot",
        "mailer/delivery/journal.py",
        '                raise JournalFull(f"The journal takes no more records: {refused}") '
        "from refused\n",
        "                return\n",
        ("tests/unit/delivery/test_journal.py", "tests/unit/delivery/test_engine.py"),
    ),
    Mutation(
        "S6",
        "past the deadline no dot is written",
        "mailer/delivery/deadline.py",
        "        if now >= self._end:\n            return False\n",
        "",
        ("tests/unit/delivery/test_deadline.py", "tests/unit/delivery/test_dispatch.py"),
    ),
    Mutation(
        "S6",
        "a clock that jumps ends the time",
        "mailer/delivery/deadline.py",
        "        return abs(_wall() - now - self._apart) <= _JUMP\n",
        "        return True\n",
        ("tests/unit/delivery/test_deadline.py",),
    ),
    Mutation(
        "S7",
        "a batch with a chunk on the wire is leased to nobody",
        "mailer/delivery/batch.py",
        "        BatchRow.chunks_started == BatchRow.chunks_flushed,\n    )\n",
        "    )\n",
        ("tests/unit/delivery/test_batch.py", MACHINE),
    ),
    Mutation(
        "S7",
        "a dot without a reply is uncertain",
        "mailer/delivery/adoption.py",
        "        return witness is not None and witness.kind is not Kind.INTENT\n",
        "        return witness is not None and witness.kind is Kind.REPLY\n",
        ("tests/unit/delivery/test_settling.py", MACHINE),
    ),
    Mutation(
        "S7",
        "what time judges is uncertain",
        "mailer/delivery/settling.py",
        "            for subscriber in chunk.started_without_result(session, held)\n        ]\n"
        "        ledger.record(session, held, entries)\n",
        "            for subscriber in chunk.started_without_result(session, held)\n        ]\n"
        "        entries.clear()\n",
        ("tests/unit/delivery/test_settling.py", MACHINE),
    ),
    Mutation(
        "S8",
        "one dot at a time on a connection",
        "mailer/delivery/smtp.py",
        "        self._current, self._pending, self._next = outgoing, following, None\n",
        "        self._current, self._pending, self._next = None, following, None\n",
        ("tests/unit/delivery/test_smtp.py", "tests/unit/delivery/test_engine.py"),
    ),
    Mutation(
        "S9",
        "what has its dot out is silence, not tried again",
        "mailer/delivery/smtp.py",
        "            self._exchange.ended(self, current, Silence())\n",
        "            self._exchange.give_back(current, tried=True)\n",
        ("tests/unit/delivery/test_smtp.py", "tests/unit/delivery/test_engine.py"),
    ),
    Mutation(
        "S10",
        "a 4xx is an answer",
        "mailer/delivery/ledger.py",
        "    for alike in _by_wait(deferrals):\n        later, number, first",
        "    for alike in _by_wait([]):\n        later, number, first",
        ("tests/unit/delivery/test_ledger.py", MACHINE),
    ),
    Mutation(
        "S11",
        "a campaign closes by the sum",
        "mailer/delivery/ledger.py",
        "    if sum(outcomes.values()) != found.audience_count:\n",
        "    if False:\n",
        ("tests/unit/delivery/test_ledger.py", "tests/unit/delivery/test_conservation.py"),
    ),
    Mutation(
        "S11",
        "the database itself refuses a sum that does not hold",
        "mailer/delivery/guards.py",
        "    NEW.state = 'finished' AND OLD.state <> 'finished' AND NEW.audience_count <>\n",
        "    NEW.state = 'finished' AND OLD.state = 'finished' AND NEW.audience_count <>\n",
        ("tests/unit/delivery/test_guards.py", "tests/unit/delivery/test_conservation.py"),
    ),
    Mutation(
        "S12",
        "the fence asks whether the campaign was stopped",
        "mailer/delivery/chunk.py",
        "BatchRow.campaign_id, may_send(), ~stopped)",
        "BatchRow.campaign_id)",
        ("tests/unit/delivery/test_chunk.py", "tests/unit/delivery/test_batch.py", MACHINE),
    ),
    Mutation(
        "S13",
        "what is too late is missed",
        "mailer/jobs.py",
        "            if not campaigns.miss(session, identity, now=now):\n",
        "            if True:\n",
        ("tests/integration/test_jobs.py",),
    ),
    Mutation(
        "S14",
        "a database that is older than the host knows is held",
        "mailer/delivery/instance.py",
        "    if kept is not None and kept.counter > row.counter:\n",
        "    if kept is not None and kept.counter < 0:\n",
        ("tests/unit/delivery/test_instance.py",),
    ),
    Mutation(
        "S14",
        "under a hold every lease is void",
        "mailer/delivery/settling.py",
        ".values(epoch=BatchRow.epoch + VOID)\n",
        ".values(epoch=BatchRow.epoch)\n",
        (
            "tests/unit/delivery/test_instance.py",
            "tests/unit/delivery/test_restoring.py",
            "tests/unit/delivery/test_settling.py",
        ),
    ),
)


def check() -> list[str]:
    """The mutations whose text is not there exactly once."""
    gone = []
    for mutation in MUTATIONS:
        times = (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old)
        if times != 1:
            gone.append(f"{mutation.rule} {mutation.what}: {times} times in {mutation.file}")
    return gone


def survives(mutation: Mutation, folder: Path) -> bool:
    """Whether no test notices."""
    file = folder / mutation.file
    before = file.read_text(encoding="utf-8")
    if before.count(mutation.old) != 1:
        raise TextGone(f"{mutation.rule}: {mutation.what}")
    file.write_text(before.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [*mutation.tests, "-k", "not postgresql"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "FAULT_STEPS": "6000"},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode not in {0, 1}:
            raise RuntimeError(done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:])
    except subprocess.TimeoutExpired:
        return False
    else:
        return done.returncode == 0
    finally:
        file.write_text(before, encoding="utf-8")


def run(only: str) -> Iterator[tuple[Mutation, bool, float]]:
    """Each mutation, whether it survived, and the seconds that took."""
    with tempfile.TemporaryDirectory(prefix="dibao-mutations-") as name:
        folder = Path(name) / "project"
        shutil.copytree(ROOT, folder, ignore=lambda _, names: LEFT_OUT & set(names))
        for mutation in MUTATIONS:
            if only in f"{mutation.rule} {mutation.what}":
                begun = time.monotonic()
                survived = survives(mutation, folder)
                yield mutation, survived, time.monotonic() - begun


def main() -> int:
    """Run them; 1 where one survived, 2 where the table is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="mutations whose rule or name holds this")
    options = parser.parse_args()
    if gone := check():
        sys.stdout.write("\n".join(("These are not where they were:", *gone)) + "\n")
        return 2
    alive = 0
    for mutation, survived, seconds in run(options.only):
        alive += survived
        verdict = "SURVIVED" if survived else "noticed "
        line = f"{verdict} {seconds:5.1f} s  {mutation.rule:4} without: {mutation.what}\n"
        sys.stdout.write(line)
        sys.stdout.flush()
    sys.stdout.write(f"{alive} survived\n")
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main())
