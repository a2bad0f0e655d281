"""Issues are kept in revisions; what is approved has a hash and stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from mailer.content import actions, document, queries
from mailer.content.issue import Issue, IssueId, Item, Kind, Section
from mailer.content.models import ItemRow, ItemSegmentRow, SectionRow
from mailer.kit.database import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)

ISSUE = Issue(
    title="A week of paper",
    number=7,
    slug="paper-7",
    sections=(
        Section(
            title="Shops",
            segments=("e-commerce",),
            items=(
                Item("kiosk", "Kiosk opens", "Text."),
                Item("robot", "Robot wakes", segments=("ai", "luxury")),
            ),
        ),
        Section(
            items=(Item("long", "Long read", kind=Kind.DEEP_DIVE, items=(Item("part", "A part"),)),)
        ),
    ),
)


def save(database: Database, issue: Issue, *, now: datetime = NOON) -> IssueId:
    with database.transaction() as session:
        return actions.save(session, issue, now=now, by="Ada")


def stored(database: Database, number: IssueId) -> queries.StoredIssue:
    with database.reading() as session:
        return queries.issue(session, number)


def test_what_was_saved_comes_back_whole(database: Database) -> None:
    number = save(database, ISSUE)
    found = stored(database, number)

    assert found.issue == replace(ISSUE, id=number)
    assert (found.slug, found.state, found.revision) == ("paper-7", "draft", 1)
    assert found.hash == document.hash_of(ISSUE)
    assert (found.created_at, found.updated_at, found.approved_at) == (NOON, NOON, None)
    with database.reading() as session:
        assert queries.find(session, "paper-7") == number
        assert queries.find(session, "other") is None
        assert queries.text(session, number, 1) == document.write(ISSUE)


def test_the_same_slug_is_a_new_revision_and_the_old_one_stays(database: Database) -> None:
    number = save(database, ISSUE)
    again = save(database, replace(ISSUE, title="Changed"), now=LATER)

    found = stored(database, number)
    assert again == number
    assert (found.revision, found.issue.title, found.updated_at) == (2, "Changed", LATER)
    with database.reading() as session:
        assert queries.revision(session, number, 1).title == "A week of paper"


def test_saving_what_is_stored_changes_nothing_not_even_an_approval(database: Database) -> None:
    number = save(database, ISSUE)
    with database.transaction() as session:
        actions.approve(session, number, now=NOON)

    save(database, replace(ISSUE, id=number), now=LATER)

    found = stored(database, number)
    assert (found.state, found.revision, found.updated_at) == ("approved", 1, NOON)


def test_approval_names_a_hash_and_a_change_is_a_draft_again(database: Database) -> None:
    number = save(database, ISSUE)
    with database.transaction() as session:
        approved = actions.approve(session, number, now=NOON)
        assert actions.approve(session, number, now=LATER) == approved
    assert approved == document.hash_of(ISSUE)
    assert stored(database, number).approved_at == NOON

    save(database, replace(ISSUE, greeting="Hello."), now=LATER)

    found = stored(database, number)
    assert (found.state, found.approved_revision) == ("draft", 1)
    with database.reading() as session:
        assert document.hash_of(queries.revision(session, number, 1)) == approved


def test_issues_are_listed_newest_first_with_their_items(database: Database) -> None:
    save(database, ISSUE)
    save(database, Issue("Other"), now=LATER)

    with database.reading() as session:
        listed = queries.issues(session)

    assert [(one.slug, one.number) for one in listed] == [("other", 0), ("paper-7", 7)]
    assert [one.items for one in listed] == [0, 3]


def test_the_index_speaks_of_the_latest_revision(database: Database) -> None:
    number = save(database, ISSUE)
    first, *rest = ISSUE.sections
    save(database, replace(ISSUE, sections=(replace(first, items=first.items[:1]), *rest)))

    with database.reading() as session:
        items = session.execute(
            select(ItemRow.key, ItemRow.parent, ItemRow.section).order_by(ItemRow.position)
        ).all()
        segments = session.scalars(select(ItemSegmentRow.segment)).all()
        sections = session.scalars(select(SectionRow.title).order_by(SectionRow.position)).all()
        assert queries.identify(session, str(number)) == queries.identify(session, "paper-7")
    assert [tuple(row) for row in items] == [("kiosk", "", 1), ("long", "", 2), ("part", "long", 2)]
    assert segments == ["e-commerce"]
    assert sections == ["Shops", ""]


def test_an_issue_that_is_not_there_is_said_so(database: Database) -> None:
    nobody = IssueId(99)
    with database.reading() as session:
        for ask in (
            lambda: queries.issue(session, nobody),
            lambda: queries.revision(session, nobody, 1),
            lambda: queries.identify(session, "nothing"),
            lambda: actions.approve(session, nobody, now=NOON),
        ):
            with pytest.raises(queries.IssueNotFound):
                ask()


def test_an_issue_its_own_file_would_refuse_is_not_stored(database: Database) -> None:
    for broken in (
        Issue(""),
        Issue("two\nlines"),
        Issue("T", sections=(Section(items=(Item("a", "A"), Item("a", "B"))),)),
    ):
        with pytest.raises(document.DocumentInvalid):
            save(database, broken)
    with database.reading() as session:
        assert queries.issues(session) == ()


def test_hostile_characters_are_stored_on_both_databases(database: Database) -> None:
    section = Section(items=(Item("", "即刻"),))
    issue = Issue("小红书 🇨🇳", greeting="a\0b \u2028 é", sections=(section,))

    number = save(database, issue)

    assert stored(database, number).issue.greeting == "a\0b \u2028 é"


def test_an_issue_with_rules_nobody_heeds_yet_cannot_be_approved(database: Database) -> None:
    item = Item("secret", "Secret", visible_if="follows:ai")
    issue = Issue("Weekly", slug="weekly", sections=(Section(items=(item,)),))
    with database.transaction() as session:
        number = actions.save(session, issue, now=NOON)
        with pytest.raises(actions.RuleNotSupported, match="'secret'"):
            actions.approve(session, number, now=NOON)
