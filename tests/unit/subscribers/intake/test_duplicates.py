"""A key is met before, in an earlier call or further up in the same one."""

from subscribers.intake.duplicates import Seen

ADA, BEN, CLEO = (f"{n:032x}" for n in range(3))


def test_a_key_is_new_once() -> None:
    with Seen() as seen:
        assert seen.before([ADA, BEN, ADA]) == [False, False, True]
        assert seen.before([ADA, CLEO]) == [True, False]
        assert seen.before([CLEO, CLEO]) == [True, True]


def test_nothing_was_met_in_nothing() -> None:
    with Seen() as seen:
        assert seen.before([]) == []
