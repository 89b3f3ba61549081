"""Cameras that live on: streams that break, programs that die, and the single machine of `watchline up`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from libs import log
from libs.bus import Bus, Mirror, Records
from libs.settings import LogSettings
from proto import subjects
from proto.records import CameraRecord, CameraStatus, Warrant, Lease
from services.cli.stack import StackOptions, open_stack
from tests.rtsp_camera import RtspCamera

PATIENCE_S = 40.0


async def install(bus: Bus, name: str, location: str, **camera) -> None:
    record = CameraRecord(camera=name, location=location, **camera)
    await Records(bus, subjects.CAMERAS, CameraRecord).put(subjects.key(name), record)


async def arm(bus: Bus, *cameras: str) -> None:
    now = time.time()
    deployment = Warrant(
        deployment="watch", state="armed", purpose="test", cameras=cameras, watch_lists=("nobody",),
        threshold=0.5, floor=0.4, cooldown_s=60, starts_at=now - 1, ends_at=now + 600,
    )  # fmt: skip
    await Records(bus, subjects.DEPLOYMENTS, Warrant).put(subjects.key("watch"), deployment)


async def until(
    statuses: Mirror[CameraStatus], condition: Callable[[CameraStatus], bool], camera: str = "yard"
) -> CameraStatus:
    """The camera's status once it meets the condition."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = statuses.get(subjects.key("watch", camera))
            if status is not None and condition(status):
                return status
            await statuses.changed()


@asynccontextmanager
async def stack(folder: Path, services: tuple[str, ...]) -> AsyncIterator:
    options = StackOptions(folder, services=services)
    async with (
        open_stack(options, log.configure(LogSettings(level="error"), "test")) as running,
        Mirror.open(running.bus, subjects.STATUS, CameraStatus) as statuses,
    ):
        yield running, statuses


async def test_a_camera_that_dies_is_opened_again_when_it_is_back(tmp_path, visits, assets):
    camera = RtspCamera(visits)
    async with stack(tmp_path, ("detect", "ingest")) as (running, statuses):
        await install(running.bus, "yard", camera.url)
        await arm(running.bus, "yard")
        before = await until(statuses, lambda status: status.frames > 20)
        camera.stop()
        died = await until(statuses, lambda status: status.state == "retrying")
        camera = RtspCamera(visits, camera.port)
        after = await until(statuses, lambda status: status.state == "running" and status.frames > died.frames + 20)
    camera.stop()

    assert before.state == "running"
    assert died.detail != ""
    assert after.detail == ""


async def test_a_camera_that_no_deployment_names_does_not_run_while_another_does_and_with_one_it_does(tmp_path, assets):
    async with stack(tmp_path, ("detect", "ingest")) as (running, statuses):
        clip = str(assets.path("no_face.mp4"))
        await install(running.bus, "yard", clip, realtime=False)
        await install(running.bus, "door", clip, realtime=False)
        await arm(running.bus, "door")
        await until(statuses, lambda status: status.state == "ended", "door")
        assert set(statuses.all()) == {subjects.key("watch", "door")}
        assert "yard" not in (tmp_path / "logs" / "ingest.log").read_text()

        await arm(running.bus, "door", "yard")
        ended = await until(statuses, lambda status: status.state == "ended")

    assert ended.frames == 95


async def test_the_camera_of_a_killed_ingest_moves_to_another(tmp_path, visits, assets):
    async with stack(tmp_path, ("detect",)) as (running, statuses):
        environment = {**os.environ, "WATCHLINE_NATS_URL": running.url}
        replicas = [
            subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment, stderr=subprocess.DEVNULL)
            for _ in range(2)
        ]
        await install(running.bus, "yard", str(visits))
        await arm(running.bus, "yard")
        await until(statuses, lambda status: status.frames > 10)
        leases = Records(running.bus, subjects.LEASES, Lease)
        holder = (await leases.get(subjects.key("watch", "yard")))[0].holder
        (victim,) = [replica for replica in replicas if f"-{replica.pid}-" in holder]
        victim.kill()

        async with asyncio.timeout(PATIENCE_S):
            while (found := await leases.get(subjects.key("watch", "yard"))) is None or found[0].holder == holder:
                await asyncio.sleep(0.1)
        killed = statuses.get(subjects.key("watch", "yard"))
        moved = await until(statuses, lambda status: status.updated_at > killed.updated_at + 1)
        for replica in replicas:
            replica.send_signal(signal.SIGTERM)
            replica.wait(timeout=10)

    assert moved.state == "running"


def test_up_runs_the_cameras_of_its_file_until_it_is_stopped(watchline, references, visits):
    config = watchline.folder / "watchline.toml"
    config.write_text(
        f"""
        data_dir = "data"
        [nats]
        port = 0
        [[cameras]]
        name = "door"
        location = "{visits}"
        realtime = false
        [[watch_lists]]
        name = "wanted"
        references = "{references}"
        [deployment]
        name = "trial"
        purpose = "test"
        threshold = 0.5
        floor = 0.4
        cooldown_s = 2
        hours = 1
        [services.log]
        level = "debug"
        """
    )
    process = watchline.start("up")
    seen = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 130, err
    assert all("ALERT camera door" in line and "subject-1" in line for line in seen)
    assert '"event": "detected"' in (watchline.folder / "data" / "logs" / "detect.log").read_text()


def test_up_names_the_setting_that_will_not_do(watchline):
    (watchline.folder / "watchline.toml").write_text("[nats]\nport = 'low'\n")
    wrong = watchline.run("up")
    missing = watchline.run("up", "--config", "other.toml")

    assert (wrong.returncode, missing.returncode) == (2, 2)
    assert "watchline.toml: nats.port" in " ".join(wrong.stderr.split())
    assert "docs/watchline.toml is an example" in " ".join(missing.stderr.split())
