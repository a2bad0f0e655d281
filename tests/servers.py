"""Real servers for tests: the system's own binaries, on free ports, gone with the session.

Each runs in a directory of its own, as an unprivileged user where the tests run as root, and
is told by the kernel when the process that started it is gone (PR_SET_PDEATHSIG), so that not
even a killed session leaves one behind.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg
import redis
from kombu import Connection
from kombu.exceptions import OperationalError

from mailer.kit.broker import QUEUES

PATIENCE = 30  # seconds for a server to answer; it takes less than one on an idle machine
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
DEBIAN_RABBITMQ = Path("/usr/lib/rabbitmq/bin")


class Missing(Exception):
    """A program that a test needs is not on this machine; the message says which."""


@dataclass(frozen=True, slots=True)
class Sink:
    """A running smtp-sink: takes mail and forgets it, unless told to keep it."""

    host: str
    port: int
    pid: int
    directory: Path  # where it runs: `-d "%M."` and `-D mail` write there


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres(*, durable: bool = False, memory: str = "64MB") -> Iterator[str]:
    """A PostgreSQL server; yields the URL of its database `postgres`, whose user may do all.

    `durable` waits for the disk as in production: for fault tests, some ten times slower. `memory`
    is what it keeps pages in.
    """
    binaries = _postgres_binaries()
    port = free_port()
    with _directory("postgres") as (directory, user), ExitStack() as stack:
        data = directory / "data"
        create = [f"{binaries}/initdb", "-D", f"{data}", "-U", "dibao", "--auth=trust"]
        create += ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        created = subprocess.run(
            _as_user(create, user), cwd=directory, capture_output=True, text=True, check=False
        )
        if created.returncode:
            raise RuntimeError(f"initdb: {created.stderr}")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": memory,
            "timezone": "Asia/Shanghai",  # not UTC: what forgets its zone is found out
        }
        if not durable:
            options |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
        command = [f"{binaries}/postgres", "-D", f"{data}", "-p", f"{port}"]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        url = f"postgresql://dibao@127.0.0.1:{port}/postgres"
        # SIGINT: end the sessions and stop; SIGQUIT: stop at once, children included
        running = _running(command, user, directory, stop=signal.SIGINT, orphaned="QUIT")
        process = stack.enter_context(running)
        _wait_until(lambda: _postgres_answers(url), process, directory)
        yield url


@contextmanager
def redis_server(port: int = 0) -> Iterator[str]:
    """A Redis server that keeps nothing on disk; yields the URL of its database 0."""
    program = _program("redis-server", package="redis-server")
    port = port or free_port()
    command = [program, "--port", f"{port}", "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no", "--maxmemory-policy", "noeviction"]
    url = f"redis://127.0.0.1:{port}/0"
    with _directory("redis") as (directory, user), _running(command, user, directory) as process:
        _wait_until(lambda: _redis_answers(url), process, directory)
        yield url


class Rabbit:
    """A RabbitMQ node; a context manager, which stops it. Its queues outlive a restart."""

    def __init__(self, directory: Path, user: str | None, names: int) -> None:
        """`names` is the port of the epmd where it gives its name."""
        port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}//"  # whose user may do all
        self._directory, self._user = directory, user
        self._environment = _rabbit_environment(directory, port, names)
        self._stack = ExitStack()
        self._pid = 0

    def __enter__(self) -> Self:
        program = DEBIAN_RABBITMQ / "rabbitmq-server"  # the one on the PATH insists on its user
        found = str(program) if program.exists() else _program(program.name, package=program.name)
        running = _running([found], self._user, self._directory, environment=self._environment)
        process = self._stack.enter_context(running)
        self._pid = process.pid
        _wait_until(lambda: _rabbit_answers(self.url), process, self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Stop the node in order and start it again: some five seconds without a broker."""
        self._stack.close()
        self.__enter__()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """While inside it is there, takes connections, and says nothing."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)


@contextmanager
def rabbitmq_server() -> Iterator[Rabbit]:
    """A RabbitMQ node of its own name with an epmd of its own: no other node is ever touched.

    It takes some five seconds to start.
    """
    names = free_port()
    epmd = [_program("epmd", package="rabbitmq-server")]
    epmd += ["-port", f"{names}", "-address", "127.0.0.1"]
    with ExitStack() as stack:
        directory, user = stack.enter_context(_directory("rabbitmq"))
        process = stack.enter_context(_running(epmd, user, directory, log="epmd.log"))
        _wait_until(lambda: _listens(names), process, directory, log="epmd.log")
        yield stack.enter_context(Rabbit(directory, user, names))


def empty_queues(url: str) -> None:
    """Drop every queue of ours on a RabbitMQ, with the knocks that wait in it."""
    with Connection(url) as connection:
        for queue in QUEUES:
            connection.default_channel.queue_delete(queue)


@contextmanager
def smtp_sink(*options: str, port: int = 0, backlog: int = 256) -> Iterator[Sink]:
    """Postfix's smtp-sink with its own options (`-c`, `-8`, `-p`, `-r RCPT`, ...)."""
    program = _program("smtp-sink", package="postfix")
    port = port or free_port()
    command = [program, *options, f"127.0.0.1:{port}", f"{backlog}"]
    with _directory("sink") as (directory, user), _running(command, user, directory) as process:
        _wait_until(lambda: _listens(port), process, directory)
        yield Sink("127.0.0.1", port, process.pid, directory)


