"""Names for machines are stable, readable where they can be, and each is given once."""

import datetime

from mailer.content.issue import Issue, Item, Section
from mailer.content.slug import LIMIT, Names, slug, slug_of, with_ids


def test_a_slug_is_plain_and_short() -> None:
    assert slug("Café’s “Big” Day, 2026!") == "cafes-big-day-2026"
    assert slug("word " * 40).endswith("word")
    assert len(slug("word " * 40)) <= LIMIT
    assert len(slug("w" * 200)) == LIMIT
    assert slug("小红书") == ""


def test_names_are_given_once_even_where_titles_repeat_or_say_nothing() -> None:
    names = Names(["a"])

    given = [names.of("A"), names.of("A"), names.of("", "First words of it"), names.of("小红书")]

    assert given[:3] == ["a-2", "a-3", "first-words-of-it"]
    assert given[3] == Names().of("小红书")
    assert len(set(given)) == 4


def test_an_issue_is_named_by_date_and_title() -> None:
    assert slug_of(Issue("A Week", date=datetime.date(2026, 3, 1))) == "2026-03-01-a-week"
    assert slug_of(Issue("A Week")) == "a-week"
    assert slug_of(Issue("周报")).startswith("issue-")


def test_ids_that_are_there_stay_and_are_not_given_again() -> None:
    items = (Item("", "One"), Item("one", "Other", items=(Item("", "One"),)))

    named = with_ids(Issue("T", sections=(Section(items=items),)))

    assert [item.id for top in named.items for item in top.walk()] == ["one-2", "one", "one-3"]
