"""One reader's own pages: leaving, choosing, reading the letter in the browser.

Whoever has the letter has the token, also a stranger to whom it was forwarded: no page shows a name
or a whole address, and the worst a stranger can do is what an unsubscribe link is for.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from mailer.campaigns import queries as campaigns
from mailer.campaigns.campaign import EditionId, Tracking
from mailer.kit.signing import Bearer
from mailer.rendering.edition import loads
from mailer.rendering.personalise import Splicer, reader
from mailer.reports import actions
from mailer.tracking import queries as tracking
from mailer.web.public.forms import Form
from mailer.web.public.paper import PRIVATE, Paper
from subscribers import queries as subscribers
from subscribers.preferences import PAUSES, Preferences, Wanted
from subscribers.subscriber import (
    TRACKING,
    Frequency,
    State,
    SubscriberId,
    SubscriberNotFound,
    parse_frequency,
)

if TYPE_CHECKING:
    from mailer.app import App

OFTEN = ("every", *(often.value for often in Frequency if often))
LANGUAGES = {
    "ar": "العربية",
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "hi": "हिन्दी",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt": "Português",
    "ru": "Русский",
    "tr": "Türkçe",
    "zh": "中文",
}
"""What languages are called by those who speak them; another is shown by its tag."""

_HERE = frozenset({State.CONFIRMED, State.PENDING})  # who may follow something
_EDITIONS = 64  # letters kept ready to be read in the browser


class Desk:
    """Answers readers."""

    def __init__(self, app: "App", paper: Paper) -> None:
        self._app = app
        self._paper = paper
        self._splicer = lru_cache(_EDITIONS)(self._splicer_of)

    def leaving(self, bearer: Bearer, token: str, *, chosen_none: bool = False) -> HTMLResponse:
        """The page before unsubscribing; the letter's own segments are ticked."""
        found = self._preferences(bearer)
        if found is None:
            return self._paper.nothing()
        letter = self._letter_segments(bearer)
        followed = [choice for choice in found.choices if choice.followed]
        ticked = [c.key for c in followed if letter is None or c.key in letter]
        return self._paper.page(
            "unsubscribe.html",
            HTTPStatus.BAD_REQUEST if chosen_none else HTTPStatus.OK,
            address=found.masked_address,
            choices=followed,
            ticked=ticked or [choice.key for choice in followed],
            chosen_none=chosen_none,
            token=token,
        )

    def leave(self, bearer: Bearer, token: str, form: Form) -> Response:
        """Unsubscribe; again changes nothing and says the same.

        One click ends the segments the letter was for, and all of them where the letter is not
        known any more; others the reader has chosen since go on. The page's button ends what is
        ticked. Any other body is refused.
        """
        if not form.is_one_click and form.one("act") != "unsubscribe":
            return self._paper.senseless()
        found = self._preferences(bearer, erased=form.is_one_click)
        if found is None:
            return self._paper.nothing()
        if form.is_one_click:
            self._end(bearer, self._letter_segments(bearer), source="one-click")
            return PlainTextResponse("You are unsubscribed.\n", headers=PRIVATE)
        chosen = form.all("segment")
        if found.followed and not chosen:
            return self.leaving(bearer, token, chosen_none=True)
        left = self._end(bearer, chosen, source="unsubscribe page") if chosen else found.followed
        return self._paper.page(
            "left.html",
            address=found.masked_address,
            ended=[c.name for c in found.choices if c.key in chosen and c.key not in left],
            left=[choice.name for choice in found.choices if choice.key in left],
            token=token,
        )

    def preferences(self, bearer: Bearer, *, said: str = "") -> HTMLResponse:
        """The page with a reader's choices."""
        found = self._preferences(bearer)
        if found is None:
            return self._paper.nothing()
        return self._paper.page(
            "preferences.html",
            address=found.masked_address,
            choices=found.choices,
            here=found.state in _HERE,
            state=found.state.value,
            tracking=TRACKING[found.tracking],
            frequency=found.frequency.value,
            language=found.language,
            languages=_languages(found),
            paused_until=self._day(found.paused_until),
            pauses=tuple(PAUSES),
            said=said,
        )

    def change(self, bearer: Bearer, form: Form) -> HTMLResponse:
        """Store a reader's choices, or end everything, for a while or for good."""
        found = self._preferences(bearer)
        wanted = _wanted(form, found)
        if wanted is None and form.one("act") != "unsubscribe":
            return self._paper.senseless()
        if found is None:
            return self._paper.nothing()
        if wanted is None:
            self._end(bearer, None, source="preferences page")
            return self.preferences(bearer, said="left")
        with self._app.database.transaction() as session:
            actions.change_preferences(
                session,
                SubscriberId(bearer.subscriber),
                wanted,
                campaign=bearer.campaign,
                now=self._app.now(),
                source="preferences page",
            )
        said = "saved" if wanted.pause is None else "paused" if wanted.pause else "resumed"
        return self.preferences(bearer, said=said)

    def letter(self, bearer: Bearer, token: str) -> HTMLResponse:
        """The edition a reader got, with their links and without their name."""
        found = self._preferences(bearer)
        with self._app.database.reading() as session:
            edition = tracking.edition_of(session, bearer.campaign, bearer.subscriber)
        if edition is None or found is None:
            return self._paper.nothing()
        fields = reader(token.lower(), address=found.masked_address)
        return self._paper.letter(self._splicer(edition).html(fields), public=False)

    def _end(
        self, bearer: Bearer, segments: tuple[str, ...] | None, *, source: str
    ) -> tuple[str, ...]:
        """End these follows, or all with None; what is followed still."""
        with self._app.database.transaction() as session:
            return actions.unsubscribe(
                session,
                SubscriberId(bearer.subscriber),
                campaign=bearer.campaign,
                segments=segments,
                now=self._app.now(),
                source=source,
            ).left

    def _preferences(self, bearer: Bearer, *, erased: bool = False) -> Preferences | None:
        """What a reader's pages show; None where there is nobody, or nobody any more."""
        with self._app.database.reading() as session:
            try:
                found = subscribers.preferences(
                    session, SubscriberId(bearer.subscriber), now=self._app.now()
                )
            except SubscriberNotFound:
                return None
        return None if found.state is State.ERASED and not erased else found

    def _letter_segments(self, bearer: Bearer) -> tuple[str, ...] | None:
        """What leaving through this letter ends; None for everything.

        Also where a rule brought the letter: nobody can stop following a rule, and the next letter
        would come all the same.
        """
        with self._app.database.reading() as session:
            read = tracking.segments_of(session, bearer.campaign, bearer.subscriber)
            by_rule = read is not None and not subscribers.ruled(session).isdisjoint(read)
        return None if by_rule else read

    def _splicer_of(self, edition: EditionId) -> Splicer:
        with self._app.database.reading() as session:
            return Splicer(loads(campaigns.edition(session, edition).artifact))

    def _day(self, moment: datetime | None) -> str:
        """A day as the page says it, where the publication is: 3 May 2026."""
        if moment is None:
            return ""
        there = moment.astimezone(ZoneInfo(self._app.settings.timezone))
        return f"{there.day} {there:%B %Y}"


