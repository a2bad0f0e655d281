"""Which lane a recipient's domain belongs to: the mailbox provider that paces us.

What the delivery file says comes first, then the domains we know, then where the domain's mail
goes, if that was looked up: a company's own domain may well be Gmail's or Microsoft's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mailer.delivery.plan import Plan
from subscribers.provider import OTHER, PROVIDERS

MAIL_HOSTS: Mapping[str, tuple[str, ...]] = {
    "gmail": ("google.com", "googlemail.com", "smtp.goog"),
    "microsoft": ("outlook.com", "hotmail.com", "mx.microsoft"),
    "yahoo": ("yahoodns.net", "yahoo.com", "aol.com"),
    "apple": ("icloud.com", "apple.com"),
    "qq": ("qq.com",),
    "netease": ("163.com", "126.com", "netease.com"),
}
"""Lane -> endings of the names of its mail hosts."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of an installation.

    A provider watches a sender across all of its domains, so they share one.
    """

    domains: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, tuple[str, ...]]  # endings of mail hosts; empty: nobody looks them up

    @classmethod
    def of(cls, plan: Plan) -> "Lanes":
        """The lanes we know, as the delivery file changes and adds to them."""
        domains = _merged({name: lane.domains for name, lane in plan.lanes.items()}, PROVIDERS)
        named = {name: lane.mx for name, lane in plan.lanes.items()}
        return cls(domains, _merged(named, MAIL_HOSTS) if plan.mx_lookup else {})

    def lane(self, domain: str, host: str = "") -> str:
        """The lane of a domain in A-labels whose mail goes to a host; "" is unknown."""
        domain, host = domain.lower(), host.lower()
        for name, domains in self.domains.items():
            if domain in domains:
                return name
        ours = (name for ending, name in self.endings if f".{host}".endswith(f".{ending}"))
        return next(ours, OTHER)

    @property
    def endings(self) -> tuple[tuple[str, str], ...]:
        """Ending of a mail host and lane, the longest and so most particular ending first."""
        pairs = [(ending, name) for name, hosts in self.hosts.items() for ending in hosts]
        return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), pair)))


def _merged(
    first: Mapping[str, tuple[str, ...]], known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Both together; what stands in the first belongs to no other lane of the second."""
    taken = {each for given in first.values() for each in given}
    merged: dict[str, tuple[str, ...]] = {
        name: tuple(each for each in given if each not in taken) for name, given in known.items()
    }
    for name, given in first.items():
        merged[name] = (*given, *merged.get(name, ()))
    return {name: given for name, given in merged.items() if given}
