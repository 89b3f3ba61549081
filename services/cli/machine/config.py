"""The `watchline.toml` of a single machine, checked before anything starts.

The tables `[[cameras]]` become records; those under `[services]` are handed to the services as settings
(`[services.detect] min_score = 0.5` is `WATCHLINE_DETECT_MIN_SCORE=0.5`). Watch lists and deployments are no settings:
officers make them while the machine runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings

from libs.errors import UserError
from libs.settings import HealthSettings, InferenceSettings, LogSettings, NatsSettings, ServiceSettings
from libs.toml import read_toml
from libs.wording import fault, user_error
from proto.messages import Name
from services.alert.settings import AlertSettings
from services.detect.settings import DetectSettings
from services.embed.settings import EmbedSettings
from services.govern.settings import GovernSettings
from services.ingest.settings import IngestSettings
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


GROUPS: dict[str, type[BaseSettings]] = {
    "govern": GovernSettings,
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
OURS = {"nats": frozenset({"url"}), "govern": frozenset({"key", "profiles"})}
"""Settings that the stack decides itself."""
MOVED = {
    "watch_lists": "make lists while it runs: `watchline watchlist create`, then `watchline watchlist import`",
    "deployment": "draft it while it runs: `watchline deployment draft`, then `authorise` and `arm`",
}
"""Tables that there were, and where what they said is said now."""
WRITTEN = {"cameras": "the table [[cameras]]", "nats": "the table [nats]"}
"""How the settings are written that are tables."""


class NatsTable(_Table):
    """The bus of this machine."""

    port: int = Field(default=4222, ge=0, le=65_535)
    """On the loopback interface; 0 takes a free one."""


class CameraTable(_Table):
    """A camera."""

    name: Name
    location: str = Field(min_length=1)
    realtime: bool = True


class UpConfig(_Table):
    """A whole `watchline.toml`."""

    data_dir: Path = Path(".watchline/up")
    officers: Path = Path("officers.toml")
    """The roster of officers: who may do what. `watchline officer new` makes a key, and shows the table for it."""
    profiles: Path | None = None
    """A folder of policy profiles of the site, beside those that ship with the product."""
    nats: NatsTable = NatsTable()
    cameras: tuple[CameraTable, ...] = Field(min_length=1)
    services: dict[str, dict[str, str | int | float | bool]] = {}
    """Settings of services: `[services.detect]`, `[services.log]`, …"""

    @model_validator(mode="before")
    @classmethod
    def _what_has_moved_is_told(cls, tables: dict[str, Any]) -> dict[str, Any]:
        for name, where in MOVED.items():
            if name in tables:
                raise ValueError(f"[{name}] is no setting any more: {where}")
        return tables

    @model_validator(mode="after")
    def _names_are_unique(self) -> UpConfig:
        names = [table.name for table in self.cameras]
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
        config = UpConfig.model_validate(read_toml(path, "docs/watchline.toml is an example to start from"))
    except ValidationError as error:
        raise user_error(error, str(path), WRITTEN) from None
    for table, values in config.services.items():
        _check_settings(path, table, values)
    config = _resolved(config, path.resolve().parent)
    _check_places(config)
    return config


def _check_places(config: UpConfig) -> None:
    """Does nothing where the roster and the profiles are there.

    Raises:
        UserError: they are not.
    """
    if not config.officers.is_file():
        remedy = "make a key for each officer with `watchline officer new`, and put the tables it shows into that file"
        raise UserError(f"there is no roster of officers {config.officers}", remedy)
    if config.profiles is not None and not config.profiles.is_dir():
        raise UserError(f"{config.profiles} is not a folder", "make it, or leave `profiles` out")


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
        name, reason = fault(error)
        if name in values:  # and not one that the environment lacks
            raise UserError(f"{path}: [services.{table}] {name} will not do", reason) from None


def _as_variable(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}"


def _resolved(config: UpConfig, base: Path) -> UpConfig:
    cameras = tuple(
        table if "://" in table.location else table.model_copy(update={"location": str(base / table.location)})
        for table in config.cameras
    )
    profiles = base / config.profiles if config.profiles is not None else None
    changes = {"data_dir": base / config.data_dir, "officers": base / config.officers, "profiles": profiles}
    return config.model_copy(update={**changes, "cameras": cameras})
