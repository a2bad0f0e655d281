"""How SQLite finds a part of an address or name: an index of trigrams, kept by triggers.

`subscriber_search` holds no text, only where each three characters stand. Values stand between
line breaks, so that the beginning of a value is a trigram too, and two at the end let a part of
one or two characters be found as the beginning of trigrams wherever it stands.
"""

_ADD = (
    "INSERT INTO subscriber_search (rowid, address, name) VALUES (new.id, "
    "char(10) || coalesce(new.address, '') || char(10) || char(10), "
    "char(10) || new.name || char(10) || char(10));"
)
_REMOVE = (
    "INSERT INTO subscriber_search (subscriber_search, rowid, address, name) "
    "VALUES ('delete', old.id, "
    "char(10) || coalesce(old.address, '') || char(10) || char(10), "
    "char(10) || old.name || char(10) || char(10));"
)

STATEMENTS = (
    (
        "sqlite",
        (
            "CREATE VIRTUAL TABLE subscriber_search USING "
            "fts5(address, name, content='', columnsize=0, tokenize='trigram')"
        ),
    ),
    (
        "sqlite",
        "CREATE VIRTUAL TABLE subscriber_search_terms USING fts5vocab('subscriber_search', 'row')",
    ),
    (  # those who were there before the index
        "sqlite",
        (
            "INSERT INTO subscriber_search (rowid, address, name) SELECT id, "
            "char(10) || coalesce(address, '') || char(10) || char(10), "
            "char(10) || name || char(10) || char(10) FROM subscriber"
        ),
    ),
    (
        "sqlite",
        f"CREATE TRIGGER subscriber_search_add AFTER INSERT ON subscriber BEGIN {_ADD} END",
    ),
    (
        "sqlite",
        f"CREATE TRIGGER subscriber_search_remove AFTER DELETE ON subscriber BEGIN {_REMOVE} END",
    ),
    (
        "sqlite",
        (
            "CREATE TRIGGER subscriber_search_change AFTER UPDATE OF address, name ON subscriber "
            "WHEN old.address IS NOT new.address OR old.name IS NOT new.name "
            f"BEGIN {_REMOVE} {_ADD} END"
        ),
    ),
)
"""(dialect, statement) in order; run by create_all, and by the migration."""
