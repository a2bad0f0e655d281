"""While there are no accounts, studio and inbox open only to a browser on this machine."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailer.kit.database import Database
from mailer.web import site
from mailer.web.access import is_cross_site, is_loopback, refusal
from tests.unit.web.stand_in import LOCAL, SAME, campaign, house

PRIVATE = ["/campaigns", "/campaigns/1", "/campaigns/1/live", "/campaigns/1/cancel", "/inbox"]


def ask(
    peer: str = "127.0.0.1",
    *,
    production: bool = False,
    host: str = "localhost:8000",
    more: str = "",
) -> str:
    headers = {"host": host} | ({more: "127.0.0.1"} if more else {})
    return refusal(peer, headers, production=production)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:8000", "[::1]:8000"])
def test_a_local_browser_is_let_in(peer: str, host: str) -> None:
    assert ask(peer, host=host) == ""


@pytest.mark.parametrize(
    "peer", ["", "testclient", "192.168.1.7", "10.0.0.1", "8.8.8.8", "fe80::1%eth0", "::"]
)
def test_nobody_else_on_the_network_is(peer: str) -> None:
    assert "no accounts yet" in ask(peer)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost"),
        *("localhost@evil.example", "127.1", "0x7f000001", "[::1", "localhost/..", "192.168.1.7"),
    ],
)
def test_a_name_that_is_not_this_machines_is_dns_rebinding(host: str) -> None:
    assert "localhost" in ask(host=host)


@pytest.mark.parametrize(
    "header",
    [
        *("x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host"),
        *("x-forwarded-proto", "X-Forwarded-Server", "cf-connecting-ip", "true-client-ip"),
    ],
)
def test_what_a_proxy_forwards_is_refused(header: str) -> None:
    assert "proxy" in ask(more=header)


def test_in_production_they_are_closed() -> None:
    assert "production" in ask(production=True)


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"origin": "http://localhost:8000"}, False),
        ({}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://["}, True),
        ({"origin": "http://localhost:9000"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8000"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "none"}, True),
    ],
)
def test_only_our_own_pages_may_change_something(headers: dict[str, str], cross: bool) -> None:
    assert is_cross_site({"host": "localhost:8000", **headers}) is cross


@pytest.mark.parametrize("name", ["localhost.", "LOCALHOST", "loopback", "127.0.0.1:80", "1", "::"])
def test_whatever_is_not_plainly_this_machine_is_not(name: str) -> None:
    assert not is_loopback(name)


@pytest.mark.parametrize("path", PRIVATE)
def test_a_stranger_gets_a_page_that_says_why(
    sqlite_database: Database, tmp_path: Path, path: str
) -> None:
    stranger = TestClient(site.create(house(sqlite_database, tmp_path)), client=("10.0.0.7", 999))

    answer = stranger.get(path, headers=LOCAL)

    assert answer.status_code == 403
    assert "no accounts yet" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/campaigns/1/pause", "/campaigns/1/resume", "/campaigns/1/cancel", "/inbox/clear"],
)
def test_a_foreign_page_changes_nothing(
    sqlite_database: Database, tmp_path: Path, path: str
) -> None:
    app = house(sqlite_database, tmp_path)
    campaign(app, outcomes=[""])
    browser = TestClient(site.create(app), client=("127.0.0.1", 999))

    for headers in (LOCAL, {**SAME, "origin": "http://evil.example"}, {**LOCAL, "origin": "null"}):
        answer = browser.post(path, headers=headers, follow_redirects=False)
        assert (answer.status_code, "another site" in answer.text) == (403, True)
