"""An issue as it is read on a day, by somebody who follows some segments."""

import datetime

from mailer.content.issue import Issue, Item, Section


def test_an_item_under_embargo_or_expired_is_left_out() -> None:
    day = datetime.date(2026, 11, 20)
    later, earlier = day + datetime.timedelta(days=1), day - datetime.timedelta(days=1)
    items = (
        Item("plain", "Plain"),
        Item("from-today", "From today", embargo=day),
        Item("tomorrow", "Tomorrow", embargo=later),
        Item("last-day", "Last day", expires=day),
        Item("over", "Over", expires=earlier),
        Item("long", "Long read", items=(Item("part", "Part", embargo=later),)),
    )
    issue = Issue("Weekly", sections=(Section(items=items), Section(items=(items[2],))))

    (section,) = issue.on(day).sections

    assert [item.id for item in section.items] == ["plain", "from-today", "last-day", "long"]
    assert section.items[-1].items == ()


def test_a_rule_reads_what_names_it_and_else_the_issue_whole() -> None:
    items = (Item("a", "A", segments=("ai",)), Item("v", "V", segments=("vip", "luxury")))
    issue = Issue("Weekly", sections=(Section(items=items),))

    assert issue.read_in(("ai",), {"vip", "regulars"}) == ("ai",)
    assert issue.read_in(("vip",), {"vip", "regulars"}) == ("vip",)
    assert issue.read_in(("regulars",), {"vip", "regulars"}) == ("regulars", "ai", "vip", "luxury")
    assert issue.read_in(("sport",), set()) == ("sport",)
