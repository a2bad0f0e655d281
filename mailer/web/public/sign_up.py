"""Signing up, by form or JSON.

Whatever address is entered, the answer is the same and takes the same work: the wish is stored, and
a worker finds out what it means.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from mailer.kit.errors import DibaoError
from mailer.notices import actions
from mailer.notices.notice import Wish, budget_key
from mailer.web.assets import Assets
from mailer.web.peer import Peers
from mailer.web.public.budgets import Budgets
from mailer.web.public.defence import Attempt, Gate, Judgement
from mailer.web.public.forms import Form, posted, posted_json
from mailer.web.public.paper import FRESH, Paper
from mailer.web.public.sign_up_words import NAMES, Words, agreed, spoken_to, words
from subscribers import queries as subscribers
from subscribers.address import AddressInvalid, EmailAddress
from subscribers.consent import network
from subscribers.segment import Segment
from subscribers.subscriber import TRACKING, tidy_name

if TYPE_CHECKING:
    from mailer.app import App

_READ = ["GET", "HEAD"]
_LATER = {"Retry-After": "3600"}


@dataclass(frozen=True, slots=True)
class Slip:
    """What has to be filled in again."""

    no_address: bool = False
    no_segment: bool = False
    stale: bool = False

    def __bool__(self) -> bool:
        return self.no_address or self.no_segment or self.stale


class Unknown(DibaoError):
    """There is no such segment to choose."""


class SignUp:
    """Takes sign-ups."""

    def __init__(self, app: "App", peers: Peers) -> None:
        own = app.settings
        self._app, self._peers = app, peers
        self.gate = Gate(
            app.keyring, Budgets(own.broker_url, app.keyring.keys[-1]), bits=own.sign_up_work
        )

    def choices(self) -> tuple[Segment, ...]:
        """The segments anybody may choose."""
        with self._app.database.reading() as session:
            return subscribers.segments(session, followable=True)

    def judge(self, request: Request, form: Form, own: Words, source: str) -> Slip | Judgement:
        """Store a wish that passes; else say what became of it. Raises Unknown."""
        chosen = tuple(dict.fromkeys(form.all("segment")))
        if not set(chosen) <= {segment.key for segment in self.choices()}:
            raise Unknown
        try:
            address = EmailAddress.parse(form.one("address"))
        except AddressInvalid:
            return Slip(no_address=True, no_segment=not chosen)
        if not chosen:
            return Slip(no_segment=True)
        peer, now = self._peers.of(request), self._app.now()
        attempt = Attempt(
            peer=peer,
            token=form.one("form"),
            trap=form.one("website"),
            work=form.one("work"),
            mailbox=budget_key(self._app.keyring, address),
            domain=address.domain,
        )
        judgement = self.gate.judge(attempt, now)
        if judgement is Judgement.STALE:
            return Slip(stale=True)
        if judgement is Judgement.PASSED:
            self._store(self._wish(form, own, address, chosen, source, peer))
        return judgement

    def _wish(
        self,
        form: Form,
        own: Words,
        address: EmailAddress,
        chosen: tuple[str, ...],
        source: str,
        peer: str,
    ) -> Wish:
        settings = self._app.settings
        counted = bool(form.one("tracking")) and settings.tracking in own.tracking
        return Wish(
            address=address,
            segments=chosen,
            wording=agreed(own, self._app.publication.name, settings.tracking, counted=counted),
            source=source,
            at=self._app.now(),
            name=tidy_name(form.one("name")),
            language=words(form.one("language") or own.language).language,
            tracking=TRACKING.index(settings.tracking) if counted else 0,
            network=network(peer, settings.sign_up_network),
        )

    def _store(self, wish: Wish) -> None:
        with self._app.database.transaction() as session:
            actions.wish(session, wish, key=self._app.address_key, keyring=self._app.keyring)
        self._app.knock("notice.send")


def router(app: "App", paper: Paper, peers: Peers) -> APIRouter:
    """Everything under /subscribe; nothing where signing up is switched off."""
    routes = APIRouter()
    if app.settings.sign_up:
        sign_up = SignUp(app, peers)
        routes.include_router(_pages(app, paper, sign_up))
        routes.include_router(_json(app, sign_up))
    return routes


def _pages(app: "App", paper: Paper, sign_up: SignUp) -> APIRouter:
    routes = APIRouter()
    script = Assets().address("sign-up.js")

    def shown(own: Words, form: Form, slip: Slip, ticked: tuple[str, ...]) -> HTMLResponse:
        tracking = own.tracking.get(app.settings.tracking, "")
        choices = sign_up.choices()
        return paper.form(
            "subscribe.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if slip else HTTPStatus.OK,
            scripted=sign_up.gate.bits > 0,
            words=own,
            languages=NAMES,
            choices=[(c.key, c.name_in(own.language), c.description) for c in choices],
            ticked=ticked if len(choices) > 1 else [each.key for each in choices],
            filled={name: form.one(name) for name in ("address", "name", "tracking")},
            slip=slip,
            token=sign_up.gate.form(app.now(), instead_of=form.one("form")),
            consent=agreed(own, app.publication.name, "", counted=False),
            tracking=tracking,
            bits=sign_up.gate.bits,
            script=script,
        )

    @routes.api_route("/subscribe", methods=_READ)
    def page(request: Request) -> HTMLResponse:
        """The form; `?segment=ai` ticks a segment, `?language=zh` speaks another language."""
        if not sign_up.choices():
            return paper.nothing()
        ticked = tuple(request.query_params.getlist("segment"))
        return shown(spoken_to(request), Form(), Slip(), ticked)

    @routes.post("/subscribe")
    def subscribe(request: Request, form: Annotated[Form, Depends(posted)]) -> HTMLResponse:
        """The same page for every address."""
        own = spoken_to(request, form.one("page"))
        try:
            found = sign_up.judge(request, form, own, "sign-up page")
        except Unknown:
            return paper.nothing()
        if isinstance(found, Slip):
            return shown(own, form, found, form.all("segment"))
        if found is Judgement.BUSY:
            page = paper.form("busy.html", HTTPStatus.TOO_MANY_REQUESTS, words=own)
            page.headers.update(_LATER)
            return page
        return paper.form("asked.html", words=own)

    return routes


def _json(app: "App", sign_up: SignUp) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/subscribe.json", methods=_READ)
    def form(request: Request) -> Response:
        """What a form of somebody else's has to show and to send."""
        own = spoken_to(request)
        choices = sign_up.choices()
        return _answer(
            {
                "segments": [
                    {
                        "key": each.key,
                        "name": each.name_in(own.language),
                        "description": each.description,
                    }
                    for each in choices
                ],
                "language": own.language,
                "consent": agreed(own, app.publication.name, "", counted=False),
                "tracking": own.tracking.get(app.settings.tracking, ""),
                "form": sign_up.gate.form(app.now()),
                "work": sign_up.gate.bits,
            }
        )

    @routes.post("/subscribe.json")
    def subscribe(request: Request, form: Annotated[Form, Depends(posted_json)]) -> Response:
        """The same rules as the page's, and the same answer for every address."""
        own = spoken_to(request, form.one("page"))
        try:
            found = sign_up.judge(request, form, own, "sign-up JSON")
        except Unknown:
            return _refused(HTTPStatus.NOT_FOUND, "not-found", "")
        if isinstance(found, Slip):
            return _slipped(found, own)
        if found is Judgement.BUSY:
            return _refused(HTTPStatus.TOO_MANY_REQUESTS, "busy", own.busy)
        return _answer({"title": own.asked_title, "detail": own.asked})

    return routes


def _answer(content: dict[str, Any], status: int = HTTPStatus.OK) -> JSONResponse:
    return JSONResponse(content, status_code=status, headers=FRESH)


def _slipped(slip: Slip, own: Words) -> JSONResponse:
    if slip.stale:
        return _refused(HTTPStatus.CONFLICT, "form-too-old", own.stale)
    reasons = [own.no_address] * slip.no_address + [own.no_segment] * slip.no_segment
    return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, "incomplete", " ".join(reasons))


def _refused(status: HTTPStatus, code: str, detail: str) -> JSONResponse:
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    headers = {**FRESH, **(_LATER if status is HTTPStatus.TOO_MANY_REQUESTS else {})}
    return JSONResponse(
        problem, status_code=status, headers=headers, media_type="application/problem+json"
    )
