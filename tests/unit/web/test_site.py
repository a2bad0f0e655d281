"""The site as a whole: headers on every answer, limits, health, assets, where "/" leads."""

import logging
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from mailer import __version__
from mailer.kit import broker
from mailer.kit.database import Database
from mailer.kit.errors import Unavailable
from mailer.web import patience, site
from mailer.web.guard import LIMIT
from tests.unit.web.stand_in import LOCAL, House, house

SECURITY = (
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "permissions-policy",
    "x-request-id",
)


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path, web_port=0)


@pytest.fixture
def browser(app: House) -> TestClient:
    return TestClient(
        site.create(app), client=("127.0.0.1", 999), headers=LOCAL, follow_redirects=False
    )


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/version", "/campaigns", "/inbox", "/nothing", "/campaigns/9"],
)
def test_every_answer_carries_the_security_headers(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers

    assert [name for name in SECURITY if name not in headers] == []
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_transport_security_is_asked_for_where_the_site_is_served_over_https(
    sqlite_database: Database, tmp_path: Path
) -> None:
    safe = house(sqlite_database, tmp_path, public_url="https://news.example")

    headers = TestClient(site.create(safe)).get("/healthz").headers

    assert headers["strict-transport-security"] == "max-age=31536000"


def routes(site: Any) -> list[tuple[str, str]]:
    """Every method and path, those of included routers too."""
    found = []
    waiting: list[Any] = list(site.routes)
    for route in waiting:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            waiting.extend(inner.routes)
        else:
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            found += [(method, path) for method in route.methods]
    return found


def test_no_route_takes_more_than_the_limit(browser: TestClient) -> None:
    body = b"x" * (LIMIT + 1)
    form = {"content-type": "application/x-www-form-urlencoded"}

    answers = {
        (method, path): browser.request(method, path, content=body, headers=form).status_code
        for method, path in (*routes(browser.app), ("POST", "/nothing"))
    }

    assert len(answers) > 15
    assert set(answers.values()) == {413}


def test_a_body_that_does_not_say_its_length_is_counted(browser: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    answer = browser.post(
        "/inbox/search",
        content=parts(),
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "origin": "http://127.0.0.1:8000",
        },
    )

    assert answer.status_code == 413


def test_health_asks_nobody_and_says_the_process_is_up(app: House, browser: TestClient) -> None:
    app.database.close()
    app.database.url = "nowhere"

    assert browser.get("/healthz").json() == {"status": "ok"}
    assert browser.get("/version").json() == {"version": __version__}


def test_readiness_names_what_is_missing(browser: TestClient) -> None:
    answer = browser.get("/readyz")

    assert answer.status_code == 503  # the tests' schema was not made by migrations
    assert "dibao db upgrade" in answer.json()["reasons"]["database"]
    assert "broker" not in answer.json()["reasons"]


def test_readiness_is_given_once_all_is_there(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "is_current", lambda _: True)

    answer = browser.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reasons": {}})


def test_a_broker_that_is_away_is_named(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise Unavailable("redis://secret@host does not answer")

    monkeypatch.setattr(broker, "check", away)

    reasons = browser.get("/readyz").json()["reasons"]

    assert reasons["broker"] == "the broker does not answer"


def test_assets_may_be_kept_for_ever_under_an_address_that_changes(browser: TestClient) -> None:
    page = browser.get("/campaigns").text
    address = re.search(r'href="(/static/[0-9a-f]{16}/site\.css)"', page)
    assert address is not None

    answer = browser.get(address[1])

    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert browser.get("/static/0000000000000000/site.css").status_code == 404
    assert browser.get("/static/%2e%2e/site.py").status_code == 404


def test_the_pictures_of_the_sample_issues_are_served(browser: TestClient) -> None:
    answer = browser.get("/demo/pictures/loom.png")

    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert browser.get("/demo/pictures/nothing.png").status_code == 404


def test_the_bare_address_leads_us_to_the_studio_and_strangers_to_the_archive(
    app: House, browser: TestClient
) -> None:
    stranger = TestClient(site.create(app), client=("10.0.0.7", 9), follow_redirects=False)

    assert browser.get("/").headers["location"] == "/campaigns"
    assert stranger.get("/").headers["location"] == "/archive"
    assert browser.get("/favicon.ico").headers["location"].endswith("/icon.svg")


@pytest.mark.parametrize("path", ["/archive/", "/campaigns/", "/u/caaaaayaaaaae2jptexkxmdd/"])
def test_nobody_is_led_where_the_host_header_says(browser: TestClient, path: str) -> None:
    answer = browser.get(path, headers={"host": "evil.example"})

    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_no_documentation_of_the_framework_is_served(browser: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert browser.get(path).status_code == 404


def test_a_fault_of_ours_says_a_number_and_nothing_else(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ada@example.com broke it")

    monkeypatch.setattr("mailer.campaigns.queries.campaigns", broken)

    with capture_logs() as logged:
        answer = browser.get("/campaigns")

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.text
    for secret in ("ada@example.com", "RuntimeError", "Traceback", ".py"):
        assert secret not in answer.text
    assert [line["request"] for line in logged] == [answer.headers["x-request-id"]]
    assert "ada@example.com" not in str(logged)


def test_it_is_served_in_a_thread_and_stops(app: House) -> None:
    with site.serving(app) as url, urllib.request.urlopen(f"{url}/healthz") as answer:
        assert answer.status == 200
        assert "server" not in answer.headers

    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/healthz")


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /archive HTTP/1.1\r\nHost: x\r\n",
        b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nact=",
        b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTT",
    ],
)
def test_a_request_that_never_ends_is_not_waited_for(
    app: House, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    with site.serving(app) as address, closing(_dialled(address)) as slow:
        slow.sendall(beginning)
        began = time.monotonic()
        while slow.recv(4096):
            pass

    assert time.monotonic() - began < 8


def test_an_answer_may_take_longer_than_a_request(
    app: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.3)
    with site.serving(app) as address, closing(_dialled(address)) as slow:
        for _ in range(3):  # on one connection, with a pause between
            slow.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(0.5)


def _dialled(address: str) -> socket.socket:
    place = urlsplit(address)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=10)


def test_a_taken_port_is_said_to_be_taken(
    app: House, sqlite_database: Database, tmp_path: Path
) -> None:
    with site.serving(app) as url:
        port = int(url.rpartition(":")[2])
        other = house(sqlite_database, tmp_path, web_port=port)
        with pytest.raises(Unavailable, match=str(port)), site.serving(other):
            pass


def test_paths_are_not_logged(app: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), site.serving(app) as url:
        urllib.request.urlopen(f"{url}/healthz?a-secret-token").close()

    assert "a-secret-token" not in caplog.text
