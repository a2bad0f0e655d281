"""Readers' pages: a token opens them, only a POST changes something, nothing gives anybody away."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from mailer.campaigns import actions as campaigns
from mailer.kit.database import Database
from mailer.kit.signing import Keyring, Purpose
from mailer.tracking.spool import Hit
from mailer.web.public import router as routes
from mailer.web.public.paper import STYLE
from subscribers import actions as subscribers
from subscribers import queries
from subscribers.models import SegmentRow
from subscribers.rules import json_tree, language
from tests.unit.tracking.scene import FIREFOX, NOON, PUBLICATION, Scene, sent
from tests.unit.web.stand_in import house

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}
SCANNERS = (
    "Mozilla/5.0",
    "",
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b",
    "python-requests/2.32.3",
    FIREFOX,
)


@dataclass
class Door:
    """The public pages of a house with one sent campaign."""

    app: Any
    scene: Scene
    client: TestClient

    def token(self, who: str) -> str:
        return str(
            self.app.keyring.sign(Purpose.DELIVERY, self.scene.campaign, self.scene.people[who])
        )

    def hits(self) -> list[Hit]:
        return [hit for part in self.app.spool.ready() for hit in part.hits]

    def everything(self) -> tuple[Any, ...]:
        """All that a visit could change about people."""
        with self.scene.database.reading() as session:
            return tuple(
                (
                    queries.subscriber(session, who),
                    queries.following(session, who),
                    queries.history(session, who),
                )
                for who in self.scene.people.values()
            )


def opened(database: Database, folder: Path) -> Door:
    app = house(database, folder)
    app.publication = PUBLICATION
    site = FastAPI()
    site.include_router(routes.router(app))
    client = TestClient(site, follow_redirects=False, headers={"user-agent": FIREFOX})
    return Door(app, sent(database), client)


@pytest.fixture
def door(database: Database, tmp_path: Path) -> Door:
    """On either database."""
    return opened(database, tmp_path)


@pytest.fixture
def quick(sqlite_database: Database, tmp_path: Path) -> Door:
    """Where the database makes no difference."""
    return opened(sqlite_database, tmp_path)


def test_a_link_leads_to_its_place_and_leaves_a_hit(door: Door) -> None:
    number = door.scene.link("Ada", "models", "source")

    response = door.client.get(f"/c/{door.token('Ada')}/{number}")

    assert response.status_code == 302
    assert response.headers["location"] == "https://models.example/story?a=1&b=2"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    (hit,) = door.hits()
    assert (hit.kind, hit.subscriber, hit.link, hit.head) == (
        "click",
        door.scene.people["Ada"],
        number,
        False,
    )


def test_a_token_works_in_capitals(quick: Door) -> None:
    assert quick.client.get(f"/c/{quick.token('Ada').upper()}/1").status_code == 302
    assert quick.client.get(f"/u/{quick.token('Ada').upper()}").status_code == 200


def test_head_and_prefetch_are_answered_and_told_apart(quick: Door) -> None:
    token = quick.token("Ada")
    assert quick.client.head(f"/c/{token}/1").status_code == 302
    prefetch = {"sec-purpose": "prefetch;prerender"}
    assert quick.client.get(f"/c/{token}/1", headers=prefetch).status_code == 302

    assert [(hit.head, hit.prefetch) for hit in quick.hits()] == [(True, False), (False, True)]


def forgeries(door: Door) -> dict[str, str]:
    keyring: Keyring = door.app.keyring
    ada = door.scene.people["Ada"]
    good = door.token("Ada")
    return {
        "cut off": good[:-1],
        "empty": "x",
        "too long": good + "a",
        "one character": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "first character": ("b" if good[0] != "b" else "c") + good[1:],
        "other purpose": keyring.sign(Purpose.CONFIRM, door.scene.campaign, ada),
        "other secret": Keyring.of("another").sign(Purpose.DELIVERY, door.scene.campaign, ada),
        "unknown person": keyring.sign(Purpose.DELIVERY, door.scene.campaign, 4_000_000_000),
        "unicode": "ａ" * 24,
        "markup": "%3Cscript%3Ealert(1)",
    }


@pytest.mark.parametrize("path", ["/c/{}/1", "/u/{}", "/p/{}", "/v/{}"])
def test_a_token_that_is_none_leads_nowhere(quick: Door, path: str) -> None:
    answers = {
        kind: quick.client.get(path.format(token)) for kind, token in forgeries(quick).items()
    }
    assert {response.status_code for response in answers.values()} == {404}
    assert len({response.text for response in answers.values()}) == 1
    assert "location" not in {name for one in answers.values() for name in one.headers}
    assert quick.hits() == []


@pytest.mark.parametrize("path", ["/u/{}", "/p/{}"])
def test_a_forged_token_changes_nothing(quick: Door, path: str) -> None:
    before = quick.everything()
    for token in forgeries(quick).values():
        response = quick.client.post(path.format(token), content=ONE_CLICK, headers=FORM)
        assert response.status_code in {400, 404}, token

    assert quick.everything() == before


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "999",
        "-1",
        "1e1",
        "٣",
        "1%00",
        "99999999999999999999",
        "%2f%2fevil.example",
        "https:%2f%2fevil.example",
        "1;2",
        "+1",
        "1%0d%0aSet-Cookie:a=b",
    ],
)
def test_a_link_that_is_not_in_the_letter_leads_nowhere(quick: Door, number: str) -> None:
    response = quick.client.get(f"/c/{quick.token('Ada')}/{number}?url=https://evil.example")

    assert response.status_code == 404
    assert "location" not in response.headers


def test_the_answer_to_a_link_holds_nothing_of_the_request(quick: Door) -> None:
    canary = "canary-4711"
    headers = {"referer": f"https://{canary}.example", "x-forwarded-host": canary}
    token = quick.token("Ada")
    for path in (f"/c/{token}/1?u={canary}", f"/c/{canary}/1", f"/u/{token}?x={canary}"):
        response = quick.client.get(path, headers={**headers, "host": canary})
        assert canary not in response.text + str(response.headers)


def test_the_pixel_comes_always_and_only_a_token_leaves_a_hit(door: Door) -> None:
    for token in (door.token("Ada"), "nonsense", "x" * 500):
        response = door.client.get(f"/o/{token}")
        assert (response.status_code, len(response.content)) == (200, 43)
        assert response.headers["content-type"] == "image/gif"
        assert response.headers["cache-control"] == "no-store"

    assert [hit.subscriber for hit in door.hits()] == [door.scene.people["Ada"]]


def test_a_full_disk_costs_a_number_and_no_reader_their_link(
    quick: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Hit) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quick.app.spool, "append", full)

    assert quick.client.get(f"/c/{quick.token('Ada')}/1").status_code == 302
    assert quick.client.get(f"/o/{quick.token('Ada')}").status_code == 200


def test_no_address_is_written_to_the_spool(quick: Door, tmp_path: Path) -> None:
    client = TestClient(quick.client.app, client=("203.0.114.77", 5000), follow_redirects=False)
    client.get(f"/c/{quick.token('Ada')}/1")
    client.get(f"/c/{quick.token('Ada')}/1", headers={"x-forwarded-for": "198.51.101.9"})

    (path,) = (tmp_path / "spool").iterdir()
    assert "203.0" not in path.read_text()
    assert "198.51" not in path.read_text()
    (network,) = {hit.network for hit in quick.hits()}
    assert len(network) == 16


def test_guessing_finds_nothing(quick: Door) -> None:
    chance = random.Random(4711)  # noqa: S311  # the same guesses each time
    ids = (f"{n:024d}" for n in range(200))
    guesses = (
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=24)) for _ in range(200)
    )
    for token in (*ids, *guesses):
        assert quick.client.get(f"/c/{token}/1").status_code == 404

    assert quick.hits() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_hundred_visits_by_scanners_change_nothing(quick: Door, method: str) -> None:
    before = quick.everything()
    token = quick.token("Ada")
    for n in range(100):
        agent = {"user-agent": SCANNERS[n % len(SCANNERS)], "sec-purpose": "prefetch"}
        for path in (f"/u/{token}?{ONE_CLICK}", f"/p/{token}?act=unsubscribe", f"/v/{token}"):
            assert quick.client.request(method, path, headers=agent).status_code in {200, 405}

    assert quick.everything() == before
    assert quick.scene.stored() == []


MULTIPART = (
    '--bound\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
    "One-Click\r\n--bound--\r\n"
)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE_CLICK, {**FORM, "content-length": "26"}),  # Gmail's literal request
        (ONE_CLICK, {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}),
        (ONE_CLICK, {}),
        (MULTIPART, {"content-type": "multipart/form-data; boundary=bound"}),
    ],
)
def test_one_click_ends_what_the_letter_was_for(
    door: Door, body: str, headers: dict[str, str]
) -> None:
    assert len(ONE_CLICK) == 26
    answers = [
        door.client.post(f"/u/{door.token('Ben')}", content=body, headers=headers) for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert not {"location", "set-cookie"} & {name for one in answers for name in one.headers}
    assert door.scene.following("Ben") == ()
    assert door.scene.following("Ada") == ("e-commerce", "ai", "luxury")
    assert [(row.kind, row.segments) for row in door.scene.stored()] == [
        ("unsubscribe", "ai luxury")
    ]


def test_one_click_leaves_what_the_letter_was_not_for(door: Door) -> None:
    with door.scene.database.transaction() as session:
        cleo = door.scene.people["Cleo"]
        subscribers.follow(session, cleo, ["luxury"], now=NOON, source="test")

    door.client.post(f"/u/{door.token('Cleo')}", content=ONE_CLICK, headers=FORM)

    assert door.scene.following("Cleo") == ("luxury",)


def test_one_click_in_a_letter_that_a_rule_brought_ends_everything(door: Door) -> None:
    with door.scene.database.transaction() as session:
        cleo = door.scene.people["Cleo"]
        subscribers.follow(session, cleo, ["luxury"], now=NOON, source="test")
        rule = json_tree.write(language.parse("language = en"))
        session.execute(update(SegmentRow).where(SegmentRow.key == "ai").values(rule=rule))

    door.client.post(f"/u/{door.token('Cleo')}", content=ONE_CLICK, headers=FORM)

    assert door.scene.following("Cleo") == ()


def test_one_click_in_a_letter_nobody_remembers_ends_everything(door: Door) -> None:
    token = door.app.keyring.sign(Purpose.DELIVERY, 4711, door.scene.people["Ada"])

    assert door.client.get(f"/u/{token}").status_code == 200
    assert door.client.post(f"/u/{token}", content=ONE_CLICK, headers=FORM).status_code == 200
    assert door.scene.following("Ada") == ()


def test_one_click_works_after_the_keys_were_changed_and_after_erasure(door: Door) -> None:
    token = door.token("Ada")
    door.app.keyring = Keyring.of("a new secret", "a secret")
    assert door.client.post(f"/u/{token}", content=ONE_CLICK, headers=FORM).status_code == 200
    assert door.scene.following("Ada") == ()
    with door.scene.database.transaction() as session:
        subscribers.erase(session, door.scene.people["Ada"], now=NOON, source="test")

    assert door.client.post(f"/u/{token}", content=ONE_CLICK, headers=FORM).status_code == 200
    assert door.client.get(f"/u/{token}").status_code == 404


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", {}),
        ("", FORM),
        ("List-Unsubscribe=one-click", FORM),
        ("List-Unsubscribe=", FORM),
        ("list-unsubscribe=One-Click", FORM),
        ("act=delete", FORM),
        ('{"List-Unsubscribe": "One-Click"}', {"content-type": "application/json"}),
        (ONE_CLICK, {"content-type": "text/plain"}),
        (f"{ONE_CLICK}&x={'a' * 9000}", FORM),
        ("nonsense", {"content-type": "multipart/form-data"}),
        ("--x\r\ngarbage", {"content-type": "multipart/form-data; boundary=bound"}),
    ],
)
def test_any_other_body_is_refused(quick: Door, body: str, headers: dict[str, str]) -> None:
    before = quick.everything()

    response = quick.client.post(f"/u/{quick.token('Ada')}", content=body, headers=headers)

    assert response.status_code == 400
    assert quick.everything() == before


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "unicode_escape", "utf-7"])
@pytest.mark.parametrize("value", ["\\ud800", "+2AA-", "a..b"])
def test_no_charset_of_a_form_makes_a_fault_of_ours(quick: Door, charset: str, value: str) -> None:
    before = quick.everything()
    fields = {"act": "unsubscribe", "segment": value}
    parts = "".join(
        f'--bound\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n'
        for name, content in fields.items()
    )
    kind = {"content-type": f"multipart/form-data; boundary=bound; charset={charset}"}

    for page in "up":
        path = f"/{page}/{quick.token('Ada')}"
        response = quick.client.post(path, content=f"{parts}--bound--\r\n", headers=kind)
        assert response.status_code in {200, 400}
        if page == "u":
            assert quick.everything() == before


def test_the_page_ends_what_is_ticked_and_says_so(door: Door) -> None:
    path = f"/u/{door.token('Ada')}"
    page = door.client.get(path).text
    assert re.findall(r'value="([\w-]+)" checked', page) == ["e-commerce", "ai", "luxury"]

    after = door.client.post(path, data={"act": "unsubscribe", "segment": ["ai", "made-up"]})

    assert after.status_code == 200
    assert door.scene.following("Ada") == ("e-commerce", "luxury")
    assert "<strong>AI</strong> will not come" in after.text
    assert "You still get <strong>E-commerce</strong> and <strong>Luxury</strong>" in after.text


def test_a_form_without_a_tick_changes_nothing_and_says_so(quick: Door) -> None:
    before = quick.everything()

    response = quick.client.post(f"/u/{quick.token('Ada')}", data={"act": "unsubscribe"})

    assert (response.status_code, "Nothing was ticked" in response.text) == (400, True)
    assert quick.everything() == before


def test_preferences_are_stored_and_what_ended_is_counted(door: Door) -> None:
    path = f"/p/{door.token('Ben')}"

    page = door.client.post(
        path, data={"act": "save", "segment": ["luxury", "e-commerce"], "tracking": "clicks"}
    )

    assert "Saved" in page.text
    assert re.findall(r'value="([\w-]+)" checked', page.text) == [
        "e-commerce",
        "luxury",
        "every",
        "clicks",
    ]
    assert door.scene.following("Ben") == ("e-commerce", "luxury")
    assert [(row.kind, row.segments) for row in door.scene.stored()] == [("unsubscribe", "ai")]
    assert [row[:5] for row in door.scene.rollup()] == [
        ("", "", "", "unsubscribe", "person"),
        ("ai", "", "", "unsubscribe", "person"),
    ]


def test_tracking_withdrawn_on_the_page_holds_for_letters_sent_before(door: Door) -> None:
    token = door.token("Ada")
    door.client.post(
        f"/p/{token}",
        data={"act": "save", "segment": ["ai", "luxury", "e-commerce"], "tracking": "none"},
    )

    assert door.client.get(f"/c/{token}/1").status_code == 302
    assert door.client.get(f"/o/{token}").status_code == 200
    door.scene.load(*door.hits())

    assert door.scene.stored() == []
    assert door.scene.following("Ada") == ("e-commerce", "ai", "luxury")


def test_everything_ends_with_one_button_and_nobody_is_brought_back(door: Door) -> None:
    path = f"/p/{door.token('Ada')}"

    page = door.client.post(path, data={"act": "unsubscribe"})
    again = door.client.post(path, data={"act": "save", "segment": ["ai"], "tracking": "all"})

    assert "unsubscribed from everything" in page.text
    assert again.status_code == 200
    assert door.scene.following("Ada") == ()
    assert "You are not subscribed" in door.client.get(f"/u/{door.token('Ada')}").text


def test_a_reader_chooses_how_often_and_in_which_language(quick: Door) -> None:
    path = f"/p/{quick.token('Ada')}"
    saved = quick.client.post(
        path, data={"act": "save", "segment": "ai", "frequency": "monthly", "language": "zh"}
    ).text
    again = quick.client.post(
        path, data={"act": "save", "segment": "ai", "frequency": "every", "language": ""}
    ).text

    assert 'value="monthly" checked' in saved
    assert '<option value="zh" selected lang="zh">中文</option>' in saved
    assert "人工智能" in saved
    assert 'value="every" checked' in again
    assert '<option value="" selected>' in again


def test_a_reader_takes_a_break_and_ends_it(quick: Door) -> None:
    path = f"/p/{quick.token('Ada')}"
    paused = quick.client.post(path, data={"pause": "2 weeks"}).text
    longer = quick.client.post(path, data={"pause": "3 months"}).text
    back = quick.client.post(path, data={"act": "resume"}).text

    assert "nothing is sent to you before" in paused
    assert "End the break now" in longer
    assert paused != longer
    assert "Welcome back" in back
    assert "nothing is sent to you before" not in back
    assert quick.scene.following("Ada") == ("e-commerce", "ai", "luxury"), "follows stay"


def test_who_has_left_is_offered_no_break_and_gets_none(quick: Door) -> None:
    path = f"/p/{quick.token('Ada')}"
    quick.client.post(path, data={"act": "unsubscribe"})
    page = quick.client.post(path, data={"pause": "1 month"}).text

    assert "break" not in page
    assert "How often" not in page


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"act": "erase"},
        {"act": "save", "tracking": "everything"},
        {"act": "save", "frequency": "daily"},
        {"act": "save", "language": "<b>"},
        {"pause": "for ever"},
        {"pause": ""},
    ],
)
def test_preferences_that_make_no_sense_are_refused(quick: Door, data: dict[str, str]) -> None:
    before = quick.everything()

    assert quick.client.post(f"/p/{quick.token('Ada')}", data=data).status_code == 400
    assert quick.everything() == before


@pytest.mark.parametrize("path", ["/u/{}", "/p/{}", "/v/{}"])
def test_a_stranger_with_a_forwarded_letter_learns_no_name_and_no_address(
    quick: Door, path: str
) -> None:
    page = quick.client.get(path.format(quick.token("Ada"))).text

    assert "ada@" not in page.lower()
    assert "Ada" not in page


def test_the_letter_in_the_browser_has_its_own_links_and_a_closed_policy(door: Door) -> None:
    token = door.token("Ben")
    response = door.client.get(f"/v/{token}")

    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert f"/c/{token}/1" in response.text
    assert "Hello reader" in response.text
    assert "Chips with gold" in response.text
    assert "Carts fill at night" not in response.text


def test_the_archive_shows_sent_issues_without_anybody_in_them(door: Door) -> None:
    listed = door.client.get("/archive")
    issue = door.client.get("/archive/couriers-and-carts")

    assert 'href="/archive/couriers-and-carts"' in listed.text
    assert issue.status_code == 200
    assert "Carts fill at night" in issue.text
    assert "Watches that stand still" in issue.text
    assert "Hello reader" in issue.text
    assert "/c/" not in issue.text
    assert "/o/" not in issue.text
    assert not re.search(r"/[uvp]/(?!archive)", issue.text)
    assert issue.headers["content-security-policy"].startswith("sandbox ")


def test_the_archive_keeps_to_itself_what_was_not_sent(
    sqlite_database: Database, tmp_path: Path
) -> None:
    door = opened(sqlite_database, tmp_path)
    with sqlite_database.transaction() as session:
        campaigns.pause(session, door.scene.campaign)
        campaigns.cancel(session, door.scene.campaign, now=NOON)

    assert "Nothing has been sent yet" in door.client.get("/archive").text
    assert door.client.get("/archive/couriers-and-carts").status_code == 404
    assert door.client.get("/archive/made-up").status_code == 404


@pytest.mark.parametrize("path", ["/u/archive", "/p/archive"])
def test_links_of_the_archives_copy_explain_themselves(quick: Door, path: str) -> None:
    assert "belongs to nobody" in quick.client.get(path).text
    assert quick.client.post(path, content=ONE_CLICK, headers=FORM).status_code in {400, 404}
    assert quick.client.get("/v/archive").headers["location"] == "/archive"


@pytest.mark.parametrize("path", ["/u/{}", "/p/{}", "/c/{}/999", "/archive"])
def test_pages_run_no_script_and_carry_their_own_policy(quick: Door, path: str) -> None:
    response = quick.client.get(path.format(quick.token("Ada")))
    policy = response.headers["content-security-policy"]

    assert "<script" not in response.text
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    if path != "/archive":
        assert response.headers["cache-control"] == "no-store"
        assert "noindex" in response.headers["x-robots-tag"]


def test_the_style_sheet_stays_under_four_kilobytes() -> None:
    assert len(STYLE.encode()) < 4096
