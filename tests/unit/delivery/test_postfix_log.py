"""A mail log tells what a Postfix took, in every shape its lines have; half a letter is none."""

import random
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mailer.delivery import postfix_log
from mailer.delivery.postfix_log import Log, LogNotFound, LogUnreadable, Seen
from tests.fakes.postfix import LOST, NOON, TAKEN, Postfix, rfc3339, syslog

NAME = "<abc234@news.example>"
LATER = NOON + timedelta(days=1)


def read(text: str, tmp_path: Path, **more: object) -> Log:
    path = tmp_path / "mail.log"
    path.write_text(text)
    given: dict[str, object] = {"now": LATER, "zone": UTC} | more
    return postfix_log.read([path], [NAME], **given)  # type: ignore[arg-type]


def postfix(**of: object) -> Postfix:
    return Postfix(random.Random(4), **of)  # type: ignore[arg-type]  # noqa: S311  # a script


@pytest.mark.parametrize("what", TAKEN)
def test_a_letter_that_came_in_was_taken(what: str, tmp_path: Path) -> None:
    for stamp in (syslog, rfc3339):
        for long_ids in (False, True):
            mta = postfix(stamp=stamp, long_ids=long_ids)
            getattr(mta, what)(NOON, NAME)

            seen = read(mta.text(), tmp_path).seen[NAME]
            assert seen.taken == (what != "waits"), "that one only the queue can tell"
            assert seen.taken or seen.queue in postfix_log.queued(mta.postqueue().splitlines())


@pytest.mark.parametrize("what", LOST)
def test_a_letter_that_broke_off_was_not(what: str, tmp_path: Path) -> None:
    mta = postfix()
    getattr(mta, what)(NOON, NAME)

    seen = read(mta.text(), tmp_path).seen.get(NAME)
    assert seen is None or not seen.taken
    assert seen is None or seen.queue not in postfix_log.queued(mta.postqueue().splitlines())


def test_it_says_what_became_of_a_letter_without_an_address(tmp_path: Path) -> None:
    mta = postfix()
    mta.bounced(NOON, NAME)

    seen = read(mta.text(), tmp_path).seen[NAME]
    assert seen == Seen(seen.queue, taken=True, status="bounced")
    assert seen.evidence == f"Postfix queue {seen.queue}: bounced"
    assert seen.queue


def test_two_instances_may_use_one_queue_id_at_a_time(tmp_path: Path) -> None:
    one, two = postfix(), postfix(instance="postfix-out")
    one.comes_in(NOON, NAME, "3F00AA")
    two.takes(NOON + timedelta(seconds=9), "<other@news.example>", queue="3F00AA")

    text = one.text() + two.text()
    assert not read(text, tmp_path).seen[NAME].taken


def test_lines_of_a_real_server_are_understood(tmp_path: Path) -> None:
    text = (
        "Mar  1 11:59:58 mx1 postfix/smtpd[811]: connect from localhost[127.0.0.1]\n"
        "Mar  1 11:59:58 mx1 postfix/smtpd[811]: 6C9F41A03B2: client=localhost[127.0.0.1]\n"
        f"Mar  1 11:59:58 mx1 postfix/cleanup[814]: 6C9F41A03B2: message-id={NAME}\n"
        "Mar  1 11:59:58 mx1 postfix/qmgr[790]: 6C9F41A03B2: from=<b+x@news.example>, size=402,"
        " nrcpt=1 (queue active)\n"
        "Mar  1 11:59:58 mx1 postfix/smtpd[811]: disconnect from localhost[127.0.0.1] ehlo=1"
        " mail=1 rcpt=1 data=1 quit=1 commands=5\n"
        "Mar  1 11:59:59 mx1 postfix/smtp[815]: 6C9F41A03B2: to=<ada@example.org>,"
        " relay=mx.example.org[192.0.2.1]:25, delay=0.9, delays=0.03/0.01/0.5/0.4, dsn=2.0.0,"
        " status=sent (250 2.0.0 Ok: queued as 4QZ)\n"
        "Mar  1 11:59:59 mx1 postfix/qmgr[790]: 6C9F41A03B2: removed\n"
        "Mar  1 11:59:59 mx1 postfix/anvil[813]: statistics: max connection rate 1/60s\n"
        "Mar  1 12:00:00 mx1 last message repeated 2 times\n"
    )
    log = read(text, tmp_path)

    assert log.seen == {NAME: Seen("6C9F41A03B2", taken=True, status="sent")}
    assert (log.lines, log.strange, log.gaps) == (9, 0, [])
    assert log.first == datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC)
    assert log.last == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_stamp_without_a_year_is_of_the_last_one_that_is_no_future(tmp_path: Path) -> None:
    spring = datetime(2026, 2, 1, tzinfo=UTC)
    text = "Dec 31 23:59:00 mx1 postfix/qmgr[1]: 3F0001: removed\n"
    text += "Feb 29 10:00:00 mx1 postfix/qmgr[1]: 3F0001: removed\n"
    log = read(text, tmp_path, now=spring)

    assert log.last == datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert log.gaps == ["the log steps back at 2024-02-29T10:00:00+00:00"]


