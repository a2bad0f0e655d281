"""Exports of other senders are read without being told what is what, and opt-outs stay out."""

import pytest

from subscribers.fields import CustomField, Kind
from subscribers.intake.columns import understand
from subscribers.intake.person import Incoming, OptedOut, Reader, RowInvalid
from subscribers.intake.row import Row
from subscribers.segment import Segment
from subscribers.subscriber import SegmentId
from subscribers.suppression import Reason

AI = Segment(SegmentId(1), "ai", "AI", {}, "", "", 1, None)
SCHEMA = (
    CustomField("city", "City", Kind.TEXT),
    CustomField("score", "Score", Kind.NUMBER),
    CustomField("labels", "Labels", Kind.TAGS),
)
MAILCHIMP = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,"
    "CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS"
)
CHIMP = (
    "ada@example.org,Ada,Lovelace,2,2020-02-03 04:05:06,198.51.100.7,2020-02-04 05:06:07,"
    "198.51.100.7,48.8,2.3,1,2,Europe/Paris,FR,IDF,2021-01-01 00:00:00,123,abc,,vip"
)
LISTMONK = "uuid,email,name,attributes,status,created_at,updated_at"
SUBSTACK = "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at"
BEEHIIV = "email,status,created_at,subscription_tier,utm_source"
GHOST = (
    "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,"
    "deleted_at,labels,tiers"
)


def read(headings: str, cells: list[str], file_name: str = "export.csv") -> tuple[str, Incoming]:
    columns = understand(headings.split(","), [], SCHEMA, told={}, file_name=file_name)
    reader = Reader(columns, [AI], SCHEMA, everybody=("ai",), source=file_name)
    return columns.peer, reader.read(Row(2, cells))


@pytest.mark.parametrize(
    ("peer", "headings", "cells", "name", "evidence"),
    [
        ("Mailchimp", MAILCHIMP, CHIMP, "Ada Lovelace", "agreed 2020-02-03 04:05:06"),
        (
            "Substack",
            SUBSTACK,
            "ada@example.org,false,,other,false,2025-01-01T00:00:00.000Z,",
            "",
            "agreed 2025-01-01T00:00:00.000Z",
        ),
        (
            "beehiiv",
            BEEHIIV,
            "ada@example.org,active,2024-05-01 10:00:00,free,twitter",
            "",
            "agreed 2024-05-01 10:00:00",
        ),
        (
            "Ghost",
            GHOST,
            "m1,ada@example.org,Ada L.,,true,false,,2024-01-15T10:00:00.000Z,,vip,",
            "Ada L.",
            "agreed 2024-01-15T10:00:00.000Z",
        ),
    ],
)
def test_an_export_is_recognised(
    peer: str, headings: str, cells: str, name: str, evidence: str
) -> None:
    found, incoming = read(headings, cells.split(","))

    assert found == peer
    assert incoming.person.address.address == "ada@example.org"
    assert (incoming.person.name, incoming.evidence) == (name, evidence)


def test_listmonks_attributes_fill_the_fields_there_are() -> None:
    attributes = '{"city": "Paris", "score": 7, "labels": ["a", "b"], "other": {"x": 1}}'
    cells = ["u", "ada@example.org", "Ada", attributes, "enabled", "2024-01-01 00:00", ""]
    found, incoming = read(LISTMONK, cells)

    assert found == "listmonk"
    assert incoming.person.fields == {"city": "Paris", "score": 7, "labels": ["a", "b"]}
    for broken in ("", "[]", "{", '{"score": "many"}', "[" * 100_000):
        assert read(LISTMONK, [*cells[:3], broken, *cells[4:]])[1].person.fields == {}


def test_mailchimp_knows_the_time_zone_and_ours_is_not_refused_for_a_wrong_one() -> None:
    assert read(MAILCHIMP, CHIMP.split(","))[1].person.timezone == "Europe/Paris"
    odd = CHIMP.replace("Europe/Paris", "Mars/Base").split(",")
    assert read(MAILCHIMP, odd)[1].person.timezone == ""


@pytest.mark.parametrize(
    ("headings", "cells", "file_name", "reason"),
    [
        (MAILCHIMP + ",UNSUB_TIME", CHIMP + ",2022-01-01 10:00:00", "x.csv", Reason.ASKED),
        (MAILCHIMP + ",CLEAN_TIME", CHIMP + ",2022-01-01 10:00:00", "x.csv", Reason.BOUNCED),
        (MAILCHIMP, CHIMP, "unsubscribed_members_export_1.csv", Reason.ASKED),
        (MAILCHIMP, CHIMP, "cleaned_members_export_1.csv", Reason.BOUNCED),
        (LISTMONK, "u,ada@example.org,A,{},blocklisted,,", "x.csv", Reason.ASKED),
        (SUBSTACK, "ada@example.org,false,,other,true,2025-01-01,", "x.csv", Reason.ASKED),
        (BEEHIIV, "ada@example.org,inactive,,free,", "x.csv", Reason.ASKED),
        (BEEHIIV, "ada@example.org,invalid,,free,", "x.csv", Reason.BOUNCED),
        (GHOST, "m1,ada@example.org,A,,false,false,,,,,", "x.csv", Reason.ASKED),
        ("email,status", "ada@example.org,Complained", "x.csv", Reason.COMPLAINED),
        ("邮箱,状态", "ada@example.org,已退订", "x.csv", Reason.ASKED),
    ],
)
def test_whoever_opted_out_there_is_out_here(
    headings: str, cells: str, file_name: str, reason: Reason
) -> None:
    with pytest.raises(OptedOut) as out:
        read(headings, cells.split(","), file_name)

    assert out.value.reason is reason
    assert out.value.address.address == "ada@example.org"


@pytest.mark.parametrize(
    ("headings", "cells", "file_name"),
    [
        (LISTMONK, "u,ada@example.org,A,{},disabled,,", "x.csv"),
        (BEEHIIV, "ada@example.org,pending,,free,", "x.csv"),
        (MAILCHIMP, CHIMP, "nonsubscribed_members_export_1.csv"),
        (GHOST, "m1,ada@example.org,A,,true,false,,,2024-01-01,,", "x.csv"),
        ("email,status", "ada@example.org,unconfirmed", "x.csv"),
    ],
)
def test_whoever_never_agreed_there_has_not_agreed_here(
    headings: str, cells: str, file_name: str
) -> None:
    with pytest.raises(RowInvalid, match="has not agreed"):
        read(headings, cells.split(","), file_name)


def test_a_status_that_means_something_else_is_no_opt_out() -> None:
    assert read("email,status", ["ada@example.org", "VIP"])[1].person.name == ""
