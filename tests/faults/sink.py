"""The truth: an SMTP server in a process of its own that writes each letter down before answering.

Its record is a file, one JSON line for each message that came whole, on disk (fsync) before the
answer leaves. How it behaves is a matter of manners: by recipient, one mode for each try, or by
how often a stage was reached.
"""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from multiprocessing.connection import Connection
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self

from tests.fakes.smtp import Act, Answer, Late, Received, ScriptedSink
from tests.faults.processes import CONTEXT

OFFERS = ("PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN")
LOGIN = "ada:s3cret%20word@"  # what the sink wants to hear where it is told a name

MODES: Mapping[str, tuple[str, Answer]] = {
    "4xx@rcpt": ("rcpt", "450 4.2.1 not now"),
    "5xx@rcpt": ("rcpt", "550 5.1.1 nobody of that name"),
    "4xx@dot": ("dot", "451 4.3.0 not now"),
    "5xx@dot": ("dot", "554 5.7.1 no"),
    "4xx@mail": ("mail", "450 4.7.1 not now"),
    "drop@mail": ("mail", Act.DROP),
    "drop@rcpt": ("rcpt", Act.DROP),
    "drop@data": ("data", Act.DROP),
    "drop@dot-before-record": ("dot", Act.DROP),
    "drop@dot-after-record": ("dot", Act.RECORD_AND_DROP),
    "250-then-RST": ("dot", Act.ANSWER_AND_RESET),
    "RST@dot": ("dot", Act.RESET),
    "slow@dot": ("dot", Late(1.5)),
    "half-open": ("dot", Act.RECORD_AND_HANG),
    "half-close@data": ("data", Act.HALF_CLOSE),
    "partial": ("dot", Act.HALF_ANSWER),
    "multi-line": ("dot", "250-2.0.0 Ok\r\n250-and more\r\n250 2.0.0 queued"),
    "garbage": ("dot", "fine, thanks"),
    "354@dot": ("dot", "354 go on"),
    **{
        f"421@{stage}": (stage, "421 4.3.2 closing")
        for stage in ("greeting", "ehlo", "mail", "rcpt", "data", "dot")
    },
    **{f"drop@{stage}": (stage, Act.DROP) for stage in ("greeting", "ehlo", "auth", "rset")},
    "535@auth": ("auth", "535 5.7.8 no"),
    "hang@dot": ("dot", Act.HANG),
    "hang@mail": ("mail", Act.HANG),
}
"""What a mode does, at which stage; everywhere else, and in mode "ok", the sink is friendly."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How a sink behaves."""

    tries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By recipient: the mode of the first try, of the second, …; the last one stays."""
    times: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    """By stage: the mode of the n-th time it is reached, from 1."""
    always: tuple[str, ...] = ()  # modes of every transaction
    linger: float = 0.0  # seconds before the reply to a dot

    def refused(self) -> frozenset[str]:
        """Whom it will never take anything for."""
        return frozenset(who for who, modes in self.tries.items() if modes[-1].startswith("5xx"))


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that came whole."""

    at: float  # seconds since 1970
    connection: int
    recipient: str
    return_path: str
    message_id: str
    to: str  # address in its To header
    taken: bool  # the sink answers for it now, whatever it says


class _Script:
    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.tries: Counter[str] = Counter()
        self.times: Counter[str] = Counter()

    def __call__(self, stage: str, about: str) -> Answer:
        self.times[stage] += 1
        if stage == "rcpt":
            self.tries[about] += 1
        modes = [self.manners.times.get(stage, {}).get(self.times[stage], "ok")]
        modes += self.manners.always
        mine = self.manners.tries.get(about, ("ok",))
        modes.append(mine[min(max(self.tries[about], 1), len(mine)) - 1])
        for mode in modes:
            if mode != "ok" and MODES[mode][0] == stage:
                return MODES[mode][1]
        return None


def serve(record: str, manners: Manners, port: int, ready: Connection) -> None:
    """Be the sink until the process is ended; says its port when it listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def keep(message: Received, taken: bool) -> None:
        headers = message_from_bytes(message.data, policy=policy.SMTP)
        line = {
            "at": time(),
            "connection": message.connection,
            "recipient": message.recipient,
            "return_path": message.return_path,
            "message_id": str(headers["Message-ID"]).strip(),
            "to": headers["To"].addresses[0].addr_spec if headers["To"] else "",
            "taken": taken,
        }
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)

    sink = ScriptedSink(
        script=_Script(manners), offers=OFFERS, linger=manners.linger, keep=keep, port=port
    )
    with sink:
        ready.send(sink.port)
        threading.Event().wait()


class Sink:
    """The sink as its starter sees it."""

    def __init__(self, record: Path, manners: Manners | None = None, *, port: int = 0) -> None:
        self.record, self.manners = record, manners or Manners()
        self.port = port

    def __enter__(self) -> Self:
        ours, theirs = CONTEXT.Pipe()
        args = (str(self.record), self.manners, self.port, theirs)
        self._process = CONTEXT.Process(target=serve, args=args, daemon=True)
        self._process.start()
        assert ours.poll(30), "the sink does not start"
        self.port = ours.recv()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()

    @property
    def count(self) -> int:
        """Messages it has written down."""
        return self.record.read_bytes().count(b"\n") if self.record.exists() else 0

    def letters(self) -> list[Letter]:
        """What it has written down."""
        return read(self.record)


def read(record: Path) -> list[Letter]:
    """What a sink has written down; a torn last line was never answered for."""
    if not record.exists():
        return []
    whole = record.read_text(encoding="ascii").rpartition("\n")[0]
    lines: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
    return [Letter(**line) for line in lines]
