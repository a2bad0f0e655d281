"""Where domains get their mail: looked up in DNS for the lanes, kept in `mail_domain`.

Only for domains that no lane names and that have a confirmed subscriber. What is found stays good
for a month. A domain that cannot be looked up is asked again in a day, and keeps what was known of
it meanwhile; its people stay in the lane of all the others.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.rdatatype import MX
from dns.resolver import NXDOMAIN, NoAnswer
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mailer.delivery.lanes import Lanes
from mailer.delivery.models import MailDomainRow
from mailer.kit.database import Database
from subscribers import queries as subscribers

FRESH = timedelta(days=30)
AGAIN = timedelta(days=1)  # after a failure
_AT_ONCE = 32  # questions under way
_EACH = 5.0  # seconds for one
_STORED = 200  # domains in one transaction: what was found is not asked again after a crash
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a round of questions came to."""

    known: int = 0  # domains with an answer, be it that they take no mail
    failed: int = 0
    left: int = 0  # domains nobody got to


def look_up(
    database: Database,
    resolver: Resolver | None,
    now: datetime,
    limit: int,
    *,
    lanes: Lanes,
    seconds: float = 60.0,
) -> LookedUp:
    """Look up at most `limit` domains, the largest first, for at most so many seconds.

    Without a resolver the system's is asked. Resumable: the next call goes on where this one
    ended. Raises nothing for what DNS does.
    """
    with database.reading() as session:
        wanted = stale(session, now, lanes)
    until = time.monotonic() + seconds
    known = failed = 0
    todo = wanted[:limit]
    for start in range(0, len(todo), _STORED):
        if time.monotonic() >= until:
            break
        some = todo[start : start + _STORED]
        found = asyncio.run(_ask(resolver or Resolver(), some, until))
        with database.transaction() as session:
            _keep(session, found, now)
        hosts = [host for host in found.values() if host is not None]
        known, failed = known + len(hosts), failed + len(found) - len(hosts)
    if failed:
        _log.warning("mail hosts could not be looked up", domains=failed)
    return LookedUp(known, failed, len(wanted) - known - failed)


def stale(session: Session, now: datetime, lanes: Lanes) -> list[str]:
    """Domains of confirmed people that have to be looked up, those of the most people first."""
    people = subscribers.domains().subquery("domain")
    named = {each for domains in lanes.domains.values() for each in domains}
    rows = session.execute(
        select(people.c.domain)
        .outerjoin(MailDomainRow, MailDomainRow.domain == people.c.domain)
        .where(
            MailDomainRow.looked_up_at.is_(None) | (MailDomainRow.looked_up_at < now - FRESH),
            people.c.domain.not_in(named),
        )
        .order_by(people.c.people.desc(), people.c.domain)
    )
    return [row[0] for row in rows]


async def _ask(resolver: Resolver, domains: Sequence[str], until: float) -> dict[str, str | None]:
    """The preferred mail host of each domain, "" where it has none, None where nobody said."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(domain: str) -> tuple[str, str | None] | None:
        async with room:
            left = min(_EACH, until - time.monotonic())
            return (domain, await _host(resolver, domain, left)) if left > 0 else None

    answers = await asyncio.gather(*map(one, domains))
    return dict(answer for answer in answers if answer is not None)


async def _host(resolver: Resolver, domain: str, seconds: float) -> str | None:
    """RFC 5321 section 5.1: the lowest preference; RFC 7505: "." is no mail at all."""
    try:
        async with asyncio.timeout(seconds):
            answer = await resolver.resolve(domain, MX, lifetime=seconds, search=False)
    except (NoAnswer, NXDOMAIN):
        return ""
    except (DNSException, OSError, ValueError, TimeoutError):
        return None
    hosts = sorted((record.preference, str(record.exchange)) for record in answer)
    return hosts[0][1].rstrip(".").lower()


def _keep(session: Session, found: Mapping[str, str | None], now: datetime) -> None:
    """Store answers; of a domain without one, only when to ask again."""
    if not found:
        return
    kind = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [
        {
            "domain": domain,
            "mx": host or "",
            "looked_up_at": now if host is not None else now - FRESH + AGAIN,
        }
        for domain, host in sorted(found.items())
    ]
    for known in (True, False):
        some = [row for row in rows if (found[str(row["domain"])] is not None) is known]
        statement = kind.insert(MailDomainRow)
        news = {"looked_up_at": statement.excluded.looked_up_at}
        news |= {"mx": statement.excluded.mx} if known else {}
        kept = statement.on_conflict_do_update(index_elements=["domain"], set_=news)
        if some:
            session.execute(kept, some)
