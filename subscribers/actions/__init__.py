"""The verbs: what people, and others for them, do; each subject has its own module.

Each locks the person it is about, may run twice, and leaves an entry in `consent` for what it
changed of that. Nobody commits in here. Many people at once are `bulk`'s.
"""

from subscribers.actions.addresses import change_address, remember_key
from subscribers.actions.erasure import erase
from subscribers.actions.fields import archive_field, define_field
from subscribers.actions.segments import create_segment, ensure_segments
from subscribers.actions.subscription import confirm, follow, subscribe, unfollow, unsubscribe
from subscribers.actions.suppressions import lift, suppress, suppress_many
from subscribers.actions.wishes import (
    change_preferences,
    note_mailed,
    pause,
    resume_mail,
    set_details,
    set_frequency,
    set_tracking,
)

__all__ = [
    "archive_field",
    "change_address",
    "change_preferences",
    "confirm",
    "create_segment",
    "define_field",
    "ensure_segments",
    "erase",
    "follow",
    "lift",
    "note_mailed",
    "pause",
    "remember_key",
    "resume_mail",
    "set_details",
    "set_frequency",
    "set_tracking",
    "subscribe",
    "suppress",
    "suppress_many",
    "unfollow",
    "unsubscribe",
]
