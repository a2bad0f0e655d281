"""Faults of clocks, and people who stop what is going on; each row by its number."""

import time
from collections.abc import Callable

import pytest

from mailer.campaigns import actions as campaigns
from mailer.campaigns.campaign import State
from mailer.delivery import actions
from tests.fakes import books
from tests.faults import sender
from tests.faults.processes import until
from tests.faults.scene import Scene
from tests.faults.sink import Manners

Scenes = Callable[..., Scene]
HOUR = 3600.0


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_worker_whose_clock_is_wrong_beside_one_whose_is_right(
    scene: Scenes, ahead: float
) -> None:
    """Fault 42: leases go by the database's clock; nobody is lost or mailed twice."""
    one = scene(people=100, batch=20, manners=Manners(linger=0.01))
    wrong = one.worker(clock=ahead, guarded=False, lease=20.0)
    one.worker(lease=20.0)
    one.sent(30)
    wrong.kill()
    wrong.join()
    one.over()

    one.check(uncertain=sender.CONNECTIONS)


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_stopped_by_a_person_in_the_middle(scene: Scenes, action: str) -> None:
    """Fault 47: within two seconds, and then one letter for each connection at most."""
    people = 600
    one = scene(people=people, batch=300, manners=Manners(linger=0.02))
    one.worker(chunk=200, lease=20.0)
    one.sent(50)
    with one.database.transaction() as session:
        if action == "pause":
            campaigns.pause(session, one.campaign)
        else:
            actions.cancel(session, one.campaign, now=books.NOON)
    stopped = time.time()
    time.sleep(4)
    late = [letter for letter in one.sink.letters() if letter.at > stopped + 2]

    assert len(late) <= sender.CONNECTIONS
    assert one.sink.count < people
    if action == "pause":
        with one.database.transaction() as session:
            campaigns.resume(session, one.campaign)
        one.over(seconds=90)
        assert one.check(uncertain=0).sent == people
        return
    until("the end", one.is_over)
    one.end()
    found = one.check(uncertain=0, skipped=people)
    assert found.outcomes["accepted"] == found.sent
    assert found.outcomes["accepted"] + found.outcomes["skipped"] == people
    with one.database.reading() as session:
        assert books.stored(session, one.campaign).state is State.CANCELLED


def test_paused_and_resumed_again_and_again(scene: Scenes) -> None:
    """Fault 47, R25: each time, in the middle of a chunk."""
    one = scene(people=300, batch=100, manners=Manners(linger=0.01))
    one.worker(lease=20.0)
    for turn in range(1, 6):
        one.sent(30 * turn)
        with one.database.transaction() as session:
            campaigns.pause(session, one.campaign)
        time.sleep(0.1 * turn)
        with one.database.transaction() as session:
            campaigns.resume(session, one.campaign)
    one.over(seconds=90)

    assert one.check(uncertain=0).sent == 300
