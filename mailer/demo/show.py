"""The main job from end to end on sample issues and synthetic people."""

import http.client
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mailer import jobs
from mailer.app import App
from mailer.campaigns import actions as campaigns
from mailer.campaigns import queries as campaign_queries
from mailer.campaigns.campaign import CampaignId, EditionId, State
from mailer.content import actions as content
from mailer.content import document
from mailer.content.issue import IssueId
from mailer.delivery import queries as delivery
from mailer.demo.people import people
from mailer.demo.readers import Letter, Visit, What, visits
from mailer.kit import settings
from mailer.kit.errors import Conflict, Unavailable
from mailer.kit.settings import Settings
from mailer.kit.signing import Purpose
from mailer.rendering.edition import loads
from mailer.tracking.spool import Hit
from subscribers import actions as subscribers
from subscribers import bulk, search
from subscribers.address import EmailAddress
from subscribers.subscriber import NewPerson

MARK = ".dibao-demo"
PEOPLE = 3000
STEP = 500  # people per transaction, so that the bar moves
SEGMENTS = ("e-commerce", "ai", "luxury")
ISSUES = Path(__file__).parent / "issues"

Advance = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The demo's campaign, over."""

    campaign: CampaignId
    seconds: float


def chosen(environment: Mapping[str, str]) -> Settings:
    """The demo's settings: a folder of its own, free ports, deferrals that last seconds.

    Mail goes to the built-in inbox and people into a SQLite file of the demo's own, whatever the
    environment says of relays and databases.
    """
    given = {
        "DIBAO_RETRY_WAITS": "1 2",
        "DIBAO_SWEEP": "0.5",
        "DIBAO_CONNECTIONS": "10",
        "DIBAO_INBOX_PORT": str(_free(2525)),
        "DIBAO_WEB_PORT": str(_free(8000)),
        "DIBAO_PUBLICATION": "The Digital Gazette",
        "DIBAO_TAGLINE": "Chinese digital business, once a week",
        **{name: value for name, value in environment.items() if name.startswith("DIBAO_")},
        "DIBAO_SMTP_URL": "inbox://",
        "DIBAO_BROKER_URL": "memory://",
        "DIBAO_DATABASE_URL": "",
    }
    given["DIBAO_DATA_DIR"] = str(Path(given.get("DIBAO_DATA_DIR") or "var") / "demo")
    if given["DIBAO_WEB_PORT"] == "0":  # any: the links in the letters have to name it
        given["DIBAO_WEB_PORT"] = str(_free(0))
    given.setdefault("DIBAO_PUBLIC_URL", f"http://127.0.0.1:{given['DIBAO_WEB_PORT']}")
    return settings.read(given)


def begin(folder: Path) -> None:
    """Forget an earlier demo. Raises Conflict for a folder that none has made."""
    mark = folder / MARK
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise Conflict(
            f"{folder} is not a demo's folder; DIBAO_DATA_DIR names another place for it"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.write_text("`dibao demo` made this folder and empties it.\n", encoding="utf-8")


def write_issues(app: App) -> IssueId:
    """Store and approve the sample issues; the newest one's id."""
    newest = None
    for path in sorted(ISSUES.glob("*.md")):
        text = path.read_text(encoding="utf-8").replace("{public_url}", app.settings.public_url)
        with app.database.transaction() as session:
            newest = content.save(session, document.read(text), now=app.now(), by="demo")
            content.approve(session, newest, now=app.now())
    if newest is None:
        raise Unavailable(f"The sample issues are missing from {ISSUES}")
    return newest


def add_people(app: App, advance: Advance, number: int = PEOPLE) -> None:
    """Store the synthetic people; a few of them are suppressed, unsubscribed or pending."""
    everybody = [
        NewPerson(
            address=EmailAddress.parse(person.address),
            name=person.name,
            segments=person.segments,
            tracking=person.tracking,
        )
        for person in people(number)
    ]
    for start in range(0, number, STEP):
        with app.database.transaction() as session:
            bulk.add_confirmed(
                session,
                everybody[start : start + STEP],
                now=app.now(),
                key=app.address_key,
                source="demo",
                wording="Synthetic people agree to everything.",
            )
        advance(min(start + STEP, number), number)
    _take_leave(app)


def _take_leave(app: App) -> None:
    """A few people left, complained, or never confirmed: the audience leaves them out."""
    now = app.now()
    with app.database.transaction() as session:
        for person in search.page(session, now=now, limit=24):
            if person.id % 3 == 0:
                subscribers.unsubscribe(session, person.id, segments=None, now=now, source="demo")
            else:
                why = "complained" if person.id % 3 == 1 else "asked"
                subscribers.suppress(session, person.address_key, why, now=now, evidence="demo")
        for n in range(8):
            subscribers.subscribe(
                session,
                EmailAddress.parse(f"undecided.{n}@example.com"),
                key=app.address_key,
                segments=("ai",),
                source="demo",
                wording="I would like to read this.",
                now=now,
            )


def send(app: App, issue: IssueId, advance: Advance) -> Sent:
    """Send the issue to everybody and watch until the sum closes."""
    begun = time.monotonic()
    with app.database.transaction() as session:
        (campaign,) = campaigns.create(
            session, issue, segments=SEGMENTS, sender=app.sender, now=app.now()
        )
    app.launch(campaign)
    while True:
        with app.database.reading() as session:
            found = campaign_queries.campaign(session, campaign)
            progress = delivery.progress(session, campaign)
        advance(progress.settled, progress.audience or PEOPLE)
        if found.state is not State.PREPARING and found.state is not State.SENDING:
            return Sent(campaign, time.monotonic() - begun)
        time.sleep(0.2)


def read(app: App, campaign: CampaignId, advance: Advance) -> None:
    """Let readers and scanners come: a day in seconds, and a few one-click unsubscribes."""
    arriving = list(visits(_letters(app, campaign)))
    for done, visit in enumerate(arriving, start=1):
        if visit.what is What.UNSUBSCRIBE:
            _one_click(app, campaign, visit)
        else:
            app.spool.append(_hit(campaign, visit))
        if done % 200 == 0 or done == len(arriving):
            advance(done, len(arriving))
    while app.spool.waiting():  # this thread and the counting one share the work
        jobs.count(app.tools)
        time.sleep(0.05)


def _letters(app: App, campaign: CampaignId) -> Iterator[Letter]:
    with app.database.reading() as session:
        links = {
            stored.id: tuple(
                link.number for link in loads(stored.artifact).links if link.slot == "headline"
            )
            for stored in campaign_queries.editions(session, campaign)
        }
        for line in delivery.ledger_lines(session, campaign, outcome="accepted"):
            if line.at and line.edition:
                yield Letter(line.subscriber, line.at, links[EditionId(line.edition)])


def _hit(campaign: CampaignId, visit: Visit) -> Hit:
    return Hit(
        kind=visit.what,
        campaign=campaign,
        subscriber=visit.subscriber,
        at=visit.at,
        link=visit.link,
        agent=visit.agent,
    )


def _one_click(app: App, campaign: CampaignId, visit: Visit) -> None:
    """What a mail program posts when somebody presses its unsubscribe button (RFC 8058)."""
    token = app.keyring.sign(Purpose.DELIVERY, campaign, visit.subscriber)
    parts = urlsplit(app.settings.public_url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=10)
    try:
        connection.request(
            "POST",
            f"/u/{token}",
            body="List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        connection.getresponse().read()
    finally:
        connection.close()


def _free(wanted: int) -> int:
    """The port wanted, or another where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("There is no free port on 127.0.0.1")
