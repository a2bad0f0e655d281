"""A whole installation in a temporary folder, driven through the command `dibao`."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 90  # seconds until a campaign has to be over


@dataclass
class House:
    """One installation: its folder and its environment."""

    folder: Path
    environment: dict[str, str]

    @property
    def inbox(self) -> Path:
        return Path(self.environment["DIBAO_DATA_DIR"]) / "inbox"

    def start(self, *words: str, group: bool = False) -> "subprocess.Popen[bytes]":
        env = self._environment()
        return subprocess.Popen(words, cwd=ROOT, env=env, start_new_session=group)

    def dibao(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mailer.cli", *words],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == expect, (
            f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout if expect == 0 else done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.dibao(*words, "--json"))

    @contextmanager
    def pages(self) -> Iterator[str]:
        """`dibao web` while inside; gives its address once it answers."""
        port = self.environment["DIBAO_WEB_PORT"]
        web = self.start(sys.executable, "-m", "mailer.cli", "web")
        try:
            for _ in range(PATIENCE * 10):
                with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            web.send_signal(signal.SIGTERM)
            web.wait(30)

    def worker(self, *, group: bool = False, children: int = 1) -> "subprocess.Popen[bytes]":
        """A Celery worker; as a process group of its own where asked."""
        celery = (sys.executable, "-m", "celery", "-q", "-A", "worker", "worker")
        quiet = (
            "--loglevel=WARNING",
            "--without-mingle",
            "--without-gossip",
            "--without-heartbeat",
        )
        return self.start(*celery, f"--concurrency={children}", *quiet, group=group)

    def until(self, campaign: int, *states: str) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.json("campaign", "status", str(campaign))
            if status["campaign"]["state"] in states:
                return status
            time.sleep(0.3)
        raise AssertionError(
            f"campaign {campaign} is still {status['campaign']['state']}: {status}"
        )

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DIBAO_")}
        return kept | self.environment | {"PYTHONPATH": str(ROOT)}


def embedded(folder: Path, *, port: int, **more: str) -> House:
    """SQLite and the in-memory broker, everything in one process."""
    return House(folder, _environment(folder, port) | more)


def full(folder: Path, *, port: int, database: str, broker: str, **more: str) -> House:
    """PostgreSQL and Redis, any number of processes."""
    stack = {"DIBAO_DATABASE_URL": database, "DIBAO_BROKER_URL": broker}
    return House(folder, _environment(folder, port) | stack | more)


def write_people(path: Path, people: Iterable[tuple[str, str, str]]) -> Path:
    """A CSV of (address, name, segments separated by spaces)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("email", "name", "segments"))
        writer.writerows(people)
    return path


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "DIBAO_DATA_DIR": str(folder / "var"),
        "DIBAO_INBOX_PORT": str(port),
        "DIBAO_SECRET_KEY": "one secret for both stacks",
        "DIBAO_SWEEP": "0.5",
        "DIBAO_BATCH_SIZE": "40",
        "DIBAO_CHUNK_SIZE": "10",
        "DIBAO_RETRY_WAITS": "1 1 1",
        "DIBAO_PUBLICATION": "The Digital Gazette",
        "DIBAO_WEB_PORT": str(free_port()),
    }
