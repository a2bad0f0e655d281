"""A domain belongs to one mailbox provider, or to none that is known."""

import pytest

from subscribers.provider import OTHER, PROVIDERS, provider_of


@pytest.mark.parametrize(
    ("domain", "provider"),
    [("gmail.com", "gmail"), ("QQ.com", "qq"), ("example.org", OTHER), ("mail.qq.com", OTHER)],
)
def test_a_domain_belongs_to_a_provider(domain: str, provider: str) -> None:
    assert provider_of(domain) == provider


def test_providers_are_the_six_we_know() -> None:
    assert set(PROVIDERS) == {"gmail", "microsoft", "yahoo", "apple", "qq", "netease"}
