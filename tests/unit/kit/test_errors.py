"""A refusal says what it is in a sentence, and by a name for programs."""

import pytest

from mailer.kit.errors import Conflict, DibaoError, Invalid, Misconfigured, NotFound, Unavailable


class CampaignNotSending(Conflict):
    """The campaign is not sending.

    This part is for readers of the code.
    """


def test_the_first_line_of_the_docstring_is_the_message() -> None:
    assert str(CampaignNotSending()) == "The campaign is not sending."


def test_a_raiser_may_be_more_precise() -> None:
    assert str(CampaignNotSending("Campaign 7 finished first.")) == "Campaign 7 finished first."


def test_the_code_is_the_name_in_lower_case() -> None:
    assert CampaignNotSending().code == "campaign-not-sending"


@pytest.mark.parametrize("kind", [Invalid, NotFound, Conflict, Unavailable, Misconfigured])
def test_every_kind_is_a_refusal_with_a_sentence_of_its_own(kind: type[DibaoError]) -> None:
    assert issubclass(kind, DibaoError)
    assert str(kind()).endswith(".") or ";" in str(kind())
