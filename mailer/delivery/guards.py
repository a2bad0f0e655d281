"""What the tables of delivery refuse, as triggers for both databases.

`delivery`, `attempt` and `resolution` take new rows and nothing else, but for one thing: the words
in them may be emptied, since a reply can name somebody (`WORDS`). `audience` may be rebuilt
until its campaign is frozen, then never changes. A batch moves only along its arrows, and a
campaign finishes only by the sum: one row in `delivery` for everybody in its audience.

Plain SQL, so that migrations can run it by hand; `models.py` hangs it on the tables.
"""

WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "delivery": (
        "reply",
        (
            *("campaign_id", "subscriber_id", "outcome", "code", "enhanced", "reason", "relay"),
            *("worker", "batch", "epoch", "chunk", "at", "evidence"),
        ),
    ),
    "attempt": (
        "reply",
        (
            *("campaign_id", "subscriber_id", "number", "code", "enhanced", "worker", "at"),
            *("first_tried", "batch", "position"),
        ),
    ),
    "resolution": (
        "evidence",
        (
            *("campaign_id", "subscriber_id", "number", "outcome", "actor", "at"),
            *("batch", "position"),
        ),
    ),
}
"""Insert-only table -> the column with somebody's words, which may be emptied; all the others."""

_FROZEN = "(SELECT frozen_at FROM campaign WHERE id = {row}.campaign_id) IS NOT NULL"

_OFF_THE_ARROWS = """
    OLD.state = 'done' OR NEW.epoch < OLD.epoch OR NEW.size < OLD.size
    OR (NEW.size <> OLD.size AND OLD.epoch > 0)
    OR NEW.campaign_id <> OLD.campaign_id OR NEW.number <> OLD.number
    OR NEW.edition_id <> OLD.edition_id OR NEW.lane <> OLD.lane OR NEW.attempt <> OLD.attempt
"""  # a batch somebody has leased takes nobody in any more: its people have been read

_OFF_THE_SUM = """
    NEW.state = 'finished' AND OLD.state <> 'finished' AND NEW.audience_count <>
    (SELECT count(*) FROM delivery WHERE campaign_id = NEW.id)
"""


def _sqlite(name: str, when: str, refusal: str, condition: str = "") -> str:
    guarded = f"WHEN {condition} " if condition else ""
    return (
        f"CREATE TRIGGER {name} BEFORE {when} {guarded}BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
    )


def _postgresql(name: str, when: str, refusal: str, condition: str = "") -> tuple[str, str]:
    test = f"IF {condition} THEN {{}} END IF;" if condition else "{}"
    body = test.format(f"RAISE EXCEPTION '{refusal}';")
    return (
        (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN coalesce(NEW, OLD); END $$"
        ),
        f"CREATE TRIGGER {name} BEFORE {when} FOR EACH ROW EXECUTE FUNCTION {name}()",
    )


def _insert_only(table: str) -> tuple[tuple[str, str], ...]:
    refusal = f"{table} is insert-only"
    words, others = WORDS[table]
    emptied = f"NEW.{words} <> ''"
    sqlite = " OR ".join([emptied, *(f"NEW.{name} IS NOT OLD.{name}" for name in others)])
    new, old = (", ".join(f"{row}.{name}" for name in others) for row in ("NEW", "OLD"))
    changed = f"TG_OP = 'DELETE' OR {emptied} OR ROW({new}) IS DISTINCT FROM ROW({old})"
    verbs = f"UPDATE OR DELETE ON {table}"
    function, trigger = _postgresql(f"{table}_keeps", verbs, refusal, changed)
    return (
        ("sqlite", f"DROP TRIGGER IF EXISTS {table}_keeps_values"),  # the first schema's
        ("sqlite", _sqlite(f"{table}_keeps_values", f"UPDATE ON {table}", refusal, sqlite)),
        ("sqlite", _sqlite(f"{table}_keeps_rows", f"DELETE ON {table}", refusal)),
        ("postgresql", function),
        ("postgresql", trigger),
    )


def _each(name: str, when: str, refusal: str, condition: str = "") -> tuple[tuple[str, str], ...]:
    """The same guard for both databases."""
    function, trigger = _postgresql(name, when, refusal, condition)
    return (
        ("sqlite", _sqlite(name, when, refusal, condition)),
        ("postgresql", function),
        ("postgresql", trigger),
    )


# Checked once per statement, not per row: a freeze inserts a million rows in one.
_AUDIENCE_CLOSED = (
    (
        "sqlite",
        _sqlite(
            "audience_is_closed",
            "INSERT ON audience",
            "the audience is frozen",
            _FROZEN.format(row="NEW"),
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION audience_is_closed() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF EXISTS (SELECT 1 FROM campaign WHERE frozen_at IS NOT NULL AND id IN "
            "(SELECT campaign_id FROM inserted)) THEN RAISE EXCEPTION 'the audience is frozen'; "
            "END IF; RETURN NULL; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER audience_is_closed AFTER INSERT ON audience "
            "REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT "
            "EXECUTE FUNCTION audience_is_closed()"
        ),
    ),
)

STATEMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    **{table: _insert_only(table) for table in WORDS},
    "audience": (
        *_each("audience_keeps_values", "UPDATE ON audience", "audience is insert-only"),
        *_each(
            "audience_keeps_rows",
            "DELETE ON audience",
            "the audience is frozen",
            _FROZEN.format(row="OLD"),
        ),
        *_AUDIENCE_CLOSED,
    ),
    "batch": (
        *_each("batch_moves", "UPDATE ON batch", "not a move of a batch", _OFF_THE_ARROWS),
        *_each(
            "batch_stays",
            "DELETE ON batch",
            "the audience is frozen",
            _FROZEN.format(row="OLD"),
        ),
        # hung on `batch`, which is made after `campaign` because it refers to it
        *_each(
            "campaign_adds_up",
            "UPDATE OF state ON campaign",
            "the campaign does not add up",
            _OFF_THE_SUM,
        ),
    ),
}
"""Table -> (dialect, statement) in order; run by create_all, and for migrations to run."""
