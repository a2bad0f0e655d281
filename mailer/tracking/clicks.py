"""Whether somebody followed a link, or a scanner tried it."""

from datetime import timedelta

from mailer.tracking.agents import Kind
from mailer.tracking.machines import PERSON, Company, Judgement, Look, Verdict, by_agent

MACHINE_WITHIN = timedelta(seconds=2)  # of acceptance; before it, too
UNSURE_WITHIN = timedelta(seconds=10)
BURST = 3  # different links in two seconds
SWEEP = 0.8  # share of the edition's links in ten minutes
SWEEP_LEAST = 5  # links; with fewer a keen reader looks like a sweep
GATEWAY = 5  # readers of one domain from one network in ten seconds
CROWD = 3  # in a minute: a gateway, or one office after the post came


def judge(look: Look, around: Company) -> Judgement:
    """The class of a request for a link. Signs that are sure come before those that are not."""
    if found := by_agent(look) or _scanner(look, around):
        return found
    if look.accepted_at is None:
        return Judgement(Verdict.UNSURE, "acceptance unknown")
    if look.at < look.accepted_at + UNSURE_WITHIN:
        return Judgement(Verdict.UNSURE, "too soon")
    if around.readers_in_all >= CROWD:
        return Judgement(Verdict.UNSURE, "many readers at once")
    if look.agent is Kind.APP:
        return Judgement(Verdict.UNSURE, "unknown program")
    return PERSON


def _scanner(look: Look, around: Company) -> Judgement | None:
    if look.agent is Kind.PROXY:  # fetches pictures, never follows a link for anybody
        return Judgement(Verdict.MACHINE, "image proxy")
    if around.links_at_once >= BURST:
        return Judgement(Verdict.MACHINE, "burst")
    if around.links_in_all >= max(SWEEP_LEAST, SWEEP * look.links):
        return Judgement(Verdict.MACHINE, "sweep")
    if look.accepted_at is not None and look.at < look.accepted_at + MACHINE_WITHIN:
        return Judgement(Verdict.MACHINE, "too soon")
    if around.readers_at_once >= GATEWAY:
        return Judgement(Verdict.MACHINE, "many readers at once")
    return None
