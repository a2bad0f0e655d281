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
