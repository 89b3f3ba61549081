"""Live cameras under a deployment of officers: streams that break, programs that die, cameras that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from libs.bus import Mirror, Records
from proto import subjects
from proto.records import CameraRecord, CameraStatus, Lease
from services.cli.machine.stack import SERVICES, Stack
from tests.crew import Crew
from tests.e2e.governed import Officers, governed_stack
from tests.rtsp_camera import RtspCamera

PATIENCE_S = 40.0
WATCH = "watch"


async def until(
    statuses: Mirror[CameraStatus], condition: Callable[[CameraStatus], bool], camera: str = "yard"
) -> CameraStatus:
    """The camera's status once it meets the condition."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = statuses.get(subjects.key(WATCH, camera))
            if status is not None and condition(status):
                return status
            await statuses.changed()


@asynccontextmanager
async def armed(
    folder: Path, crew: Crew, references: Path, *cameras: CameraRecord, **options
) -> AsyncIterator[tuple[Stack, Officers, Mirror[CameraStatus]]]:
    """A stack on which the first of `cameras` runs under a deployment."""
    async with (
        governed_stack(folder, crew, cameras, **options) as (stack, officers),
        Mirror.open(stack.bus, subjects.STATUS, CameraStatus) as statuses,
    ):
        await officers.list_of("wanted", references)
        await officers.armed(WATCH, (cameras[0].camera,), "wanted")
        yield stack, officers, statuses


@contextmanager
def ingests(url: str, crew: Crew, public_key: str) -> Iterator[list[subprocess.Popen]]:
    """Two programs that may hold a camera, beside a stack without any."""
    trust = {**crew.environment(), "WATCHLINE_TRUST_PUBLIC_KEY": public_key}
    environment = {**os.environ, **trust, "WATCHLINE_NATS_URL": url}
    command = [sys.executable, "-m", "services.ingest"]
    replicas = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        yield replicas
    finally:
        for replica in replicas:
            replica.send_signal(signal.SIGTERM)
            replica.wait(timeout=10)


async def test_a_camera_that_dies_is_opened_again_when_it_is_back(tmp_path, crew, references, visits, assets):
    camera = RtspCamera(visits)
    yard = CameraRecord(camera="yard", location=camera.url)
    async with armed(tmp_path / "data", crew, references, yard) as (_, _, statuses):
        before = await until(statuses, lambda status: status.frames > 20)
        camera.stop()
        died = await until(statuses, lambda status: status.state == "retrying")
        camera = RtspCamera(visits, camera.port)
        after = await until(statuses, lambda status: status.state == "running" and status.frames > died.frames + 20)
    camera.stop()

    assert before.state == "running"
    assert died.detail != ""
    assert after.detail == ""


async def test_a_camera_that_no_deployment_names_does_not_run_while_another_does_and_with_an_amendment_it_does(
    tmp_path, crew, references, assets
):
    clip = str(assets.path("no_face.mp4"))
    door, yard = (CameraRecord(camera=name, location=clip, realtime=False) for name in ("door", "yard"))
    async with armed(tmp_path / "data", crew, references, door, yard) as (_, officers, statuses):
        await until(statuses, lambda status: status.state == "ended", "door")
        assert set(statuses.all()) == {subjects.key(WATCH, "door")}
        assert "yard" not in (tmp_path / "data" / "logs" / "ingest.log").read_text()

        await officers.amend(await officers.show(WATCH), ("door", "yard"))
        ended = await until(statuses, lambda status: status.state == "ended")

    assert ended.frames == 95


async def test_the_camera_of_a_killed_ingest_moves_to_another(tmp_path, crew, references, visits, assets):
    yard = CameraRecord(camera="yard", location=str(visits))
    services = tuple(name for name in SERVICES if name != "ingest")
    async with armed(tmp_path / "data", crew, references, yard, services=services) as (stack, _, statuses):
        with ingests(stack.url, crew, str(stack.public_key)) as replicas:
            await until(statuses, lambda status: status.frames > 10)
            leases = Records(stack.bus, subjects.LEASES, Lease)
            holder = (await leases.get(subjects.key(WATCH, "yard")))[0].holder
            (victim,) = [replica for replica in replicas if f"-{replica.pid}-" in holder]
            victim.kill()

            async with asyncio.timeout(PATIENCE_S):
                while (found := await leases.get(subjects.key(WATCH, "yard"))) is None or found[0].holder == holder:
                    await asyncio.sleep(0.1)
            killed = statuses.get(subjects.key(WATCH, "yard"))
            moved = await until(statuses, lambda status: status.updated_at > killed.updated_at + 1)

    assert moved.state == "running"


async def test_cameras_stop_when_their_deployment_is_ended(tmp_path, crew, references, visits, assets):
    yard = CameraRecord(camera="yard", location=str(visits))
    async with armed(tmp_path / "data", crew, references, yard) as (_, officers, statuses):
        await until(statuses, lambda status: status.frames > 10)
        await officers.do(await officers.show(WATCH), "end")
        stopped = await until(statuses, lambda status: status.state == "ended")

    assert stopped.disarmed
