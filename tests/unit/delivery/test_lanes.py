"""Recipients of one mailbox provider share a lane."""

import pytest

from mailer.delivery.lanes import LANES, OTHER, lane_of


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
    assert lane_of(domain) == lane


def test_no_domain_is_in_two_lanes() -> None:
    domains = [domain for names in LANES.values() for domain in names]

    assert len(domains) == len(set(domains))
