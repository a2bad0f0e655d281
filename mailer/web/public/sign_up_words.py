"""The words of the sign-up pages, by language; what people agree to is stored as it is shown."""

from dataclasses import dataclass
from typing import Final

import yaml
from fastapi import Request

from mailer.kit.paths import TEMPLATES
from mailer.notices.letters import LANGUAGES, spoken


@dataclass(frozen=True, slots=True)
class Words:
    """One language; a file of `templates/web/public/words`."""

    name_of_language: str
    language: str
    title: str
    intro: str
    segments: str
    address: str
    name: str
    optional: str
    letters_in: str
    trap: str  # whoever hears the page read out must not fill it in
    button: str
    consent: str
    tracking: dict[str, str]  # by the installation's setting
    tracking_legend: str
    no_address: str
    no_segment: str
    stale: str
    busy: str
    no_script: str
    asked_title: str
    asked: str
    asked_more: str
    again: str
    confirm_title: str
    confirm: str
    confirm_button: str
    changed: str
    not_me: str
    confirmed_title: str
    confirmed: str
    preferences: str
    spent_title: str
    spent: str
    spent_more: str


def _read(language: str) -> Words:
    text = (TEMPLATES / "web" / "public" / "words" / f"{language}.yaml").read_text("utf-8")
    return Words(**yaml.safe_load(text))


_WORDS: Final = {language: _read(language) for language in LANGUAGES}
NAMES: Final = {language: own.name_of_language for language, own in _WORDS.items()}
"""How each language calls itself."""


def words(language: str) -> Words:
    """The words in a language of ours, or the nearest there is."""
    return _WORDS[spoken(language)]


def preferred(header: str, chosen: str = "") -> str:
    """The language to speak: the one chosen, else the first of ours in Accept-Language.

    The order of the header is taken for the order of preference, as browsers write it.
    """
    if chosen in LANGUAGES:
        return chosen
    for tag in header[:200].split(","):
        primary = tag.partition(";")[0].strip().partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return LANGUAGES[0]


def spoken_to(request: Request, page: str = "") -> Words:
    """The words for a visitor: of the page that was shown, as chosen, as the browser prefers."""
    chosen = page or request.query_params.get("language", "")
    return words(preferred(request.headers.get("accept-language", ""), chosen))


def agreed(own: Words, publication: str, tracking: str, *, counted: bool) -> str:
    """What somebody agreed to, word for word; `tracking` is the installation's setting."""
    consent = own.consent.format(publication=publication)
    return f"{consent}\n\n{own.tracking[tracking]}" if counted else consent
