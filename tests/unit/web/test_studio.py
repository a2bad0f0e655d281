"""The campaigns' pages say what the books say, and pause, resume and cancel."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailer.campaigns import queries
from mailer.campaigns.campaign import CampaignId, State
from mailer.delivery import queries as delivery
from mailer.kit.database import Database
from mailer.web import site
from mailer.web.studio import live
from mailer.web.studio.campaigns import PARTS
from tests.unit.web.stand_in import LOCAL, SAME, House, campaign, house, read

SOME = ["accepted"] * 5 + ["refused", "skipped", "uncertain"]


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[House]:
    yield house(database, tmp_path)
    database.close()


@pytest.fixture
def browser(app: House) -> TestClient:
    return TestClient(
        site.create(app), client=("127.0.0.1", 999), headers=LOCAL, follow_redirects=False
    )


def state(app: House, identity: CampaignId) -> State:
    with app.database.reading() as session:
        return queries.campaign(session, identity).state


def test_without_campaigns_the_page_says_how_to_make_one(browser: TestClient) -> None:
    assert "dibao campaign create" in browser.get("/campaigns").text


def test_campaigns_are_listed_with_their_state(app: House, browser: TestClient) -> None:
    campaign(app, name="<b>Bold</b>", state=State.DRAFT)
    campaign(app, name="电商周报", state=State.FINISHED, outcomes=SOME)

    page = browser.get("/campaigns").text

    assert "finished, 1 uncertain" in page
    assert "电商周报" in page
    assert "<b>Bold" not in page


def test_the_sums_add_up_on_the_page(app: House, browser: TestClient) -> None:
    identity = campaign(app, outcomes=[*SOME, "", ""], deferred=1)

    page = " ".join(browser.get(f"/campaigns/{identity}").text.split())

    for word, count in {
        "Audience": 10,
        "Accepted": 5,
        "Refused": 1,
        "Skipped": 1,
        "Expired": 0,
        "Uncertain": 1,
        "Open": 2,
    }.items():
        assert f"<dt>{word}</dt><dd>{count}</dd>" in page
    assert "80.0 %</strong> settled" in page
    assert "1 of the open ones was deferred" in page
    assert "2 of 12 candidates were left out" in page


def test_uncertain_letters_are_listed_by_name(app: House, browser: TestClient) -> None:
    names = [*(f"{n}@example.com" for n in range(7)), "dan@example.com"]
    identity = campaign(app, state=State.FINISHED, outcomes=SOME, names=names)

    page = browser.get(f"/campaigns/{identity}").text

    assert "dan@example.com" in page
    assert "journal: dot, no reply" in page
    assert "0@example.com" not in page


def test_the_report_stands_below_class_by_class(app: House, browser: TestClient) -> None:
    identity = campaign(app, state=State.FINISHED, outcomes=["accepted"] * 7)
    with app.database.reading() as session:
        lines = delivery.ledger_lines(session, identity, outcome="accepted")
        people = sorted(line.subscriber for line in lines)
    read(app, identity, people[:3])
    read(app, identity, people[:1], link=1)

    page = " ".join(browser.get(f"/campaigns/{identity}").text.split())

    assert "By segment" in page
    assert "What luxury learnt this week" in page
    assert "42.9 %</span></strong> opened by people" in page
    assert "Unsure" in page
    assert "Machine" in page


@pytest.mark.parametrize(
    ("now", "offered"),
    [
        (State.DRAFT, {"cancel"}),
        (State.MISSED, {"cancel"}),
        (State.PREPARING, {"cancel"}),
        (State.SENDING, {"pause", "cancel"}),
        (State.PAUSED, {"resume", "cancel"}),
        (State.FINISHED, set()),
        (State.CANCELLED, set()),
    ],
)
def test_only_moves_that_are_possible_are_offered(
    app: House, browser: TestClient, now: State, offered: set[str]
) -> None:
    outcomes = ["accepted"] if now is State.FINISHED else [""]
    identity = campaign(app, state=now, outcomes=outcomes)

    page = browser.get(f"/campaigns/{identity}").text
    verbs = {"pause", "resume", "cancel"}

    assert {verb for verb in verbs if f'"/campaigns/{identity}/{verb}"' in page} == offered


def test_a_campaign_is_paused_and_resumed(app: House, browser: TestClient) -> None:
    identity = campaign(app, outcomes=[""])

    answer = browser.post(f"/campaigns/{identity}/pause", headers=SAME)
    assert (answer.status_code, state(app, identity)) == (303, State.PAUSED)
    assert answer.headers["location"] == f"/campaigns/{identity}"

    browser.post(f"/campaigns/{identity}/resume", headers=SAME)
    assert state(app, identity) is State.SENDING
    assert app.knocks == [("campaign.send", {"campaign": identity})]


def test_a_campaign_is_cancelled_after_a_question(app: House, browser: TestClient) -> None:
    identity = campaign(app, outcomes=["accepted", "", ""])

    question = browser.get(f"/campaigns/{identity}/cancel").text
    assert "1 letters are out and stay out; 2 people will be skipped" in " ".join(question.split())
    assert state(app, identity) is State.SENDING

    browser.post(f"/campaigns/{identity}/cancel", headers=SAME)
    assert state(app, identity) is State.CANCELLED
    assert browser.get(f"/campaigns/{identity}/cancel").status_code == 409


def test_the_second_of_two_clicks_is_told_what_the_first_did(
    app: House, browser: TestClient
) -> None:
    identity = campaign(app, outcomes=[""])
    browser.post(f"/campaigns/{identity}/pause", headers=SAME)

    second = browser.post(f"/campaigns/{identity}/pause", headers=SAME)

    assert second.status_code == 409
    assert "The campaign is not sending" in second.text


def test_without_script_a_moving_page_reloads_itself(app: House, browser: TestClient) -> None:
    moving = campaign(app, outcomes=[""])
    over = campaign(app, state=State.FINISHED, outcomes=["accepted"], name="Over")

    assert 'http-equiv="refresh"' in browser.get(f"/campaigns/{moving}").text
    assert 'http-equiv="refresh"' not in browser.get(f"/campaigns/{over}").text


def test_the_stream_sends_the_parts_of_the_page(
    app: House, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LIFETIME", 0.2)
    monkeypatch.setattr(live, "RESTING", 0.05)
    identity = campaign(app, state=State.FINISHED, outcomes=SOME)

    answer = browser.get(f"/campaigns/{identity}/live")
    events = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    parts = json.loads(events[0].removeprefix("data: "))

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert len(events) == 1, "what did not change is not sent again"
    assert set(parts) == set(PARTS)
    assert all(html in browser.get(f"/campaigns/{identity}").text for html in parts.values())


def test_there_is_no_stream_of_a_campaign_that_is_not_there(browser: TestClient) -> None:
    assert browser.get("/campaigns/7/live").status_code == 404


def test_too_many_watchers_are_asked_to_come_back(
    app: House, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS", 0)
    identity = campaign(app, outcomes=[""])

    answer = browser.get(f"/campaigns/{identity}/live")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
