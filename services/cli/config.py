"""The `watchline.toml` of a single machine, checked before anything starts.

The tables `[[cameras]]`, `[[watch_lists]]` and `[deployment]` become records and references; those under `[services]`
are handed to the services as settings (`[services.detect] min_score = 0.5` is `WATCHLINE_DETECT_MIN_SCORE=0.5`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings

from libs.errors import UserError
from libs.gallery.contract import collection_name
from libs.settings import HealthSettings, InferenceSettings, LogSettings, NatsSettings, ServiceSettings
from proto.messages import ListName, Name
from services.alert.settings import AlertSettings
from services.detect.settings import DetectSettings
from services.embed.settings import EmbedSettings
from services.ingest.settings import IngestSettings
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


GROUPS: dict[str, type[BaseSettings]] = {
    "detect": DetectSettings,
    "embed": EmbedSettings,
    "match": MatchSettings,
    "enrol": EnrolmentSettings,
    "qdrant": QdrantSettings,
    "alert": AlertSettings,
    "ingest": IngestSettings,
    "inference": InferenceSettings,
    "log": LogSettings,
    "health": HealthSettings,
    "service": ServiceSettings,
    "nats": NatsSettings,
}
"""The settings groups that a table `[services.NAME]` may hold."""
OURS = {"nats": frozenset({"url"})}
"""Settings that the stack decides itself."""


def _listable(name: str) -> str:
    try:
        collection_name(name, "any")
    except UserError as error:
        raise ValueError(str(error)) from None
    return name


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

    name: Annotated[ListName, AfterValidator(_listable)]
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

    @model_validator(mode="after")
    def _floor_is_not_over_threshold(self) -> DeploymentTable:
        if self.floor > self.threshold:
            raise ValueError(f"the floor {self.floor} is over the threshold {self.threshold}")
        return self


class UpConfig(_Table):
    """A whole `watchline.toml`."""

    data_dir: Path = Path(".watchline/up")
    nats: NatsTable = NatsTable()
    cameras: tuple[CameraTable, ...] = Field(min_length=1)
    watch_lists: tuple[WatchListTable, ...] = Field(min_length=1)
    deployment: DeploymentTable
    services: dict[str, dict[str, str | int | float | bool]] = {}
    """Settings of services: `[services.detect]`, `[services.log]`, …"""

    @model_validator(mode="after")
    def _names_are_unique(self) -> UpConfig:
        for tables in (self.cameras, self.watch_lists):
            names = [table.name for table in tables]
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two tables are named {min(twice)}")
        return self

    def environment(self) -> dict[str, str]:
        """The settings of the services as environment variables."""
        return {
            f"WATCHLINE_{table}_{name}".upper(): _as_variable(value)
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
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML", str(error)) from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise UserError(f"{path}: {where}", problem["msg"].removeprefix("Value error, ").lower()) from None
    for table, values in config.services.items():
        _check_settings(path, table, values)
    return _resolved(config, path.resolve().parent)


def _check_settings(path: Path, table: str, values: dict[str, str | int | float | bool]) -> None:
    """Does nothing where a `[services.…]` table holds settings that there are, with values that will do.

    Raises:
        UserError: it does not, by name.
    """
    if table not in GROUPS:
        raise UserError(f"{path}: there are no settings [services.{table}]", _nearest(table, GROUPS))
    group = GROUPS[table]
    known = [name for name in group.model_fields if name not in OURS.get(table, ())]
    for name in values:
        if name not in known:
            raise UserError(f"{path}: [services.{table}] has no setting {name}", _nearest(name, known))
    try:
        group.model_validate({name: _as_variable(value) for name, value in values.items()})
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if (name := str(problem["loc"][0])) in values:
                reason = problem["msg"].lower()
                raise UserError(f"{path}: [services.{table}] {name} will not do", reason) from None


def _as_variable(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}"


def _resolved(config: UpConfig, base: Path) -> UpConfig:
    lists = [table.model_copy(update={"references": base / table.references}) for table in config.watch_lists]
    cameras = [
        table if "://" in table.location else table.model_copy(update={"location": str(base / table.location)})
        for table in config.cameras
    ]
    changes = {"data_dir": base / config.data_dir, "watch_lists": tuple(lists), "cameras": tuple(cameras)}
    return config.model_copy(update=changes)
