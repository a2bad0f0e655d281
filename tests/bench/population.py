"""A made-up list of people for the bench, and years of what they did, made by SQL."""

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

GIVEN = (
    *("James", "Mary", "Robert", "Patricia", "John", "Jennifer", "Michael", "Linda", "David"),
    *("Elizabeth", "William", "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Karen"),
)
FAMILY = (
    *("Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "Lopez"),
    *("Martinez", "Hernandez", "Wilson", "Anderson", "Taylor", "O'Neil", "Müller", "Dupré"),
)
CHINESE_FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
CHINESE_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华建国志文红梅玉兰春燕海龙"
SHARES = {"gmail.com": 35, "qq.com": 15, "163.com": 10, "outlook.com": 10, "yahoo.com": 8}
COMPANIES = 4000  # domains of the rest
CITIES = {"Paris": 10, "Lyon": 30, "Shanghai": 40, "London": 19.99, "Ulm": 0.01}
FOLLOWED = {"ai": 4, "e-commerce": 3, "luxury": 1, "ai;luxury": 1, "ai;e-commerce;luxury": 1}
LANGUAGES = {"en": 5, "fr": 1, "zh-Hans": 4}


def write(file: Path, people: int) -> None:
    """Write a CSV of people; the same one every time."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("email", "name", "language", "segments", "city", "score"))
        rows.writerows(_rows(people))


def _rows(people: int) -> Iterator[tuple[object, ...]]:
    dice = random.Random(7)  # noqa: S311  # the same list every time
    for n in range(people):
        (language,) = dice.choices(*_weighed(LANGUAGES))
        if language == "zh-Hans":
            name = dice.choice(CHINESE_FAMILY) + "".join(
                dice.choices(CHINESE_GIVEN, k=dice.choice((1, 2)))
            )
            local = f"reader{n}"
        else:
            given, family = dice.choice(GIVEN), dice.choice(FAMILY)
            name, local = f"{given} {family}", f"{given}.{family}.{n}".lower()
            local = local.replace("'", "").replace("ü", "u").replace("é", "e")
        domain = f"corp{dice.randrange(COMPANIES)}.example"
        if dice.randrange(100) < sum(SHARES.values()):
            (domain,) = dice.choices(*_weighed(SHARES))
        (city,) = dice.choices(*_weighed(CITIES))
        (segments,) = dice.choices(*_weighed(FOLLOWED))
        yield f"{local}@{domain}", name, language, segments, city, dice.randrange(100)


def _weighed(shares: Mapping[str, float]) -> tuple[list[str], list[float]]:
    return list(shares), list(shares.values())


def years(events: int, *, sqlite: bool) -> dict[str, Sequence[str]]:
    """Statements, under what they make; `:now` is the present, UTC.

    Two in a hundred people bounced and three left. The keenest tenth of the readers has a third of
    the events; one in ten is a machine's, one in four a click.
    """
    return {
        "some bounced, some left": _PARTINGS,
        f"{events} events": (_EVENTS_SQLITE if sqlite else _EVENTS)
        .format(events=events)
        .split(";"),
        "their projection": _PROJECTION,
    }


_PARTINGS = (
    """
    INSERT INTO suppression (address_key, reason, scope, evidence, at, lifted_reason)
    SELECT address_key, CASE WHEN id % 1000 = 0 THEN 'complained' ELSE 'bounced' END,
           'all', '', :now, ''
      FROM subscriber WHERE id % 50 = 0
    """,
    "UPDATE subscriber SET state = 'unsubscribed' WHERE id % 33 = 1",
)

# u * v of two even chances favours small numbers: the keen readers, spread over the list by a
# multiplication that a prime number makes one to one
_EVENTS = """
    CREATE TEMPORARY TABLE happened AS
    SELECT n, floor(random() * random() * (SELECT count(*) FROM subscriber))::bigint AS keen,
           1 + (n % 12) AS issue, random() AS late
      FROM generate_series(1, {events}) AS n;
    INSERT INTO event (hit_id, campaign_id, subscriber_id, kind, at, verdict, reason, link, item,
                       slot, target, segments, agent, family, tracked)
    SELECT 'bench-' || n, c.id, s.id, CASE WHEN n % 4 = 0 THEN 'click' ELSE 'open' END,
           i.sent_at + late * late * interval '6 days',
           CASE n % 10 WHEN 3 THEN 'machine' WHEN 5 THEN 'unsure' ELSE 'person' END, '',
           CASE WHEN n % 4 = 0 THEN 1 + n / 48 % 6 ELSE 0 END,
           CASE WHEN n % 4 = 0 THEN 'story-' || (n / 48 % 6) ELSE '' END, '', '', '', 'browser',
           'Firefox', true
      FROM happened h
      JOIN campaign c ON c.issue_id = h.issue
      JOIN sent_issue i ON i.issue_id = h.issue
      JOIN subscriber s ON s.id = 1 + (h.keen * 7919) % (SELECT count(*) FROM subscriber)
     ORDER BY n;
    DROP TABLE happened
"""

_EVENTS_SQLITE = """
    CREATE TEMPORARY TABLE happened AS
    WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {events})
    SELECT n, CAST((abs(random()) % 10000) / 10000.0 * ((abs(random()) % 10000) / 10000.0)
                   * (SELECT count(*) FROM subscriber) AS INTEGER) AS keen,
           1 + (n % 12) AS issue, abs(random()) % (6 * 86400) AS late
      FROM counted;
    INSERT INTO event (hit_id, campaign_id, subscriber_id, kind, at, verdict, reason, link, item,
                       slot, target, segments, agent, family, tracked)
    SELECT 'bench-' || n, c.id, s.id, CASE WHEN n % 4 = 0 THEN 'click' ELSE 'open' END,
           strftime('%Y-%m-%d %H.%M.%S.000000', i.sent_at, '+' || late || ' seconds'),
           CASE n % 10 WHEN 3 THEN 'machine' WHEN 5 THEN 'unsure' ELSE 'person' END, '',
           CASE WHEN n % 4 = 0 THEN 1 + n / 48 % 6 ELSE 0 END,
           CASE WHEN n % 4 = 0 THEN 'story-' || (n / 48 % 6) ELSE '' END, '', '', '', 'browser',
           'Firefox', 1
      FROM happened h
      JOIN campaign c ON c.issue_id = h.issue
      JOIN sent_issue i ON i.issue_id = h.issue
      JOIN subscriber s ON s.id = 1 + (h.keen * 7919) % (SELECT count(*) FROM subscriber);
    DROP TABLE happened
""".replace("%H.%M.%S", "%H\\:%M\\:%S")  # a colon begins a parameter

_PROJECTION = (
    """
    INSERT INTO engagement (issue_id, act, segment_id, subscriber_id, at)
    SELECT c.issue_id, CASE e.kind WHEN 'open' THEN 1 ELSE 2 END, 0, e.subscriber_id, min(e.at)
      FROM event e JOIN campaign c ON c.id = e.campaign_id
     WHERE e.verdict <> 'machine'
     GROUP BY c.issue_id, e.kind, e.subscriber_id
    """,
    """
    INSERT INTO engagement (issue_id, act, segment_id, subscriber_id, at)
    SELECT c.issue_id, 2, s.id, e.subscriber_id, min(e.at)
      FROM event e JOIN campaign c ON c.id = e.campaign_id
      JOIN item_segment i ON i.issue_id = c.issue_id AND i.item_key = e.item
      JOIN segment s ON s.key = i.segment
     WHERE e.verdict <> 'machine' AND e.kind = 'click'
     GROUP BY c.issue_id, s.id, e.subscriber_id
    """,
)
