"""What went wrong, as a page for people or as problem+json (RFC 9457) for programs.

Never a stack trace: a fault of ours shows a request's number, and the log line with the same
number says where it happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from mailer.kit.errors import Conflict, DibaoError, Invalid, Misconfigured, NotFound, Unavailable
from mailer.web.access import AccessRefused
from mailer.web.pages import Pages

STATUS: dict[type[DibaoError], HTTPStatus] = {
    AccessRefused: HTTPStatus.FORBIDDEN,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Misconfigured: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_TITLES = {
    400: "That request made no sense",
    403: "Not from here",
    404: "There is nothing here",
    405: "That cannot be done here",
    409: "Not now",
    413: "That is too much",
    422: "Something is not right yet",
    500: "That was our fault",
    503: "Something we need is away",
}
_DETAILS = {
    404: "The address may be mistyped, or what was here is gone.",
    405: "This address answers another method.",
    413: "A request may hold 2 MB at most.",
    500: "It is in the log under the number below. Nothing that was stored is lost.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal as a face shows it."""

    status: int
    code: str  # stable, for programs: "campaign-not-sending"
    detail: str = ""

    @property
    def title(self) -> str:
        """A few words for people."""
        return _TITLES.get(self.status) or HTTPStatus(self.status).phrase

    @property
    def text(self) -> str:
        """What happened and what to do."""
        return self.detail or _DETAILS.get(self.status, "")


def install(site: FastAPI, pages: Pages) -> None:
    """Answer every kind of refusal."""

    def declined(request: Request, error: Exception) -> Response:
        assert isinstance(error, DibaoError)
        return answer(pages, request.scope, problem_of(error))

    def malformed(request: Request, _: Exception) -> Response:
        return answer(pages, request.scope, Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "malformed"))

    def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        response = answer(pages, request.scope, Problem(error.status_code, code))
        response.headers.update(error.headers or {})
        return response

    site.add_exception_handler(DibaoError, declined)
    site.add_exception_handler(RequestValidationError, malformed)
    site.add_exception_handler(HTTPException, by_status)


def problem_of(error: DibaoError) -> Problem:
    """The problem a refusal makes."""
    kinds = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    status = next(kinds, HTTPStatus.BAD_REQUEST)
    # What is misconfigured, and which server is away, concerns the operator and not a reader.
    inner = isinstance(error, Misconfigured | Unavailable)
    return Problem(status, error.code, "" if inner else str(error))


def answer(pages: Pages, scope: Mapping[str, Any], problem: Problem) -> Response:
    """The response, in the form the caller asked for."""
    identity = str(scope.get("state", {}).get("request_id", ""))
    if _wants_json(scope):
        response: Response = JSONResponse(
            {
                "type": "about:blank",
                "title": problem.title,
                "status": problem.status,
                "detail": problem.text,
                "code": problem.code,
                "request": identity,
            },
            status_code=problem.status,
            media_type="application/problem+json",
        )
    else:
        response = pages.page(
            "problem.html", status=problem.status, problem=problem, identity=identity
        )
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    response.headers["Cache-Control"] = "no-store"
    return response


def _wants_json(scope: Mapping[str, Any]) -> bool:
    path = str(scope.get("path", ""))
    if path.startswith("/api/") or path.endswith(".json"):
        return True
    headers = {name: value for name, value in scope.get("headers", ()) if name == b"accept"}
    accept = headers.get(b"accept", b"").lower()
    return b"json" in accept and b"text/html" not in accept
