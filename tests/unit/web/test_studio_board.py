"""A campaign at a glance: one look serves everybody, the rate is the present one."""

from pathlib import Path

import pytest

from mailer.campaigns.campaign import CampaignId, State
from mailer.campaigns.queries import CampaignNotFound
from mailer.kit.database import Database
from mailer.web.studio import board
from mailer.web.studio.board import Boards
from tests.unit.web.stand_in import House, campaign, house, settle


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def app(database: Database, tmp_path: Path) -> House:
    return house(database, tmp_path)


def test_the_rate_is_measured_over_the_last_seconds(app: House) -> None:
    identity = campaign(app, outcomes=["accepted"] * 20 + [""] * 80)
    clock = Clock()
    boards = Boards(app, clock=clock)

    assert boards.look(identity).rate == 1.0  # 20 people in the 20 seconds since the freeze
    clock.now += 5
    settle(app, identity, "accepted", 40)
    found = boards.look(identity)

    assert found.rate == 8.0
    assert found.remaining == 5.0
    assert found.progress.settled == 60


def test_old_samples_do_not_count(app: House) -> None:
    identity = campaign(app, outcomes=[""] * 100)
    clock = Clock()
    boards = Boards(app, clock=clock)
    boards.look(identity)
    settle(app, identity, "accepted", 60)
    for _ in range(6):
        clock.now += board.WINDOW / 3
        found = boards.look(identity)

    assert found.rate == 0.0
    assert found.remaining is None


def test_a_finished_campaign_shows_its_average(app: House) -> None:
    identity = campaign(app, state=State.FINISHED, outcomes=["accepted"] * 40)

    found = Boards(app).look(identity)

    assert (found.rate, found.elapsed, found.remaining) == (2.0, 20.0, None)
    assert not found.is_moving


def test_one_look_serves_everybody_for_a_second(app: House) -> None:
    identity = campaign(app, outcomes=[""])
    clock = Clock()
    boards = Boards(app, clock=clock)

    first = boards.look(identity)

    assert boards.look(identity) is first
    assert boards.look(identity, fresh=True) is not first
    clock.now += 1.1
    assert boards.look(identity) is not first


def test_a_campaign_that_is_not_there_is_not_remembered(app: House) -> None:
    boards = Boards(app)

    with pytest.raises(CampaignNotFound):
        boards.look(CampaignId(7))
    assert campaign(app, state=State.DRAFT) == 1
    assert boards.look(CampaignId(1)).report is None


def test_the_editions_add_up_to_the_audience(app: House) -> None:
    identity = campaign(app, outcomes=["accepted"] * 10 + [""] * 6)

    found = Boards(app).look(identity)

    assert sum(edition.audience for edition in found.editions) == 16
    assert sum(edition.settled for edition in found.editions) == 10
    assert len(found.editions) == 7
