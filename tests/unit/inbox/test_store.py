"""The inbox keeps whole letters, finds them again, and forgets the oldest first."""

from pathlib import Path

import pytest

from mailer.inbox.store import LetterNotFound, Store


def letter(subject: str, body: str = "Good morning.") -> bytes:
    return f"From: news@dibao.example\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


def keep(store: Store, recipient: str, subject: str = "Digest 7") -> None:
    store.add(letter(subject), return_path="b+1@dibao.example", recipients=[recipient])


def test_a_letter_comes_back_byte_for_byte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    raw = bytes(range(256)) * 40 + b"\r\n"

    store.add(raw, return_path="", recipients=["ada@example.com"])
    entry = store.find().entries[0]

    assert store.message(entry.id).source == raw
    assert (entry.recipients, entry.size) == (("ada@example.com",), len(raw))


def test_the_list_is_newest_first_and_paged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for n in range(7):
        keep(store, f"reader{n}@example.com")

    first, last = store.find(size=3), store.find(size=3, page=3)

    assert [e.recipients[0][6] for e in first.entries] == ["6", "5", "4"]
    assert [e.recipients[0][6] for e in last.entries] == ["0"]
    assert (first.pages, first.total, last.number) == (3, 7, 3)


@pytest.mark.parametrize(("asked", "shown"), [(0, 1), (-4, 1), (99, 3)])
def test_a_page_that_is_not_there_is_the_nearest_one(
    tmp_path: Path, asked: int, shown: int
) -> None:
    store = Store(tmp_path)
    for n in range(7):
        keep(store, f"reader{n}@example.com")

    assert store.find(size=3, page=asked).number == shown


@pytest.mark.parametrize(
    ("sought", "found"),
    [("ada", 2), ("ADA digest", 1), ("电商", 1), ("nobody", 0), ("", 3), ("  ", 3)],
)
def test_search_looks_at_recipients_and_decoded_subjects(
    tmp_path: Path, sought: str, found: int
) -> None:
    store = Store(tmp_path)
    keep(store, "Ada@example.com", "Digest")
    keep(store, "ada@example.org", "=?utf-8?b?55S15ZWG5ZGo5oql?=")  # 电商周报
    keep(store, "ben@example.com", "Digest")

    assert store.find(sought).total == found


def test_a_folded_subject_is_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(
        b"X-Subject: no\r\nSUBJECT: One long\r\n line\r\nTo: a@b.example\r\n\r\nSubject: body\r\n",
        return_path="",
        recipients=["a@b.example"],
    )

    assert store.find().entries[0].subject == "One long line"


@pytest.mark.parametrize("subject", ["=?x-none?q?abc?=", "=?utf-8?b?%%%?=", "\ud800", ""])
def test_a_broken_subject_is_listed_all_the_same(tmp_path: Path, subject: str) -> None:
    store = Store(tmp_path)
    raw = f"Subject: {subject}\r\n\r\n".encode("utf-8", "surrogatepass")
    store.add(raw, return_path="", recipients=["a@b.example"])

    assert store.find().total == 1


def test_letters_outlive_the_process_that_took_them(tmp_path: Path) -> None:
    first = Store(tmp_path)
    keep(first, "ada@example.com")
    first.close()

    again = Store(tmp_path)
    keep(again, "cleo@example.com")

    assert [e.recipients[0] for e in again.find().entries] == [
        "cleo@example.com",
        "ada@example.com",
    ]


def test_another_process_sees_what_arrives(tmp_path: Path) -> None:
    writer, reader = Store(tmp_path), Store(tmp_path)
    assert reader.find().total == 0

    keep(writer, "ada@example.com")

    assert reader.find().total == 1


def test_a_line_half_written_by_a_killed_process_is_no_letter(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "ada@example.com")
    with next(tmp_path.glob("*.index")).open("ab") as index:
        index.write(b'{"offset": 99, "si')

    assert Store(tmp_path).find().total == 1


def test_the_oldest_letters_go_when_there_are_too_many(tmp_path: Path) -> None:
    store = Store(tmp_path, capacity=80)
    for n in range(200):
        keep(store, f"reader{n}@example.com")

    found = store.find(size=200)

    assert 70 <= found.total <= 80
    assert found.entries[0].recipients == ("reader199@example.com",)


def test_clearing_forgets_all_and_the_next_letter_is_kept(tmp_path: Path) -> None:
    writer, elsewhere = Store(tmp_path), Store(tmp_path)
    keep(writer, "ada@example.com")
    known = writer.find().entries[0].id

    elsewhere.clear()

    assert writer.find().total == elsewhere.find().total == 0
    with pytest.raises(LetterNotFound):
        writer.get(known)
    keep(writer, "cleo@example.com")
    assert [e.recipients[0] for e in elsewhere.find().entries] == ["cleo@example.com"]


@pytest.mark.parametrize("identity", ["", "1", "1-0", "1-2", "9-1", "../1-1", "1-1\n", "x-1"])
def test_an_unknown_letter_is_refused(tmp_path: Path, identity: str) -> None:
    store = Store(tmp_path)
    keep(store, "ada@example.com")

    with pytest.raises(LetterNotFound):
        store.message(identity)


@pytest.mark.parametrize("word", ["=?utf-7?q?+2AA-?=", "=?unicode_escape?q?=5Cud800?="])
def test_no_subject_keeps_the_list_from_being_shown(tmp_path: Path, word: str) -> None:
    store = Store(tmp_path)
    keep(store, "\udcffada@example.com", subject=word)

    (entry,) = store.find().entries

    assert f"{entry.subject} {entry.recipients}".encode()  # no lone surrogate
    assert store.get(entry.id).message.recipient.encode()


def test_letters_to_somebody_are_written_over_while_another_goes_on_writing(tmp_path: Path) -> None:
    writer, other = Store(tmp_path), Store(tmp_path)
    for name in ("ada", "ben", "ada"):
        source = f"Subject: To {name}\r\n\r\nDear {name}".encode()
        writer.add(source, return_path=f"b+{name}@x.example", recipients=[f"{name}@y.example"])
    assert len(other) == 3

    assert other.forget(lambda address: address.startswith("ada@")) == 2
    writer.add(b"Subject: Late\r\n\r\n", return_path="", recipients=["cleo@y.example"])

    for store in (writer, other, Store(tmp_path)):
        assert [entry.subject for entry in store.find().entries] == ["Late", "To ben"]
        assert next(store.all()).source.endswith(b"Dear ben")
        with pytest.raises(LetterNotFound, match="erased"):
            store.message("1-1")
    assert other.forget(lambda address: address.startswith("ada@")) == 0
    for file in tmp_path.iterdir():
        assert b"ada" not in file.read_bytes()
