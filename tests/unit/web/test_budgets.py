"""Budgets refill, are shared through Redis, and go on being counted where Redis is away."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import redis
import time_machine
from structlog.testing import capture_logs

from mailer.web.public.budgets import BoundedMemory, Budget, Budgets
from tests.servers import free_port

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = b"a key"
THREE = Budget("three", 3, 3600)


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Callable[[], Budgets]:
    """Makes budgets as another process of the installation would."""
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis_url")
    return lambda: Budgets(url, KEY)


def test_a_budget_is_used_up_and_refills_as_its_hits_grow_old(make: Callable[[], Budgets]) -> None:
    budgets = make()
    with time_machine.travel(NOON, tick=False) as clock:
        taken = []
        for _ in range(5):
            taken.append(budgets.take(THREE, "ada"))
            clock.shift(timedelta(minutes=10))
        clock.shift(timedelta(minutes=9))
        assert taken == [True, True, True, False, False]
        assert not budgets.take(THREE, "ada")
        clock.shift(timedelta(minutes=2))
        assert budgets.take(THREE, "ada")
        assert not budgets.take(THREE, "ada"), "only the first of three is over"


def test_budgets_do_not_know_each_other(make: Callable[[], Budgets]) -> None:
    budgets = make()
    for value in ("ada", "bob"):
        assert all(budgets.take(THREE, value) for _ in range(3))
        assert not budgets.take(THREE, value)
    assert budgets.take(Budget("other", 1, 3600), "ada")


def test_processes_share_a_budget_through_redis_and_not_an_address(redis_url: str) -> None:
    first, second = Budgets(redis_url, KEY), Budgets(redis_url, KEY)
    assert first.take(THREE, "ada@example.org")
    assert second.take(THREE, "ada@example.org")
    assert first.take(THREE, "ada@example.org")

    assert not second.take(THREE, "ada@example.org")
    with redis.Redis.from_url(redis_url) as client:
        keys = [key.decode() for key in client.scan_iter()]
        assert keys
        for key in keys:
            assert key.startswith("dibao:limits:")
            assert "ada" not in key
            assert 0 < client.ttl(key) <= 3600


def test_redis_away_is_no_open_door_and_no_error() -> None:
    budgets = Budgets(f"redis://127.0.0.1:{free_port()}/0", KEY)
    with capture_logs() as logs:
        taken = [budgets.take(THREE, "ada") for _ in range(4)]

    assert taken == [True, True, True, False]
    assert len(logs) == 1, "said once, and Redis left alone for a while"


def test_memory_is_bounded_however_many_keys_are_invented() -> None:
    memory = BoundedMemory(keys=100)
    with time_machine.travel(NOON, tick=False) as clock:
        for number in range(1000):
            assert memory.acquire_entry(str(number), 1, 3600)
        assert len(memory) <= 101
        assert not memory.acquire_entry("999", 1, 3600)
        clock.shift(timedelta(hours=2))
        for number in range(60):
            memory.acquire_entry(f"later {number}", 1, 3600)

    assert len(memory) <= 61, "what is over goes"


def test_memory_keeps_no_more_moments_than_a_budget_has() -> None:
    memory = BoundedMemory()
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(100):
            memory.acquire_entry("ada", 3, 60)
            clock.shift(timedelta(seconds=61))

        assert memory.get("ada") <= 3
        assert not memory.acquire_entry("ada", 3, 60, amount=4)
        assert memory.get_moving_window("ada", 3, 10)[1] == 0
        assert memory.acquire_entry("ada", 3, 60)
        assert memory.reset() == 1
