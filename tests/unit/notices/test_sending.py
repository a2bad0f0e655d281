"""Wishes become letters; a letter is sent once, again where nobody can know, and not for ever."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from mailer.delivery import brakes
from mailer.delivery.breakers import Trip
from mailer.delivery.relay import Ending, Message, Reply, Silence
from mailer.delivery.verdict import Patience
from mailer.kit.database import Database
from mailer.notices import actions, queries
from mailer.notices.letters import Letters
from mailer.notices.models import AskingRow, NoticeRow, WishRow
from mailer.notices.notice import Asked, Kind, Resends
from mailer.privacy.actions import erase
from mailer.privacy.queries import by_key
from subscribers import actions as subscribers
from subscribers import queries as subscriber_queries
from subscribers.address import EmailAddress, address_key
from subscribers.suppression import Reason
from tests.fakes.relay import ScriptedRelay
from tests.unit.notices.books import KEY, KEYRING, Books

LIFE = timedelta(days=7)
HOLD = Trip("all", "", "hand", "a drill", None, slow=False)


@pytest.fixture
def books(database: Database, monkeypatch: pytest.MonkeyPatch) -> Books:
    """On either database."""
    return Books(database, monkeypatch)


def test_a_wish_is_taken_and_answered(books: Books) -> None:
    books.wish("ada", "ai", "luxury", name="Ada", tracking=1, network="203.0.113.0/24")
    assert books.due()

    assert books.sender().work() == 1

    (notice,) = books.notices()
    assert (notice.kind, notice.outcome, notice.attempt) == (Kind.CONFIRM, "accepted", 1)
    assert notice.sent_at == books.now
    assert not books.due()
    with books.database.reading() as session:
        assert session.query(WishRow).count() == 0


def test_a_wish_for_a_segment_that_is_gone_holds_up_nobody(books: Books) -> None:
    books.wish("ada", "gone")
    books.wish("bob", "ai")

    assert books.sender().work() == 1
    assert [message.recipient for message in books.relay.sent] == ["bob@example.org"]


def test_a_deferred_letter_is_tried_again_later_and_later(books: Books) -> None:
    greylisting = ScriptedRelay({"ada@example.org": Reply(451, "4.7.1", "later")})
    books.wish()
    sender = books.sender(greylisting)
    waits = []
    for _ in range(8):
        sender.work()
        assert not books.due()
        before = books.now
        while not books.due():
            books.later(minutes=1)
        waits.append((books.now - before) // timedelta(minutes=1))
    greylisting.endings.clear()
    sender.work()

    assert waits == [2, 5, 15, 30, 60, 60, 60, 60]
    assert books.notices()[0].outcome == "accepted"
    assert len({message.data.split(b"Message-ID: ")[1][:40] for message in greylisting.sent}) == 1


def test_patience_ends_before_the_next_letter_may_go_out(books: Books) -> None:
    books.wish()
    sender = books.sender(ScriptedRelay({"ada@example.org": Reply(451)}))
    for _ in range(24):
        sender.work()
        books.later(hours=1)

    (notice,) = books.notices()
    assert notice.outcome == "expired"
    assert notice.sent_at is not None
    assert notice.sent_at - notice.created_at < timedelta(hours=24)


def test_a_refusal_is_final_and_suppresses_nobody(books: Books) -> None:
    books.wish("ada")
    books.wish("bob")
    refusing = ScriptedRelay({"ada@example.org": Reply(550, "5.1.1", "no such user", "rcpt")})
    books.sender(refusing).work()

    assert books.notices("ada")[0].outcome == "refused"
    assert books.notices("bob")[0].outcome == "accepted"
    with books.database.reading() as session:
        for name in ("ada", "bob"):
            key = address_key(KEY, EmailAddress.parse(f"{name}@example.org"))
            assert subscriber_queries.suppression(session, key) is None


def test_silence_is_tried_once_more_with_the_same_message_id(books: Books) -> None:
    silent = ScriptedRelay({"ada@example.org": Silence()})
    books.wish()
    sender = books.sender(silent)
    for _ in range(5):
        sender.work()
        books.later(hours=1)

    assert len(silent.sent) == 2
    assert len({message.data.split(b"Message-ID: ")[1][:40] for message in silent.sent}) == 1
    assert books.notices()[0].outcome == "uncertain"


@pytest.mark.parametrize(("most", "sent"), [(0, 1), (1, 2), (3, 4)])
def test_how_often_silence_is_tried_again_is_a_policy(books: Books, most: int, sent: int) -> None:
    silent = ScriptedRelay({"ada@example.org": Silence()})
    books.wish()
    sender = books.sender(silent, resends=Resends(most=most, after=timedelta(minutes=20)))
    tried = []
    for _ in range(12):
        before = len(silent.sent)
        sender.work()
        tried.append(len(silent.sent) - before)
        books.later(minutes=10)

    assert len(silent.sent) == sent
    assert tried[: 2 * sent] == [1, 0] * sent, "20 minutes apart"
    assert len({message.data.split(b"Message-ID: ")[1][:40] for message in silent.sent}) == 1
    assert books.notices()[0].outcome == "uncertain"


def test_a_letter_that_kills_its_worker_takes_no_other_with_it(books: Books) -> None:
    for name in ("ada", "bob", "cleo"):
        books.wish(name)
    with books.database.transaction() as session:
        for _ in range(3):
            actions.take(session, key=KEY, now=books.now)
    poison = books.notices("bob")[0].id

    deaths = 0
    for _ in range(9):
        with books.database.transaction() as session:
            leased = actions.lease(session, now=books.now, seconds=60, limit=9)
        if not leased:
            break
        with books.database.transaction() as session:
            if any(one.id == poison for one in leased):  # the worker is never heard of again
                deaths += 1
                session.execute(
                    update(NoticeRow)
                    .where(NoticeRow.outcome == "")
                    .values(leased_until=books.now - timedelta(days=99))
                )
                continue
            for one in leased:
                actions.settle(session, one, Reply(250), now=books.now, patience=Patience())

    outcomes = {name: books.notices(name)[0].outcome for name in ("ada", "bob", "cleo")}
    assert outcomes == {"ada": "accepted", "bob": "uncertain", "cleo": "accepted"}
    assert deaths == 2


def test_under_hold_no_notice_leaves_and_no_wish_waits(books: Books, tmp_path: Path) -> None:
    books.directory = tmp_path
    (tmp_path / "HOLD").touch()
    books.wish()
    sender = books.sender()

    assert sender.work() == 0
    assert books.relay.sent == []
    assert books.notices()[0].outcome == ""
    (tmp_path / "HOLD").unlink()
    with books.database.transaction() as session:
        brakes.put_on(session, HOLD, actor="ada", now=books.now)
    assert sender.work() == 0
    with books.database.transaction() as session:
        brakes.release(session, "all", "", by="ada", now=books.now)
    assert sender.work() == 1


def test_a_hold_put_on_between_two_letters_stops_the_second(books: Books, tmp_path: Path) -> None:
    class Holding(ScriptedRelay):
        def _end(self, waiting: list[Message], in_time: Any) -> Iterator[tuple[Message, Ending]]:
            (tmp_path / "HOLD").touch()
            yield from super()._end(waiting, in_time)

    books.directory = tmp_path
    books.wish("ada")
    books.wish("bob")

    assert books.sender(Holding()).work() == 1
    assert sorted(n.outcome for who in ("ada", "bob") for n in books.notices(who)) == [
        "",
        "accepted",
    ]
    assert books.notices("bob")[0].attempt == 0


def test_a_letter_of_a_worker_that_died_is_offered_once_more(books: Books) -> None:
    books.wish()
    with books.database.transaction() as session:
        actions.take(session, key=KEY, now=books.now)
    for _ in range(3):
        with books.database.transaction() as session:
            actions.lease(session, now=books.now, seconds=60, limit=9)
        books.sender().work()
        assert books.relay.sent == [], "it is another worker's"
        with books.database.transaction() as session:  # and that one is never heard of again
            session.execute(update(NoticeRow).values(leased_until=books.now - timedelta(days=99)))

    books.sender().work()
    assert books.relay.sent == []
    assert books.notices()[0].outcome == "uncertain"


def test_a_worker_whose_lease_is_over_writes_nothing(books: Books) -> None:
    books.wish()
    with books.database.transaction() as session:
        actions.take(session, key=KEY, now=books.now)
        (old,) = actions.lease(session, now=books.now, seconds=60, limit=9)
        session.execute(update(NoticeRow).values(leased_until=books.now - timedelta(days=99)))
    with books.database.transaction() as session:
        (new,) = actions.lease(session, now=books.now, seconds=60, limit=9)
        actions.skip(session, old, now=books.now)

    assert new.doubts == 1
    assert new.epoch == old.epoch + 1
    assert books.notices()[0].outcome == ""


def test_a_relay_that_is_down_costs_no_try(books: Books) -> None:
    books.wish()
    books.sender(ScriptedRelay(down_after=0)).work()

    assert books.notices()[0].attempt == 0
    assert not books.due()
    books.later(seconds=31)
    assert books.due()
    assert books.sender().work() == 1


def test_two_workers_never_send_one_letter_twice(books: Books) -> None:
    for number in range(30):
        books.wish(f"reader{number}")
    relays = [ScriptedRelay(), ScriptedRelay(), ScriptedRelay()]
    senders = [books.sender(relay, at_once=4) for relay in relays]
    threads = [threading.Thread(target=sender.work) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    got = sorted(message.recipient for relay in relays for message in relay.sent)
    assert got == sorted(f"reader{number}@example.org" for number in range(30))


def test_many_wishes_at_once_for_one_mailbox_make_one_letter(books: Books) -> None:
    for _ in range(12):
        books.wish("ada")
    relays = [ScriptedRelay(), ScriptedRelay(), ScriptedRelay()]
    threads = [threading.Thread(target=books.sender(relay).work) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(len(relay.sent) for relay in relays) == 1


def test_a_letter_put_off_for_long_counts_from_when_it_left(books: Books) -> None:
    late = ScriptedRelay({"ada@example.org": Reply(451)})
    books.wish()
    sender = books.sender(late)
    for _ in range(19):
        sender.work()
        books.later(hours=1)
    late.endings.clear()
    sender.work()
    books.later(hours=6)
    books.wish()

    assert sender.work() == 0, "25 hours after the wish, 6 after the letter"
    books.later(hours=19)
    books.wish()
    assert sender.work() == 1


def test_what_is_no_longer_called_for_is_skipped(books: Books) -> None:
    for name in ("ada", "bob", "cleo"):
        books.wish(name)
    with books.database.transaction() as session:
        for _ in range(3):
            actions.take(session, key=KEY, now=books.now)
    with books.database.transaction() as session:
        subscribers.confirm(session, books.who("ada"), now=books.now, source="elsewhere")
        bob = address_key(KEY, EmailAddress.parse("bob@example.org"))
        subscribers.suppress(session, bob, Reason.COMPLAINED, now=books.now)
        subscribers.erase(session, books.who("cleo"), now=books.now, source="a request")
    books.sender().work()

    assert books.relay.sent == []
    with books.database.reading() as session:
        outcomes = [row.outcome for row in session.query(NoticeRow)]
    assert outcomes == ["skipped"] * 3


def test_asking_by_hand_has_the_same_bounds(books: Books) -> None:
    def ask(name: str = "ada") -> Asked:
        who = books.who(name)
        with books.database.transaction() as session:
            return actions.ask(session, who, keyring=KEYRING, now=books.now)

    books.wish()
    sender = books.sender()
    sender.work()
    assert ask() is Asked.TOO_SOON
    books.later(days=1)
    assert ask() is Asked.QUEUED
    assert ask() is Asked.TOO_SOON
    assert sender.work() == 1
    books.later(days=1)
    assert ask() is Asked.QUEUED
    sender.work()
    books.later(days=1)
    assert ask() is Asked.NO_MORE
    with books.database.transaction() as session:
        subscribers.confirm(session, books.who(), now=books.now, source="elsewhere")
    assert ask() is Asked.NOT_CALLED_FOR


def test_the_bound_outlives_the_person(books: Books) -> None:
    sender = books.sender()
    for _ in range(3):
        books.wish()
        sender.work()
        books.later(days=1)
    key = address_key(KEY, EmailAddress.parse("ada@example.org"))
    books.wish()
    with books.database.transaction() as session:
        erase(session, by_key(session, key), now=books.now, reason="asked", source="a request")

    with books.database.reading() as session:
        assert session.query(NoticeRow).count() == session.query(WishRow).count() == 0
        (asking,) = session.query(AskingRow)
        assert "ada" not in asking.budget_key
    books.wish()
    assert sender.work() == 0


def test_a_link_of_an_address_given_up_does_nothing(books: Books) -> None:
    books.wish()
    books.sender().work()
    who, (notice,) = books.who(), books.notices()
    with books.database.transaction() as session:
        session.execute(update(NoticeRow).values(address_key="f" * 32))  # the person has moved

    with books.database.transaction() as session:
        assert queries.confirmation(session, notice.id, who, now=books.now, life=LIFE) is None
        assert not actions.confirm(
            session, notice.id, who, now=books.now, life=LIFE, source="a page"
        )


def test_a_letter_that_cannot_be_written_ends_and_holds_up_no_other(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Letters.write

    def broken(self: Letters, leased: Any, addressed: Any, **of: Any) -> Any:
        if addressed.person.address.startswith("ada"):
            raise ValueError("a bug")
        return write(self, leased, addressed, **of)

    monkeypatch.setattr(Letters, "write", broken)
    books.wish("ada")
    books.wish("bob")

    assert books.sender().work() == 1
    assert books.notices("ada")[0].outcome == "unwritable"
    books.later(hours=1)
    assert not books.due()


def test_a_stopped_worker_begins_no_letter(books: Books) -> None:
    books.wish()
    sender = books.sender()
    sender.stop()

    assert sender.work() == 0
    sender.close()
    assert books.due()


def test_no_table_of_notices_holds_a_name_or_an_address_once_wishes_are_taken(
    books: Books,
) -> None:
    books.wish("canary", name="Canary Yellow")
    books.sender().work()

    with books.database.reading() as session:
        for table in ("wish", "notice", "asking"):
            rows = session.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608  # ours
            assert "canary" not in str(rows).lower()
