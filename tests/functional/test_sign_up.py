"""From the form to the first campaign, on both stacks, through `dibao web` and real SMTP."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from mailer.inbox.letter import Message
from mailer.inbox.server import Inbox
from mailer.inbox.store import Store
from tests.functional.house import House, embedded, full
from tests.servers import free_port

ISSUE = "2026-47-couriers-and-carts"
ADDRESS = "ada@example.org"


@pytest.fixture(params=["embedded", "full"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[House, str]]:
    """An installation that works, and the address of its pages."""
    port = free_port()
    if request.param == "embedded":
        house = embedded(tmp_path, port=port)
        house.dibao("db", "upgrade")
        with house.pages() as address:
            yield house, address
        return
    house = full(
        tmp_path,
        port=port,
        database=request.getfixturevalue("postgres_url"),
        broker=request.getfixturevalue("redis_url"),
    )
    house.dibao("db", "upgrade")
    with workers(house, port), house.pages() as address:
        yield house, address


@contextmanager
def workers(house: House, port: int) -> Iterator[None]:
    with ExitStack() as stack:
        inbox = Inbox("127.0.0.1", port, house.inbox)
        inbox.start()
        stack.callback(inbox.stop)
        for worker in (house.worker(), house.worker()):
            stack.callback(worker.wait, 60)
            stack.callback(worker.send_signal, signal.SIGTERM)
        yield


def letters(house: House, at_least: int) -> list[Message]:
    """What has arrived, once it is so many."""
    for _ in range(300):
        found = list(Store(house.inbox).all()) if house.inbox.is_dir() else []
        if len(found) >= at_least:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{len(found)} letters of {at_least}")


@pytest.mark.slow
@pytest.mark.timeout(300)  # a dozen commands, each with a start of its own
def test_a_reader_signs_up_confirms_once_and_gets_the_next_issue(stack: tuple[House, str]) -> None:
    house, address = stack
    with httpx2.Client(base_url=address) as visitor:
        page = visitor.get("/subscribe").text
        token = re.findall(r'name="form" value="([a-z2-7]{24})"', page)[0]
        time.sleep(2.1)  # as fast as a person can be
        form = {
            "segment": ["ai", "luxury"],
            "address": ADDRESS,
            "name": "Ada",
            "form": token,
            "page": "en",
            "language": "en",
        }
        asked = visitor.post("/subscribe", data=form)
        assert asked.status_code == 200
        (letter,) = letters(house, 1)
        assert letter.recipient == ADDRESS
        source = letter.source.replace(b"=\r\n", b"").decode("ascii")
        (path,) = set(re.findall(r"/confirm/[a-z2-7]{24}", source))

        for _ in range(3):
            assert visitor.get(path).status_code == 200  # a scanner
        shown = house.json("subscriber", "show", ADDRESS)
        assert shown["standing"]["subscriber"]["state"] == "pending"

        assert visitor.post(path).status_code == 200
        assert visitor.post(path).status_code == 404
    shown = house.json("subscriber", "show", ADDRESS)
    assert shown["standing"]["subscriber"]["state"] == "confirmed"
    assert set(shown["standing"]["follows"]) == {"ai", "luxury"}
    assert house.dibao("subscriber", "ask", ADDRESS, expect=5)
    letters(house, 2)

    issue = Path(__file__).parents[2] / f"mailer/demo/issues/{ISSUE}.md"
    house.dibao("issue", "import", str(issue), "--approve")
    (drafted,) = house.json("campaign", "create", ISSUE)
    house.json("campaign", "send", str(drafted["id"]), "--no-wait")
    house.until(drafted["id"], "finished")
    got = letters(house, 3)
    assert [letter.recipient for letter in got] == [ADDRESS] * 3
    newest = next(letter for letter in got if b"List-Id" in letter.source)
    assert b"Precedence: bulk" in newest.source
