"""Whatever people do in whatever order, candidates and recipients are what a naive model says."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.kit.database import Base, Database
from mailer.kit.errors import DibaoError
from subscribers import actions, queries
from subscribers.address import EmailAddress, address_key
from subscribers.subscriber import SubscriberId
from subscribers.suppression import LIFTED_BY_CONFIRMING, Reason
from tests.unit.subscribers.people import KEY, NOON

NAMES = ("ada", "ben", "cleo")
SEGMENTS = ("luxury", "ai", "e-commerce")
VERBS = ("subscribe", "confirm", "follow", "unfollow", "unsubscribe", "leave")
WORDS = {Reason.BOUNCED: "bounced", Reason.COMPLAINED: "complained"}

Step = tuple[str, str, tuple[str, ...]]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(VERBS),
            st.sampled_from(NAMES),
            st.lists(st.sampled_from(SEGMENTS), unique=True).map(tuple),
        ),
        st.tuples(
            st.sampled_from(["suppress", *VERBS[:2]]),
            st.sampled_from(NAMES),
            st.sampled_from(Reason)
            .filter(lambda reason: reason is not Reason.ERASED)
            .map(lambda reason: (reason.value,)),
        ),
        st.tuples(st.sampled_from(["lift", "erase"]), st.sampled_from(NAMES), st.just(())),
    ),
    max_size=25,
)


@dataclass
class Naive:
    """One person, by the rules as one would tell them."""

    own: str = ""  # "" is not there
    follows: set[str] = field(default_factory=set)
    asked: set[str] | None = None
    stopped: Reason | None = None

    def do(self, verb: str, words: Sequence[str]) -> None:
        segments = set(words) & set(SEGMENTS)
        getattr(self, verb)(segments if verb != "suppress" else words[0])

    def subscribe(self, segments: set[str]) -> None:
        self.asked = (self.asked or set()) | segments
        if self.own in {"", "erased"}:
            self.own = "pending"
        if self.own == "pending":
            self.follows |= segments

    def confirm(self, _: set[str]) -> None:
        if self.asked is not None:
            self.own, self.follows, self.asked = "confirmed", self.follows | self.asked, None
            self.stopped = None if self.stopped in LIFTED_BY_CONFIRMING else self.stopped

    def follow(self, segments: set[str]) -> None:
        if self.own in {"pending", "confirmed"}:
            self.follows |= segments

    def unfollow(self, segments: set[str]) -> None:
        self.follows -= segments

    def unsubscribe(self, segments: set[str]) -> None:
        ended = self.follows & segments
        self.follows -= segments
        if ended and not self.follows:
            self.leave(set())

    def leave(self, _: set[str]) -> None:
        if self.own in {"pending", "confirmed"}:
            self.own = "unsubscribed"
        self.follows, self.asked = set(), None

    def suppress(self, reason: str) -> None:
        order = list(Reason)
        self.stopped = max(Reason(reason), self.stopped or order[0], key=order.index)

    def lift(self, _: set[str]) -> None:
        if self.stopped is not Reason.ERASED:
            self.stopped = None

    def erase(self, _: set[str]) -> None:
        if self.own != "erased":
            self.own, self.follows, self.asked = "erased", set(), None
            self.suppress(Reason.ERASED.value)

    @property
    def excluded(self) -> str | None:
        if self.stopped and self.own != "erased":
            return WORDS.get(self.stopped, "suppressed")
        return None if self.own == "confirmed" else self.own


class House:
    """The same, by the actions."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids = dict[str, SubscriberId]()

    def do(self, verb: str, name: str, words: Sequence[str]) -> None:
        address = EmailAddress.parse(f"{name}@example.org")
        segments = [word for word in words if word in SEGMENTS]
        with suppress(DibaoError), self.database.transaction() as session:
            if verb == "subscribe":
                self.ids[name] = actions.subscribe(
                    session, address, key=KEY, segments=segments, source="", wording="", now=NOON
                )
            elif verb == "suppress":
                actions.suppress(session, address_key(KEY, address), words[0], now=NOON)
            elif verb == "lift":
                actions.lift(session, address_key(KEY, address), reason="so", now=NOON)
            elif verb == "confirm":
                actions.confirm(session, self.ids[name], now=NOON, source="")
            elif verb == "erase":
                actions.erase(session, self.ids[name], now=NOON, source="")
            elif verb in {"unsubscribe", "leave"}:
                chosen = None if verb == "leave" else segments
                actions.unsubscribe(session, self.ids[name], segments=chosen, now=NOON, source="")
            else:
                act = actions.follow if verb == "follow" else actions.unfollow
                act(session, self.ids[name], segments, now=NOON, source="")

    def candidates(self) -> dict[str, tuple[int, str | None]]:
        names = {number: name for name, number in self.ids.items()}
        with self.database.reading() as session:
            rows = session.execute(queries.candidates(session, SEGMENTS, now=NOON)).all()
        assert len(rows) == len({row.subscriber_id for row in rows})
        return {names[row.subscriber_id]: (row.mask, row.excluded) for row in rows}

    def unmailable(self) -> dict[str, str | None]:
        names = {number: name for name, number in self.ids.items()}
        with self.database.reading() as session:
            rows = session.execute(queries.recipients()).all()
        return {names[row.id]: row.unmailable for row in rows}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(STEPS)
def test_candidates_are_what_a_naive_model_says(
    sqlite_database: Database, steps: list[Step]
) -> None:
    compare(sqlite_database, steps)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(STEPS)
def test_and_on_postgresql(postgres_database: Database, steps: list[Step]) -> None:
    compare(postgres_database, steps)


def compare(database: Database, steps: list[Step]) -> None:
    empty(database)
    house, naive = House(database), {name: Naive() for name in NAMES}
    for verb, name, words in steps:
        if verb in {"subscribe", "suppress", "lift"} or name in house.ids:
            house.do(verb, name, words)
            naive[name].do(verb, words)

    assert house.candidates() == {
        name: (sum(1 << SEGMENTS.index(key) for key in one.follows), one.excluded)
        for name, one in naive.items()
        if one.follows
    }
    assert house.unmailable() == {name: naive[name].excluded for name in house.ids}


def empty(database: Database) -> None:
    """Start again from nothing, faster than with a new database: history cannot be deleted."""
    names = ("follow", "consent_network", "consent", "suppression", "wording")
    tables = [Base.metadata.tables[name] for name in names]
    with database.engine.begin() as connection:
        for table in tables:
            table.drop(connection)
        for table in reversed(tables):
            table.create(connection)
    with database.transaction() as session:
        session.execute(Base.metadata.tables["subscriber"].delete())
        actions.ensure_segments(session)
