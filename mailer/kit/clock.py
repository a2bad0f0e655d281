"""What time it is: the only module that asks."""

from datetime import UTC, datetime
from time import time


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.fromtimestamp(time(), tz=UTC)
