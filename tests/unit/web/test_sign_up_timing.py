"""S13: nobody can tell from the time an answer takes whether an address is known here."""

import math
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailer.kit.database import Database
from mailer.web.public import defence
from mailer.web.public.budgets import Budget
from subscribers import actions
from subscribers.address import EmailAddress, address_key
from subscribers.suppression import Reason
from tests.unit.web.gate import opened

ROUNDS = 120
DOUBT = 1e-4  # of ten thousand honest runs one may fail; a difference of a tenth fails nearly all


@pytest.mark.slow
def test_known_unknown_and_suppressed_take_the_same_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kolmogorov and Smirnov: the two samples could be of one distribution."""
    site = opened(database, tmp_path, monkeypatch)
    plenty = Budget("plenty", 10**6, 3600)
    monkeypatch.setattr(defence, "_MAILBOX", plenty)
    monkeypatch.setattr(defence, "_NETWORKS", {4: ((32, plenty),), 6: ((64, plenty),)})
    monkeypatch.setattr(defence, "_DOMAIN", plenty)
    site.known("Ada", "ai", "luxury")
    with site.app.database.transaction() as session:
        dan = address_key(site.app.address_key, EmailAddress.parse("dan@example.org"))
        actions.suppress(session, dan, Reason.COMPLAINED, now=site.app.time)
    names = ("ada", "dan", "eve")
    took: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in random.sample(names, 3):  # in turn, so that a slow moment hits all
            form = site.form(address=f"{name}@example.org")
            began = time.perf_counter()
            site.client.post("/subscribe", data=form)
            took[name].append(time.perf_counter() - began)
        site.app.time += timedelta(seconds=1)

    for name in ("ada", "dan"):
        assert alike(took[name], took["eve"]) > DOUBT, name


def alike(one: list[float], other: list[float]) -> float:
    """How likely samples of one distribution differ at least as much as these (two-sided)."""
    furthest = max(
        abs(sum(x <= at for x in one) / len(one) - sum(x <= at for x in other) / len(other))
        for at in one + other
    )
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    reach = (size + 0.12 + 0.11 / size) * furthest
    if reach < 0.2:
        return 1.0
    return min(
        1.0, 2 * sum((1 if k % 2 else -1) * math.exp(-2 * (k * reach) ** 2) for k in range(1, 99))
    )


def test_the_measure_tells_samples_apart() -> None:
    dice = random.Random(13)  # noqa: S311
    same = [[dice.gauss(5, 1) for _ in range(200)] for _ in range(2)]
    later = [value + 0.8 for value in same[1]]

    assert alike(*same) > DOUBT
    assert alike(same[0], later) < DOUBT
