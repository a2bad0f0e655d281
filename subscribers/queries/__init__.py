"""Every question about people that others may ask; each subject has its own module."""

from subscribers.queries.agreements import explain, history, open_segments
from subscribers.queries.fields import custom_fields
from subscribers.queries.mailing import candidates, clocks, domains, last_acts, recipients
from subscribers.queries.people import (
    by_address,
    by_key,
    counts,
    everybody,
    find,
    folded,
    key_fits,
    preferences,
    read_person,
    subscriber,
    tracking,
)
from subscribers.queries.segments import (
    following,
    require_segments,
    ruled,
    segment,
    segments,
)
from subscribers.queries.suppressions import (
    active_suppressions,
    all_suppressions,
    suppression,
    suppressions,
)

__all__ = [
    "active_suppressions",
    "all_suppressions",
    "by_address",
    "by_key",
    "candidates",
    "clocks",
    "counts",
    "custom_fields",
    "domains",
    "everybody",
    "explain",
    "find",
    "folded",
    "following",
    "history",
    "key_fits",
    "last_acts",
    "open_segments",
    "preferences",
    "read_person",
    "recipients",
    "require_segments",
    "ruled",
    "segment",
    "segments",
    "subscriber",
    "suppression",
    "suppressions",
    "tracking",
]
