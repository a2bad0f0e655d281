"""PostgreSQL clusters that may be stopped hard, started again, copied and promoted.

`tests.servers.postgres` gives one that only runs; these are for what goes wrong.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from mailer.kit.database import Database, upgrade
from tests import servers


class Cluster:
    """A data directory and, most of the time, a server on it."""

    def __init__(self, data: Path, port: int, binaries: Path, user: str | None) -> None:
        self.data, self.port = data, port
        self._binaries, self._user = binaries, user

    @property
    def url(self) -> str:
        """Of its database `postgres`, whose user may do all."""
        return f"postgresql://dibao@127.0.0.1:{self.port}/postgres"

    def start(self, **options: str) -> None:
        """Start it; returns when it answers."""
        given = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "32MB",
            **options,
        }
        words = " ".join(f"-c {name}={value or repr('')}" for name, value in given.items())
        place = ("-D", f"{self.data}", "-l", f"{self.data}.log")
        self._run("pg_ctl", *place, "-w", "-o", words, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, `fast` is in order."""
        self._run("pg_ctl", "-D", f"{self.data}", "-w", "-m", how, "stop", check=False)

    def promote(self) -> None:
        """A standby becomes a primary, on a timeline of its own."""
        self._run("pg_ctl", "-D", f"{self.data}", "-w", "promote")

    def standby(self, port: int) -> "Cluster":
        """A copy that follows this one; not started yet."""
        place = self.data.with_name(f"{self.data.name}-standby")
        self._run("pg_basebackup", "-D", f"{place}", "-d", self.url, "-R", "-c", "fast")
        return Cluster(place, port, self._binaries, self._user)

    def execute(self, statement: Any) -> None:
        """Run one statement as the one who may do all."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *words: str, check: bool = True) -> None:
        command = servers._as_user([str(self._binaries / program), *words], self._user)  # noqa: SLF001
        subprocess.run(
            command, cwd=self.data.parent, check=check, stdout=subprocess.DEVNULL, timeout=60
        )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster with the schema in its database; raises servers.Missing."""
    binaries = servers._postgres_binaries()  # noqa: SLF001
    with servers._directory("cluster") as (directory, user):  # noqa: SLF001
        made = Cluster(directory / "data", servers.free_port(), binaries, user)
        made._run(  # noqa: SLF001
            *("initdb", "-D", f"{made.data}", "-U", "dibao", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C.UTF-8"),
        )
        made.start()
        try:
            database = Database(made.url)
            upgrade(database)
            database.close()
            yield made
        finally:
            made.stop()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of so many megabytes. Raises servers.Missing where it may not be mounted."""
    with TemporaryDirectory(prefix="dibao-disk-") as name:
        options = f"size={megabytes}m,mode=0777"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", name], capture_output=True, check=False
        )
        if done.returncode:
            raise servers.Missing("the right to mount a small disk")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=False)
