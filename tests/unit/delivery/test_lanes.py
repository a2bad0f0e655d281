"""Recipients of one mailbox provider share a lane."""

import pytest

from mailer.delivery.lanes import MAIL_HOSTS, Lanes
from mailer.delivery.plan import LanePlan, Plan
from subscribers.provider import OTHER, PROVIDERS


@pytest.mark.parametrize(
    ("domain", "lane"),
    [
        ("gmail.com", "gmail"),
        ("GoogleMail.com", "gmail"),
        ("hotmail.co.uk", "microsoft"),
        ("ymail.com", "yahoo"),
        ("me.com", "apple"),
        ("foxmail.com", "qq"),
        ("yeah.net", "netease"),
        ("example.org", OTHER),
        ("notgmail.com", OTHER),
        ("mail.qq.com", OTHER),
    ],
)
def test_a_domain_belongs_to_the_lane_of_its_provider(domain: str, lane: str) -> None:
    assert Lanes.of(Plan()).lane(domain) == lane


def test_no_domain_is_in_two_lanes() -> None:
    domains = [domain for names in PROVIDERS.values() for domain in names]

    assert len(domains) == len(set(domains))


@pytest.mark.parametrize(
    ("domain", "host", "lane"),
    [
        ("firm.example", "aspmx.l.google.com", "gmail"),
        ("firm.example", "ASPMX.L.GOOGLE.COM", "gmail"),
        ("firm.example", "firm-example.mail.protection.outlook.com", "microsoft"),
        ("firm.example", "mta7.am0.yahoodns.net", "yahoo"),
        ("firm.example", "mx01.mail.icloud.com", "apple"),
        ("firm.example", "mxbiz1.qq.com", "qq"),
        ("firm.example", "hzmx01.mxmail.netease.com", "netease"),
        ("firm.example", "mx.notgoogle.com", OTHER),
        ("firm.example", "", OTHER),
        ("qq.com", "aspmx.l.google.com", "qq"),  # the domain comes first
        ("orange.example", "aspmx.l.google.com", "orange"),
        ("gmail.com", "", "orange"),  # the plan before what we know
        ("firm.example", "mx.orange.google.com", "orange"),  # the more particular ending
    ],
)
def test_a_plan_and_the_mail_host_say_the_lane_of_a_domain(
    domain: str, host: str, lane: str
) -> None:
    own = LanePlan(domains=("orange.example", "gmail.com"), mx=("orange.google.com",))
    lanes = Lanes.of(Plan(lanes={"orange": own}, mx_lookup=True))

    assert lanes.lane(domain, host) == lane


def test_mail_hosts_say_nothing_where_nobody_looks_them_up() -> None:
    assert Lanes.of(Plan()).lane("firm.example", "aspmx.l.google.com") == OTHER


def test_each_lane_with_domains_has_mail_hosts_of_its_own() -> None:
    hosts = [host for names in MAIL_HOSTS.values() for host in names]

    assert MAIL_HOSTS.keys() == PROVIDERS.keys()
    assert len(hosts) == len(set(hosts))
