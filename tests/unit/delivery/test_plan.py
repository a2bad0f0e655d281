"""A delivery file says all there is to say about pace, and each of its faults has a place."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mailer.delivery.plan import DEFAULT_LADDER, BrakePlan, Plan
from mailer.kit.errors import Misconfigured

URL = "smtp://relay.example:25"
WHOLE = """
quiet_hours = "22:00-07:00"
expiry = "2d"
mx_lookup = true

[[relay]]
name = "main"
url = "smtps://user:sesame@relay.example"
weight = 3
rate = "100/s"
connections = 8
messages_per_connection = 500

[[relay]]
name = "new"
url_file = "new.url"
lanes = ["gmail", "yahoo"]
warm_up = [50, 100, 250]

[lane.gmail]
domains = ["gmail.example"]
mx = ["google.com"]
rate = "20/s"
connections = 5
messages_per_connection = 50
backoff = "5m 15m 1h 4h"
expiry = "72h"

[lane.orange]
domains = ["orange.example", "Wanadoo.example", "bücher.example"]
rate = "1/min"

[brakes]
bounces = 0.04
canary = 50
canary_wait = "90s"
"""


def read(folder: Path, text: str) -> Plan:
    file = folder / "delivery.toml"
    file.write_text(text, encoding="utf-8")
    return Plan.read(file, url=URL, connections=20)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        read(folder, text)
    return str(refused.value).replace(f"{folder / 'delivery.toml'}: ", "").splitlines()


def test_everything_a_file_may_say_is_understood(tmp_path: Path) -> None:
    (tmp_path / "new.url").write_text("smtp://10.0.0.2:2525\n", encoding="utf-8")

    plan = read(tmp_path, WHOLE)

    main, new = plan.relays
    assert (main.name, main.weight, main.rate, main.connections) == ("main", 3, 100.0, 8)
    assert (new.url, new.lanes, new.warm_up) == (
        "smtp://10.0.0.2:2525",
        ("gmail", "yahoo"),
        (50, 100, 250),
    )
    assert (new.weight, new.rate, new.connections) == (1, None, 20)
    gmail = plan.lane("gmail")
    assert (gmail.rate, gmail.connections, gmail.messages_per_connection) == (20.0, 5, 50)
    assert gmail.backoff == tuple(timedelta(minutes=m) for m in (5, 15, 60, 240))
    assert (gmail.expiry, plan.expiry) == (timedelta(days=3), timedelta(days=2))
    orange = plan.lane("orange")
    assert orange.rate == pytest.approx(1 / 60)
    assert orange.domains == ("orange.example", "wanadoo.example", "xn--bcher-kva.example")
    assert plan.brakes == BrakePlan(bounces=0.04, canary=50, canary_wait=timedelta(seconds=90))
    assert (plan.quiet_hours, plan.mx_lookup) == ("22:00-07:00", True)
    assert plan.lane("qq").rate is None


def test_without_relays_in_the_file_the_one_of_the_settings_is_used(tmp_path: Path) -> None:
    plan = read(tmp_path, '[lane.gmail]\nrate = "5/s"\n')

    assert plan.relays == Plan.single(URL, 20).relays
    assert plan.relay("relay.example").connections == 20


def test_an_empty_file_limits_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Plan.single(URL, 20)


def test_the_default_ladder_doubles_and_then_grows_by_half(tmp_path: Path) -> None:
    plan = read(tmp_path, f'[[relay]]\nname = "a"\nurl = "{URL}"\nwarm_up = "default"\n')

    assert plan.relays[0].warm_up == DEFAULT_LADDER
    for before, after in pairwise(DEFAULT_LADDER):
        assert before < after <= before * (2 if before < 1000 else 1.7)


RELAY = f'[[relay]]\nname = "a"\nurl = "{URL}"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[relay]\n", "cannot be read: Expected ']]'"),
        ("pace = 3", "pace: is nothing Dibao knows"),
        ("quiet_hour = '1'", "quiet_hour: is nothing Dibao knows; did you mean quiet_hours?"),
        ("[[relais]]\nname='a'", "relais: is nothing Dibao knows; did you mean relay?"),
        ("[lanes.gmail]", "lanes: is nothing Dibao knows; did you mean lane?"),
        ("[[relay]]\nname = 'a'", "relay.a.url: is needed"),
        ("[[relay]]\nurl = 'smtp://a'", "relay.number 1.name: is needed"),
        (RELAY + "wieght = 2", "relay.a.wieght: is nothing Dibao knows; did you mean weight?"),
        (RELAY + "weight = -1", "relay.a.weight: Input should be greater than or equal to 0"),
        (RELAY + "rate = '100'", 'relay.a.rate: has to be a speed like "100/s"'),
        (RELAY + "rate = '100/week'", 'relay.a.rate: has to be a speed like "100/s"'),
        (RELAY + "rate = '0/s'", 'relay.a.rate: has to be a speed like "100/s"'),
        (RELAY + "rate = 100", 'relay.a.rate: has to be a speed like "100/s"'),
        (RELAY + "warm_up = [100, 50]", 'relay.a.warm_up: has to be "default", or messages'),
        (RELAY + "warm_up = 'slow'", 'relay.a.warm_up: has to be "default", or messages'),
        (RELAY + "warm_up = [true]", 'relay.a.warm_up: has to be "default", or messages'),
        (RELAY + "url_file = '/nowhere'", "relay.a: write url or url_file, not both"),
        (
            "[[relay]]\nname = 'a'\nurl_file = 'nowhere'",
            "relay.a.url_file: cannot be read: No such file or directory",
        ),
        (RELAY + "lanes = ['gmial']", "relay.a.lanes: there is no lane gmial; did you mean gmail?"),
        (RELAY + "lanes = ['gmail']", "relay: none serves the lane apple"),
        (RELAY + RELAY, "relay.a: 2 relays have this name"),
        ("[[relay]]\nname = 'a'\nurl = 'http://a'", "relay.a.url: no way to a relay"),
        ("[[relay]]\nname = 'A B'\nurl = 'smtp://a'", "relay.A B.name: has to be a name"),
        ("relay = 3", "relay: Input should be a valid tuple"),
        ("relay = [3]", "relay.number 1: Input should be a valid dictionary"),
        ("[lane.Gmail]", "lane.Gmail: has to be a name"),
        ("[lane.x]\ndomain = ['a.example']", "lane.x.domain: is nothing Dibao knows; did you mean"),
        ("[lane.x]\ndomains = ['a b']", "lane.x.domains.number 1: 'a b' is no domain"),
        ("[lane.x]\nbackoff = 'soon'", 'lane.x.backoff: has to be waits like "5m 15m 1h 4h"'),
        ("[lane.x]\nexpiry = 3", 'lane.x.expiry: has to be a span of time like "90s"'),
        (
            "[lane.x]\ndomains=['a.example']\n[lane.y]\ndomains=['a.example']",
            "lane.y.domains: a.example stands in lane x already",
        ),
        ("[lane.x]\nmx=['a.example']", "mx_lookup: has to be true for the mx of a lane to count"),
        ("[brakes]\nbounces = 5", "brakes.bounces: Input should be less than or equal to 1"),
        ("[brakes]\ncanary_form = 5", "brakes.canary_form: is nothing Dibao knows; did you mean"),
        ("quiet_hours = 'night'", "quiet_hours: 'night' are no hours of the day"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    found = faults(tmp_path, text)

    assert any(line.startswith(fault) for line in found), found


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, RELAY + "rate = 'x'\nweight = 'y'\n[brakes]\nbounce = 1\n")

    assert len(found) == 3


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        Plan.read(tmp_path / "none.toml", url=URL, connections=1)


@pytest.mark.parametrize("scheme", ["http", "smtp", "smtps"])
@pytest.mark.parametrize("more", ["", "weight = 'sesame'", "rate = 'sesame'", "sesam = 1"])
def test_a_password_shows_nowhere(tmp_path: Path, scheme: str, more: str) -> None:
    secret = "open-sesame"  # noqa: S105  # nobody's
    text = f"[[relay]]\nname = 'a'\nurl = '{scheme}://user:{secret}@relay.example:1:2'\n{more}"

    assert secret not in "\n".join(faults(tmp_path, text))
    plan = Plan.single(f"smtps://user:{secret}@relay.example", 5)
    assert secret not in repr(plan)
    assert secret not in str(plan)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("url_file = 'smtp://dibao:hush@mx:25'", "relay.a.url_file: cannot be read"),
        ("url = 'smtp://mx'\nname = 'smtp://dibao:hush@mx:25'", "relay.number 1.name: has to be"),
    ],
)
def test_a_url_in_the_wrong_place_shows_nowhere(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "delivery.toml").write_text(
        f"[[relay]]\n{text}\n" + ("" if "name" in text else "name = 'a'\n")
    )
    with pytest.raises(Misconfigured) as refused:
        Plan.read(tmp_path / "delivery.toml", url="", connections=1)

    assert fault in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_maze_of_brackets_is_a_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "delivery.toml").write_text("x = " + "[" * 5000)
    with pytest.raises(Misconfigured, match="cannot be read"):
        Plan.read(tmp_path / "delivery.toml", url="", connections=1)


def test_a_relay_of_the_settings_that_is_no_url_is_left_to_be_refused_in_words() -> None:
    assert Plan.single("smtp://[::1", 1).relays[0].name == "relay"


def test_only_a_large_audience_has_a_canary() -> None:
    assert BrakePlan().canary_for(4999) == 0
    assert BrakePlan().canary_for(5000) == 100
    assert BrakePlan(canary=100, canary_from=10).canary_for(50) == 50
    assert BrakePlan(canary=0).canary_for(10**6) == 0
