"""A refusal becomes a page for people and problem+json for programs."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailer.campaigns.campaign import CampaignNotSending
from mailer.kit.database import Database
from mailer.kit.errors import (
    Conflict,
    DibaoError,
    Invalid,
    Misconfigured,
    NotFound,
    Unavailable,
)
from mailer.web import site
from mailer.web.problems import problem_of
from tests.unit.web.stand_in import LOCAL, house


@pytest.fixture
def browser(sqlite_database: Database, tmp_path: Path) -> TestClient:
    app = site.create(house(sqlite_database, tmp_path))
    return TestClient(app, client=("127.0.0.1", 999), headers=LOCAL)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("line 3: no title"), 422, "invalid"),
        (NotFound(), 404, "not-found"),
        (Conflict(), 409, "conflict"),
        (CampaignNotSending(), 409, "campaign-not-sending"),
        (Unavailable("db.internal is away"), 503, "unavailable"),
        (Misconfigured("DIBAO_SECRET_KEY"), 500, "misconfigured"),
        (DibaoError("no"), 400, "dibao-error"),
    ],
)
def test_each_kind_of_refusal_has_its_status(error: DibaoError, status: int, code: str) -> None:
    problem = problem_of(error)

    assert (problem.status, problem.code) == (status, code)


def test_what_concerns_the_operator_is_not_told_to_readers() -> None:
    assert "db.internal" not in problem_of(Unavailable("db.internal is away")).text
    assert "SECRET" not in problem_of(Misconfigured("DIBAO_SECRET_KEY")).text


def test_people_get_a_page(browser: TestClient) -> None:
    answer = browser.get("/campaigns/7", headers={"accept": "text/html,*/*"})

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert "There is no campaign 7" in answer.text


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json"])
def test_programs_get_problem_json(browser: TestClient, accept: str) -> None:
    answer = browser.get("/campaigns/7", headers={"accept": accept})

    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"]) == (404, "campaign-not-found")
    assert told["request"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/campaigns", 405),
        ("GET", "/campaigns/abc", 422),
        ("GET", "/campaigns/99999999999999999999999", 404),
        ("GET", "/campaigns/-1", 404),
        ("GET", "/inbox?page=x", 422),
        ("GET", "/inbox/9-9", 404),
        ("GET", "/inbox/..%2f..%2fetc", 404),
    ],
)
def test_whatever_is_asked_a_page_answers(
    browser: TestClient, method: str, path: str, status: int
) -> None:
    answer = browser.request(method, path)

    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert "Traceback" not in answer.text


def test_what_a_refusal_quotes_is_escaped(browser: TestClient) -> None:
    answer = browser.get("/static/<script>alert(1)</script>")

    assert "<script>alert" not in answer.text
