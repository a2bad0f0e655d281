"""Confirming a sign-up: a page with one button, and what the button does.

Only a POST confirms, so that a link scanner confirms nothing; one press confirms everything that
was asked for. A link used, too old or forged leads to one and the same page.
"""

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from mailer.kit.errors import DibaoError
from mailer.kit.signing import Bearer, Purpose
from mailer.notices import actions, queries
from mailer.notices.notice import Confirmation
from mailer.web.peer import Peers
from mailer.web.public.forms import Form, posted
from mailer.web.public.paper import Paper
from mailer.web.public.sign_up_words import spoken_to, words
from subscribers import queries as subscribers
from subscribers.consent import network
from subscribers.preferences import Preferences
from subscribers.subscriber import SubscriberId

if TYPE_CHECKING:
    from mailer.app import App


class Confirming:
    """Shows what a link would confirm, and confirms it."""

    def __init__(self, app: "App", paper: Paper, peers: Peers) -> None:
        self._app, self._paper, self._peers = app, paper, peers
        self._life = timedelta(days=app.settings.keep_unconfirmed)

    def shown(self, request: Request, token: str, *, changed: bool = False) -> HTMLResponse:
        """The page with the button."""
        found = self._found(self._bearer(token))
        if found is None:
            return self._spent(request)
        own = words(found.language)
        with self._app.database.reading() as session:
            known = subscribers.segments(session, archived=True)
        names = {each.key: each.name_in(own.language) for each in known}
        return self._paper.page(
            "confirm.html",
            words=own,
            address=found.masked_address,
            names=[names[key] for key in found.segments if key in names],
            asked=" ".join(found.segments),
            changed=changed,
        )

    def confirm(self, request: Request, token: str, form: Form) -> HTMLResponse:
        """Confirm, unless more was asked for since the page was shown: then show it again."""
        bearer = self._bearer(token)
        found = self._found(bearer)
        if found is None:
            return self._spent(request)
        seen = form.one("asked")
        if seen and set(seen.split()) != set(found.segments):
            return self.shown(request, token, changed=True)
        follows = self._confirmed(bearer, found, self._peers.of(request))
        if follows is None:
            return self._spent(request)
        self._app.knock("notice.send")
        return self._paper.page(
            "confirmed.html",
            words=words(found.language),
            names=[choice.name for choice in follows.choices if choice.followed],
            token=self._app.keyring.sign(Purpose.DELIVERY, 0, bearer.subscriber),
        )

    def _confirmed(self, bearer: Bearer, found: Confirmation, peer: str) -> Preferences | None:
        who = SubscriberId(bearer.subscriber)
        try:
            with self._app.database.transaction() as session:
                done = actions.confirm(
                    session,
                    bearer.campaign,
                    who,
                    now=self._app.now(),
                    life=self._life,
                    source="confirmation page",
                    network=network(peer, self._app.settings.sign_up_network),
                )
                follows = subscribers.preferences(session, who, found.language)
        except DibaoError:  # erased or unsubscribed since we looked
            return None
        return follows if done else None

    def _found(self, bearer: Bearer) -> Confirmation | None:
        with self._app.database.reading() as session:
            return queries.confirmation(
                session,
                bearer.campaign,
                SubscriberId(bearer.subscriber),
                now=self._app.now(),
                life=self._life,
            )

    def _bearer(self, token: str) -> Bearer:
        return self._app.keyring.verify(Purpose.CONFIRM, token) or Bearer(0, 0)

    def _spent(self, request: Request) -> HTMLResponse:
        return self._paper.page(
            "spent.html",
            HTTPStatus.NOT_FOUND,
            words=spoken_to(request),
            sign_up=self._app.settings.sign_up,
        )


def router(app: "App", paper: Paper, peers: Peers) -> APIRouter:
    """Everything under /confirm; links that were sent work where signing up is switched off."""
    routes = APIRouter()
    confirming = Confirming(app, paper, peers)

    @routes.api_route("/confirm/{token}", methods=["GET", "HEAD"])
    def page(request: Request, token: str) -> HTMLResponse:
        """What would be confirmed; a scanner that fetches this confirms nothing."""
        return confirming.shown(request, token)

    @routes.post("/confirm/{token}")
    def confirm(
        request: Request, token: str, form: Annotated[Form, Depends(posted)]
    ) -> HTMLResponse:
        """Confirm all of it: the one button on the page."""
        return confirming.confirm(request, token, form)

    return routes
