"""docker-compose.yml starts what it says: each command is run here, on this machine's own servers.

There is no container engine in the test: the file is read by podman-compose, and the commands get
the environment they would have, with the addresses of the test's PostgreSQL and Redis.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SECRETS = "/var/lib/dibao-secrets"
PATIENCE = 60  # seconds for a process to do what it should

Services = Mapping[str, Any]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """The services as podman-compose understands them; it only asks podman for its version."""
    folder = tmp_path_factory.mktemp("bin")
    podman = folder / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.0.0\n")
    podman.chmod(0o755)
    read = subprocess.run(
        [BIN / "podman-compose", "-f", "docker-compose.yml", "config"],
        cwd=ROOT,
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = yaml.safe_load(read.stdout)["services"]
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands in for the hosts, ports and folders of the containers."""

    folder: Path
    web: int
    instead: Mapping[str, str]

    def native(self, value: str) -> str:
        """A value of the file as it has to be without containers."""
        there = "|".join(re.escape(each) for each in self.instead)
        return re.sub(there, lambda found: self.instead[found[0]], value)

    def environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """What a service's processes see."""
        given = {name: self.native(value) for name, value in service["environment"].items()}
        path = f"{BIN}:{os.environ['PATH']}"
        return {"PATH": path, "DIBAO_DATA_DIR": str(self.folder / "data"), **given}


@pytest.fixture
def surroundings(tmp_path: Path, postgres_url: str, redis_url: str) -> Surroundings:
    (tmp_path / "secret_key").write_text("a secret of this test\n")
    (tmp_path / "database_url").write_text(f"{postgres_url}\n")
    (tmp_path / "broker_url").write_text(f"{redis_url}\n")
    web, inbox = free_port(), free_port()
    instead = {
        "smtp://web:2525": f"smtp://127.0.0.1:{inbox}",
        SECRETS: str(tmp_path),
        "8000": str(web),
        "2525": str(inbox),
        "0.0.0.0": "127.0.0.1",  # noqa: S104  # what is replaced
    }
    return Surroundings(tmp_path, web, instead)


@contextmanager
def started(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """The command, running; killed at the end if it still does."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def get(url: str) -> tuple[int, Any]:
    """Status and JSON; status 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)
    except OSError:
        return 0, None


def until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while (answer := get(url))[0] != 200:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, answer
        time.sleep(0.1)


def test_nothing_runs_with_more_rights_than_it_needs(services: Services) -> None:
    for name in ("secrets", "schema", "web", "worker"):
        service = services[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("privileged"), name
    assert "\nUSER dibao\n" in (ROOT / "Dockerfile").read_text()


def test_only_the_pages_can_be_reached_and_only_from_this_machine(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"web": ["127.0.0.1:8000:8000"]}


def test_no_secret_stands_in_the_file(services: Services) -> None:
    named = {
        name: value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if "SECRET" in name or "PASSWORD" in name or "DATABASE_URL" in name
    }

    assert all(name.endswith("_FILE") for name in named), named
    assert all(value.startswith(f"{SECRETS}/") for value in named.values()), named


def test_a_worker_has_time_to_finish_its_letters(services: Services) -> None:
    assert services["worker"]["stop_grace_period"] == "45s"
    assert "data:/var/lib/dibao" in services["worker"]["volumes"], "the journal outlives it"


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_the_first_start_makes_secrets_and_the_second_keeps_them(
    services: Services, tmp_path: Path, broker: str
) -> None:
    environment = os.environ | {"BROKER": broker}
    *shell, script = services["secrets"]["command"]
    script = script.replace(SECRETS, str(tmp_path))
    names = (
        *("secret_key", "postgres_password", "database_url"),
        *("rabbitmq_password", "broker_url"),
    )
    made = []
    for _ in range(2):
        subprocess.run([*shell, script], env=environment, check=True)
        made.append({name: (tmp_path / name).read_text().strip() for name in names})

    first, second = made
    assert first == second
    assert len(first["secret_key"]) == len(first["postgres_password"]) == 64
    assert first["secret_key"] != first["postgres_password"]
    assert (
        first["database_url"] == f"postgresql://dibao:{first['postgres_password']}@postgres/dibao"
    )
    assert (
        first["broker_url"]
        == {
            "redis": "redis://redis:6379/0",
            "rabbitmq": f"amqp://dibao:{first['rabbitmq_password']}@rabbitmq//",
        }[broker]
    )
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in names)


@pytest.mark.slow
def test_pages_and_worker_start_answer_and_stop_in_order(
    services: Services, surroundings: Surroundings, tmp_path: Path
) -> None:
    def settings(name: str) -> dict[str, str]:
        return surroundings.environment(services[name])

    subprocess.run(services["schema"]["command"], cwd=ROOT, env=settings("schema"), check=True)
    logs = {name: tmp_path / f"{name}.log" for name in ("web", "worker")}
    with ExitStack() as stack:
        web, worker = (
            stack.enter_context(started(services[name]["command"], settings(name), logs[name]))
            for name in ("web", "worker")
        )
        address = f"http://127.0.0.1:{surroundings.web}"
        until_ready(f"{address}/readyz", web, logs["web"])
        assert get(f"{address}/healthz")[0] == 200

        _, *check = services["web"]["healthcheck"]["test"]
        check = [surroundings.native(part) for part in check]
        subprocess.run(check, env=settings("web"), check=True, timeout=PATIENCE)
        ping = ["celery", "-A", "worker", "inspect", "ping", "--json", "--timeout", "2"]
        end = time.monotonic() + PATIENCE
        while True:
            pinged = subprocess.run(
                ping, cwd=ROOT, env=settings("worker"), capture_output=True, text=True, check=False
            )
            if "pong" in pinged.stdout:
                break
            assert worker.poll() is None, logs["worker"].read_text()
            assert time.monotonic() < end, f"{pinged}\n{logs['worker'].read_text()}"

        for process in (worker, web):
            process.send_signal(signal.SIGTERM)
        for name, process in (("worker", worker), ("web", web)):
            process.wait(45)
            assert "Traceback" not in logs[name].read_text(), logs[name].read_text()


def test_pages_without_their_schema_say_what_to_do(
    services: Services, surroundings: Surroundings
) -> None:
    refused = subprocess.run(
        services["web"]["command"],
        cwd=ROOT,
        env=surroundings.environment(services["web"]),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert refused.returncode == 3
    assert "dibao db upgrade" in refused.stderr
