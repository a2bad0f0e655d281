"""However many draw from a bucket, no more leaves it than rate x t + burst, and evenly."""

import multiprocessing
import threading
import time

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mailer.kit.buckets import Bucket, MemoryBuckets, PartBuckets, RedisBuckets, Taken, buckets_for
from mailer.kit.errors import Unavailable


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


RATES = st.floats(min_value=1 / 3600, max_value=10_000)


@given(
    rate=RATES,
    steps=st.lists(st.tuples(st.floats(0, 120), st.integers(1, 500)), min_size=1, max_size=60),
)
def test_in_no_stretch_of_time_more_leaves_than_its_rate_and_the_burst(
    rate: float, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket.paced("a", rate)
    left: list[tuple[float, int]] = []
    for pause, want in steps:
        clock.now += pause
        taken = buckets.take([bucket], want)
        assert 0 <= taken.granted <= want
        left.append((clock.now, taken.granted))

    for first, (begin, _) in enumerate(left):
        total = 0
        for at, granted in left[first:]:
            total += granted
            assert total <= rate * (at - begin) + bucket.burst + 1e-3


@given(rate=RATES, want=st.integers(1, 1000))
@settings(max_examples=60)
def test_who_waits_as_told_gets_the_whole_rate(rate: float, want: int) -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket.paced("a", rate)
    buckets.take([bucket], 10**9)
    begin, got = clock.now, 0
    for _ in range(200):
        taken = buckets.take([bucket], want)
        got += taken.granted
        clock.now += taken.wait
    spent = clock.now - begin

    assert got <= rate * spent + bucket.burst + 1e-3
    assert got >= min(200 * want, 0.9 * rate * spent - 2)


@pytest.mark.parametrize(("rate", "every"), [(1 / 60, 60.0), (1.0, 1.0), (10.0, 0.1)])
def test_a_slow_bucket_gives_one_at_a_time(rate: float, every: float) -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket.paced("a", rate)

    for _ in range(5):
        taken = buckets.take([bucket], 200)
        assert taken.granted == 1
        assert taken.wait == pytest.approx(every)
        clock.now += taken.wait


def test_a_fast_bucket_gives_slices_of_a_tenth_of_a_second() -> None:
    clock = Clock()
    buckets, bucket = MemoryBuckets(clock), Bucket.paced("a", 5000)

    first = buckets.take([bucket], 2000)
    clock.now += first.wait
    second = buckets.take([bucket], 2000)

    assert (first.granted, second.granted) == (500, 250)
    assert first.wait == pytest.approx(0.05)
    assert second.wait == pytest.approx(0.05)


def test_of_two_buckets_the_slower_one_holds_back_and_neither_loses_more() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    fast, slow = Bucket.paced("relay", 1000), Bucket.paced("relay/gmail", 20)

    taken = buckets.take([slow, fast], 50)

    assert (taken.granted, taken.key) == (2, "relay/gmail")
    assert buckets.take([fast], 200).granted == 98


Share = tuple[int, float, float]
"""How many a process took, when it began and when it ended."""


def _share(url: str, rate: float, seconds: float, got: "multiprocessing.Queue[Share]") -> None:
    buckets, bucket = RedisBuckets(url), Bucket.paced("shared", rate)
    begin, mine = time.time(), 0
    while time.time() < begin + seconds:
        taken = buckets.take([bucket], 50)
        mine += taken.granted
        time.sleep(min(taken.wait, 0.2))
    got.put((mine, begin, time.time()))


@pytest.mark.parametrize("rate", [20.0, 5000.0])
def test_several_processes_share_one_bucket(redis_url: str, rate: float) -> None:
    context = multiprocessing.get_context("spawn")
    got: multiprocessing.Queue[Share] = context.Queue()
    workers = [context.Process(target=_share, args=(redis_url, rate, 2, got)) for _ in range(3)]
    for worker in workers:
        worker.start()
    shares = [got.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    with redis.Redis.from_url(redis_url) as client:
        expires = client.pttl("dibao:pace:shared")
    taken = sum(share[0] for share in shares)
    began, ended = min(share[1] for share in shares), max(share[2] for share in shares)

    assert rate * 1.2 <= taken <= rate * (ended - began) + Bucket.paced("", rate).burst
    assert min(share[0] for share in shares) > 0
    assert 0 < int(str(expires)) <= 62_000


def test_redis_keeps_the_rule_by_its_own_clock(redis_url: str) -> None:
    buckets, bucket = RedisBuckets(redis_url), Bucket.paced("steady", 1000)
    begin, got, waits = time.monotonic(), 0, 0
    while time.monotonic() < begin + 1:
        taken = buckets.take([bucket], 200)
        got += taken.granted
        waits += 1
        time.sleep(taken.wait)
    spent = time.monotonic() - begin

    assert 0.85 * 1000 * spent <= got <= 1000 * spent + bucket.burst
    assert waits < 60  # slices, not a question for every message
    buckets.close()


def test_redis_and_memory_agree(redis_url: str) -> None:
    shared, own = RedisBuckets(redis_url), MemoryBuckets()
    large, slow = Bucket("relay", 1 / 600, 90), Bucket.paced("relay/gmail", 1 / 600)

    for bucket, want in (([large], 30), ([large, slow], 5), ([slow], 1), ([large], 10**6)):
        ours, theirs = own.take(bucket, want), shared.take(bucket, want)
        assert (ours.granted, ours.key) == (theirs.granted, theirs.key)
        assert ours.wait == pytest.approx(theirs.wait, abs=1)
    shared.close()


def test_where_nobody_listens_each_worker_keeps_to_its_share() -> None:
    buckets = RedisBuckets("redis://127.0.0.1:1/0", workers=lambda: 4)
    bucket = Bucket.paced("a", 100)

    with capture_logs() as logs:
        first = buckets.take([bucket], 100)
        begin, got = time.monotonic(), 0
        while time.monotonic() < begin + 1:
            taken = buckets.take([bucket], 100)
            got += taken.granted
            time.sleep(taken.wait)

    assert first.granted == 0  # what the bucket held may have been taken by others
    assert 15 <= got <= 25 + 3
    assert [line["event"] for line in logs] == [
        "Redis is away: each worker keeps to its part of the pace"
    ]


def test_workers_without_a_common_bucket_keep_to_their_parts() -> None:
    clock, workers = Clock(), 4
    buckets = PartBuckets(lambda: workers, clock)
    bucket = Bucket.paced("a", 40)

    assert buckets.take([bucket], 5).granted == 0
    clock.now += 1
    assert buckets.take([bucket], 5).granted == 1
    workers = 1
    clock.now += 10  # it is asked again
    buckets.take([bucket], 5)
    clock.now += 1

    assert buckets.take([bucket], 5).granted == 4


def test_where_nobody_can_say_how_many_workers_there_are_sending_goes_on() -> None:
    def nobody_knows() -> int:
        raise Unavailable

    buckets = RedisBuckets("redis://127.0.0.1:1/0", workers=nobody_knows)

    assert buckets.take([Bucket.paced("a", 1)], 1).wait == pytest.approx(1, abs=0.1)


def test_a_frozen_redis_is_waited_for_half_a_second_and_comes_back_by_itself(
    redis_url: str,
) -> None:
    clock = Clock()
    buckets, bucket = RedisBuckets(redis_url, clock=clock), Bucket.paced("frozen", 1000)
    assert buckets.take([bucket], 10) == Taken(10)

    def freeze() -> None:
        with redis.Redis.from_url(redis_url) as client:
            client.execute_command("CLIENT", "PAUSE", 2500, "ALL")

    with capture_logs() as logs:
        freezing = threading.Thread(target=freeze)
        freezing.start()
        freezing.join()
        begin = time.monotonic()
        buckets.take([bucket], 10)
        away = time.monotonic() - begin
        begin = time.monotonic()
        for _ in range(100):
            clock.now += 0.01
            buckets.take([bucket], 10)
        meanwhile = time.monotonic() - begin
        time.sleep(2.5)
        clock.now += 10
        back = buckets.take([bucket], 10)

    assert 0.4 < away < 1.5
    assert meanwhile < 0.4  # it is not asked again each time
    assert back == Taken(10)
    assert [line["event"] for line in logs] == [
        "Redis is away: each worker keeps to its part of the pace",
        "Redis is back: the pace is kept together again",
    ]
    buckets.close()


@pytest.mark.parametrize(
    ("broker", "kind"),
    [
        ("memory://", MemoryBuckets),
        ("redis://127.0.0.1:1/0", RedisBuckets),
        ("rediss://127.0.0.1:1/0", RedisBuckets),
        ("amqp://127.0.0.1:1//", PartBuckets),
    ],
)
def test_the_broker_says_what_workers_can_share(broker: str, kind: type[object]) -> None:
    assert isinstance(buckets_for(broker, workers=lambda: 2), kind)
