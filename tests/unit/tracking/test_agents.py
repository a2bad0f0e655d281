"""Machines are known by how they introduce themselves; no ordinary browser is taken for one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.tracking.agents import Kind, read

MACHINES = {Kind.CRAWLER, Kind.LIBRARY, Kind.NONE, Kind.PRIVACY, Kind.PROXY}
PEOPLE = {Kind.BROWSER, Kind.MAIL}

ORDINARY = (
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Safari/537.36 Edg/141.0.3537.71"
    ),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 YaBrowser/25.10.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/138.0.0.0 Safari/537.36 Vivaldi/7.5.3735.58"
    ),
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:115.0) Gecko/20100101 Firefox/115.0",
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.6 Safari/605.1.15"
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36"
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Thunderbird/140.4.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.3.1",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
        "Safari/537.36"
    ),
    "Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/141.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 "
        "Safari/605.1.15 Epiphany/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/15E148"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) CriOS/141.0.7390.96 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) FxiOS/144.0 Mobile/15E148 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) GSA/389.0.817654712 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/18.1 EdgiOS/141.0.3537.61 Mobile/15E148 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.6 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/18.3 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/15E148 MicroMessenger/8.0.60(0x18003c2c) NetType/WIFI Language/en"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) "
        "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
    (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240205.004; wv) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Version/4.0 Chrome/141.0.7390.122 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; Redmi Note 12) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.9.0"
    ),
    (
        "Mozilla/5.0 (Linux; Android 12; HarmonyOS; NOH-AN00) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Chrome/114.0.5735.196 HuaweiBrowser/15.0.4.312 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Mobile Safari/537.36 EdgA/140.0.0.0"
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/138.0.0.0 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A.231005.007; wv) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Version/4.0 Chrome/140.0.7339.155 Mobile Safari/537.36 "
        "[FB_IAB/FB4A;FBAV/530.0.0.48.74;]"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/22E240 Instagram 395.0.0.30.83 (iPhone14,5; iOS 18_4; en_GB; en-GB; "
        "scale=3.00; 1170x2532; 765432198)"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/15E148 [LinkedInApp]/9.31.3650"
    ),
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    (
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C; "
        ".NET4.0E; Microsoft Outlook 16.0.17928; ms-office; MSOffice 16)"
    ),
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.18025; Pro)",
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0 OneOutlook/1.2025.1001.100"
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) QtWebEngine/6.7.2 "
        "Chrome/118.0.5993.220 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; U; Android 13; en-us; Redmi 12 Build/TP1A.220624.014) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0.4896.127 Mobile "
        "Safari/537.36"
    ),
    (
        "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) "
        "SamsungBrowser/5.2 Chrome/94.0.4606.31 TV Safari/537.36"
    ),
)
"""Browsers and mail programs as they came in 2025 and 2026, and a few that linger on."""


@pytest.mark.parametrize("agent", ORDINARY)
def test_an_ordinary_browser_or_mail_program_is_no_machine(agent: str) -> None:
    assert read(agent).kind in PEOPLE


def test_the_robots_of_the_corpus_are_machines(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = json.loads((shared / "corpora/bots/crawler-user-agents.json").read_text("utf-8"))
    agents = [agent for entry in corpus for agent in entry["instances"]]
    missed = [agent for agent in agents if read(agent).kind not in MACHINES]
    wrong = [agent for agent in ORDINARY if read(agent).kind not in PEOPLE]
    with capsys.disabled():
        print(  # noqa: T201  # the numbers are the point
            f"\nrobots found: {1 - len(missed) / len(agents):.2%} of {len(agents)};"
            f" ordinary agents taken for robots: {len(wrong)} of {len(ORDINARY)}"
        )

    assert len(agents) > 2000
    assert len(missed) <= len(agents) * 0.01
    assert not any(read(agent).kind in PEOPLE for agent in missed[10:])


@pytest.mark.parametrize(
    ("agent", "kind", "family"),
    [
        ("", Kind.NONE, ""),
        ("   ", Kind.NONE, ""),
        ("Mozilla/5.0", Kind.PRIVACY, "Apple"),  # exactly: Mail Privacy Protection
        ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", Kind.PROXY, "GoogleImageProxy"),
        (
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            Kind.PROXY,
            "YahooMailProxy",
        ),
        ("curl/8.5.0", Kind.CRAWLER, "curl"),
        ("python-requests/2.32.3", Kind.CRAWLER, "python-requests"),
        ("Acme/1.0", Kind.LIBRARY, "Acme"),
        ("Mozilla/4.0", Kind.LIBRARY, ""),
        ("Dalvik/2.1.0 (Linux; U; Android 14; SM-S911B)", Kind.APP, "Dalvik"),
        ("Spark/3.0 CFNetwork/1494 Darwin/23.4.0", Kind.APP, "Spark"),
    ],
)
def test_what_is_kept_of_an_agent_is_a_kind_and_a_short_name(
    agent: str, kind: Kind, family: str
) -> None:
    found = read(agent)

    assert (found.kind, found.family) == (kind, family)


@given(st.text(max_size=2000))
def test_any_text_is_read(text: str) -> None:
    assert len(read(text).family) <= 24


@pytest.mark.parametrize("part", ["(", "a", "a/1 ", "(a;", "[a/1]", "a.", "@", "Mozilla/5.0 ("])
def test_long_text_is_read_quickly(part: str) -> None:
    for _ in range(20):
        read(part * 100_000)
