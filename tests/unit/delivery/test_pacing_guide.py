"""The example in docs/pacing.md is a delivery file, and says all that one may say."""

import re
from pathlib import Path

from mailer.delivery import lanes
from mailer.delivery.plan import BrakePlan, LanePlan, Plan, RelayPlan

GUIDE = (Path(__file__).parents[3] / "docs/pacing.md").read_text(encoding="utf-8")


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_is_a_delivery_file(tmp_path: Path) -> None:
    (tmp_path / "delivery.toml").write_text(example(), encoding="utf-8")

    plan = Plan.read(tmp_path / "delivery.toml", url="", connections=20)

    assert [relay.name for relay in plan.relays] == ["main", "second", "china", "spare"]
    assert plan.brakes == BrakePlan()
    assert plan.lane("orange").connections == 2


def test_the_example_names_every_key() -> None:
    keys = {"quiet_hours", "expiry", "mx_lookup", "url_file"}
    for part in (RelayPlan, LanePlan, BrakePlan):
        keys |= part.model_fields.keys()
    missing = {key for key in keys if not re.search(rf"^(# )?{key} =", example(), re.MULTILINE)}

    assert not missing


def test_the_table_names_every_lane_and_its_mail_hosts() -> None:
    for lane, hosts in lanes.MAIL_HOSTS.items():
        row = re.search(rf"^\| `{lane}` \|.*$", GUIDE, re.MULTILINE)
        assert row is not None
        assert all(host in row[0] for host in hosts)
