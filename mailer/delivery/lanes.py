"""Which lane a recipient's domain belongs to: the mailbox provider that paces us.

A provider watches a sender across all of its domains, so these share one lane; every domain not
named here is in `other`. Hosted company domains (Google Workspace, Microsoft 365) cannot be told
from the name and stay in `other` too.
"""

from collections.abc import Mapping

OTHER = "other"

LANES: Mapping[str, tuple[str, ...]] = {
    "gmail": ("gmail.com", "googlemail.com"),
    "microsoft": (
        *("outlook.com", "outlook.fr", "outlook.de", "outlook.es", "outlook.it", "outlook.jp"),
        *("hotmail.com", "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es"),
        *("live.com", "live.co.uk", "live.fr", "live.de", "live.it", "live.nl", "live.cn"),
        *("msn.com", "passport.com", "windowslive.com"),
    ),
    "yahoo": (
        *("yahoo.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.it", "yahoo.es", "yahoo.ca"),
        *("yahoo.co.in", "yahoo.in", "yahoo.com.br", "yahoo.com.ar", "yahoo.com.mx"),
        *("yahoo.com.au", "yahoo.com.hk", "yahoo.com.tw", "yahoo.com.sg", "yahoo.co.id"),
        *("ymail.com", "rocketmail.com", "myyahoo.com", "aol.com", "aol.co.uk", "aim.com"),
    ),
    "apple": ("icloud.com", "me.com", "mac.com"),
    "qq": ("qq.com", "vip.qq.com", "foxmail.com"),
    "netease": ("163.com", "126.com", "yeah.net", "vip.163.com", "vip.126.com", "188.com"),
}

_LANE_OF = {domain: lane for lane, domains in LANES.items() for domain in domains}


def lane_of(domain: str) -> str:
    """The lane of a domain in A-labels; capitals make no difference."""
    return _LANE_OF.get(domain.lower(), OTHER)
