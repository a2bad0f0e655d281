"""The emergency stop, from a shell, beside workers that are sending; and the way back."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailer.delivery import brakes
from tests.fakes.smtp import ScriptedSink
from tests.functional.campaigns import Office, office, running
from tests.functional.house import full
from tests.servers import free_port

CONNECTIONS = 4
WORKERS = 2
SLOW = 0.1  # seconds the sink takes for a letter


@pytest.fixture
def stack(postgres_url: str, redis_url: str) -> tuple[str, str]:
    return postgres_url, redis_url


def terms(sink: ScriptedSink) -> dict[str, Any]:
    return {
        "DIBAO_SMTP_URL": f"smtp://127.0.0.1:{sink.port}",
        "DIBAO_CONNECTIONS": str(CONNECTIONS),
        "DIBAO_BATCH_SIZE": "200",
        "DIBAO_CHUNK_SIZE": "100",
    }


def stopped_at(here: Office) -> datetime:
    with here.app.database.reading() as session:
        hold = brakes.seen(session).hold
    assert hold is not None
    return hold.on_at


def left_after(here: Office, moment: datetime, seconds: float) -> int:
    """Letters the sink had so long after a moment."""
    time.sleep(max(0.0, seconds - (datetime.now(UTC) - moment).total_seconds()))
    return len(here.sink.received)


def test_two_seconds_after_the_stop_nothing_leaves_and_go_goes_on(
    tmp_path: Path, stack: tuple[str, str]
) -> None:
    with ScriptedSink(linger=SLOW) as sink:
        house = full(tmp_path, port=free_port(), database=stack[0], broker=stack[1], **terms(sink))
        with office(house, sink, people=1500) as here:
            workers = [house.worker() for _ in range(WORKERS)]
            with running(workers):
                campaign = here.launch()
                here.reached(100)
                said = house.json("stop", "--reason", "the wrong issue")
                moment = stopped_at(here)
                soon = left_after(here, moment, 2.0)
                time.sleep(2)

                assert said["file"] is True
                assert said["database"] is True
                assert soon < 1500, "it was over before the stop"
                assert len(sink.received) == soon
                sink.linger = 0.0
                house.dibao("go", "--yes")
                here.went_out(campaign)
