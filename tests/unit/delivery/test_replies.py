"""Bytes from a server become answers, however the network cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.relay import Reply
from mailer.delivery.replies import Answer, NoSmtp, Replies, brief, reply

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), max_size=20)
answers = st.tuples(st.integers(200, 599), st.lists(texts, min_size=1, max_size=4))


def on_the_wire(code: int, lines: list[str]) -> bytes:
    marks = ["-"] * (len(lines) - 1) + [" "]
    said = (f"{code}{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True))
    return "".join(said).encode()


@given(st.lists(answers, max_size=6), st.data())
def test_any_cut_gives_the_same_answers(
    said: list[tuple[int, list[str]]], data: st.DataObject
) -> None:
    wire = b"".join(on_the_wire(code, lines) for code, lines in said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=30)))
    replies, heard = Replies(), list[Answer]()

    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        heard += replies.feed(wire[start:end])

    assert heard == [
        (code, "\n".join(line.rstrip() for line in lines).encode()) for code, lines in said
    ]


@pytest.mark.parametrize("wire", [b"250\r\n", b"250 \r\n", b"250 ok\n", b"250\n"])
def test_a_bare_code_and_a_bare_line_feed_will_do(wire: bytes) -> None:
    assert [code for code, _ in Replies().feed(wire)] == [250]


@pytest.mark.parametrize(
    "wire",
    [
        b"ok\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"150 wait\r\n",
        b"600 x\r\n",
        b"HTTP/1.1\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\n550-b\r\n",
        b"250 " + b"x" * 5000,
        b"250-x\r\n" * 300,
    ],
)
def test_nonsense_is_told_apart(wire: bytes) -> None:
    with pytest.raises(NoSmtp):
        Replies().feed(wire)


def test_an_answer_before_nonsense_still_counts() -> None:
    replies = Replies()

    assert replies.feed(b"250 ok\r\nnonsense\r\n") == [(250, b"ok")]
    with pytest.raises(NoSmtp):
        replies.feed(b"250 ok\r\n")


@pytest.mark.parametrize(
    ("code", "text", "enhanced", "rest"),
    [
        (550, b"5.1.1 no such user", "5.1.1", "no such user"),
        (250, b"2.0.0 Ok: queued as 4X", "2.0.0", "Ok: queued as 4X"),
        (550, b"4.2.2 another class", "", "another class"),
        (550, b"5.1 half", "", "5.1 half"),
        (550, b"5.1.1234 too long", "", "5.1.1234 too long"),
        (451, b"try later", "", "try later"),
        (250, b"2.0.0", "2.0.0", ""),
        (550, b"\xff\x00\x07", "", "\ufffd??"),
    ],
)
def test_an_enhanced_code_counts_where_its_class_is_the_codes(
    code: int, text: bytes, enhanced: str, rest: str
) -> None:
    assert reply(code, text, "dot", "zoe@example.org") == Reply(code, enhanced, rest)


@pytest.mark.parametrize(
    "text",
    [
        b"5.1.1 <Ada.L@Example.org>: unknown",
        b"5.1.1 recipient ADA.L@example.org rejected (ada.l@example.org)",
        b"5.1.1 user ada.l is unknown here",
        b"5.1.1 smtp;550 'ada.l@example.org'",
        b"5.1.1 for b+token@bounce.example.com",
        b'5.1.1 "ada.l"@example.org',
    ],
)
def test_addresses_are_cut_out(text: bytes) -> None:
    said = reply(550, text, "rcpt", "ada.l@example.org").text.casefold()

    assert "ada.l" not in said
    assert "token" not in said
    assert "@" not in said
    assert "ada.l" not in brief(421, text, "ada.l@example.org").casefold()


def test_long_replies_are_cut_and_lines_joined() -> None:
    assert len(reply(550, b"x" * 1000, "dot", "a@b.org").text) == 200
    assert reply(550, b"5.1.1 a\n5.1.1 b", "dot", "a@b.org").text == "a 5.1.1 b"
    assert brief(421, b"4.3.2 closing") == "421 4.3.2 closing"
    assert brief(554, b"no") == "554 no"
