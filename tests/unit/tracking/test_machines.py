"""One hit is weighed by what it says of itself and by the company it came in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.tracking import clicks, machines, opens
from mailer.tracking.agents import Kind
from mailer.tracking.machines import Company, Look, Verdict, company

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLICK = Look(
    id="1",
    kind="click",
    campaign=1,
    subscriber=7,
    at=NOON + timedelta(hours=1),
    link=1,
    agent=Kind.BROWSER,
    head=False,
    prefetch=False,
    accepted_at=NOON,
    links=20,
    domain="bank.example",
    network="net",
)
OPEN = replace(CLICK, kind="open", link=0)
ALONE = Company()


@pytest.mark.parametrize(
    ("look", "around", "verdict"),
    [
        (CLICK, ALONE, "person"),
        (replace(CLICK, agent=Kind.MAIL), ALONE, "person"),
        (replace(CLICK, head=True), ALONE, "machine"),
        (replace(CLICK, prefetch=True), ALONE, "machine"),
        (replace(CLICK, agent=Kind.NONE), ALONE, "machine"),
        (replace(CLICK, agent=Kind.CRAWLER), ALONE, "machine"),
        (replace(CLICK, agent=Kind.LIBRARY), ALONE, "machine"),
        (replace(CLICK, agent=Kind.PRIVACY), ALONE, "machine"),
        (replace(CLICK, agent=Kind.PROXY), ALONE, "machine"),
        (replace(CLICK, agent=Kind.APP), ALONE, "unsure"),
        (replace(CLICK, at=NOON - timedelta(seconds=3)), ALONE, "machine"),
        (replace(CLICK, at=NOON + timedelta(seconds=1.9)), ALONE, "machine"),
        (replace(CLICK, at=NOON + timedelta(seconds=2)), ALONE, "unsure"),
        (replace(CLICK, at=NOON + timedelta(seconds=10)), ALONE, "person"),
        (replace(CLICK, accepted_at=None), ALONE, "unsure"),
        (CLICK, Company(links_at_once=2, links_in_all=4), "person"),
        (CLICK, Company(links_at_once=3), "machine"),
        (CLICK, Company(links_in_all=15), "person"),
        (CLICK, Company(links_in_all=16), "machine"),
        (replace(CLICK, links=3), Company(links_in_all=3), "person"),  # short, read whole
        (CLICK, Company(readers_at_once=4, readers_in_all=4), "unsure"),
        (CLICK, Company(readers_at_once=5, readers_in_all=5), "machine"),
    ],
)
def test_a_click_is_classed(look: Look, around: Company, verdict: str) -> None:
    found = clicks.judge(look, around)

    assert found.verdict == verdict
    assert bool(found.reason) is (verdict != "person")


@pytest.mark.parametrize(
    ("look", "around", "verdict"),
    [
        (OPEN, ALONE, "person"),
        (replace(OPEN, agent=Kind.PRIVACY), ALONE, "machine"),
        (replace(OPEN, agent=Kind.PROXY), ALONE, "unsure"),
        (replace(OPEN, agent=Kind.NONE), ALONE, "machine"),
        (replace(OPEN, head=True), ALONE, "machine"),
        (replace(OPEN, at=NOON + timedelta(seconds=1)), ALONE, "unsure"),
        (replace(OPEN, accepted_at=None), ALONE, "person"),
        (OPEN, Company(readers_in_all=5), "unsure"),
    ],
)
def test_an_open_is_classed(look: Look, around: Company, verdict: str) -> None:
    assert opens.judge(look, around).verdict == verdict


def test_company_is_counted_on_both_sides() -> None:
    looks = [
        replace(CLICK, id=str(n), link=n, at=NOON + timedelta(seconds=seconds))
        for n, seconds in enumerate((0, 1, 2, 4.1, 300))
    ]

    around = company(looks)

    assert [around[str(n)].links_at_once for n in range(5)] == [3, 3, 3, 1, 1]
    assert {one.links_in_all for one in around.values()} == {5}


def test_readers_of_another_domain_or_network_are_no_company() -> None:
    looks = [
        replace(OPEN, id=str(n), subscriber=n, domain=domain, network=network)
        for n, (domain, network) in enumerate(
            [
                ("a.example", "x"),
                ("b.example", "x"),
                ("a.example", "y"),
                ("", "x"),
                ("a.example", ""),
            ]
        )
    ]

    assert {one.readers_in_all for one in company(looks).values()} == {0}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=40))
def test_the_quick_count_equals_the_plain_one(visits: list[tuple[int, int]]) -> None:
    looks = [
        replace(CLICK, id=str(n), link=link, at=NOON + timedelta(seconds=seconds / 2))
        for n, (seconds, link) in enumerate(visits)
    ]

    def plainly(one: Look) -> int:
        stretches = [
            {o.link for o in looks if start.at <= o.at <= start.at + machines.AT_ONCE}
            for start in looks
            if start.at <= one.at <= start.at + machines.AT_ONCE
        ]
        return max(len(links) for links in stretches)

    counted = company(looks)
    for look in looks:
        plain = plainly(look)
        assert counted[look.id].links_at_once == plain or plain < machines.FEWEST
        assert (counted[look.id].links_at_once >= 3) == (plain >= 3)


def test_there_are_three_classes_and_no_more() -> None:
    assert list(Verdict) == ["person", "unsure", "machine"]
