"""The whole way of a letter, on both stacks, through the command `dibao`."""

import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import httpx2
import pytest

from mailer.demo.people import people
from mailer.inbox.server import Inbox
from mailer.inbox.store import Store
from tests.functional.house import House, embedded, full, write_people
from tests.servers import free_port

PEOPLE = 210
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ISSUE = "2026-47-couriers-and-carts"
TOKEN = re.compile(rb"[a-z2-7]{24}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> House:
    """An installation in one process that has sent its campaign."""
    house = prepared(embedded(tmp_path_factory.mktemp("embedded"), port=free_port()))
    drafted = house.json("campaign", "create", ISSUE)
    house.json("campaign", "send", str(drafted[0]["id"]))
    return house


@pytest.fixture
def large(tmp_path: Path, postgres_url: str, redis_url: str) -> House:
    """An installation on PostgreSQL and Redis whose two workers have sent its campaign."""
    port = free_port()
    house = prepared(full(tmp_path, port=port, database=postgres_url, broker=redis_url))
    with two_workers_and_an_inbox(house, port):
        drafted = house.json("campaign", "create", ISSUE)
        house.json("campaign", "send", str(drafted[0]["id"]), "--no-wait")
        house.until(drafted[0]["id"], "finished")
    return house


@contextmanager
def two_workers_and_an_inbox(house: House, port: int) -> Iterator[None]:
    with ExitStack() as stack:
        inbox = Inbox("127.0.0.1", port, house.inbox)
        inbox.start()
        stack.callback(inbox.stop)
        for worker in (house.worker(), house.worker()):
            stack.callback(worker.wait, 60)
            stack.callback(worker.send_signal, signal.SIGTERM)
        yield


def prepared(house: House) -> House:
    """An approved issue and people of all seven sets of segments."""
    house.dibao("db", "upgrade")
    issue = Path(__file__).parents[2] / f"mailer/demo/issues/{ISSUE}.md"
    house.dibao("issue", "import", str(issue), "--approve")
    rows = [(p.address, p.name, " ".join(p.segments)) for p in people(PEOPLE)]
    file = write_people(house.folder / "people.csv", rows)
    house.dibao("subscriber", "import", str(file), "--basis", "a test")
    return house


def letters(house: House) -> dict[str, bytes]:
    """What each recipient got, masked: tokens, dates and nothing else."""
    got: dict[str, list[bytes]] = defaultdict(list)
    for entry in Store(house.inbox).all():
        got[entry.recipient].append(masked(entry.source))
    assert all(len(mails) == 1 for mails in got.values()), "one mail per subscriber"
    return {recipient: mails[0] for recipient, mails in got.items()}


def masked(source: bytes) -> bytes:
    lines = source.replace(b"=\r\n", b"").split(b"\r\n")
    kept = [line for line in lines if not line.startswith((b"Date:", b"Received:"))]
    return TOKEN.sub(b"<token>", b"\r\n".join(kept))


def test_both_stacks_send_the_same_bytes_to_the_same_people(small: House, large: House) -> None:
    assert (
        small.json("campaign", "verify", "1")["sums"]
        == large.json("campaign", "verify", "1")["sums"]
    )
    assert letters(small) == letters(large)


def test_a_letter_goes_the_whole_way(small: House) -> None:
    status = small.json("campaign", "status", "1")
    sums = small.json("campaign", "verify", "1")
    got = letters(small)

    refused = sum(1 for p in people(PEOPLE) if p.address.startswith("refuse."))
    assert status["campaign"]["state"] == "finished"
    assert sums["holds"]
    assert status["progress"]["accepted"] == len(got) == PEOPLE - refused
    assert status["progress"]["refused"] == refused


def test_everybody_reads_what_they_follow_once_and_in_the_order_of_the_issue(small: House) -> None:
    issue = small.json("issue", "show", ISSUE)
    items = [item for section in issue["issue"]["sections"] for item in section["items"]]
    follows = {p.address: set(p.segments) for p in people(PEOPLE)}

    for entry in Store(small.inbox).all():
        mail = message_from_bytes(entry.source, policy=policy.default)
        part = mail.get_body(("plain",))
        assert part is not None
        flat = " ".join(part.get_content().split())
        places = [flat.count(item["title"]) for item in items]
        wanted = [bool(follows[entry.recipient] & set(item["segments"])) for item in items]
        assert [count == 1 for count in places] == wanted
        shown = [item["title"] for item, yes in zip(items, wanted, strict=True) if yes]
        assert [flat.index(title) for title in shown] == sorted(flat.index(t) for t in shown)


def test_what_readers_do_comes_to_the_report(small: House) -> None:
    browser = {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    }
    tracked = next(m for m in Store(small.inbox).all() if b"/c/" in m.source.replace(b"=\r\n", b""))
    text = tracked.source.replace(b"=\r\n", b"").decode("ascii", "replace")
    token, link = re.findall(r"/c/([a-z2-7]{24})/(\d+)", text)[0]
    with small.pages() as address, httpx2.Client(base_url=address, headers=browser) as reader:
        target = reader.get(f"/c/{token}/{link}")
        pixel = reader.get(f"/o/{token}")
        left = reader.post(
            f"/u/{token}",
            content=b"List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        for _ in range(100):
            report = small.json("report", "1")
            if any(part["hits"] for part in report["total"]["clicks"].values()):
                break
            time.sleep(0.2)

    assert (target.status_code, pixel.status_code, left.status_code) == (302, 200, 200)
    assert target.headers["location"].startswith("https://")
    assert sum(part["hits"] for part in report["total"]["clicks"].values()) == 1
    assert sum(part["hits"] for part in report["total"]["opens"].values()) == 1
    assert report["total"]["unsubscribes"] == 1
    shown = small.json("subscriber", "show", tracked.recipient)
    assert shown["standing"]["follows"] == [], "whoever leaves in one click is mailed no more"
