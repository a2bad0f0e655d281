"""The flow between launch and send: prepared once, handed back with the reason, swept when due."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from mailer import jobs
from mailer.app import App, compose
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import Campaign, CampaignId, Mode, State
from mailer.content import actions as content
from mailer.content.issue import Issue, Item, Section
from mailer.delivery import queries as delivery
from mailer.delivery.plan import BrakePlan, Plan
from mailer.kit import settings
from mailer.kit.database import Database
from mailer.kit.errors import Misconfigured
from mailer.reports import explain
from subscribers import actions as subscribers
from subscribers import bulk
from subscribers import queries as people
from subscribers.address import EmailAddress
from subscribers.intake import runs, taking
from subscribers.intake.plan import Plan as ImportPlan
from subscribers.intake.run import Run
from subscribers.intake.run import State as RunState
from subscribers.intake.waiting import Waiting
from subscribers.models import SentIssueRow
from subscribers.rules import actions as rules
from subscribers.rules import language
from subscribers.segment import NewSegment
from subscribers.subscriber import Frequency, NewPerson

PEOPLE = {
    "ada@example.com": ("e-commerce", "ai"),
    "ben@example.com": ("ai",),
    "cleo@example.com": ("luxury",),
}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[App]:
    """An installation whose broker nobody listens to: only what a test calls happens."""
    url = database.engine.url.render_as_string(hide_password=False)
    chosen = {"DIBAO_DATA_DIR": str(tmp_path), "DIBAO_DATABASE_URL": url}
    app = compose(settings.read(chosen))
    with app.database.transaction() as session:
        subscribers.ensure_segments(session)
        readers = [NewPerson(EmailAddress.parse(a), segments=of) for a, of in PEOPLE.items()]
        bulk.add_confirmed(
            session, readers, now=app.now(), key=app.address_key, source="test", wording="Yes."
        )
    yield app
    app.celery.control.purge()  # knocks of this process's memory:// that nobody heard
    app.stop()
    app.database.close()


def story(key: str, *segments: str, url: str = "https://news.example/") -> Item:
    return Item(key, f"About {key}", "Text.", url=url, segments=segments)


def drafted(
    app: App, *items: Item, mode: Mode = Mode.MERGED, exclude: tuple[str, ...] = ()
) -> tuple[CampaignId, ...]:
    with app.database.transaction() as session:
        issue = Issue(title="Weekly", slug="weekly", sections=(Section(items=items),))
        number = content.save(session, issue, now=app.now())
        content.approve(session, number, now=app.now())
        return campaigns.create(
            session,
            number,
            segments=tuple(k for k in ("e-commerce", "ai", "luxury") if k not in exclude),
            sender=app.sender,
            now=app.now(),
            mode=mode,
            excluded_segments=exclude,
        )


def stored(app: App, campaign: CampaignId) -> Campaign:
    with app.database.reading() as session:
        return campaign_queries.campaign(session, campaign)


def scheduled(app: App, campaign: CampaignId, at: datetime, *, now: datetime) -> None:
    with app.database.transaction() as session:
        campaigns.schedule(session, campaign, at, now=now)


def test_a_launched_campaign_is_prepared_once_however_often_somebody_knocks(app: App) -> None:
    (campaign,) = drafted(app, story("carts", "e-commerce"), story("models", "ai"))
    app.launch(campaign)

    for _ in range(3):
        jobs.prepare(app.tools, campaign)

    found = stored(app, campaign)
    assert found.state is State.SENDING
    assert (found.candidate_count, found.audience_count) == (3, 2)
    with app.database.reading() as session:
        assert delivery.verify(session, campaign).holds
        editions = campaign_queries.editions(session, campaign)
    assert [edition.segments for edition in editions] == [("ai",), ("e-commerce", "ai")]


def test_whom_the_issue_says_nothing_to_is_left_out_with_that_reason(app: App) -> None:
    (campaign,) = drafted(app, story("models", "ai"))
    app.launch(campaign)
    jobs.prepare(app.tools, campaign)

    with app.database.reading() as session:
        lines = list(delivery.ledger_lines(session, campaign, outcome="excluded"))
    assert [line.reason for line in lines] == ["nothing_to_read"]


def test_an_issue_for_nobody_goes_back_to_the_draft_and_says_why(app: App) -> None:
    (campaign,) = drafted(app, story("gardens", "gardening"))
    app.launch(campaign)

    jobs.prepare(app.tools, campaign)

    assert stored(app, campaign).state is State.DRAFT
    assert "no item for anybody" in stored(app, campaign).reason


def test_an_issue_that_cannot_be_rendered_goes_back_to_the_draft_and_says_where(app: App) -> None:
    long = "Words and more words. " * 9000
    (campaign,) = drafted(app, Item("essay", "Essay", long, segments=("ai",)))
    app.launch(campaign)

    jobs.prepare(app.tools, campaign)

    assert stored(app, campaign).state is State.DRAFT
    assert "item essay" in stored(app, campaign).reason


def test_per_segment_mode_mails_each_segment_apart(app: App) -> None:
    each = drafted(app, story("carts", "e-commerce"), story("models", "ai"), mode=Mode.PER_SEGMENT)
    audiences = []
    for campaign in each[:2]:
        app.launch(campaign)
        jobs.prepare(app.tools, campaign)
        audiences.append(stored(app, campaign).audience_count)

    assert audiences == [1, 2], "Ada reads both, in two mails"


def test_the_sweep_starts_what_is_due(app: App) -> None:
    (campaign,) = drafted(app, story("models", "ai"))
    before = app.now() - timedelta(hours=2)
    scheduled(app, campaign, before + timedelta(hours=1), now=before)

    jobs.sweep(app.tools)

    assert stored(app, campaign).state in {State.PREPARING, State.SENDING}


def test_the_sweep_starts_nothing_that_was_due_long_ago(app: App) -> None:
    (campaign,) = drafted(app, story("models", "ai"))
    before = app.now() - timedelta(days=2)
    scheduled(app, campaign, before + timedelta(hours=1), now=before)

    jobs.sweep(app.tools)

    assert stored(app, campaign).state is State.MISSED
    assert "schedule it anew" in stored(app, campaign).reason


@pytest.mark.parametrize(("smallest", "canary"), [(2, 1), (3, 0)])
def test_the_first_letters_of_a_large_enough_campaign_are_its_canary(
    app: App, smallest: int, canary: int
) -> None:
    (campaign,) = drafted(app, story("carts", "e-commerce"), story("models", "ai"))
    app.launch(campaign)
    brakes = BrakePlan(canary=1, canary_from=smallest)
    jobs.prepare(replace(app.tools, plan=Plan(brakes=brakes)), campaign)

    found = stored(app, campaign)
    assert (found.audience_count, found.canary_size) == (2, canary)


def knocking(knocks: list[str], *, heard: bool) -> Callable[[str, int], bool]:
    def knock(job: str, _: int) -> bool:
        knocks.append(job)
        return heard

    return knock


def waiting(app: App, tmp_path: Path, people: int) -> Waiting:
    """A file that waits to be imported, as the command leaves it."""
    plan = ImportPlan("A fair.", "new.csv", ("ai",))
    rows = "".join(f"new{n}@example.net\n" for n in range(people))
    kept = Waiting(tmp_path / jobs.WAITING)
    with io.BytesIO(f"email\n{rows}".encode()) as file:
        begun = next(taking.take(app.database, file, plan, key=app.address_key, now=app.now()))
        assert begun.run is not None
        kept.put(begun.run, file, plan)
    return kept


def imported(app: App) -> Run:
    with app.database.reading() as session:
        return runs.get(session, 1)


def test_an_import_goes_on_where_a_worker_that_had_to_leave_left_it(
    app: App, tmp_path: Path
) -> None:
    kept = waiting(app, tmp_path, 20_000)
    leaving = iter([False, False, True])

    jobs.bring_in(replace(app.tools, stopping=lambda: next(leaving, True)))
    first = imported(app)
    assert first.state is RunState.RUNNING
    assert 0 < first.counts.added < 20_000
    assert kept.idle(), "it waits for the next"

    jobs.bring_in(app.tools)
    last = imported(app)
    assert (last.state, last.counts.added, last.counts.rows) == (RunState.FINISHED, 20_000, 20_000)
    assert not kept.idle()
    assert list((tmp_path / jobs.WAITING).iterdir()) == []


def test_an_import_that_cannot_go_on_is_given_up(app: App, tmp_path: Path) -> None:
    kept = waiting(app, tmp_path, 1)
    with app.database.transaction() as session:
        rules.archive(session, "ai", now=app.now())

    jobs.bring_in(app.tools)
    assert not kept.idle()
    assert imported(app).counts.added == 0


def test_the_sweep_asks_for_a_worker_for_what_waits_to_be_imported(
    app: App, tmp_path: Path
) -> None:
    knocks: list[str] = []
    tools = replace(app.tools, knock=knocking(knocks, heard=True))
    jobs.sweep(tools)
    assert "subscriber.import" not in knocks

    kept = waiting(app, tmp_path, 1)
    jobs.sweep(tools)
    assert knocks.count("subscriber.import") == 1
    with kept.next():
        jobs.sweep(tools)
    assert knocks.count("subscriber.import") == 1, "somebody is at it"


def test_knocks_end_with_the_first_that_nobody_hears(app: App) -> None:
    knocks: list[str] = []
    (campaign,) = drafted(app, story("carts", "e-commerce"), story("models", "ai"))
    app.launch(campaign)
    jobs.prepare(replace(app.tools, knock=knocking(knocks, heard=False)), campaign)

    assert stored(app, campaign).state is State.SENDING
    assert knocks == ["campaign.send"], "two batches, and a broker that is away"


def test_the_preview_says_who_would_get_which_edition_and_who_none(app: App) -> None:
    (campaign,) = drafted(app, story("carts", "e-commerce"), story("models", "ai"))
    with app.database.reading() as session:
        found = explain.preview(session, campaign, now=app.now())

    assert (found.candidates, found.audience) == (3, 2)
    assert found.excluded == {"nothing_to_read": 1}
    assert [(e.segments, e.people, e.items) for e in found.editions] == [
        (("ai",), 1, ("About models",)),
        (("e-commerce", "ai"), 1, ("About carts", "About models")),
    ]


@pytest.mark.parametrize(
    ("address", "included", "says"),
    [
        ("ada@example.com", True, "Reads the edition for e-commerce, ai"),
        ("cleo@example.com", False, "no item for luxury"),
        ("nobody@example.com", False, "Nobody subscribes"),
    ],
)
@pytest.mark.parametrize("launched", [False, True])
def test_everybody_can_be_told_what_they_get_and_why(
    app: App, address: str, says: str, *, included: bool, launched: bool
) -> None:
    (campaign,) = drafted(app, story("carts", "e-commerce"), story("models", "ai"))
    if launched:
        app.launch(campaign)
        jobs.prepare(app.tools, campaign)
    with app.database.reading() as session:
        found = explain.explain(
            session, campaign, EmailAddress.parse(address), key=app.address_key, now=app.now()
        )

    assert found.included is included
    assert says in " ".join(found.sentences)
    assert not any("Deferred" in sentence for sentence in found.sentences)
    assert bool(found.items) is included


def test_who_is_left_out_is_told_why(app: App) -> None:
    (campaign,) = drafted(app, story("models", "ai"), exclude=("luxury",))
    now = app.now()
    with app.database.transaction() as session:
        ada, ben = (
            people.find(session, f"{name}@example.com", key=app.address_key)
            for name in ("ada", "ben")
        )
        subscribers.follow(session, ada, ["luxury"], now=now, source="page")
        subscribers.set_frequency(session, ben, Frequency.MONTHLY, now=now, source="page")
        everybody = select(people.recipients().subquery().c.id)
        subscribers.note_mailed(session, 99, everybody, now)
    with app.database.reading() as session:
        found = explain.preview(session, campaign, now=now)
        told = [
            " ".join(
                explain.explain(
                    session, campaign, EmailAddress.parse(a), key=app.address_key, now=now
                ).sentences
            )
            for a in PEOPLE
        ]

    assert (found.audience, found.excluded_segments) == (0, ("luxury",))
    assert found.excluded == {"excluded": 1, "frequency": 1}
    assert "a segment that the campaign leaves out (luxury)" in told[0]
    assert "too lately" in told[1]
    assert "none of the campaign's segments" in told[2]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"DIBAO_SMTP_URL": "smtp://"}, "DIBAO_SMTP_URL"),
        ({"DIBAO_DKIM_SELECTOR": "one"}, "DIBAO_DKIM_KEY"),
        ({"DIBAO_DKIM_SELECTOR": "one", "DIBAO_DKIM_KEY": "junk"}, "DKIM key"),
    ],
)
def test_a_relay_or_key_that_cannot_work_stops_the_start(
    given: dict[str, str], names: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=names):
        compose(settings.read({"DIBAO_DATA_DIR": str(tmp_path), **given}))


def test_a_rule_segment_reads_the_issue_whole_and_its_name_stays_ours(app: App) -> None:
    with app.database.transaction() as session:
        rule = language.parse('address starts with "ben"')
        rules.create(session, NewSegment("regulars", "Our regulars"), rule, now=app.now())
    items = story("carts", "e-commerce"), story("watches", "luxury")
    with app.database.transaction() as session:
        issue = Issue(title="Weekly", slug="weekly", sections=(Section(items=items),))
        number = content.save(session, issue, now=app.now())
        content.approve(session, number, now=app.now())
        (campaign,) = campaigns.create(
            session, number, segments=("regulars",), sender=app.sender, now=app.now()
        )
    with app.database.reading() as session:
        (forecast,) = explain.preview(session, campaign, now=app.now()).editions
    app.launch(campaign)
    jobs.prepare(app.tools, campaign)

    with app.database.reading() as session:
        (edition,) = campaign_queries.editions(session, campaign)
        artifact = campaign_queries.edition(session, edition.id).artifact
        sent = session.scalars(select(SentIssueRow.issue_id)).all()
    assert stored(app, campaign).audience_count == forecast.people == 1
    assert forecast.items == ("About carts", "About watches")
    assert "About carts" in artifact
    assert "About watches" in artifact
    assert "Our regulars" not in artifact
    assert sent == [number]


def test_a_rule_brings_no_letter_to_somebody_who_follows_nothing(app: App) -> None:
    with app.database.transaction() as session:
        rule = language.parse("state = confirmed")
        rules.create(session, NewSegment("everybody", "Everybody"), rule, now=app.now())
        ben = people.find(session, "ben@example.com", key=app.address_key)
        subscribers.unfollow(session, ben, ["ai"], now=app.now(), source="test")
        found = people.candidates(session, ("everybody",), now=app.now()).subquery()
        why = {
            row[0]: row[1]
            for row in session.execute(select(found.c.subscriber_id, found.c.excluded))
        }
        now_ = people.recipients(("everybody",)).subquery()
        still = {row[0]: row[1] for row in session.execute(select(now_.c.id, now_.c.unmailable))}

    assert [why[key] for key in sorted(why)] == [None, "unfollowed", None]
    assert still == why
