"""What guards the people's tables in the database itself: triggers.

Each statement stands with the dialect it is for; create_all runs them, and the migration.
"""

from subscribers.subscriber import MOVES, OWN


def _insert_only(name: str) -> tuple[tuple[str, str], ...]:
    """Make a table refuse UPDATE and DELETE: the statements, each with its dialect."""
    sqlite = tuple(
        (
            "sqlite",
            (
                f"CREATE TRIGGER {name}_refuses_{verb.lower()} BEFORE {verb} ON {name} "
                f"BEGIN SELECT RAISE(ABORT, '{name} is insert-only'); END"
            ),
        )
        for verb in ("UPDATE", "DELETE")
    )
    function = (
        f"CREATE OR REPLACE FUNCTION {name}_is_insert_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name} is insert-only'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {name}_is_insert_only BEFORE UPDATE OR DELETE ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}_is_insert_only()"
    )
    return (*sqlite, ("postgresql", function), ("postgresql", trigger))


INSERT_ONLY = {name: _insert_only(name) for name in ("consent", "wording", "segment_revision")}
"""Table -> (dialect, statement): what was agreed to, and how a rule was, is never rewritten."""

_ARROWS = ", ".join(
    f"'{here}>{there}'"
    for here in sorted(OWN)
    for there in sorted(MOVES[here] & OWN)  # the others come from a suppression, and are not stored
)
_OFF_THE_ARROWS = f"OLD.state || '>' || NEW.state NOT IN ({_ARROWS})"
_REFUSAL = "not a move of a subscriber"

STATE_MOVES = (
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_moves BEFORE UPDATE OF state ON subscriber "
            f"WHEN NEW.state <> OLD.state AND {_OFF_THE_ARROWS} "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE OR REPLACE FUNCTION subscriber_moves() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
        ),
    ),
    (
        "postgresql",
        (
            "CREATE TRIGGER subscriber_moves BEFORE UPDATE OF state ON subscriber FOR EACH ROW "
            f"WHEN (NEW.state <> OLD.state AND {_OFF_THE_ARROWS}) "
            "EXECUTE FUNCTION subscriber_moves()"
        ),
    ),
)
"""A state moves along the arrows of `subscriber.MOVES`, whoever writes it."""