def _program(name: str, *, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed (Debian: apt-get install {package})")
    return found


def _postgres_binaries() -> Path:
    """Debian keeps them off the PATH, a folder per version."""
    versions = [place for place in DEBIAN_POSTGRES.glob("*/bin") if (place / "initdb").exists()]
    if versions:
        return max(versions, key=lambda place: float(place.parent.name))
    return Path(_program("initdb", package="postgresql")).resolve().parent


def _rabbit_environment(directory: Path, port: int, names: int) -> dict[str, str]:
    """Everything in one directory, nothing read from /etc/rabbitmq, nothing but loopback."""
    nothing = directory / "rabbitmq.conf"
    nothing.touch()
    plugins = directory / "enabled_plugins"
    plugins.write_text("[].\n")
    return {
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
        "HOME": str(directory),  # the Erlang cookie is made here
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node: one process to signal
        "RABBITMQ_CONF_ENV_FILE": str(nothing),
        "RABBITMQ_CONFIG_FILE": str(nothing),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_NODENAME": f"dibao-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_LOGS": "-",
    }


@contextmanager
def _directory(kind: str) -> Iterator[tuple[Path, str | None]]:
    """A directory for one server, and the user to run it as (None: whoever we are)."""
    user = _unprivileged() if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix=f"dibao-{kind}-"))
    try:
        if user:
            shutil.chown(directory, user)
        yield directory, user
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged() -> str:
    """PostgreSQL refuses to run as root; nobody exists everywhere."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Missing("a user to run servers as (postgres or nobody)")


def _as_user(command: Sequence[str], user: str | None, orphaned: str = "") -> list[str]:
    """The command as another user, and with a signal for when this process dies."""
    setpriv = shutil.which("setpriv")  # of util-linux: there on every Linux
    if setpriv is None:
        if user:
            raise Missing("setpriv is not installed (Debian: apt-get install util-linux)")
        return list(command)
    prefix = [setpriv]
    if user:
        group = str(pwd.getpwnam(user).pw_gid)
        prefix += ["--reuid", user, "--regid", group, "--clear-groups"]
    if orphaned:
        prefix += ["--pdeathsig", orphaned]
    return [*prefix, "--", *command]


@contextmanager
def _running(
    command: Sequence[str],
    user: str | None,
    directory: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    orphaned: str = "KILL",
    log: str = "log",
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / log).open("wb") as written:
        process = subprocess.Popen(
            _as_user(command, user, orphaned),
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,  # a Ctrl-C is ours to handle, not the server's
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(
    answers: Callable[[], bool],
    process: subprocess.Popen[bytes],
    directory: Path,
    log: str = "log",
) -> None:
    until = time.monotonic() + PATIENCE
    while not answers():
        if process.poll() is not None or time.monotonic() > until:
            said = (directory / log).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} does not answer: {said}")
        time.sleep(0.02)


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def _rabbit_answers(url: str) -> bool:
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
    except (OSError, OperationalError):
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
