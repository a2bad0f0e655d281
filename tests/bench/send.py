"""How fast a real campaign leaves, beside Postfix's own smtp-source: one line of JSON.

    python -m tests.bench.send --messages 20000 --size 40000 --links 30
    python -m tests.bench.send --size 4000 --links 5            # smaller than the theme makes
    python -m tests.bench.send --dkim rsa                       # rsa, ed25519 or both
    python -m tests.bench.send --workers 4 --delay 1 --messages 2000
    python -m tests.bench.send --messages 1000000               # in flat memory
    python -m tests.bench.send --sqlite

The campaign is a real one (PostgreSQL, frozen audience, leases, journal, ledger), the workers are
real processes, and all goes to `smtp-sink`. Before and after, `smtp-source -d` sends messages of
the same size to the same sink over as many connections. Machines are noisy: read the ratio, and
the CPU, which is that of our own processes alone. With `--workers` the same goes out over one
worker first; with `--delay` the relay answers each DATA so many seconds late, and is the limit.
Nothing here asserts a time; a campaign whose books do not close is no result.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from mailer.app import App
from mailer.app import compose as compose_app
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, EditionId
from mailer.content import actions as content
from mailer.delivery import audience
from mailer.delivery import queries as delivery
from mailer.delivery.batch import Lease, Person
from mailer.delivery.compose import Composer, Letterhead
from mailer.kit import clock, settings
from mailer.kit.database import upgrade
from mailer.rendering.edition import Edition
from subscribers import actions as subscribers
from subscribers import bulk
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson
from tests import servers
from tests.bench import edition as editions

_ROOT = Path(__file__).parents[2]
_STEP = 50_000  # people stored in one transaction
_SOURCE = 20_000  # messages smtp-source sends at most: its rate does not change


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    messages: int
    size: int
    links: int
    connections: int
    workers: int
    delay: int
    dkim: str
    sqlite: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One measured campaign."""

    seconds: float
    freeze: float  # seconds to render, freeze and start
    workers: list[dict[str, Any]]

    @property
    def cpu(self) -> float:
        """Seconds of our processes, user and system."""
        return float(sum(worker["cpu_s"] for worker in self.workers))


def main() -> None:
    """Measure and print."""
    options = _options()
    with ExitStack() as stack:
        late = ("-w", str(options.delay)) if options.delay else ()
        most = options.workers * options.connections + 100
        sink = stack.enter_context(servers.smtp_sink("-m", str(most), *late))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = _environment(stack, options, folder, sink.port)
        app = compose_app(settings.read(environment))
        stack.callback(app.database.close)
        stack.callback(app.stop)
        upgrade(app.database)
        _people(app, options.messages)
        size, edition = _edition(app, options)
        before = _smtp_source(options, sink.port, size)
        alone = _measured(app, options, edition, environment, 1) if options.workers > 1 else None
        run = _measured(app, options, edition, environment, options.workers)
        after = _smtp_source(options, sink.port, size)
    figures = _figures(options, size, run, alone, [each for each in (before, after) if each])
    sys.stdout.write(json.dumps(figures) + "\n")


def _figures(
    options: Options, size: int, run: Run, alone: Run | None, source: list[float]
) -> dict[str, Any]:
    rate, cpu = options.messages / run.seconds, run.cpu / options.messages
    figures = {
        "bench": "send",
        "database": "sqlite" if options.sqlite else "postgresql",
        "messages": options.messages,
        "message_bytes": size,
        "links": options.links,
        "dkim": options.dkim,
        "connections": options.connections,
        "workers": options.workers,
        "delay_s": options.delay,
        "messages_per_s": round(rate),
        "cpu_us_per_message": round(cpu * 1e6),
        "messages_per_s_and_core": round(1 / cpu),
        "peak_rss_mb": max(worker["peak_rss_mb"] for worker in run.workers),
        "rss_mb_at_25_and_100_percent": [worker["rss_mb"] for worker in run.workers],
        "freeze_s": round(run.freeze, 2),
    }
    if source:
        figures["smtp_source_per_s"] = [round(each) for each in source]
        figures["ratio_to_smtp_source"] = round(rate * len(source) / sum(source), 3)
    if alone is not None:
        figures["messages_per_s_of_one_worker"] = round(options.messages / alone.seconds)
        figures["speed_up"] = round(alone.seconds / run.seconds, 2)
    return figures


