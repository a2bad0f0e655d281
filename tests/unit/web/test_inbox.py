"""The inbox's pages: what landed, in four views, and nothing of it can act."""

import re
from email.message import EmailMessage
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailer.kit.database import Database
from mailer.web import site
from tests.unit.web.stand_in import LOCAL, SAME, House, house

EVIL = '<html><head></head><body onload="x()"><p>Hello</p><script>steal()</script></body></html>'


@pytest.fixture
def app(sqlite_database: Database, tmp_path: Path) -> House:
    return house(sqlite_database, tmp_path)


@pytest.fixture
def browser(app: House) -> TestClient:
    return TestClient(
        site.create(app), client=("127.0.0.1", 999), headers=LOCAL, follow_redirects=False
    )


def land(app: House, recipient: str = "ada@example.com", subject: str = "Digest 7") -> str:
    message = EmailMessage()
    message["From"] = "The Gazette <news@dibao.example>"
    message["Subject"] = subject
    message["List-Unsubscribe"] = "<https://x.example/u/abc>, <javascript:alert(1)>"
    message.set_content("Good morning, Ada")
    message.add_alternative(EVIL, subtype="html")
    app.letters.add(
        bytes(message).replace(b"\n", b"\r\n"), return_path="b@x.example", recipients=[recipient]
    )
    return app.letters.find().entries[0].id


def test_an_empty_inbox_says_where_mail_has_to_go(browser: TestClient) -> None:
    page = browser.get("/inbox").text

    assert "Nothing has landed here yet" in page
    assert "127.0.0.1:2525" in page


def test_letters_are_listed_newest_first(app: House, browser: TestClient) -> None:
    land(app, subject="First")
    land(app, subject="电商周报")

    page = browser.get("/inbox").text

    assert "2 letters" in page
    assert page.index("电商周报") < page.index("First")


def test_a_long_list_has_pages(app: House, browser: TestClient) -> None:
    for n in range(101):
        land(app, subject=f"Letter {n}.")

    first, last = browser.get("/inbox").text, browser.get("/inbox?page=3").text

    assert ("Letter 100." in first, "Newer" in first, "Older" in first) == (True, False, True)
    assert ("Letter 0." in last, "Newer" in last, "Older" in last) == (True, True, False)


def test_a_search_finds_by_recipient_and_puts_no_address_into_an_address(
    app: House, browser: TestClient
) -> None:
    land(app, "ada@example.com")
    land(app, "cleo@example.com")

    answer = browser.post("/inbox/search", data={"sought": "cleo@"}, headers=SAME)

    assert "1 letter " in answer.text
    assert "cleo@example.com" in answer.text
    assert "ada@example.com" not in answer.text
    assert re.findall(r'(?:href|action)="[^"]*cleo', answer.text) == []


def test_a_search_without_a_find_says_so(app: House, browser: TestClient) -> None:
    land(app)

    page = browser.post("/inbox/search", data={"sought": "<b>nobody"}, headers=SAME).text

    assert "No letter with these words" in page
    assert "<b>nobody" not in page
    assert browser.get("/inbox/search").headers["location"] == "/inbox"


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("html", 'src="/inbox/1-1/frame"'),
        ("text", "Good morning, Ada"),
        ("headers", "List-Unsubscribe"),
        ("source", "multipart/alternative"),
        ("nonsense", 'src="/inbox/1-1/frame"'),
    ],
)
def test_a_letter_has_four_views(app: House, browser: TestClient, view: str, shown: str) -> None:
    land(app)

    page = browser.get(f"/inbox/1-1?view={view}").text

    assert shown in page
    assert "<script>steal" not in page


def test_only_web_addresses_of_a_letter_become_links(app: House, browser: TestClient) -> None:
    land(app)

    page = browser.get("/inbox/1-1").text

    assert 'href="https://x.example/u/abc"' in page
    assert 'href="javascript:' not in page


def test_a_letter_without_html_opens_with_its_text(app: House, browser: TestClient) -> None:
    app.letters.add(b"Subject: Hi\r\n\r\nPlain\r\n", return_path="", recipients=["a@x.example"])

    page = browser.get("/inbox/1-1").text

    assert "Plain" in page
    assert "iframe" not in page


def test_the_frame_is_sandboxed_and_loads_nothing(app: House, browser: TestClient) -> None:
    land(app)

    answer = browser.get("/inbox/1-1/frame")
    policy = answer.headers["content-security-policy"]

    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'; img-src data: http://127.0.0.1:8000/demo/pictures/;" in policy
    assert "frame-ancestors 'self'" in policy
    for allowed in ("allow-scripts", "allow-same-origin", "allow-forms", "allow-top-navigation"):
        assert allowed not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert '<base target="_blank">' in answer.text


def test_pictures_are_loaded_only_when_somebody_asks(app: House, browser: TestClient) -> None:
    land(app)

    page = browser.get("/inbox/1-1?pictures=1").text
    policy = browser.get("/inbox/1-1/frame?pictures=1").headers["content-security-policy"]

    assert 'src="/inbox/1-1/frame?pictures=1"' in page
    assert "img-src * data:" in policy


def test_a_message_can_be_saved_as_it_came(app: House, browser: TestClient) -> None:
    land(app)

    answer = browser.get("/inbox/1-1/download")

    assert answer.content == app.letters.message("1-1").source
    assert answer.headers["content-disposition"] == 'attachment; filename="letter-1-1.eml"'
    assert answer.headers["content-type"] == "message/rfc822"


def test_the_inbox_is_emptied_after_a_question(app: House, browser: TestClient) -> None:
    land(app)

    assert "1 letter will be forgotten" in browser.get("/inbox/clear").text
    assert len(app.letters) == 1
    assert browser.post("/inbox/clear", headers=SAME).headers["location"] == "/inbox"
    assert len(app.letters) == 0


def test_what_a_stranger_wrote_is_shown_and_never_run(app: House, browser: TestClient) -> None:
    land(app, '"<img src=x onerror=y()>"@example.com', "<script>alert(1)</script>")

    for path in ("/inbox", "/inbox/1-1", "/inbox/1-1?view=headers", "/inbox/1-1?view=source"):
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