def test_a_stamp_without_a_zone_is_of_the_one_given(tmp_path: Path) -> None:
    berlin = timezone(timedelta(hours=1))
    log = read("Mar  1 12:00:00 mx1 postfix/qmgr[1]: warning: x\n", tmp_path, zone=berlin)

    assert log.first == NOON - timedelta(hours=1)


def test_rotated_files_are_read_in_their_order(tmp_path: Path) -> None:
    mta = postfix()
    mta.noise(NOON - timedelta(days=3), NOON, timedelta(hours=1))
    mta.sent(NOON - timedelta(days=2, minutes=5), NAME)
    cuts = [NOON - timedelta(days=n) for n in (2, 1)]
    path = mta.write(tmp_path / "mail.log", *cuts)
    (tmp_path / "mail.log.old").write_text("nothing of ours\n")

    files, gaps = postfix_log.rotated(path)
    assert [file.name for file in files] == ["mail.log.2.gz", "mail.log.1", "mail.log"]
    assert gaps == ()
    log = postfix_log.read(files, [NAME], now=LATER, zone=UTC)
    assert log.seen[NAME].status == "sent"
    assert log.covers(NOON - timedelta(days=2), NOON - timedelta(hours=1)) == ""


def test_a_missing_rotation_is_a_gap(tmp_path: Path) -> None:
    for name in ("mail.log", "mail.log.1", "mail.log.4.gz", "mail.log-20260227.gz"):
        (tmp_path / name).touch()

    files, gaps = postfix_log.rotated(tmp_path / "mail.log")
    assert gaps == ("mail.log.2 is missing", "mail.log.3 is missing")
    assert [file.name for file in files] == [
        *("mail.log-20260227.gz", "mail.log.4.gz", "mail.log.1", "mail.log"),
    ]
    with pytest.raises(LogNotFound):
        postfix_log.rotated(tmp_path)


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("Mar  1 12:00:00 mx1 \0\0\0\n", ""),
        ("\0\0\0\0 garbage\n", "1 lines are damaged"),
        ("Mxr  1 12:00:00 mx1 postfix/qmgr[1]: 3F0001: removed\n", "1 lines are damaged"),
        ("Feb 30 12:00:00 mx1 postfix/qmgr[1]: 3F0001: removed\n", "1 lines are damaged"),
        (
            "Mar  1 12:00:00 mx1 rsyslogd: imuxsock lost 34 messages due to rate-limiting\n",
            "lines were dropped at 2026-03-01T12:00:00+00:00",
        ),
    ],
)
def test_whatever_hides_lines_is_a_gap(text: str, gap: str, tmp_path: Path) -> None:
    log = read(text, tmp_path)
    log.first, log.last = NOON - timedelta(hours=9), NOON + timedelta(hours=9)

    assert log.covers(NOON, NOON) == gap


def test_the_line_being_written_is_no_damage_but_one_cut_off_by_rotation_is(tmp_path: Path) -> None:
    torn, live = tmp_path / "mail.log.1", tmp_path / "mail.log"
    torn.write_text("Mar  1 12:00:00 mx1 postfix/qm")
    live.write_text("Mar  1 12:00:01 mx1 postfix/qmgr[1]: warning: x\nMar  1 12")

    log = postfix_log.read([live], [], now=LATER, zone=UTC)
    assert log.gaps == []
    log = postfix_log.read([torn, live], [], now=LATER, zone=UTC)
    assert log.gaps == ["1 lines are damaged"]


def test_a_log_covers_what_it_begins_before_and_ends_after(tmp_path: Path) -> None:
    mta = postfix()
    mta.noise(NOON, NOON + timedelta(hours=2), timedelta(minutes=30))
    log = read(mta.text(), tmp_path)
    hour = timedelta(hours=1)

    assert log.covers(NOON + hour, NOON + hour) == ""
    assert "begins at" in log.covers(NOON - hour, NOON + hour)
    assert "ends at" in log.covers(NOON + hour, NOON + 3 * hour)
    assert "begins at" in read(mta.text(), tmp_path, since=NOON + hour).covers(NOON, NOON + hour)
    assert Log().covers(NOON, NOON) == "the log is empty"


def test_what_cannot_be_read_to_its_end_is_refused(tmp_path: Path) -> None:
    cut = tmp_path / "mail.log.2.gz"
    mta = postfix()
    mta.noise(NOON, NOON + timedelta(days=3), timedelta(minutes=1))
    mta.write(tmp_path / "mail.log", NOON + timedelta(days=1), NOON + timedelta(days=2))
    cut.write_bytes(cut.read_bytes()[:-200])

    with pytest.raises(LogUnreadable, match=r"mail\.log\.2\.gz"):
        postfix_log.read([cut], [NAME], now=LATER, zone=UTC)
    with pytest.raises(LogNotFound):
        postfix_log.read([tmp_path / "none"], [NAME], now=LATER)
    with pytest.raises(LogUnreadable, match="line 2"):
        postfix_log.queued(['{"queue_id": "3F0001"}', "Mail queue is empty"])
