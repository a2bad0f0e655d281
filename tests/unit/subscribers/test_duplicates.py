"""A key met before is named with the line it was first met in."""

from subscribers.duplicates import Seen


def test_a_key_is_new_once() -> None:
    with Seen() as seen:
        assert seen.before({"ada": 2, "ben": 3}) == {}
        assert seen.before({"ada": 9, "cleo": 10}) == {"ada": 2}
        assert seen.before({"cleo": 11, "ada": 12, "ben": 13}) == {"ada": 2, "ben": 3, "cleo": 10}


def test_nothing_was_met_in_nothing() -> None:
    with Seen() as seen:
        assert seen.before({}) == {}
