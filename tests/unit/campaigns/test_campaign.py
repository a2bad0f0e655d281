"""A campaign moves along the arrows and along no others."""

import pytest

from mailer.campaigns.campaign import MOVES, State, Tracking


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(State)


def test_what_is_over_stays_over() -> None:
    assert not MOVES[State.FINISHED]
    assert not MOVES[State.CANCELLED]


def test_every_state_but_the_last_two_can_be_cancelled() -> None:
    over = {State.FINISHED, State.CANCELLED}

    assert all(State.CANCELLED in moves for state, moves in MOVES.items() if state not in over)


@pytest.mark.parametrize(("word", "bits"), [("none", 0), ("opens", 1), ("clicks", 2), ("all", 3)])
def test_tracking_is_said_in_words(word: str, bits: int) -> None:
    assert Tracking.parse(word) == bits


def test_an_unknown_word_for_tracking_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="none, opens, clicks, all"):
        Tracking.parse("everything")
