"""Why somebody is mailed, or is not, in a few sentences and with what they rest on."""

from dataclasses import dataclass

from subscribers.subscriber import State, Subscriber
from subscribers.suppression import Suppression

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
) -> Standing:
    """Put it into words."""
    sentences = [_SENTENCES[subscriber.state]]
    if suppression is not None:
        since = f"{suppression.at:%Y-%m-%d}"
        sentences.append(f"The address is suppressed since {since}: {suppression.reason}.")
    if awaits is not None:
        sentences.append(f"Asked for and not yet confirmed: {', '.join(awaits) or 'no segment'}.")
    sentences.append(f"Follows {', '.join(follows)}." if follows else "Follows no segment.")
    mailable = subscriber.is_mailable and bool(follows)
    return Standing(subscriber, follows, suppression, awaits, mailable, tuple(sentences))
