"""How fast a list of a million is: imported, searched, counted, frozen, exported; a line of JSON.

    python -m tests.bench.subscribers --people 1000000 --events 5000000 [--sqlite]

Everything measured is the real code on a database that waits for the disk. Only what stands for
years of readers is made by SQL: a few who bounced or left, and the events, with the projection of
them as `reports.actions.count` keeps it. Progress goes to standard error; nothing asserts a time.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import text

from mailer import jobs
from mailer.app import App, compose
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Section
from mailer.kit import clock, settings
from mailer.kit.database import upgrade
from subscribers import actions, engaging, queries, search
from subscribers.fields import CustomField, Kind
from subscribers.intake import taking
from subscribers.intake.plan import Plan
from subscribers.outtake.asked import Asked
from subscribers.outtake.export import Place, people_to_file
from subscribers.rules import language
from subscribers.rules import queries as rules
from subscribers.subscriber import State
from tests import servers
from tests.bench import population

ISSUES = 12  # weekly ones, sent
SEGMENTS = ("e-commerce", "ai", "luxury")
PAGE = 50

PARTS = (
    *("smith", "gmail", "garcia", "müller", "james smith", "corp77.ex", "corp3999", "@qq"),
    *("reader.5", "77@163", "nobody@nowhere.example", "zzqqxx", "mary.o", "kar"),
    *("王伟", "志文", "王志文", "伟", "龘", "林建国", "li", "j", "xq", "ma"),
)
"""Common, rare and absent, Latin and Chinese, long and short."""

RULES = (
    """follows:ai and clicked in last 4 issues and not language = en and city = "Paris"
    and score > 5""",
    """follows:luxury and opened in last 30 days and score >= 50 and tracking = clicks
    and domain = "qq.com\"""",
    """never opened in last 4 issues and follows:e-commerce and created before 1 days ago
    and not domain = "gmail.com" and city = "Lyon\"""",
    """(clicked:ai in last 6 issues or opened in last 2 issues) and not follows:luxury
    and score < 40 and language in (en, fr)""",
    """clicked in last 60 days and name contains "smith" and not domain = "qq.com"
    and city in ("Paris", "Lyon") and confirmed in last 30 days""",
)
"""Five conditions each, engagement among them."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    people: int
    events: int
    sqlite: bool
    memory: str


def main() -> None:
    """Measure and print."""
    options = _options()
    with _installation(options) as app:
        figures: dict[str, object] = {
            "bench": "subscribers",
            "database": "sqlite" if options.sqlite else "postgresql",
            "people": options.people,
            "events": options.events,
        }
        figures |= _import(app, options)
        figures |= _years(app, options)
        figures |= _searching(app)
        figures |= _counting(app)
        figures |= _sending(app)
        figures |= _exporting(app)
    sys.stdout.write(json.dumps(figures) + "\n")


def _import(app: App, options: Options) -> dict[str, object]:
    """Import a generated CSV as the command does."""
    with app.database.transaction() as session:
        actions.ensure_segments(session)
        for key, kind in (("city", Kind.TEXT), ("score", Kind.NUMBER)):
            actions.define_field(session, CustomField(key, key.title(), kind))
    plan = Plan("They ticked the box at the desk.", "people.csv", actor="bench")
    file = app.settings.data_dir / "people.csv"
    population.write(file, options.people)
    _say(f"{file.stat().st_size / 1e6:.0f} MB of people written")
    begun = time.perf_counter()
    with file.open("rb") as stream:
        told = taking.take(
            app.database, stream, plan, key=app.address_key, now=clock.now() - timedelta(days=2)
        )
        for n, progress in enumerate(told):
            if n % 100 == 0:
                _say(f"{progress.counts.rows} rows", over=True)
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if progress.counts.added != options.people:
        raise SystemExit(f"speed without truth does not count: {progress.counts}")
    _say(f"imported in {took:.1f} s")
    return {"import_s": round(took, 1), "import_peak_rss_mb": round(peak)}


def _years(app: App, options: Options) -> dict[str, object]:
    """What would take years: issues, events and their projection, people who bounced or left."""
    now = clock.now()
    with app.database.transaction() as session:
        for n in range(ISSUES):
            issue = content.save(session, _issue(f"issue-{n}"), now=now)
            content.approve(session, issue, now=now)
            campaigns.create(session, issue, segments=SEGMENTS, sender=app.sender, now=now)
            engaging.issue_sent(session, issue, now - timedelta(days=7 * (ISSUES - n)))
    for sentence, statements in population.years(options.events, sqlite=options.sqlite).items():
        with app.database.transaction() as session:
            for statement in statements:
                session.execute(text(statement), {"now": now.replace(tzinfo=None)})
        _say(sentence)
    if not options.sqlite:  # what autovacuum does within minutes
        with app.database.engine.connect() as connection:
            outside = connection.execution_options(isolation_level="AUTOCOMMIT")
            outside.execute(text("VACUUM ANALYZE"))
    with app.database.reading() as session:
        return {
            name: session.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608  # our own
            for name, table in (("events", "event"), ("engagement_rows", "engagement"))
        }


def _issue(slug: str) -> Issue:
    items = tuple(
        Item(
            f"story-{n}", f"Story {n}", "Parcels move.", url=f"https://news.example/{n}", segments=s
        )
        for n, s in enumerate((("ai",), ("luxury",), ("e-commerce",), (), ("ai", "luxury"), ()))
    )
    return Issue(title=slug, slug=slug, sections=(Section(items=items),))


def _searching(app: App) -> dict[str, object]:
    """Search for every part from several places, and turn pages anywhere in the list."""
    dice = random.Random(5)  # noqa: S311  # the same pages every time
    with app.database.reading() as session:
        last = search.page(session, now=clock.now(), newest=True, limit=1)[0].id
    asks: list[Mapping[str, object]] = []
    for part in PARTS:
        asks += [{"part": part}, {"part": part, "newest": True}]
        asks += [{"part": part, "after": dice.randrange(last)}]
    for narrowed in _narrowed():
        asks += [narrowed, {**narrowed, "after": dice.randrange(last)}]
        asks += [{**narrowed, "part": "smith"}]
    searches = [_timed(f"search {ask}", partial(_page, app, **ask)) for ask in asks]
    turns = ({"after": dice.randrange(last), "newest": n % 3 == 0} for n in range(500))
    pages = [_timed("page", partial(_page, app, **turn)) for turn in turns]
    return {"search_p95_ms": _p95(searches), "page_p95_ms": _p95(pages)}


def _narrowed() -> Iterator[Mapping[str, object]]:
    yield from ({"state": state} for state in State)
    yield from ({"segment": key} for key in SEGMENTS)
    yield from ({"field": pair} for pair in (("city", "Paris"), ("city", "Ulm"), ("score", "7")))


def _page(app: App, **asked: object) -> object:
    with app.database.reading() as session:
        return search.page(session, now=clock.now(), limit=PAGE, **asked)  # type: ignore[arg-type]


def _counting(app: App) -> dict[str, object]:
    """Count rules, and how all segments overlap."""
    counts = []
    with app.database.reading() as session:
        for _ in range(4):
            for written in RULES:
                count = partial(
                    rules.count, session, language.parse(written), clock.now(), patience=60
                )
                counts.append(_timed(f"count {' '.join(written.split())}", count))
        keys = [each.key for each in queries.segments(session)]
        compare = partial(rules.overlap, session, keys, clock.now(), patience=60)
        overlap = [_timed("overlap", compare) for _ in range(3)]
    return {
        "segment_count_p95_ms": _p95(counts),
        "overlap_ms": round(sorted(overlap)[1] * 1000),
    }


def _sending(app: App) -> dict[str, object]:
    """Prepare a campaign to everybody: render its editions, freeze its audience, start it."""
    with app.database.transaction() as session:
        issue = content.save(session, _issue("to-everybody"), now=clock.now())
        content.approve(session, issue, now=clock.now())
        (campaign,) = campaigns.create(
            session, issue, segments=SEGMENTS, sender=app.sender, now=clock.now()
        )
        campaigns.launch(session, campaign, now=clock.now())
    took = _timed("freeze", lambda: jobs.prepare(app.tools, campaign))
    with app.database.reading() as session:
        found = campaign_queries.campaign(session, CampaignId(campaign))
    if found.frozen_at is None:
        raise SystemExit(f"not frozen: {found.reason}")
    return {"freeze_s": round(took, 1), "audience": found.audience_count}


def _exporting(app: App) -> dict[str, object]:
    place = Place(app.settings.data_dir, timedelta(days=1))
    took = _timed(
        "export",
        lambda: people_to_file(app.database, Asked(), place, actor="bench", now=clock.now()),
    )
    return {"export_s": round(took, 1)}


def _timed(what: str, act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    took = time.perf_counter() - begun
    if took > 0.08 and what != "page":
        _say(f"{took * 1000:8.0f} ms  {what}")
    return took


def _p95(seconds: list[float]) -> float:
    return round(sorted(seconds)[int(len(seconds) * 0.95)] * 1000, 1)


@contextmanager
def _installation(options: Options) -> Iterator[App]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            "DIBAO_DATA_DIR": str(folder),
            "DIBAO_SMTP_URL": "smtp://127.0.0.1:25",  # nothing is sent
            "DIBAO_PUBLIC_URL": "http://127.0.0.1:8000",
        }
        if not options.sqlite:
            server = servers.postgres(durable=True, memory=options.memory)
            environment["DIBAO_DATABASE_URL"] = stack.enter_context(server)
        app = compose(settings.read(environment))
        upgrade(app.database)
        yield app
        app.stop()
        app.database.close()


def _say(sentence: str, *, over: bool = False) -> None:
    sys.stderr.write(f"{sentence}\r" if over else f"{sentence}\n")


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--memory", default="1GB", help="PostgreSQL's shared_buffers")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
