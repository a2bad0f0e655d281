"""The delivery file: relays, lanes, warm-up, quiet hours and brakes of an installation.

TOML, read once at the start; every fault is named with its place. A relay's URL, which may hold a
password, shows in no repr and no error. Without a file there is one relay without limits.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mailer.delivery import plan_faults
from mailer.delivery.plan_words import (
    DEFAULT_LADDER,
    a_domain,
    a_name,
    hours_of_the_day,
    ladder,
    span,
    spans,
    speed,
)
from mailer.delivery.relay_address import relay_address
from mailer.kit.errors import Misconfigured
from subscribers.provider import OTHER, PROVIDERS

__all__ = ["DEFAULT_LADDER", "BrakePlan", "LanePlan", "Limits", "Plan", "RelayPlan"]

_Name = Annotated[str, AfterValidator(a_name)]
_Domain = Annotated[str, AfterValidator(a_domain)]
_Rate = Annotated[float | None, BeforeValidator(speed)]
_Span = Annotated[timedelta, BeforeValidator(span)]
_Spans = Annotated[tuple[timedelta, ...], BeforeValidator(spans)]
_Ladder = Annotated[tuple[int, ...], BeforeValidator(ladder)]
_Share = Annotated[float, Field(gt=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, hide_input_in_errors=True
    )


class Limits(_Part):
    """How hard something may be used; None sets no limit."""

    rate: _Rate = None
    """Messages per second, over all workers."""

    connections: int | None = Field(default=None, ge=1, le=500)
    """At once, of one worker process."""

    messages_per_connection: int | None = Field(default=None, ge=1, le=100_000)
    """Then QUIT and a new connection."""


class RelayPlan(Limits):
    """A server we hand messages to."""

    name: _Name
    url: str = Field(repr=False)
    weight: int = Field(default=1, ge=0, le=100)
    """Its share of the mail beside the others'; 0 is used only where no other takes mail."""

    lanes: tuple[_Name, ...] = ()
    """The only lanes it serves; empty is all."""

    warm_up: _Ladder = ()
    """Messages of a day and lane on each day; after the last, as many as there are."""

    def serves(self, lane: str) -> bool:
        """Whether mail of a lane may go this way."""
        return not self.lanes or lane in self.lanes


class LanePlan(Limits):
    """The recipients of one receiving provider; limits hold for each relay by itself."""

    domains: tuple[_Domain, ...] = ()
    """Besides those we know."""

    mx: tuple[_Domain, ...] = ()
    """Endings of the mail hosts of domains that belong here."""

    backoff: _Spans = ()
    """Waits after a deferral; the last repeats. Empty is the installation's."""

    expiry: _Span | None = None
    """From the first try to giving up."""

    @property
    def has_limits(self) -> bool:
        """Whether its connections have to be told from the relay's others."""
        return self.connections is not None or self.messages_per_connection is not None


class BrakePlan(_Part):
    """When to stop by ourselves."""

    bounces: _Share = 0.05
    """Share of a campaign's letters refused for the recipient's sake."""

    complaints: _Share = 0.001
    deferrals: _Share = 0.3
    """Share of a lane's letters that were put off."""

    transport: int = Field(default=5, ge=1, le=1000)
    """Faults of a relay in a row: no connection, TLS, login."""

    window: int = Field(default=1000, ge=10, le=1_000_000)
    """Letters that shares are measured over."""

    canary: int = Field(default=100, ge=0, le=100_000)
    """People whose letters go first; the rest waits for how those fare. 0 is none."""

    canary_wait: _Span = timedelta(seconds=60)
    canary_from: int = Field(default=5000, ge=1)
    """The smallest audience that has a canary."""

    def canary_for(self, audience: int) -> int:
        """How many of an audience go first; 0 is no canary."""
        return min(self.canary, audience) if audience >= self.canary_from else 0


