"""Where mail of a domain goes is asked once a month, and no answer is no harm."""

import time
from datetime import timedelta

from sqlalchemy import select
from structlog.testing import capture_logs

from mailer.delivery.lanes import Lanes
from mailer.delivery.models import MailDomainRow
from mailer.delivery.mx import LookedUp, look_up
from mailer.delivery.plan import Plan
from mailer.kit.database import Database
from tests.fakes import books
from tests.fakes.books import NOON
from tests.fakes.dns import BROKEN, SILENT, NameServer, Zone

LANES = Lanes.of(Plan(mx_lookup=True))
ZONE: Zone = {
    "firm.example": ["20 backup.example.", "10 ASPMX.L.Google.com."],
    "null.example": ["0 ."],
    "bare.example": [],
    "broken.example": BROKEN,
    "silent.example": SILENT,
}


def readers(database: Database, *domains: str) -> None:
    with database.transaction() as session:
        for number, domain in enumerate(domains):
            books.people(session, 1, first=10 * number + 1, domain=domain)


def known(database: Database) -> dict[str, str]:
    with database.reading() as session:
        rows = session.execute(select(MailDomainRow.domain, MailDomainRow.mx))
        return {row[0]: row[1] for row in rows}


def test_the_preferred_host_of_each_domain_is_kept(database: Database) -> None:
    readers(database, "firm.example", "null.example", "bare.example", "gone.example")

    with NameServer(ZONE) as server:
        done = look_up(database, server.resolver(), NOON, 100, lanes=LANES)

    assert done == LookedUp(known=4)
    assert known(database) == {
        "firm.example": "aspmx.l.google.com",
        "null.example": "",
        "bare.example": "",
        "gone.example": "",
    }


def test_only_domains_of_confirmed_people_that_no_lane_names_are_asked(database: Database) -> None:
    readers(database, "gmail.com", "firm.example")
    with database.transaction() as session:
        books.people(session, 1, first=90, domain="pending.example", state="pending")

    with NameServer(ZONE) as server:
        look_up(database, server.resolver(), NOON, 100, lanes=LANES)

    assert server.asked == ["firm.example"]


def test_an_answer_is_good_for_a_month(database: Database) -> None:
    readers(database, "firm.example")

    with NameServer(ZONE) as server:
        for days in (0, 29, 31, 32):
            look_up(database, server.resolver(), NOON + timedelta(days=days), 9, lanes=LANES)

    assert server.asked == ["firm.example"] * 2


def test_where_nobody_answers_it_is_asked_again_tomorrow_and_what_was_known_stays(
    database: Database,
) -> None:
    readers(database, "firm.example", "broken.example")
    with NameServer(ZONE) as server, capture_logs() as logs:
        first = look_up(database, server.resolver(), NOON, 100, lanes=LANES)
    with NameServer({"firm.example": BROKEN, "broken.example": ["1 mx.example."]}) as later:
        today = look_up(database, later.resolver(), NOON + timedelta(hours=9), 9, lanes=LANES)
        tomorrow = look_up(database, later.resolver(), NOON + timedelta(days=40), 9, lanes=LANES)

    assert (first, today, tomorrow) == (LookedUp(1, 1), LookedUp(), LookedUp(1, 1))
    assert known(database) == {
        "firm.example": "aspmx.l.google.com",
        "broken.example": "mx.example",
    }
    assert [line["event"] for line in logs] == ["mail hosts could not be looked up"]


def test_a_round_ends_in_time_and_the_next_one_goes_on(database: Database) -> None:
    readers(database, *(f"d{n}.example" for n in range(6)))

    with NameServer({f"d{n}.example": SILENT for n in range(6)}) as server:
        begin = time.monotonic()
        look_up(database, server.resolver(), NOON, 3, lanes=LANES, seconds=0.5)
        spent = time.monotonic() - begin
    with NameServer({f"d{n}.example": ["1 mx.example."] for n in range(6)}) as server:
        rest = look_up(database, server.resolver(), NOON, 2, lanes=LANES)

    assert spent < 3
    assert rest == LookedUp(known=2, left=1)
    assert set(server.asked) <= {"d3.example", "d4.example", "d5.example"}


def test_many_domains_are_asked_at_once(database: Database) -> None:
    readers(database, *(f"d{n}.example" for n in range(40)))

    with NameServer({f"d{n}.example": ["1 mx.example."] for n in range(40)}) as server:
        assert look_up(database, server.resolver(), NOON, 100, lanes=LANES).known == 40


def test_the_domains_of_most_people_come_first(database: Database) -> None:
    with database.transaction() as session:
        books.people(session, 1, first=1, domain="small.example")
        books.people(session, 3, first=10, domain="large.example")

    with NameServer({}) as server:
        look_up(database, server.resolver(), NOON, 1, lanes=LANES)

    assert server.asked == ["large.example"]
