"""What of SMTP's extensions a message's commands use: what is offered, and no more than needed."""

import pytest

from mailer.delivery.dialect import Dialect, Features, Notify
from mailer.delivery.envelope import Outgoing
from mailer.delivery.relay import Message

EVERYTHING: Features = dict.fromkeys(
    (b"PIPELINING", b"CHUNKING", b"SMTPUTF8", b"8BITMIME", b"DSN", b"SIZE"), b""
)


def outgoing(
    recipient: str = "ada@example.org", back: str = "b+1@example.com", data: bytes = b"A: b\r\n"
) -> Outgoing:
    return Outgoing(Message(7, 1, 1, 1, 1, recipient, back, data), data.replace(b"\n.", b"\n.."))


def test_parameters_only_where_they_are_offered() -> None:
    assert Dialect({}).mail(outgoing()) == b"MAIL FROM:<b+1@example.com>\r\n"
    sized = Dialect({b"SIZE": b""})
    assert sized.mail(outgoing()) == b"MAIL FROM:<b+1@example.com> SIZE=6\r\n"
    assert (
        Dialect(EVERYTHING)
        .mail(outgoing("ü@example.org"))
        .endswith(b"> SIZE=6 BODY=8BITMIME SMTPUTF8\r\n")
    )
    assert Dialect(EVERYTHING).rcpt(outgoing()) == b"RCPT TO:<ada@example.org>\r\n"


def test_a_size_counts_no_stuffed_dots() -> None:
    dotted = outgoing(data=b"A: b\r\n\r\n.\r\n")

    assert b"SIZE=11\r\n" in Dialect({b"SIZE": b"11"}).mail(dotted)
    assert Dialect({b"SIZE": b"11"}).unfit(dotted) is None


def test_a_null_return_path_is_one() -> None:
    assert Dialect({}).mail(outgoing(back="")) == b"MAIL FROM:<>\r\n"


@pytest.mark.parametrize("notify", ["none", "never", "failure"])
def test_notifications_are_asked_for_where_dsn_is_offered(notify: Notify) -> None:
    without = Dialect({b"SIZE": b""}, notify=notify)
    assert b"NOTIFY" not in without.opening(outgoing()) + without.rcpt(outgoing())

    rcpt = Dialect(EVERYTHING, notify=notify).rcpt(outgoing())
    assert (b" NOTIFY=" + notify.upper().encode() in rcpt) is (notify != "none")


def test_an_envelope_id_is_the_token_or_none() -> None:
    asking = Dialect({b"DSN": b""}, notify="failure")
    token = "cewcaaaabyaaaaaavabcdefg"  # noqa: S105  # public: it stands in every link

    assert f" RET=HDRS ENVID={token}\r\n".encode() in asking.mail(outgoing(back=f"b+{token}@x.org"))
    assert asking.mail(outgoing()) == b"MAIL FROM:<b+1@example.com> RET=HDRS\r\n"


def test_all_of_an_envelope_leaves_at_once_where_that_is_offered() -> None:
    commands = [
        Dialect(features, chunking=True).opening(outgoing()).count(b"\r\n")
        for features in ({}, {b"PIPELINING": b""}, {b"PIPELINING": b"", b"CHUNKING": b""})
    ]

    assert commands == [1, 3, 2]


@pytest.mark.parametrize("size", [0, 6, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("chunking", [True, False])
def test_what_goes_ahead_and_what_ends_are_the_whole_body(size: int, *, chunking: bool) -> None:
    data = (b"x\r\n.\r\n" * 40_000)[:size]
    made, dialect = outgoing(data=data), Dialect(EVERYTHING, chunking=chunking)
    ahead, end = dialect.ahead(made), dialect.end(made, None)

    if not chunking:
        assert ahead + end == made.data + b".\r\n"
        assert bool(ahead) is (len(made.data) > 65_536)
        return
    rest = max(0, size - 65_536)
    assert ahead == (b"BDAT %d\r\n" % rest + data[:rest] if rest else b"")
    assert end == b"BDAT %d LAST\r\n" % (size - rest) + data[rest:]


def test_behind_a_chunk_the_next_transaction_begins_with_a_reset() -> None:
    """RFC 3030: a chunk refused leaves the relay in no known state."""
    for chunking in (True, False):
        end = Dialect(EVERYTHING, chunking=chunking).end(outgoing(), outgoing())
        assert (b"\r\nRSET\r\nMAIL FROM" in end) is chunking


def test_what_this_relay_cannot_take_is_refused_here() -> None:
    assert Dialect({}).unfit(outgoing()) is None
    assert Dialect({b"SIZE": b"0"}).unfit(outgoing()) is None  # no fixed limit (RFC 1870)
    for who, features, enhanced in (
        (outgoing("a b@x.org"), Features(), "5.1.3"),
        (outgoing("ü@example.org"), {b"SMTPUTF8": b""}, "5.6.7"),
        (outgoing(), {b"SIZE": b"5"}, "5.3.4"),
    ):
        refusal = Dialect(features).unfit(who)
        assert refusal is not None
        assert (refusal.enhanced, refusal.text[:6]) == (enhanced, "local:")