def _environment(stack: ExitStack, options: Options, folder: str, sink: int) -> dict[str, str]:
    environment = {
        "DIBAO_DATA_DIR": folder,
        "DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink}",
        "DIBAO_CONNECTIONS": str(options.connections),
        "DIBAO_PUBLIC_URL": "http://127.0.0.1:8000",
    }
    if options.workers > 1:  # or the first would have it all, and the last batch would decide
        batch = min(1000, max(50, options.messages // options.workers // 8))
        environment["DIBAO_BATCH_SIZE"] = str(batch)
        environment["DIBAO_CHUNK_SIZE"] = str(min(200, batch))
    if not options.sqlite:
        environment["DIBAO_DATABASE_URL"] = stack.enter_context(servers.postgres(durable=True))
    kinds = {"none": (), "both": ("rsa", "ed25519")}.get(options.dkim, (options.dkim,))
    if kinds:
        environment["DIBAO_DKIM_SELECTOR"] = " ".join(f"bench-{kind}" for kind in kinds)
        environment["DIBAO_DKIM_KEY"] = "\n".join(map(_key, kinds))
    return environment


def _people(app: App, number: int) -> None:
    """Store people in steps, by COPY where the database has it."""
    with app.database.transaction() as session:
        subscribers.ensure_segments(session)
    for first in range(0, number, _STEP):
        people = (
            NewPerson(EmailAddress.parse(f"reader.{n}@example.com"), f"Reader {n}", ("ai",))
            for n in range(first, min(first + _STEP, number))
        )
        with app.database.transaction() as session:
            bulk.add_confirmed(
                session,
                people,
                now=clock.now(),
                key=app.address_key,
                source="bench",
                wording="bench",
            )


def _edition(app: App, options: Options) -> tuple[int, Edition]:
    """The edition, and the bytes of a message of it."""
    campaign, public = _drafted(app), app.settings.public_url
    with app.database.reading() as session:
        found = campaign_queries.campaign(session, campaign)
    letterhead = Letterhead(app.keyring, public, list_name=app.publication.name)

    def size_of(edition: Edition) -> int:
        composer = Composer(letterhead, found, edition, EditionId(1))
        number = options.messages - 1
        reader = Person(number, f"reader.{number}@example.com", f"Reader {number}", None)
        held = Lease(campaign, 1, EditionId(1), "", 1, 1, 1, "", 0, clock.now())
        return len(composer.compose(held, 1, reader).data)

    made = editions.rendered(app.publication, public, size=options.size, links=options.links)
    made = made or editions.own(size_of, public, size=options.size, links=options.links)
    return size_of(made), made


def _drafted(app: App) -> CampaignId:
    with app.database.transaction() as session:
        number = content.save(session, editions.issue(1, 1), now=clock.now())
        content.approve(session, number, now=clock.now())
        (campaign,) = campaigns.create(
            session, number, segments=("ai",), sender=app.sender, now=clock.now()
        )
    return campaign


def _launched(app: App, edition: Edition) -> CampaignId:
    """A campaign of everybody, frozen and sending."""
    campaign, now = _drafted(app), clock.now()
    with app.database.transaction() as session:
        campaigns.launch(session, campaign, now=now)
        ids = {
            (mask, level): campaigns.add_edition(
                session,
                campaign,
                mask=mask,
                segments=edition.segments,
                tracking=level,
                artifact=edition.dumps(),
                sha256=edition.sha256,
                sizes=(edition.html_bytes, edition.text_bytes),
                now=now,
            )
            for mask, level, _ in delivery.needed(session, campaign, now=now)
        }
        frozen = audience.freeze(
            session, campaign, ids, now=now, batch_size=app.settings.batch_size
        )
        campaigns.start(
            session,
            campaign,
            candidates=frozen.candidates,
            excluded=frozen.excluded,
            audience=frozen.audience,
            now=now,
        )
    return campaign


def _measured(
    app: App, options: Options, edition: Edition, environment: dict[str, str], workers: int
) -> Run:
    begun = time.perf_counter()
    campaign = _launched(app, edition)
    frozen = time.perf_counter() - begun
    with ExitStack() as stack:
        processes = [stack.enter_context(_worker(environment)) for _ in range(workers)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdin is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a worker did not start")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{campaign}\n")
            process.stdin.flush()
        said = [json.loads(process.communicate()[0]) for process in processes]
    _check(app, campaign, options.messages)
    seconds = max(each["ended"] for each in said) - min(each["begun"] for each in said)
    return Run(seconds, frozen, said)


@contextmanager
def _worker(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.bench.worker"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DIBAO_")}
    with subprocess.Popen(
        command,
        cwd=_ROOT,
        env=plain | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _check(app: App, campaign: CampaignId, messages: int) -> None:
    """Every book of it closes, and everybody was accepted."""
    app.dispatcher().sweep()
    with app.database.reading() as session:
        verification = delivery.verify(session, campaign)
        accepted = delivery.progress(session, campaign).accepted
    if not verification.holds or accepted != messages:
        raise SystemExit(f"speed without truth does not count: {accepted} accepted, {verification}")


def _smtp_source(options: Options, port: int, size: int) -> float | None:
    """Messages per second of Postfix's own; None where the relay is made slow."""
    if options.delay:
        return None
    messages = min(options.messages, _SOURCE)
    connections = options.connections * options.workers
    command = [
        *("smtp-source", "-d", "-s", str(connections), "-l", str(size)),
        *("-m", str(messages), "-f", "b@example.com", "-t", "reader@example.com"),
        f"127.0.0.1:{port}",
    ]
    path = os.environ["PATH"] + ":/usr/sbin"
    begun = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    return messages / (time.perf_counter() - begun)


def _key(kind: str) -> str:
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=40_000, help="bytes of a whole message")
    parser.add_argument("--links", type=int, default=30)
    parser.add_argument("--connections", type=int, help="of a worker: 20, or 50 with --delay")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--delay", type=int, default=0, help="seconds the sink waits after DATA")
    parser.add_argument("--dkim", choices=["none", "rsa", "ed25519", "both"], default="none")
    parser.add_argument("--sqlite", action="store_true")
    given = vars(parser.parse_args())
    given["connections"] = given["connections"] or (50 if given["delay"] else 20)
    return Options(**given)


if __name__ == "__main__":
    main()
