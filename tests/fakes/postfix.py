"""The mail log of a Postfix that got letters, or did not: every shape its lines take."""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LONG_IDS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


def syslog(at: datetime) -> str:
    """As syslog and postlogd write it: no year, no zone; here the machine is on UTC."""
    return f"{MONTHS[at.month - 1]} {at.day:2} {at:%H:%M:%S}"


def rfc3339(at: datetime) -> str:
    """As rsyslog writes it by default since Debian 12, in some zone."""
    return at.isoformat(timespec="microseconds")


@dataclass
class Postfix:
    """Writes what it does with letters. Lines come out in the order of their moments."""

    chance: random.Random
    stamp: Callable[[datetime], str] = syslog
    long_ids: bool = False
    instance: str = "postfix"
    host: str = "mx1"
    lines: list[tuple[datetime, str]] = field(default_factory=list)
    queue: dict[str, str] = field(default_factory=dict)  # id -> queue, what `postqueue -j` shows
    _ids: int = 0x3F0000

    def say(self, at: datetime, program: str, said: str) -> None:
        name = f"{self.instance}/{program}[{self.chance.randrange(9999)}]"
        self.lines.append((at, f"{self.stamp(at)} {self.host} {name}: {said}"))

    def new_id(self) -> str:
        self._ids += self.chance.randrange(1, 9)
        if self.long_ids:
            return "4X" + "".join(self.chance.choices(LONG_IDS, k=12))
        return f"{self._ids:X}"

    def comes_in(self, at: datetime, name: str, queue: str = "") -> str:
        """Up to the Message-ID, which is named while the letter is still on its way."""
        queue = queue or self.new_id()
        self.say(at, "smtpd", "connect from worker[192.0.2.7]")
        self.say(at, "smtpd", f"{queue}: client=worker[192.0.2.7], sasl_method=PLAIN")
        self.say(at + self._soon(), "cleanup", f"{queue}: message-id={name}")
        return queue

    def takes(self, at: datetime, name: str, *, queue: str = "") -> str:
        """The whole letter is in the queue."""
        queue = self.comes_in(at, name, queue)
        self.say(
            at + timedelta(seconds=1) + self._soon(),
            "qmgr",
            f"{queue}: from=<b+token@news.example>, size=41822, nrcpt=1 (queue active)",
        )
        return queue

    def ends(self, at: datetime, queue: str, status: str, agent: str = "smtp") -> None:
        """What a delivery agent made of it."""
        reply = {"sent": "250 2.0.0 OK", "bounced": "550 5.1.1 no", "deferred": "451 4.7.1 later"}
        said = (
            f"to=<who@example.org>, relay=mx[192.0.2.9]:25, delay=1.2, dsn=2.0.0, status={status}"
        )
        self.say(at, agent, f"{queue}: {said} ({reply.get(status, status)})")
        if status in {"sent", "bounced"}:
            self.say(at + self._soon(), "qmgr", f"{queue}: removed")
        else:
            self.queue[queue] = "deferred"

    # What can become of a letter that is taken.

    def sent(self, at: datetime, name: str) -> None:
        self.ends(at + timedelta(seconds=3), self.takes(at, name), "sent")

    def bounced(self, at: datetime, name: str) -> None:
        self.ends(at + timedelta(seconds=3), self.takes(at, name), "bounced")

    def deferred(self, at: datetime, name: str) -> None:
        queue = self.takes(at, name)
        self.ends(at + timedelta(seconds=3), queue, "deferred")
        if self.chance.random() < 0.5:
            self.say(
                at + timedelta(minutes=5),
                "qmgr",
                f"{queue}: from=<b+token@news.example>, size=41822, nrcpt=1 (queue active)",
            )

    def expired(self, at: datetime, name: str) -> None:
        queue = self.takes(at, name)
        self.ends(at + timedelta(seconds=3), queue, "deferred")
        self.say(
            at + timedelta(minutes=9),
            "qmgr",
            f"{queue}: from=<b+token@news.example>, status=expired, returned to sender",
        )
        self.say(at + timedelta(minutes=9), "qmgr", f"{queue}: removed")
        del self.queue[queue]

    def waits(self, at: datetime, name: str) -> None:
        """Whole, and nobody has looked at it: qmgr is stopped, or it is on hold."""
        self.queue[self.comes_in(at, name)] = self.chance.choice(("incoming", "hold"))

    def filtered(self, at: datetime, name: str) -> None:
        """Through a content filter: in twice, under two ids."""
        queue = self.takes(at, name)
        inner = self.takes(at + timedelta(seconds=1), name)
        self.ends(at + timedelta(seconds=2), queue, "sent", "smtp")
        self.ends(at + timedelta(seconds=4), inner, "deferred")

    def discarded(self, at: datetime, name: str) -> None:
        queue = self.comes_in(at, name)
        self.say(
            at + timedelta(seconds=1),
            "cleanup",
            f"{queue}: discard: header Subject: x from worker[192.0.2.7]; from=<>",
        )

    # What can become of one that is not.

    def never(self, at: datetime, name: str) -> None:
        """The connection broke before anything of it was there."""

    def broken(self, at: datetime, name: str) -> None:
        """It broke off in the middle: the Message-ID is in the log, the letter is not."""
        self.comes_in(at, name)
        self.say(at, "smtpd", "lost connection after DATA (12345 bytes) from worker[192.0.2.7]")

    def rejected(self, at: datetime, name: str) -> None:
        queue = self.comes_in(at, name)
        why = "milter-reject: END-OF-MESSAGE from worker[192.0.2.7]: 5.7.1 Spam; from=<x> to=<y>"
        self.say(at + timedelta(seconds=1), "cleanup", f"{queue}: {why}")

    def turned_away(self, at: datetime, name: str) -> None:  # noqa: ARG002  # before it is named
        self.say(at, "smtpd", "NOQUEUE: reject: RCPT from worker[192.0.2.7]: 451 4.7.1 later")

    def reused(self, at: datetime, name: str) -> None:
        """It broke off, and its queue id went to somebody else's letter, which is in the queue."""
        queue = self.comes_in(at, name)
        self.takes(at + timedelta(seconds=5), "<other@elsewhere.example>", queue=queue)
        self.ends(at + timedelta(seconds=9), queue, "deferred")

    def noise(self, start: datetime, end: datetime, every: timedelta) -> None:
        """Other people's letters, and other programs."""
        at = start
        while at <= end:
            self.sent(at, f"<{self.chance.randrange(10**12)}@elsewhere.example>")
            line = (
                f"{self.stamp(at)} {self.host} dovecot: imap-login: Login: user=<x>, method=PLAIN"
            )
            self.lines.append((at, line))
            self.lines.append((at, f"{self.stamp(at)} {self.host} -- MARK --"))
            at += every

    def text(self, start: datetime | None = None, end: datetime | None = None) -> str:
        """The log, or a stretch of it."""
        chosen = sorted(self.lines, key=lambda one: one[0])
        return "".join(
            f"{line}\n"
            for at, line in chosen
            if (start is None or at >= start) and (end is None or at < end)
        )

    def write(self, path: Path, *cuts: datetime) -> Path:
        """The log at `path`, rotated at the cuts: mail.log.2.gz, mail.log.1, mail.log."""
        borders = [None, *sorted(cuts), None]
        stretches = list(pairwise(borders))
        for age, (start, end) in enumerate(reversed(stretches)):
            text = self.text(start, end)
            if age == 0:
                path.write_text(text)
            elif age == 1:
                path.with_name(f"{path.name}.1").write_text(text)
            else:
                path.with_name(f"{path.name}.{age}.gz").write_bytes(gzip.compress(text.encode()))
        return path

    def postqueue(self) -> str:
        """What `postqueue -j` prints."""
        return "".join(
            json.dumps(
                {
                    "queue_name": where,
                    "queue_id": queue,
                    "arrival_time": 1772366400,
                    "message_size": 41822,
                    "forced_expire": False,
                    "sender": "b+token@news.example",
                    "recipients": [{"address": "who@example.org", "delay_reason": "later"}],
                }
            )
            + "\n"
            for queue, where in self.queue.items()
        )

    def _soon(self) -> timedelta:
        return timedelta(seconds=self.chance.random())


TAKEN = ("sent", "bounced", "deferred", "expired", "waits", "filtered", "discarded")
LOST = ("never", "broken", "rejected", "turned_away", "reused")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
