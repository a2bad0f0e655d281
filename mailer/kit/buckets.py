"""Token buckets that several workers draw from: in Redis, or in memory for one process.

Each is a GCRA (the rule of ATM's cells): all that is stored is the moment at which the bucket will
be full again. In any stretch of t seconds no more leaves a bucket than rate x t + burst.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from mailer.kit.errors import Unavailable

_SLICE = 0.1  # seconds' worth that may leave at once
_PATIENCE = 0.5  # seconds to wait for Redis
_REST = 5.0  # seconds after a failure until Redis is asked again
_FORGOTTEN = 60_000  # milliseconds a full bucket is remembered
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket by name; made with `paced`, it lets a tenth of a second's worth go at once."""

    key: str
    rate: float  # tokens per second
    burst: float  # tokens it holds when full, at least 1

    @classmethod
    def paced(cls, key: str, rate: float) -> "Bucket":
        """A bucket as smooth as can be: one at a time up to 10 per second, then in slices."""
        return cls(key, rate, max(1.0, rate * _SLICE))


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out of the buckets."""

    granted: int
    wait: float = 0.0  # seconds until there is a worthwhile amount more; 0 with all granted
    key: str = ""  # of the bucket that held back


class Buckets(Protocol):
    """Where buckets are kept. From any thread."""

    def take(self, buckets: Sequence[Bucket], want: int) -> Taken:
        """Take up to `want` tokens from each of the buckets, the same number from all."""


class MemoryBuckets:
    """Buckets of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, buckets: Sequence[Bucket], want: int) -> Taken:
        """Take up to `want` tokens from each of the buckets, the same number from all."""
        with self._lock:
            now = self._clock()
            backlog = [max(0.0, self._full_at.get(b.key, 0.0) - now) for b in buckets]
            least = _least(buckets, backlog, want)
            if least.granted:
                for bucket, behind in zip(buckets, backlog, strict=True):
                    self._full_at[bucket.key] = now + behind + least.granted / bucket.rate
        return least

    def drain(self, bucket: Bucket) -> None:
        """Empty a bucket that has not been used yet: what it held may have been taken elsewhere."""
        with self._lock:
            empty = self._clock() + bucket.burst / bucket.rate
            self._full_at.setdefault(bucket.key, empty)


class PartBuckets:
    """Each worker's own part of every bucket, for workers that cannot draw from the same ones.

    `workers` says how many there are; it is asked now and then, and may raise Unavailable. What a
    bucket held at the beginning may have been taken by others, so each begins empty.
    """

    def __init__(
        self, workers: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers, self._clock = workers, clock
        self._own = MemoryBuckets(clock)
        self._known = 1
        self._ask_at = 0.0

    def take(self, buckets: Sequence[Bucket], want: int) -> Taken:
        """Take up to `want` tokens from each of the buckets, the same number from all."""
        workers = self._count()
        mine = [Bucket.paced(bucket.key, bucket.rate / workers) for bucket in buckets]
        for bucket in mine:
            self._own.drain(bucket)
        return self._own.take(mine, want)

    def _count(self) -> int:
        if self._clock() >= self._ask_at:
            self._ask_at = self._clock() + _REST
            with suppress(Unavailable):  # without the database nothing new begins either
                self._known = max(1, self._workers())
        return self._known


_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local want = tonumber(ARGV[1])
local granted = want
local behind = {}
for i, key in ipairs(KEYS) do
  local rate = tonumber(ARGV[2 * i]) / 1000000
  local burst = tonumber(ARGV[2 * i + 1])
  behind[i] = math.max(0, tonumber(redis.call('GET', key) or '0') - now)
  granted = math.min(granted, math.floor(burst - behind[i] * rate + 0.000001))
end
granted = math.max(0, granted)
local answer = {granted}
for i, key in ipairs(KEYS) do
  answer[i + 1] = string.format('%.0f', behind[i])
  if granted > 0 then
    local full = now + behind[i] + granted * 1000000 / tonumber(ARGV[2 * i])
    local gone = math.ceil((full - now) / 1000) + tonumber(ARGV[#ARGV])
    redis.call('SET', key, string.format('%.0f', full), 'PX', string.format('%.0f', gone))
  end
end
return answer
"""


class RedisBuckets:
    """Buckets that all workers share, by the clock of Redis.

    Where Redis is away, each worker keeps to its part of every rate; `workers` says how many there
    are.
    """

    def __init__(
        self,
        url: str,
        *,
        workers: Callable[[], int] = lambda: 1,
        prefix: str = "dibao:pace:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from redis import Redis, RedisError  # noqa: PLC0415  # 6 MB; most installations have none
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        self._away = (RedisError, OSError)
        self._redis = Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._prefix, self._workers, self._clock = prefix, workers, clock
        self._lock = threading.Lock()
        self._own: PartBuckets | None = None  # while Redis is away
        self._ask_at = 0.0

    def take(self, buckets: Sequence[Bucket], want: int) -> Taken:
        """Take up to `want` tokens from each of the buckets, the same number from all.

        Comes back within a second, whatever becomes of Redis.
        """
        own = self._own
        if own is None or self._clock() >= self._ask_at:
            try:
                taken = self._shared(buckets, want)
            except self._away as away:
                own = self._fall_back(away)
            else:
                self._back()
                return taken
        return own.take(buckets, want)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _shared(self, buckets: Sequence[Bucket], want: int) -> Taken:
        given: list[str | float] = [want]
        for bucket in buckets:
            given += [repr(bucket.rate), repr(bucket.burst)]
        keys = [self._prefix + bucket.key for bucket in buckets]
        granted, *behind = self._script(keys=keys, args=[*given, _FORGOTTEN])
        return _told(buckets, [int(each) / 1e6 for each in behind], want, granted)

    def _fall_back(self, away: Exception) -> PartBuckets:
        with self._lock:
            self._ask_at = self._clock() + _REST
            if self._own is not None:
                return self._own
            own = self._own = PartBuckets(self._workers, self._clock)
        why = type(away).__name__
        _log.warning("Redis is away: each worker keeps to its part of the pace", why=why)
        return own

    def _back(self) -> None:
        with self._lock:
            if self._own is None:
                return
            self._own = None
        _log.warning("Redis is back: the pace is kept together again")


def buckets_for(broker_url: str, *, workers: Callable[[], int]) -> Buckets:
    """The buckets that the workers behind a broker share, as far as they can share any."""
    kind = broker_url.partition("://")[0]
    if kind == "memory":
        return MemoryBuckets()
    if kind in {"redis", "rediss"}:
        return RedisBuckets(broker_url, workers=workers)
    return PartBuckets(workers)


def _least(buckets: Sequence[Bucket], backlog: Sequence[float], want: int) -> Taken:
    room = [
        int(bucket.burst - behind * bucket.rate + 1e-6)
        for bucket, behind in zip(buckets, backlog, strict=True)
    ]
    return _told(buckets, backlog, want, max(0, min([want, *room])))


def _told(buckets: Sequence[Bucket], backlog: Sequence[float], want: int, granted: int) -> Taken:
    """What was granted and how long to wait for more: for half a slice, not for every token."""
    if granted >= want:
        return Taken(granted)
    waits = []
    for bucket, behind in zip(buckets, backlog, strict=True):
        worth = max(1.0, min(want - granted, bucket.burst / 2))
        after = behind + (granted + worth) / bucket.rate
        waits.append((after - bucket.burst / bucket.rate, bucket.key))
    wait, key = max(waits)
    return Taken(granted, max(wait, 0.001), key)
