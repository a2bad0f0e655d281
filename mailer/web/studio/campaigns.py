"""The campaigns' pages: the list, and one campaign from its launch to its report."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from mailer.campaigns import actions, queries
from mailer.campaigns.campaign import CampaignId, CampaignOver, State
from mailer.kit.errors import Unavailable
from mailer.web.access import private
from mailer.web.pages import Pages
from mailer.web.studio import live
from mailer.web.studio.board import Board, Boards
from mailer.web.studio.held import hold

if TYPE_CHECKING:
    from mailer.app import App

PARTS = ("state", "actions", "held", "progress", "editions", "trouble", "report")
"""What of a campaign's page changes; each is a template of its own."""

_LARGEST = 2**63 - 1  # of a database's integer


class TooManyWatch(Unavailable):
    """Too many pages are being watched; this one goes on by reloading."""


def router(app: "App") -> APIRouter:
    """The pages under /campaigns; only for a browser on this machine."""
    routes = APIRouter(dependencies=[Depends(private(app.settings))])
    pages = Pages.of(app)
    boards = Boards(app)
    routes.include_router(_views(app, pages, boards))
    routes.include_router(_streams(pages, boards))
    routes.include_router(_moves(app, pages, boards))
    return routes


def _views(app: "App", pages: Pages, boards: Boards) -> APIRouter:
    routes = APIRouter(prefix="/campaigns")

    @routes.get("")
    def all_campaigns() -> HTMLResponse:
        """All campaigns, newest first."""
        with app.database.reading() as session:
            found = queries.campaigns(session)
            stopped = hold(session, app.settings.data_dir)
        return pages.page("studio/campaigns.html", campaigns=found, hold=stopped)

    @routes.get("/{number}")
    def one_campaign(number: int) -> HTMLResponse:
        """One campaign; with script it keeps itself up to date."""
        board = boards.look(_identity(number), fresh=True)
        return pages.page("studio/campaign.html", board=board, parts=_parts(pages, board))

    return routes


def _streams(pages: Pages, boards: Boards) -> APIRouter:
    routes = APIRouter(prefix="/campaigns")
    watching: set[object] = set()

    @routes.get("/{number}/live")
    async def watch(number: int, request: Request) -> StreamingResponse:
        """The parts of the page as they change."""
        identity = _identity(number)
        await run_in_threadpool(boards.look, identity)  # no stream for a campaign that is not there
        if len(watching) >= live.STREAMS:
            raise TooManyWatch

        def look() -> tuple[Mapping[str, str], bool]:
            board = boards.look(identity)
            return _parts(pages, board), board.is_moving

        async def counted() -> AsyncIterator[str]:
            one = object()
            watching.add(one)
            try:
                async for event in live.stream(look, request.app.state.closing):
                    yield event
            finally:
                watching.discard(one)

        return StreamingResponse(
            counted(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return routes


def _moves(app: "App", pages: Pages, boards: Boards) -> APIRouter:
    routes = APIRouter(prefix="/campaigns")

    @routes.get("/{number}/cancel")
    def may_cancel(number: int) -> HTMLResponse:
        """Ask before a campaign is cancelled for good."""
        board = boards.look(_identity(number), fresh=True)
        if State.CANCELLED not in board.moves:
            raise CampaignOver
        return pages.page("studio/cancel.html", board=board)

    @routes.post("/{number}/cancel")
    def cancel(number: int) -> RedirectResponse:
        """Send nothing more, for good."""
        app.cancel(_identity(number))
        return _back(number)

    @routes.post("/{number}/pause")
    def pause(number: int) -> RedirectResponse:
        """Hand out no more until somebody says so."""
        with app.database.transaction() as session:
            actions.pause(session, _identity(number))
        return _back(number)

    @routes.post("/{number}/resume")
    def resume(number: int) -> RedirectResponse:
        """Go on where it paused."""
        app.resume(_identity(number))
        return _back(number)

    return routes


def _parts(pages: Pages, board: Board) -> dict[str, str]:
    return {name: pages.fragment(f"studio/part_{name}.html", board=board) for name in PARTS}


def _identity(number: int) -> CampaignId:
    if not 0 < number <= _LARGEST:
        raise queries.CampaignNotFound(f"There is no campaign {number}")
    return CampaignId(number)


def _back(number: int) -> RedirectResponse:
    return RedirectResponse(f"/campaigns/{number}", status_code=303)
