"""Where files that are no Python lie: beside the packages in a checkout, inside them in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""The package `mailer`, wherever it is installed."""


def _first_there(*places: Path) -> Path:
    return next((place for place in places if place.is_dir()), places[-1])


TEMPLATES = _first_there(PACKAGE / "templates", PACKAGE.parent / "templates")
"""`email/`, `notices/` and `web/`. The wheel carries them as `mailer/templates`."""

STATIC = PACKAGE / "web" / "static"
"""Browser assets, ours and those `make assets` brings."""
