"""What a User-Agent header says about who asked: a browser, a mail program, a proxy, a crawler.

By shape, not by a list of robots: people come with one of few well-known forms (a browser's, a mail
program's), and whatever has another form, names a web address or calls itself a robot is a machine.
The text itself is read once and dropped; what stays is a kind and a short family (RFC 9110 10.1.5).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

LIMIT = 512
"""Characters of a header that are looked at; browsers need some 250."""


class Kind(StrEnum):
    """What sort of program asked."""

    BROWSER = "browser"
    MAIL = "mail"  # a mail program that names itself
    APP = "app"  # a phone's own network library, or a browser inside an app we do not know
    PROXY = "proxy"  # fetches pictures when somebody looks at the mail, and sometimes before
    PRIVACY = "privacy"  # fetches every picture, looked at or not: Apple's Mail Privacy Protection
    CRAWLER = "crawler"  # says so
    LIBRARY = "library"  # a program's network library, or no form that people come with
    NONE = "none"  # no header at all


@dataclass(frozen=True, slots=True)
class Agent:
    """What is kept of a User-Agent header."""

    kind: Kind
    family: str  # "Firefox", "GoogleImageProxy"; at most 24 characters, "" where none is known


PRIVACY_AGENT = "Mozilla/5.0"  # exactly this and nothing more

_PROXIES = ("GoogleImageProxy", "YahooMailProxy", "BingPreviewMail", "OutlookImageProxy")
_MAIL = re.compile(
    r"\b(?:(Thunderbird|Betterbird|SeaMonkey|Airmail|eM ?Client|Evolution|Postbox|MailMate"
    r"|Mailspring|K-9 Mail|FairEmail|Mailbird|Foxmail)\b"
    r"|(Microsoft Outlook|ms-office|MSOffice|Outlook-iOS|Outlook-Android|OneOutlook))",
)
# Robots introduce themselves: with a trade, or with an address where to complain.
_TRADES = re.compile(
    r"(?<!cu)bots?(?![a-z]*phone)|crawl|spider|slurp|scrap[ey]|fetch|harvest|archiv|index(?:er|ing)"
    r"|monitor|uptime|pingdom|check|validat|verif|scann?|probe|survey|inspect|audit|analy[sz]"
    r"|preview|thumbnail|screenshot|snapshot|favicon|transcod|translat|proxy|gateway|headless"
    r"|phantom|selenium|puppeteer|playwright|webdriver|lighthouse|pagespeed|insights|perform"
    r"|search|seo\b|feed|rss|podcast|news ?reader|reader/|download|upload|grab|capture|collect"
    r"|explor(?!er)|discover|detect|research|scholar|security|threat|safe ?link|barracuda|mimecast"
    r"|proofpoint|virus|ads?bot|adsense|marketing|agent\b(?!=)|client/|(?<!web)engine|parser|extract"
    r"|plagi|copyright|python|perl|ruby|java(?:/|\b(?!script))|php|curl|wget|libwww|lwp|okhttp"
    r"|axios|node|golang|go-http|http|\burl|links?\b|guzzle|aiohttp|scrapy|winhttp|test",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"https?:|www\.|[\w.-]+@[\w-]+\.\w|\b[a-z][\w-]+\.(?:com|net|org|io|de|fr|ru|ai|co|info|eu|uk)\b",
    re.IGNORECASE,
)
_PLATFORM = re.compile(
    r"^(?:Windows(?: NT|; U| Phone)|Macintosh|X11|Wayland|Linux|iPhone|iPad|iPod|Android|Mobile;"
    r"|Tablet;|compatible; MSIE|PlayStation|Nintendo|SMART-TV|Web0S|Tizen)"
)
_FORM = re.compile(r"^Mozilla/5\.0 \(([^()]*(?:\([^()]*\)[^()]*)*)\)(.*)$")
_DESKTOP_LINUX = re.compile(
    r"^(?:X11|Wayland); (?:U; )?(?:(?:Ubuntu|Fedora|Debian); )?"
    r"(?:Linux|CrOS|FreeBSD|OpenBSD|NetBSD)[\w. -]*(?:; rv:[\d.]+|; \w\w-\w\w)*$"
)
_ENGINE = "(KHTML, like Gecko)"
# What browsers are made of; families by how specific their names are.
_FAMILIES = (
    *("Edg", "EdgA", "EdgiOS", "Edge", "OPR", "OPT", "OPX", "Opera", "Vivaldi", "Brave"),
    *("YaBrowser", "SamsungBrowser", "UCBrowser", "MiuiBrowser", "HuaweiBrowser", "VivoBrowser"),
    *("HeyTapBrowser", "QQBrowser", "MQQBrowser", "MicroMessenger", "DuckDuckGo", "Ddg", "Silk"),
    *("Ecosia", "Whale", "Focus", "Klar", "FxiOS", "CriOS", "GSA", "Instagram", "LinkedInApp"),
    *("Quark", "Puffin", "Sleipnir", "PaleMoon", "Waterfox", "LibreWolf", "Iceweasel"),
    *("Konqueror", "Epiphany", "Falkon", "QtWebEngine", "Firefox", "Chromium", "Chrome"),
    *("Trident", "Safari"),
)
_PARTS = frozenset(
    {
        *_FAMILIES,
        *("AppleWebKit", "Version", "Mobile", "Gecko", "KHTML", "Ubuntu", "Fedora", "Debian"),
        *("Tablet", "Raspbian", "NetType", "Language", "WindowsWechat", "XWEB", "Weixin"),
        *("MMWEBID", "MMWEBSDK", "ABI", "FB_IAB", "like", "Android", "Linux", "AVG", "Avast"),
        *("CCleaner", "Goanna", "Config", "Viewer", "Intl", "XiaoMi", "TV"),
    }
)


def read(text: str) -> Agent:
    """What the header says. Never raises, whatever it is given; "" is no header."""
    return _read(text[:LIMIT].strip())


@lru_cache(8192)  # reading takes some 100 us, and a thousand readers share a few dozen headers
def _read(text: str) -> Agent:
    if not text:
        return Agent(Kind.NONE, "")
    if text == PRIVACY_AGENT:
        return Agent(Kind.PRIVACY, "Apple")
    if proxy := next((name for name in _PROXIES if name in text), ""):
        return Agent(Kind.PROXY, proxy)
    if _PLACE.search(text) or _TRADES.search(text):
        return Agent(Kind.CRAWLER, _named(text))
    if mail := _MAIL.search(text):
        return Agent(Kind.MAIL, mail[1] or "Outlook")
    return _by_form(text)


def _by_form(text: str) -> Agent:
    form = _FORM.match(text)
    if form is None or not _PLATFORM.match(form[1]):
        if re.search(r"\bCFNetwork/[\d.]+ Darwin/\d", text) or text.startswith("Dalvik/"):
            return Agent(Kind.APP, _named(text))
        return Agent(Kind.LIBRARY, _named(text))
    platform, rest = form[1], form[2]
    words = re.sub(r"\([^()]*\)", " ", rest).split()
    names = [word.partition("/")[0].strip("[];") for word in words]
    family = next((name for name in _FAMILIES if name in names), "")
    family = family or ("Trident" if "Trident/" in platform else "")
    if not family and not {"Mobile", "Gecko", "AppleWebKit"} & set(names):
        return Agent(Kind.LIBRARY, _named(text))
    strangers = [word for word, name in zip(words, names, strict=True) if _strange(name)]
    if _built_by_hand(platform, rest, strangers):
        return Agent(Kind.LIBRARY, _named(text))
    return Agent(Kind.APP if strangers else Kind.BROWSER, family)


def _strange(name: str) -> bool:
    return name not in _PARTS and not re.fullmatch(r"[\W\d_.]*", name)


def _built_by_hand(platform: str, rest: str, strangers: list[str]) -> bool:
    """Whether somebody wrote their own name into a browser's form.

    Phones' apps add names of all sorts, so there it says nothing. A desktop browser adds a name
    with its version at most, and on Linux, where the servers are, none we have not heard of.
    """
    if "(KHTML" in rest and _ENGINE not in rest:
        return True
    if platform.startswith(("X11", "Wayland")):
        return bool(strangers) or not _DESKTOP_LINUX.match(platform)
    if platform.startswith(("Windows NT", "Macintosh")):
        return any("/" not in word for word in strangers)
    return False


def _named(text: str) -> str:
    """The first word of its own that it uses: "Googlebot", "python-requests"."""
    words = re.findall(r"[A-Za-z][\w.-]{2,}", text)
    own = (w for w in words if w not in _PARTS and w not in {"Mozilla", "compatible", "Windows"})
    return next(own, "")[:24]
