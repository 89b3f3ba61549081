"""`watchline up`: the single machine, as its `watchline.toml` says, until it is stopped or its deployment is over."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from libs import log
from libs.bus import Bus
from libs.errors import TransientError
from libs.settings import LogSettings
from libs.waiting import end
from proto import subjects
from proto.messages import Alert, WatchListReply, WatchListRequest
from proto.records import CameraRecord, DeploymentRecord
from services.cli import console
from services.cli.config import UpConfig
from services.cli.enrol import enrol_folder
from services.cli.patience import Stop, insist, within
from services.cli.records import Arming, next_version
from services.cli.stack import StackOptions, open_stack

LOOK_S = 1.0
"""How often it is looked whether the deployment is over: by the clock on the wall, which a sleeping machine keeps."""


async def run_up(config: UpConfig) -> None:
    """Runs the stack and shows its alerts until it is cancelled or the deployment's end time has come.

    Raises:
        UserError: a program did not start, or no reference of a list could be enrolled.
    """
    options = StackOptions(
        config.data_dir, config.nats.port, environment=config.environment(), on_event=console.print_event
    )
    async with open_stack(options, log.configure(LogSettings(level="error"), "watchline")) as stack:
        console.err.print(f"the bus is at {stack.url}; logs in {config.data_dir / 'logs'}; stop with Ctrl-C")
        await _enrol(stack.bus, config)
        arming = await _arming(stack.bus, config)
        await _run_armed(arming)
    console.err.print(f"deployment {config.deployment.name} is over: its {config.deployment.hours:g} hours have passed")


async def _enrol(bus: Bus, config: UpConfig) -> None:
    """Makes every list anew from its folder: what is not in the folder any more is not on the list any more."""
    for table in config.watch_lists:
        for verb in ("create", "drop", "create"):  # what is not there cannot be dropped
            ask = partial(bus.ask, f"{subjects.WATCHLIST}.{verb}", WatchListRequest(watch_list=table.name))
            await insist(partial(ask, WatchListReply))
        with console.replay_bars() as bars:
            await enrol_folder(bus, table.name, table.references, bars.show_enrolment)


async def _run_armed(arming: Arming) -> None:
    """Shows the alerts of an armed deployment until it is over, or this is cancelled; it is disarmed then."""
    stop = Stop()
    console.err.print(f"{len(arming.cameras)} cameras run until {time.ctime(arming.deployment.ends_at)}")
    follower = asyncio.create_task(_show_alerts(arming.bus, arming.deployment), name="alerts")
    try:
        await arming.arm()
        while time.time() < arming.deployment.ends_at and not follower.done():
            await asyncio.wait({follower}, timeout=min(LOOK_S, max(0.0, arming.deployment.ends_at - time.time())))
    except asyncio.CancelledError:
        stop.ask()
        raise
    finally:
        await end(follower)
        await _disarm(arming, stop)


async def _disarm(arming: Arming, stop: Stop) -> None:
    try:
        await within(arming.disarm(), stop)
    except TransientError as error:
        console.err.print(f"the end of the deployment was not recorded ({error.reason}); the next start records it")


async def _show_alerts(bus: Bus, deployment: DeploymentRecord) -> None:
    async for alert in bus.follow(subjects.ALERTS, subjects.alerts_of(deployment.deployment), Alert):
        if alert.raised_at >= deployment.starts_at:
            console.out.print(console.alert_line(alert))


async def _arming(bus: Bus, config: UpConfig) -> Arming:
    now, table = time.time(), config.deployment
    deployment = DeploymentRecord(
        deployment=table.name,
        record_version=await next_version(bus, table.name),
        state="armed",
        purpose=table.purpose,
        cameras=tuple(camera.name for camera in config.cameras),
        watch_lists=tuple(watch_list.name for watch_list in config.watch_lists),
        threshold=table.threshold,
        floor=table.floor,
        cooldown_s=table.cooldown_s,
        starts_at=now,
        ends_at=now + table.hours * 3600,
    )
    cameras = [CameraRecord(camera=c.name, location=c.location, realtime=c.realtime) for c in config.cameras]
    return Arming(bus, deployment, cameras)
