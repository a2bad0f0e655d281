"""What the house declines to do, and why.

An error's docstring is its message; a raiser may say something more precise. No error knows HTTP
or exit codes: the faces translate the five kinds below.
"""

import re


class DibaoError(Exception):
    """Dibao declined a request."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])

    @property
    def code(self) -> str:
        """A stable name for programs: `CampaignNotSending` is "campaign-not-sending"."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(self).__name__).lower()


class Invalid(DibaoError):
    """The input does not hold what it should; the message says where and what to do."""


class NotFound(DibaoError):
    """There is no such thing."""


class Conflict(DibaoError):
    """The thing is not in a state that allows this."""


class Unavailable(DibaoError):
    """Something we depend on does not answer; trying again can help."""


class Misconfigured(DibaoError):
    """A setting keeps this from starting."""
