"""How fast a real campaign leaves, beside Postfix's own smtp-source: one line of JSON.

    python -m tests.bench.send --messages 20000 --size 40000 --links 30 [--dkim] [--sqlite]

The campaign is a real one (PostgreSQL, frozen audience, leases, journal, ledger) and goes to
`smtp-sink`; then, in the same run, `smtp-source -d` sends messages of the same size to the same
sink over as many connections. Machines are noisy: read the ratio. Nothing here asserts a time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailer import jobs
from mailer.app import App, compose
from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import CampaignId
from mailer.content import actions as content
from mailer.content.issue import Issue, IssueId, Item, Link, Section
from mailer.delivery import queries as delivery
from mailer.kit import clock, settings
from mailer.kit.database import upgrade
from mailer.rendering.render import render
from subscribers import actions as subscribers
from subscribers import bulk
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson
from tests import servers

FILLER = "Parcels move by night and the city reads about them in the morning. "


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    messages: int
    size: int
    links: int
    connections: int
    dkim: bool
    sqlite: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One measured campaign."""

    seconds: float
    cpu: float  # seconds of our process, user and system
    freeze: float  # seconds to render, freeze and start
    message_bytes: int


def main() -> None:
    """Measure and print."""
    options = _options()
    with ExitStack() as stack:
        sink = stack.enter_context(servers.smtp_sink())
        app = stack.enter_context(_installation(options, sink.port))
        run = _campaign(app, options)
        source = _smtp_source(options, sink.port, run.message_bytes)
    rate = options.messages / run.seconds
    figures = {
        "bench": "send",
        "database": "sqlite" if options.sqlite else "postgresql",
        "messages": options.messages,
        "message_bytes": run.message_bytes,
        "links": options.links,
        "dkim": options.dkim,
        "connections": options.connections,
        "messages_per_s": round(rate),
        "smtp_source_per_s": round(source),
        "ratio_to_smtp_source": round(rate / source, 3),
        "cpu_us_per_message": round(run.cpu / options.messages * 1e6),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "freeze_s": round(run.freeze, 2),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


@contextmanager
def _installation(options: Options, sink: int) -> Iterator[App]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {
            "DIBAO_DATA_DIR": folder,
            "DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink}",
            "DIBAO_CONNECTIONS": str(options.connections),
            "DIBAO_PUBLIC_URL": "http://127.0.0.1:8000",
        }
        if not options.sqlite:
            url = stack.enter_context(servers.postgres(durable=True))
            environment["DIBAO_DATABASE_URL"] = url
        if options.dkim:
            environment |= {"DIBAO_DKIM_SELECTOR": "bench", "DIBAO_DKIM_KEY": _key()}
        app = compose(settings.read(environment))
        upgrade(app.database)
        _people(app, options.messages)
        yield app
        app.stop()
        app.database.close()


def _people(app: App, number: int) -> None:
    people = (
        NewPerson(EmailAddress.parse(f"reader.{n}@example.com"), f"Reader {n}", ("ai",))
        for n in range(number)
    )
    with app.database.transaction() as session:
        subscribers.ensure_segments(session)
        bulk.add_confirmed(
            session, people, now=clock.now(), key=app.address_key, source="bench", wording="bench"
        )


def _campaign(app: App, options: Options) -> Run:
    issue = _sized_issue(app, options)
    with app.database.transaction() as session:
        number: IssueId = content.save(session, issue, now=clock.now())
        content.approve(session, number, now=clock.now())
        (campaign,) = campaigns.create(
            session, number, segments=("ai",), sender=app.sender, now=clock.now()
        )
        campaigns.launch(session, campaign, now=clock.now())
    begun = time.perf_counter()
    jobs.prepare(app.tools, campaign)
    frozen = time.perf_counter()
    cpu = _cpu()
    while app.dispatcher().work(CampaignId(campaign)).more_due:
        pass
    seconds, cpu = time.perf_counter() - frozen, _cpu() - cpu
    app.dispatcher().sweep()
    with app.database.reading() as session:
        verification = delivery.verify(session, campaign)
        accepted = delivery.progress(session, campaign).accepted
    if not verification.holds or accepted != options.messages:
        raise SystemExit(f"speed without truth does not count: {accepted} accepted, {verification}")
    return Run(seconds, cpu, frozen - begun, _message_bytes(app, issue))


def _sized_issue(app: App, options: Options) -> Issue:
    """An issue whose message has about the size asked for, found in a few steps."""
    words, issue = 10, _issue(options.links, 10)
    for _ in range(6):
        issue = _issue(options.links, words)
        missing = options.size - _message_bytes(app, issue)
        if abs(missing) < options.size // 100:
            break
        words = max(0, words + round(missing / options.links / len(FILLER) / 2))
    return issue


def _issue(links: int, words: int) -> Issue:
    items = tuple(
        Item(f"story-{n}", f"Story {n}", FILLER * words, url=f"https://news.example/{n}")
        for n in range(links)
    )
    return Issue(
        title="Bench",
        slug="bench",
        sections=(Section(segments=("ai",), items=items),),
        ctas=(Link("More", "https://news.example/more"),),
    )


def _message_bytes(app: App, issue: Issue) -> int:
    public = app.settings.public_url
    edition = render(issue, app.publication, followed=("ai",), tracking=3, public_url=public)
    headers = 1100  # bytes, near enough
    return headers + sum(len(piece) for piece in edition.pieces) + 24 * len(edition.slots)


def _smtp_source(options: Options, port: int, size: int) -> float:
    command = [
        *("smtp-source", "-d", "-s", str(options.connections), "-l", str(size)),
        *("-m", str(options.messages), "-f", "b@example.com", "-t", "reader@example.com"),
        f"127.0.0.1:{port}",
    ]
    path = os.environ["PATH"] + ":/usr/sbin"
    begun = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    return options.messages / (time.perf_counter() - begun)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
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
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--dkim", action="store_true", help="sign with RSA-2048")
    parser.add_argument("--sqlite", action="store_true")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