class Plan(_Part):
    """All that the delivery file says."""

    relays: tuple[RelayPlan, ...] = Field(default=(), alias="relay")
    lanes: Mapping[_Name, LanePlan] = Field(default_factory=dict, alias="lane")
    """Those that the file says something about."""

    brakes: BrakePlan = BrakePlan()
    quiet_hours: Annotated[str, AfterValidator(hours_of_the_day)] = ""
    """When nobody is sent anything, by each recipient's clock: "22:00-07:00"."""

    expiry: _Span | None = None
    """From the first try to giving up; a lane's own comes first. None is the settings'."""

    mx_lookup: bool = False
    """Whether domains no lane names are told by where their mail goes."""

    @classmethod
    def single(cls, url: str, connections: int) -> "Plan":
        """One relay without limits, named by its host."""
        try:
            host = urlsplit(url).hostname or "relay"
        except ValueError:  # no URL: `relay_address` says it in words
            host = "relay"
        only = RelayPlan.model_construct(name=host, url=url, connections=connections)
        return cls.model_construct(relays=(only,))

    @classmethod
    def read(cls, path: Path, *, url: str, connections: int) -> "Plan":
        """Read a delivery file; `url` is the relay where it names none.

        Raises Misconfigured with every fault and its place.
        """
        given = plan_faults.parsed(path)
        names = {"relays": "relay", "lanes": "lane"}  # ours, not the file's
        faults = [
            f"{name}: is nothing Dibao knows; did you mean {key}?"
            for name, key in names.items()
            if name in given
        ]
        given = _with_urls(given, path.parent, connections, faults)
        plan_faults.refuse(path, faults)
        plan = plan_faults.checked(cls, given, path, _KEYS)
        plan_faults.refuse(path, list(_contradictions(plan)))
        if not plan.relays:
            plan = plan.model_copy(update={"relays": cls.single(url, connections).relays})
        return plan

    def lane(self, name: str) -> LanePlan:
        """What the file says about a lane; nothing where it does not name it."""
        return self.lanes.get(name, _PLAIN)

    def relay(self, name: str) -> RelayPlan:
        """The relay of a name. Raises KeyError for one that there is not."""
        for each in self.relays:
            if each.name == name:
                return each
        raise KeyError(name)


_PLAIN = LanePlan()
_KEYS = {
    "": ("relay", "lane", *(key for key in Plan.model_fields if key not in {"relays", "lanes"})),
    "relay": ("url_file", *RelayPlan.model_fields),
    "lane": tuple(LanePlan.model_fields),
    "brakes": tuple(BrakePlan.model_fields),
}


def _with_urls(
    given: dict[str, Any], folder: Path, connections: int, faults: list[str]
) -> dict[str, Any]:
    """What the file says, with URLs read from their files, and connections as in the settings."""
    relays = given.get("relay")
    if not isinstance(relays, list):
        return given
    filled: list[Any] = []
    for number, each in enumerate(relays, 1):
        if not isinstance(each, dict):
            filled.append(each)
            continue
        one = {"connections": connections, **each}
        place = f"relay.{plan_faults.called(each.get('name'), number)}"
        if "url_file" in one:
            file = folder / str(one.pop("url_file"))
            if "url" in one:
                faults.append(f"{place}: write url or url_file, not both")
            try:
                one["url"] = file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as unreadable:  # the path may be a URL by mistake
                why = getattr(unreadable, "strerror", None) or "it is no text"
                faults.append(f"{place}.url_file: cannot be read: {why}")
        filled.append(one)
    return {**given, "relay": filled}


def _contradictions(plan: Plan) -> Iterator[str]:
    """What is right by itself and wrong beside the rest."""
    known = {*PROVIDERS, OTHER, *plan.lanes}
    for name, count in Counter(relay.name for relay in plan.relays).items():
        if count > 1:
            yield f"relay.{name}: {count} relays have this name"
    for relay in plan.relays:
        yield from _of_relay(relay, known)
    for lane in sorted(known) if plan.relays else ():
        if not any(relay.serves(lane) for relay in plan.relays):
            yield f"relay: none serves the lane {lane}"
    yield from _twice(plan, "domains")
    yield from _twice(plan, "mx")
    if any(lane_plan.mx for lane_plan in plan.lanes.values()) and not plan.mx_lookup:
        yield "mx_lookup: has to be true for the mx of a lane to count"


def _of_relay(relay: RelayPlan, known: Collection[str]) -> Iterator[str]:
    for lane in relay.lanes:
        if lane not in known:
            hint = plan_faults.hint(lane, known)
            yield f"relay.{relay.name}.lanes: there is no lane {lane}{hint}"
    try:
        relay_address(relay.url)
    except Misconfigured as wrong:
        yield f"relay.{relay.name}.url: {str(wrong).partition(': ')[2]}"


def _twice(plan: Plan, what: str) -> Iterator[str]:
    places: dict[str, str] = {}
    for name, lane in plan.lanes.items():
        for each in getattr(lane, what):
            if each in places:
                yield f"lane.{name}.{what}: {each} stands in lane {places[each]} already"
            places[each] = name
