"""Signing up says the same whoever's address it is; only a POST from the mailbox's owner counts."""

import hashlib
import itertools
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailer.kit.database import Database
from mailer.kit.signing import Purpose
from subscribers import actions
from subscribers.address import EmailAddress, address_key
from subscribers.consent import Act
from subscribers.models import SegmentRow
from subscribers.subscriber import State
from subscribers.suppression import Reason, Scope
from tests.unit.web.gate import TOKEN, Site, opened

SCANNERS = (
    "Mozilla/5.0",
    "",
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SafeLinks",
    "python-requests/2.32.3",
)


@pytest.fixture
def site(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """On either database."""
    return opened(database, tmp_path, monkeypatch)


@pytest.fixture
def quick(sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Where the database makes no difference."""
    return opened(sqlite_database, tmp_path, monkeypatch)


def suppressed(site: Site, name: str, reason: Reason, scope: Scope = Scope.ALL) -> None:
    address = EmailAddress.parse(f"{name}@example.org")
    with site.app.database.transaction() as session:
        actions.suppress(
            session,
            address_key(site.app.address_key, address),
            reason,
            now=site.app.time,
            scope=scope,
        )


def text(message: Any) -> str:
    return str(message.data.replace(b"=\r\n", b"").decode())


def test_one_press_confirms_everything_that_was_asked_for(site: Site) -> None:
    assert site.post(name="Ada").status_code == 200
    (letter,) = site.work()
    assert letter.recipient == "ada@example.org"
    assert site.person().state is State.PENDING

    done = site.client.post(f"/confirm/{site.tokens()[0]}")

    assert "You are subscribed" in done.text
    assert site.person().state is State.CONFIRMED
    assert site.follows() == ("ai", "luxury")
    asked, confirmed = (each for each in site.history() if each.segments)
    assert (asked.act, confirmed.act) == (Act.SUBSCRIBED, Act.CONFIRMED)
    assert asked.network == confirmed.network == "203.0.113.0/24"
    assert asked.source == "sign-up page"
    (welcome,) = site.work()
    assert "Subject: Welcome" in text(welcome)
    assert "Hello Ada," in text(welcome)


def test_the_words_agreed_to_are_stored_as_the_page_showed_them(site: Site) -> None:
    page = site.client.get("/subscribe", headers={"accept-language": "zh-CN,zh;q=0.9"}).text
    shown = re.findall(r'<p class="consent">(.*?)</p>', page)[0]
    site.post(page="zh", language="en")
    site.work()

    (asked,) = site.history()
    assert asked.wording == shown
    assert asked.wording_sha256 == hashlib.sha256(shown.encode()).hexdigest()
    assert site.person().language == "en"


@pytest.mark.parametrize(("ticked", "bits"), [("1", 3), ("", 0)])
def test_counting_is_asked_apart_from_the_subscription(site: Site, ticked: str, bits: int) -> None:
    page = site.client.get("/subscribe").text
    assert 'name="tracking" value="1">' in page, "not ticked beforehand"

    site.post(tracking=ticked)
    site.work()
    site.client.post(f"/confirm/{site.tokens()[0]}")

    assert site.person().tracking == bits
    assert ("whether I open" in site.history()[0].wording) is bool(ticked)


def test_where_nothing_is_tracked_nobody_is_asked(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(sqlite_database, tmp_path, monkeypatch, tracking="none")

    assert 'name="tracking"' not in site.client.get("/subscribe").text
    site.post(tracking="1")
    site.work()
    site.client.post(f"/confirm/{site.tokens()[0]}")

    assert site.person().tracking == 0


def test_a_scanner_that_fetches_the_link_confirms_nothing(site: Site) -> None:
    site.post()
    site.work()
    address = f"/confirm/{site.tokens()[0]}"
    before = site.history()

    for agent in SCANNERS:
        for method in ("GET", "HEAD"):
            headers = {"user-agent": agent, "sec-purpose": "prefetch"}
            assert site.client.request(method, address, headers=headers).status_code == 200
    site.client.request("OPTIONS", address)

    assert site.history() == before
    assert site.person().state is State.PENDING
    assert site.work() == []


def test_a_link_used_old_or_forged_leads_to_one_and_the_same_page(site: Site) -> None:
    site.post()
    site.work()
    (token,) = site.tokens()
    who = site.who()
    assert who is not None
    forged = [
        "a" * 24,
        token[:-1],
        site.app.keyring.sign(Purpose.DELIVERY, 1, who),  # of another kind
        site.app.keyring.sign(Purpose.CONFIRM, 1, who + 1),  # for somebody else
        site.app.keyring.sign(Purpose.CONFIRM, 99, who),
    ]
    site.app.time += timedelta(days=8)
    answers = [site.client.get(f"/confirm/{each}") for each in [*forged, token]]
    site.app.time -= timedelta(days=8)
    site.client.post(f"/confirm/{token}")
    answers += [site.client.post(f"/confirm/{each}") for each in [*forged, token]]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1


def test_what_was_added_after_the_page_was_shown_is_shown_first(site: Site) -> None:
    site.post(segment=["ai"])
    site.work()
    (token,) = site.tokens()
    site.post(segment=["e-commerce"])  # a stranger asks for more meanwhile
    site.work()

    again = site.client.post(f"/confirm/{token}", data={"asked": "ai"})

    assert "has changed meanwhile" in again.text
    assert site.person().state is State.PENDING
    site.client.post(f"/confirm/{token}", data={"asked": "ai e-commerce"})
    assert site.follows() == ("e-commerce", "ai")


def test_known_people_are_answered_alike_and_written_to_otherwise(site: Site) -> None:
    """S13: status, headers and body; the time is measured apart."""
    site.known("Ada", "ai", "luxury")
    site.known("Bob", "ai")
    with site.app.database.transaction() as session:
        actions.unsubscribe(
            session, site.known("Cleo", "ai"), segments=None, now=site.app.time, source="a link"
        )
    for name, reason in (
        ("dan", Reason.COMPLAINED),
        ("eve", Reason.OPERATOR),
        ("fay", Reason.BOUNCED),
        ("gus", Reason.ASKED),
        ("hal", Reason.ERASED),
    ):
        suppressed(site, name, reason)
    suppressed(site, "ida", Reason.COMPLAINED, Scope.CAMPAIGNS)
    names = ("ada", "bob", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "new")

    answers = [site.post(address=f"{name}@example.org") for name in names]
    got = {letter.recipient: text(letter) for letter in site.work()}

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    subjects = {who[:3]: re.findall("Subject: (.*)\r", mail)[0] for who, mail in got.items()}
    confirm = "Please confirm: The Digital Gazette"
    asked = dict.fromkeys(("bob", "cle", "fay", "gus", "hal", "ida", "new"), confirm)
    assert subjects == {"ada": "You get The Digital Gazette already"} | asked
    assert "/p/" in got["ada@example.org"]


def test_somebody_known_keeps_what_they_have_until_they_confirm_more(site: Site) -> None:
    site.known("Ada", "ai")
    site.post(segment=["luxury"], name="Mallory", language="zh")
    site.work()

    assert site.follows() == ("ai",)
    assert (site.person().name, site.person().language) == ("Ada", "")
    site.client.post(f"/confirm/{site.tokens()[0]}")
    assert site.follows() == ("ai", "luxury")


def test_a_mailbox_gets_one_letter_a_day_and_three_in_all(site: Site) -> None:
    """Row 47: the same address from fifty addresses of origin, for ten days."""
    spellings = ["ada@gmail.com", "a.d.a@gmail.com", "ada+1@gmail.com", "ADA@googlemail.com"]
    got = []
    for day in range(10):
        for hour in range(5):
            site.come_from(f"198.{day}.{hour}.9")
            site.post(address=spellings[(day + hour) % 4])
            got += [site.app.time for _ in site.work()]
            site.app.time += timedelta(hours=4)
        site.app.time += timedelta(hours=5)

    assert len(got) == 3
    assert all(b - a >= timedelta(hours=24) for a, b in itertools.pairwise(got))


def test_after_a_confirmation_the_count_begins_anew(site: Site) -> None:
    for _ in range(3):
        site.post()
        site.work()
        site.app.time += timedelta(days=1, minutes=1)
    site.client.post(f"/confirm/{site.tokens()[-1]}")
    site.work()
    site.post()

    (letter,) = site.work()

    assert "You get The Digital Gazette already" in text(letter)


def test_a_segment_nobody_may_choose_is_as_unknown_as_one_there_is_not(quick: Site) -> None:
    """Row 50: archived, given by a rule, never there: one answer, on both ways in."""
    with quick.app.database.transaction() as session:
        ai = session.query(SegmentRow).filter_by(key="ai").one()
        ai.archived_at = quick.app.time
        luxury = session.query(SegmentRow).filter_by(key="luxury").one()
        luxury.rule = {"field": "country", "operator": "=", "value": "FR"}
    quick.app.time += timedelta(minutes=1)
    page = quick.client.get("/subscribe").text

    answers = [quick.post(segment=["e-commerce", key]) for key in ("ai", "luxury", "secret")]
    programs = [
        quick.client.post("/subscribe.json", json=quick.form(segment=[key]))
        for key in ("ai", "luxury", "secret")
    ]

    assert 'value="luxury"' not in page
    assert 'value="ai"' not in page
    assert {answer.status_code for answer in answers + programs} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.text for answer in programs}) == 1
    assert quick.work() == []


def test_a_slip_is_shown_with_what_was_entered(quick: Site) -> None:
    answer = quick.post(address="ada at example", name="Ada <b>", segment=["luxury"])

    assert answer.status_code == 422
    assert "no e-mail address" in answer.text
    assert 'value="ada at example"' in answer.text
    assert "Ada &lt;b&gt;" in answer.text
    assert re.search(r'value="luxury" checked', answer.text)
    again = TOKEN.findall(answer.text)[0]
    right = quick.form(form=again)
    quick.app.time -= timedelta(seconds=5)  # the new token is as old as the first form
    assert "Look into your mailbox" in quick.client.post("/subscribe", data=right).text
    assert len(quick.work()) == 1


def test_a_form_without_a_topic_comes_back(quick: Site) -> None:
    answer = quick.post(segment=[])

    assert answer.status_code == 422
    assert "at least one topic" in answer.text


def test_a_form_of_this_morning_comes_back_and_then_works(quick: Site) -> None:
    form = quick.form()
    quick.app.time += timedelta(hours=5)
    answer = quick.client.post("/subscribe", data=form)

    assert answer.status_code == 422
    assert "lay open" in answer.text
    quick.app.time += timedelta(seconds=3)
    fresh = form | {"form": TOKEN.findall(answer.text)[0]}
    assert quick.client.post("/subscribe", data=fresh).status_code == 200
    assert len(quick.work()) == 1


def test_fields_that_no_form_of_ours_has_are_ignored(site: Site) -> None:
    """Row 51."""
    site.post(
        status="confirmed",
        state="confirmed",
        roles="admin",
        id="1",
        created_at="2020-01-01",
        confirmed_at="2020-01-01",
        source="import",
        fields='{"vip": true}',
        **{"lists[]": "luxury"},
    )
    site.work()

    person = site.person()
    assert person.state is State.PENDING
    assert person.confirmed_at is None
    assert site.history()[0].source == "sign-up page"


@pytest.mark.parametrize(
    "name",
    ["<a href=//evil.example>click</a>", "Win at evil.example", "https://evil.example/x", "Ada"],
)
def test_nothing_a_stranger_wrote_is_in_a_confirmation(quick: Site, name: str) -> None:
    """Row 52: not even a name without a link."""
    quick.post(name=name)
    (letter,) = quick.work()

    mail = text(letter)
    assert "evil" not in mail
    assert "Ada" not in mail


def test_a_name_with_a_link_is_not_echoed_in_a_welcome(quick: Site) -> None:
    quick.post(name="Win at evil.example")
    quick.work()
    quick.client.post(f"/confirm/{quick.tokens()[0]}")
    (welcome,) = quick.work()

    assert "evil" not in text(welcome)


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"x-forwarded-host": "evil.example"}, {"forwarded": "host=evil"}],
)
def test_links_lead_to_the_configured_address(quick: Site, headers: dict[str, str]) -> None:
    """Row 54."""
    quick.client.post("/subscribe", data=quick.form(), headers=headers)
    (letter,) = quick.work()

    assert "evil" not in text(letter)
    assert "http://127.0.0.1:8000/confirm/" in text(letter)


def test_programs_sign_up_by_the_same_rules(site: Site) -> None:
    offered = site.client.get("/subscribe.json", headers={"accept-language": "zh"}).json()
    assert [each["name"] for each in offered["segments"]] == ["电商", "人工智能", "奢侈品"]
    site.app.time += timedelta(seconds=5)
    wish = {
        "address": "ada@example.org",
        "segment": ["ai"],
        "form": offered["form"],
        "page": offered["language"],
        "tracking": True,
    }

    taken = site.client.post("/subscribe.json", json=wish)
    replayed = site.client.post("/subscribe.json", json=wish | {"address": "bob@example.org"})
    without = site.client.post("/subscribe.json", json=wish | {"form": ""})
    trapped = site.client.post("/subscribe.json", json=wish | {"website": "x"})

    answers = (taken, replayed, without, trapped)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert [letter.recipient for letter in site.work()] == ["ada@example.org"]
    assert site.history()[0].wording == f"{offered['consent']}\n\n{offered['tracking']}"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[" * 8000, "application/json"),
        (b'{"a":' * 1300, "application/json"),
        (b"{" + b" " * 20_000 + b"}", "application/json"),
        (b"\xff\xfe{", "application/json"),
        (b"null", "application/json"),
        (b'{"address": {"a": 1}, "segment": 7}', "application/json"),
        (b'{"address": "ada@example.org"}', "text/plain"),
        (json.dumps({"address": "ada@example.org\ud800"}).encode(), "application/json"),
    ],
)
def test_no_json_breaks_the_page(quick: Site, body: bytes, kind: str) -> None:
    answer = quick.client.post("/subscribe.json", content=body, headers={"content-type": kind})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert quick.work() == []


def test_control_characters_do_not_reach_the_database(site: Site) -> None:
    site.post(name="A\x00d\x07a\u202e", language="\x00", page="\x00")
    site.work()

    assert site.person().name == "Ada"


def test_without_sign_up_there_is_no_page_and_old_links_work(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = opened(sqlite_database, tmp_path, monkeypatch)
    open_.post()
    open_.work()
    closed = opened(sqlite_database, tmp_path, monkeypatch, sign_up=False)

    assert closed.client.get("/subscribe").status_code == 404
    assert closed.client.post("/subscribe", data={}).status_code == 404
    assert closed.client.get("/subscribe.json").status_code == 404
    assert "/subscribe" not in closed.client.get("/archive").text
    done = closed.client.post(f"/confirm/{open_.tokens()[0]}")
    assert "You are subscribed" in done.text


def test_the_page_needs_no_script_and_keeps_nothing(quick: Site) -> None:
    answer = quick.client.get("/subscribe?segment=ai")

    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy
    assert "<script" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert re.search(r'value="ai" checked', answer.text)
    assert '" checked' not in quick.client.get("/subscribe").text


def test_the_archive_leads_to_the_form(quick: Site) -> None:
    assert 'href="/subscribe"' in quick.client.get("/archive").text


def test_an_erased_person_has_nothing_to_confirm(site: Site) -> None:
    site.post()
    site.work()
    who = site.who()
    assert who is not None
    with site.app.database.transaction() as session:
        actions.erase(session, who, now=site.app.time, source="a request")

    assert site.client.post(f"/confirm/{site.tokens()[0]}").status_code == 404


def test_who_unsubscribed_since_is_not_brought_back_by_an_old_link(site: Site) -> None:
    site.post()
    site.work()
    site.client.post(f"/confirm/{site.tokens()[0]}")
    who = site.who()
    assert who is not None
    with site.app.database.transaction() as session:
        actions.unsubscribe(session, who, segments=None, now=site.app.time, source="a link")
    site.app.time += timedelta(days=2)

    assert site.client.post(f"/confirm/{site.tokens()[0]}").status_code == 404
    assert site.person().state is State.UNSUBSCRIBED
