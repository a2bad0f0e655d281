"""Whether somebody opened a letter, as far as a request for its pixel can tell."""

from datetime import timedelta

from mailer.tracking.agents import Kind
from mailer.tracking.machines import PERSON, Company, Judgement, Look, Verdict, by_agent

TOO_SOON = timedelta(seconds=2)  # after acceptance: the relay itself needs longer to hand it on
CROWD = 5  # readers of one domain from one network within a minute: a gateway, or one office


def judge(look: Look, around: Company) -> Judgement:
    """The class of a request for the pixel.

    An image proxy fetches when somebody looks, and now and then before: unsure. Apple's privacy
    proxy fetches every picture, looked at or not: a machine.
    """
    if found := by_agent(look):
        return found
    if look.agent is Kind.PROXY:
        return Judgement(Verdict.UNSURE, "image proxy")
    if look.accepted_at is not None and look.at < look.accepted_at + TOO_SOON:
        return Judgement(Verdict.UNSURE, "too soon")
    if around.readers_in_all >= CROWD:
        return Judgement(Verdict.UNSURE, "many readers at once")
    if look.agent is Kind.APP:
        return Judgement(Verdict.UNSURE, "unknown program")
    return PERSON
