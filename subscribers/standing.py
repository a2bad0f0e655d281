"""Why somebody is mailed, or is not: in a word, and in sentences with what they rest on."""

from dataclasses import dataclass
from datetime import datetime

from subscribers.subscriber import APART, Frequency, State, Subscriber
from subscribers.suppression import Suppression

EXCLUDED = "excluded"
"""In a segment that the campaign leaves out."""

UNFOLLOWED = "unfollowed"
"""Follows nothing that the letter is for; where a rule found them, nothing at all."""

PAUSED = "paused"
"""Asked for no letters until a day that has not come."""

TOO_SOON = "frequency"
"""Wants letters less often than this one would come."""

_SENTENCES = {
    State.PENDING: "Not mailed: has not confirmed the subscription.",
    State.CONFIRMED: "Has confirmed the subscription.",
    State.UNSUBSCRIBED: "Not mailed: has unsubscribed.",
    State.BOUNCED: "Not mailed: the address takes no mail.",
    State.COMPLAINED: "Not mailed: has called our mail spam.",
    State.SUPPRESSED: "Not mailed: the address is suppressed.",
    State.ERASED: "Not mailed: their data was erased.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands."""

    subscriber: Subscriber
    follows: tuple[str, ...]
    suppression: Suppression | None  # the active one
    awaits: tuple[str, ...] | None  # segments asked for and not yet confirmed
    mailable: bool  # by a campaign to what they follow
    sentences: tuple[str, ...]


def explain(
    subscriber: Subscriber,
    follows: tuple[str, ...],
    suppression: Suppression | None,
    awaits: tuple[str, ...] | None,
    now: datetime,
) -> Standing:
    """Put it into words.

    `mailable` leaves the frequency out: whether an issue comes too early depends on the issue.
    """
    sentences = [_SENTENCES[subscriber.state]]
    if suppression is not None:
        since = f"{suppression.at:%Y-%m-%d}"
        sentences.append(f"The address is suppressed since {since}: {suppression.reason}.")
    held = follows if subscriber.state is State.CONFIRMED else ()
    new = [key for key in awaits or () if key not in held]
    if new or (awaits is not None and not held):
        sentences.append(f"Asked for and not yet confirmed: {', '.join(new) or 'no segment'}.")
    will = "Will follow" if subscriber.state is State.PENDING else "Follows"
    sentences.append(f"{will} {', '.join(follows)}." if follows else "Follows no segment.")
    paused = subscriber.is_paused(now)
    if paused:
        sentences.append(f"Asked for no letters until {subscriber.paused_until:%Y-%m-%d}.")
    if subscriber.frequency is not Frequency.EVERY:
        sentences.append(_often(subscriber))
    mailable = subscriber.is_mailable and bool(follows) and not paused
    return Standing(subscriber, follows, suppression, awaits, mailable, tuple(sentences))


def _often(subscriber: Subscriber) -> str:
    wish = f"Wants {subscriber.frequency} letters"
    if subscriber.mailed_at is None:
        return f"{wish}; has had none since."
    again = subscriber.mailed_at + APART[subscriber.frequency]
    return f"{wish}: after the last of {subscriber.mailed_at:%Y-%m-%d}, from {again:%Y-%m-%d} on."
