"""What arms cameras, on a real server: it outlives a server that goes, and nothing stays armed that was left so."""

from __future__ import annotations

import asyncio
import time

from libs.bus import Records
from proto import subjects
from proto.records import CameraRecord, Warrant
from services.cli.records import Arming, disarm_all, next_version


def arming(bus, name="trial"):
    now = time.time()
    deployment = Warrant(
        deployment=name, state="armed", purpose="test", cameras=("door",), watch_lists=("wanted",), threshold=0.5,
        floor=0.4, cooldown_s=60, starts_at=now - 1, ends_at=now + 600,
    )  # fmt: skip
    return Arming(bus, deployment, [CameraRecord(camera="door", location="door.mp4")])


async def state_of(bus, name="trial"):
    record, _ = await Records(bus, subjects.DEPLOYMENTS, Warrant).get(subjects.key(name))
    return record.state


async def test_what_is_disarmed_has_no_camera_left(bus):
    cameras = Records(bus, subjects.CAMERAS, CameraRecord)
    await arming(bus).arm()
    assert await state_of(bus) == "armed"
    assert await cameras.get("door") is not None
    await arming(bus).disarm()
    assert await state_of(bus) == "ended"
    assert await cameras.get("door") is None


async def test_a_server_that_is_away_for_a_moment_is_waited_for(bus, nats_server):
    await arming(bus).arm()
    nats_server.kill()
    disarming = asyncio.create_task(arming(bus).disarm())
    await asyncio.sleep(0)
    nats_server.start()
    await disarming
    assert await state_of(bus) == "ended"


async def test_all_that_a_killed_program_left_armed_is_ended_and_named(bus):
    await arming(bus, "one").arm()
    await arming(bus, "two").arm()
    await arming(bus, "two").disarm()
    assert [record.deployment for record in await disarm_all(bus)] == ["one"]
    assert await state_of(bus, "one") == "ended"
    assert await disarm_all(bus) == []


async def test_the_versions_of_a_deployment_count_up(bus):
    assert await next_version(bus, "trial") == 1
    await arming(bus).arm()
    assert await next_version(bus, "trial") == 2
