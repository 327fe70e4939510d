"""A client that does nothing for CODEQ_IDLE_SECONDS, longer than any poll of the reference lives, and then works."""

import os
import time

import pytest

IDLE = int(os.environ.get("CODEQ_IDLE_SECONDS", "0"))


@pytest.mark.slow
@pytest.mark.skipif(not IDLE, reason="idling for two minutes: scripts/test --partners")
def test_g1_credits_and_connections_outlive_two_minutes_of_silence(new_world):
    world = new_world()
    with world.produce() as producer, world.work() as single, world.work(world.tokens.acme_worker2) as batch:
        for _ in range(3):
            single.ready("SINGLE")
        batch.ready("BATCH", count=10)
        time.sleep(IDLE)  # Idling is what is tested.
        assert single.untaken() == [] and batch.untaken() == [], "nobody was told anything meanwhile"
        singles = {producer.created("SINGLE") for _ in range(3)}
        assert {single.task().id for _ in range(3)} == singles
        one = producer.created("BATCH")
        assert [task.id for task in batch.tasks()] == [one]
        for task_id in singles:
            single.complete(task_id)
        batch.complete(one)
