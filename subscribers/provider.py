"""Which mailbox provider a domain belongs to.

A provider watches a sender across all of its domains, so these go together; every domain not named
here is `other`. Hosted company domains (Google Workspace, Microsoft 365) cannot be told from the
name and stay in `other` too.
"""

from collections.abc import Mapping

OTHER = "other"

PROVIDERS: Mapping[str, tuple[str, ...]] = {
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

_PROVIDER_OF = {domain: name for name, domains in PROVIDERS.items() for domain in domains}


def provider_of(domain: str) -> str:
    """The provider of a domain in A-labels; capitals make no difference."""
    return _PROVIDER_OF.get(domain.lower(), OTHER)
