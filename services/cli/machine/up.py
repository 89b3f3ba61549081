"""`watchline up`: the platform on this machine, as its `watchline.toml` says, until it is stopped.

What runs on it is for officers to decide meanwhile: they make watch lists, and draft, authorise, arm and end
deployments.
What is armed when it stops is armed when it starts again, until its own end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable

from rich.markup import escape

from libs import log
from libs.bus import Bus
from libs.officers import Roster
from libs.seals import Signer
from libs.settings import LogSettings, TrustSettings
from libs.warrants import Warrants, open_warrants
from proto import subjects
from proto.deployments import Warrant
from proto.messages import Alert
from proto.records import CameraRecord
from proto.sealed import GOVERN
from services.cli import console
from services.cli.machine.cameras import register
from services.cli.machine.config import UpConfig
from services.cli.machine.stack import Stack, StackOptions, open_stack
from services.cli.words import counted


async def run_up(config: UpConfig) -> None:
    """Runs the stack, and shows its alerts and what is armed, until it is cancelled.

    Raises:
        UserError: a program did not start, or the roster of officers will not do.
    """
    quiet = log.configure(LogSettings(level="error"), "watchline")
    officers = Roster(config.officers, Signer.generate(GOVERN).public).officers()
    options = StackOptions(
        config.data_dir,
        config.nats.port,
        officers=config.officers,
        profiles=config.profiles,
        environment=config.environment(),
        on_event=console.print_event,
    )
    async with open_stack(options, quiet) as stack:
        await register(stack.bus, _records(config))
        trust = TrustSettings(public_key=str(stack.public_key), officers=config.officers)
        async with open_warrants(stack.bus, trust, quiet) as warrants:
            _greet(stack, config, len(officers))
            _tell_armed(warrants, {camera.name for camera in config.cameras})
            await _watch(stack.bus, warrants)


def _records(config: UpConfig) -> list[CameraRecord]:
    return [CameraRecord(camera=c.name, location=c.location, realtime=c.realtime) for c in config.cameras]


async def _watch(bus: Bus, warrants: Warrants) -> None:
    """Shows alerts, and deployments as they change, until it is cancelled; then it says what stays armed."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_show_alerts(bus, time.time()), name="alerts")
            group.create_task(_show_deployments(warrants), name="deployments")
    finally:
        for warrant in _running(warrants):
            console.err.print(
                f"deployment [bold]{escape(warrant.deployment)}[/] stays {warrant.state} until "
                f"{time.ctime(warrant.ends_at)}, and runs again with the next `watchline up`; to end it, run "
                f"`watchline deployment end {warrant.deployment}` then",
                soft_wrap=True,
            )


async def _show_alerts(bus: Bus, since: float) -> None:
    async for alert in bus.follow(subjects.ALERTS, subjects.alerts_of("*"), Alert):
        if alert.raised_at >= since:
            console.out.print(console.alert_line(alert), soft_wrap=True)


async def _show_deployments(warrants: Warrants) -> None:
    known = _described(warrants.all().values())
    while True:
        await warrants.changed()
        now = _described(warrants.all().values())
        for name, line in now.items():
            if known.get(name) != line:
                console.err.print(line, soft_wrap=True)
        known = now


def _greet(stack: Stack, config: UpConfig, officers: int) -> None:
    """Says where everything is: two of the lines can be pasted into the shell of an officer."""
    parts = f"{counted(len(config.cameras), 'camera')}, {counted(officers, 'officer')}"
    console.err.print(f"{parts}; logs in {config.data_dir / 'logs'}; stop with Ctrl-C", soft_wrap=True)
    console.err.print(f"export WATCHLINE_NATS_URL={stack.url}", soft_wrap=True, highlight=False)
    console.err.print(f"export WATCHLINE_TRUST_PUBLIC_KEY={stack.public_key}", soft_wrap=True, highlight=False)


def _tell_armed(warrants: Warrants, cameras: Collection[str]) -> None:
    """Says what is armed, and which cameras of it this machine does not have."""
    running = _running(warrants)
    if not running:
        console.err.print("nothing is armed: no camera runs before an officer arms a deployment")
    for warrant in running:
        console.err.print(described(warrant), soft_wrap=True)
        if missing := [name for name in warrant.cameras if name not in cameras]:
            console.err.print(f"[yellow]watchline.toml does not name its cameras {escape(', '.join(missing))}[/]")


def _running(warrants: Warrants) -> list[Warrant]:
    """The warrants whose time is not over, by deployment."""
    going = [w for w in warrants.all().values() if w.state != "ended" and time.time() < w.ends_at]
    return sorted(going, key=lambda warrant: warrant.deployment)


def _described(warrants: Iterable[Warrant]) -> dict[str, str]:
    """What is said of each deployment: a warrant that is written anew and says the same is no news."""
    return {warrant.deployment: described(warrant) for warrant in warrants}


def described(warrant: Warrant) -> str:
    """A deployment on one line: what it is in, until when, and its cameras."""
    stamp = f"[reverse] {escape(warrant.stamp)} [/] " if warrant.stamp else ""
    line = f"{stamp}deployment [bold]{escape(warrant.deployment)}[/] is {warrant.state}"
    if warrant.state == "ended":
        return line
    start = f" from {time.ctime(warrant.starts_at)}" if warrant.starts_at > time.time() else ""
    return f"{line}{start} until {time.ctime(warrant.ends_at)}: {escape(', '.join(warrant.cameras))}"
