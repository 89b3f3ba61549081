"""`watchline up`: the single machine, as its `watchline.toml` says, until it is stopped.

The tables `[[cameras]]`, `[[watch_lists]]` and `[deployment]` become records and references; every other table is
handed to the services as settings (`[detect] min_score = 0.5` is `WATCHLINE_DETECT_MIN_SCORE=0.5`).
"""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs import log
from libs.bus import Bus, Records
from libs.errors import UserError
from libs.settings import LogSettings
from proto import subjects
from proto.messages import Alert, ListName, Name, WatchListReply, WatchListRequest
from proto.records import CameraRecord, DeploymentRecord
from services.cli import console
from services.cli.enrol import enrol_folder
from services.cli.stack import StackOptions, open_stack


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NatsTable(_Table):
    """The bus of this machine."""

    port: int = Field(default=4222, ge=0, le=65_535)
    """On the loopback interface; 0 takes a free one."""


class CameraTable(_Table):
    """A camera."""

    name: Name
    location: str = Field(min_length=1)
    realtime: bool = True


class WatchListTable(_Table):
    """A watch list and the folder it is enrolled from at every start."""

    name: ListName
    references: Path


class DeploymentTable(_Table):
    """The deployment that makes the cameras run."""

    name: Name
    purpose: str = Field(min_length=1)
    threshold: float = Field(ge=-1, le=1)
    floor: float = Field(ge=-1, le=1)
    cooldown_s: float = Field(default=60.0, ge=0)
    hours: float = Field(gt=0, le=24)
    """It ends by itself so long after the start."""


class UpConfig(_Table):
    """A whole `watchline.toml`."""

    data_dir: Path = Path(".watchline/up")
    nats: NatsTable = NatsTable()
    cameras: tuple[CameraTable, ...] = Field(min_length=1)
    watch_lists: tuple[WatchListTable, ...] = Field(min_length=1)
    deployment: DeploymentTable
    services: dict[str, dict[str, str | int | float | bool]] = {}
    """Settings of services: `[services.detect]`, `[services.log]`, …"""

    def environment(self) -> dict[str, str]:
        """The settings of the services as environment variables."""
        return {
            f"WATCHLINE_{table}_{name}".upper(): str(value).lower() if isinstance(value, bool) else str(value)
            for table, settings in self.services.items()
            for name, value in settings.items()
        }


def load_config(path: Path) -> UpConfig:
    """The configuration in `path`; the paths in it are relative to its folder.

    Raises:
        UserError: no such file, not TOML, or a setting that does not fit, by name.
    """
    try:
        config = UpConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        remedy = "docs/watchline.toml is an example to start from"
        raise UserError(f"{path} cannot be read ({error.strerror})", remedy) from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML", str(error)) from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"{path}: {where}", problem["msg"].lower()) from None
    return _resolved(config, path.resolve().parent)


def _resolved(config: UpConfig, base: Path) -> UpConfig:
    lists = [table.model_copy(update={"references": base / table.references}) for table in config.watch_lists]
    cameras = [
        table if "://" in table.location else table.model_copy(update={"location": str(base / table.location)})
        for table in config.cameras
    ]
    changes = {"data_dir": base / config.data_dir, "watch_lists": tuple(lists), "cameras": tuple(cameras)}
    return config.model_copy(update=changes)


async def run_up(config: UpConfig) -> None:
    """Runs the stack and shows its alerts until it is cancelled or the deployment ends.

    Raises:
        UserError: a program did not start, or no reference of a list could be enrolled.
    """
    options = StackOptions(
        config.data_dir, config.nats.port, environment=config.environment(), on_event=console.print_event
    )
    async with open_stack(options, log.configure(LogSettings(level="error"), "watchline")) as stack:
        console.err.print(f"the bus is at {stack.url}; logs in {config.data_dir / 'logs'}; stop with Ctrl-C")
        await _enrol(stack.bus, config)
        deployment = await _arm(stack.bus, config)
        console.err.print(f"{len(config.cameras)} cameras run until {time.ctime(deployment.ends_at)}")
        async for alert in stack.bus.follow(subjects.ALERTS, subjects.alerts_of(deployment.deployment), Alert):
            if alert.raised_at >= deployment.starts_at:
                console.out.print(console.alert_line(alert))


async def _enrol(bus: Bus, config: UpConfig) -> None:
    for table in config.watch_lists:
        ask = WatchListRequest(watch_list=table.name)
        await bus.ask(f"{subjects.WATCHLIST}.create", ask, WatchListReply)
        with console.replay_bars() as bars:
            await enrol_folder(bus, table.name, table.references, bars.show_enrolment)


async def _arm(bus: Bus, config: UpConfig) -> DeploymentRecord:
    cameras = Records(bus, subjects.CAMERAS, CameraRecord)
    for table in config.cameras:
        record = CameraRecord(camera=table.name, location=table.location, realtime=table.realtime)
        await cameras.put(subjects.key(table.name), record)
    records = Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)
    key, now, table_of = subjects.key(config.deployment.name), time.time(), config.deployment
    before = await records.get(key)
    deployment = DeploymentRecord(
        deployment=table_of.name,
        record_version=before[0].record_version + 1 if before else 1,
        state="armed",
        purpose=table_of.purpose,
        cameras=tuple(table.name for table in config.cameras),
        watch_lists=tuple(table.name for table in config.watch_lists),
        threshold=table_of.threshold,
        floor=table_of.floor,
        cooldown_s=table_of.cooldown_s,
        starts_at=now,
        ends_at=now + table_of.hours * 3600,
    )
    await records.put(key, deployment)
    return deployment
