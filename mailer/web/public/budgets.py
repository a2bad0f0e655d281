"""How often something may happen: budgets that refill, in memory or in Redis, by keyed hashes.

A budget is a moving window, so that no hour's end lets twice as much through. Redis, where it is
the broker, shares the budgets among processes; while it is away each process counts for itself.

`limits` brings the windows and Redis's scripts. Its own memory store starts a thread for nearly
every hit and keeps keys for ever, which whoever invents keys would use; ours is bounded.
"""

import hmac
import threading
import time
from dataclasses import dataclass
from typing import Final

import structlog
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MovingWindowSupport, RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

from mailer.kit import clock

KEYS: Final = 100_000
"""Keys kept in memory, some 20 MB; beyond, those not touched for longest are dropped."""

_PATIENCE = 0.5  # seconds for Redis: a page waits for it
_REST = 10.0  # seconds without asking Redis after it failed
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Budget:
    """So many in so many seconds."""

    name: str
    amount: int
    seconds: int


class Budgets:
    """The budgets of one installation, or of one process where there is no Redis."""

    def __init__(self, broker_url: str, key: bytes) -> None:
        """`key` hashes what is counted: neither memory nor Redis holds an address."""
        self._key = key
        self._own = MovingWindowRateLimiter(BoundedMemory())
        self._shared: MovingWindowRateLimiter | None = None
        self._rest_until = 0.0
        if broker_url.startswith(("redis://", "rediss://")):
            kept = RedisStorage(
                broker_url,
                key_prefix="dibao:limits",
                wrap_exceptions=True,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
            )
            self._shared = MovingWindowRateLimiter(kept)

    def take(self, budget: Budget, value: str) -> bool:
        """Take one out of a budget; False, and nothing taken, where it is used up."""
        item = RateLimitItemPerSecond(budget.amount, budget.seconds, namespace=budget.name)
        name = hmac.digest(self._key, f"{budget.name}|{value}".encode(), "sha256").hex()[:32]
        if self._shared is not None and time.monotonic() >= self._rest_until:
            try:
                return self._shared.hit(item, name)
            except StorageError as away:
                self._rest_until = time.monotonic() + _REST
                _log.warning(
                    "Redis does not answer; sign-up budgets are counted in this process",
                    why=type(away.storage_error).__name__,
                )
        return self._own.hit(item, name)


class BoundedMemory(Storage, MovingWindowSupport):
    """Moments of the last hits by key, at most `keys` of them."""

    STORAGE_SCHEME = ["dibao-memory"]  # noqa: RUF012  # as `limits` declares it

    def __init__(self, *, keys: int = KEYS) -> None:
        super().__init__()
        self._most = keys
        self._hits: dict[str, tuple[float, list[float]]] = {}  # until when, moments; oldest first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._hits)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a hit, where that leaves at most `limit` in `expiry` seconds."""
        now = clock.now().timestamp()
        with self._lock:
            _, moments = self._hits.pop(key, (0.0, []))
            room = limit - amount
            full = room < 0 or (len(moments) > room and moments[-room - 1] >= now - expiry)
            if not full:
                moments += [now] * amount
                del moments[:-limit]
            if moments:
                self._hits[key] = (moments[-1] + expiry, moments)
            self._tidy(now)
        return not full

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002  # `limits` asks for it
        """When the window of a key begins, and the hits in it."""
        now = clock.now().timestamp()
        with self._lock:
            inside = [at for at in self._hits.get(key, (0.0, []))[1] if at >= now - expiry]
        return (inside[0], len(inside)) if inside else (now, 0)

    def _tidy(self, now: float) -> None:
        """Drop what is over, a little each time; and the oldest where there are too many."""
        for _ in range(2):
            oldest = next(iter(self._hits), None)
            if oldest is None:
                return
            if self._hits[oldest][0] >= now and len(self._hits) <= self._most:
                return
            del self._hits[oldest]

    # What else a storage of `limits` has to offer; a moving window asks none of it.

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may go wrong: nothing."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not for fixed windows."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Hits of a key."""
        with self._lock:
            return len(self._hits.get(key, (0.0, []))[1])

    def get_expiry(self, key: str) -> float:
        """When a key is over."""
        with self._lock:
            return self._hits.get(key, (clock.now().timestamp(), []))[0]

    def check(self) -> bool:
        """Memory is there."""
        return True

    def reset(self) -> int:
        """Forget everything; how many keys there were."""
        with self._lock:
            count = len(self._hits)
            self._hits.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._hits.pop(key, None)