def _wanted(form: Form, found: Preferences | None) -> Wanted | None:
    """What a reader asks for, or None for something that our page does not offer.

    Of somebody who has left, and of nobody, what they would get is left alone.
    """
    here = found is not None and found.state in _HERE
    act, pause = form.one("act"), form.one("pause")
    if not act and pause in PAUSES:
        return Wanted(pause=PAUSES[pause]) if here else Wanted()
    if act == "resume":
        return Wanted(pause=timedelta()) if here else Wanted()
    wished, often, spoken = form.one("tracking"), form.one("frequency"), form.one("language")
    offered = {spoken} if found is None else {tag for tag, _ in _languages(found)}
    known = wished in {"", *TRACKING} and often in {"", *OFTEN} and spoken in offered
    if act != "save" or not known:
        return None
    return Wanted(
        segments=frozenset(form.all("segment")) if here else None,
        tracking=Tracking.parse(wished) if wished else None,
        language=spoken if form.all("language") else None,
        frequency=parse_frequency(often) if often and here else None,
    )


def _languages(found: Preferences) -> tuple[tuple[str, str], ...]:
    """The languages to choose from, by tag, each in its own words; none first."""
    tags = sorted({*found.languages, *({found.language} - {""})})
    return (("", "No preference"), *((tag, _named(tag)) for tag in tags))


def _named(tag: str) -> str:
    primary, _, rest = tag.partition("-")
    name = LANGUAGES.get(primary, primary)
    return f"{name} ({rest})" if rest else name
