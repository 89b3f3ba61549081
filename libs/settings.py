"""Settings: read once from the environment, frozen, grouped by concern.

A group declares its prefix (`WATCHLINE_NATS_`), its fields with their defaults, and in each docstring the unit. The
single machine keeps them in a `watchline.toml`, whose section `[nats]` becomes `WATCHLINE_NATS_…`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.errors import UserError
from libs.seals import PublicKey


def group(section: str) -> SettingsConfigDict:
    """The configuration of a settings group whose variables start with `WATCHLINE_<SECTION>_`."""
    return SettingsConfigDict(
        env_prefix=f"WATCHLINE_{section}_" if section else "WATCHLINE_", frozen=True, extra="ignore"
    )


class NatsSettings(BaseSettings):
    """Where the bus is."""

    model_config = group("NATS")
    url: str = "nats://127.0.0.1:4222"
    """One address, or several separated by commas."""
    credentials: Path | None = None
    """A `.creds` file, where the server wants one."""
    wait_s: float = Field(default=10.0, gt=0)
    """How long a program waits for the server when it starts. Once connected it reconnects for ever."""
    ask_timeout_s: float = Field(default=2.0, gt=0)
    """How long an ask or a publication may take before it is tried again."""
    replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream; 3 on a cluster of three or more servers."""


class LogSettings(BaseSettings):
    """What is logged, and how."""

    model_config = group("LOG")
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal and `json` elsewhere."""


class TrustSettings(BaseSettings):
    """Whose signatures count."""

    model_config = group("TRUST")
    public_key: str = ""
    """Of `govern`, 64 hexadecimal digits: without it nothing is armed and no act is taken."""
    officers: Path = Path("officers.toml")
    """The roster of officers: `libs/officers.py` says what it holds."""

    def key(self) -> PublicKey:
        """The key of `govern`.

        Raises:
            UserError: there is none, or it is no key.
        """
        try:
            return PublicKey.parse(self.public_key)
        except ValueError as error:
            remedy = f"{error}; `watchline keys` makes the pair, and prints the public one"
            raise UserError("WATCHLINE_TRUST_PUBLIC_KEY does not name the key of govern", remedy) from None


class HealthSettings(BaseSettings):
    """Where `/healthz`, `/readyz` and `/metrics` are served."""

    model_config = group("HEALTH")
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65_535)
    """Nothing is served without one; 0 takes a free one and logs it."""


class InferenceSettings(BaseSettings):
    """How models run."""

    model_config = group("INFERENCE")
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is CUDA where it works, else the CPU."""
    workers: int = Field(default=0, ge=0, le=64)
    """Runs at a time; 0 is one a core on the CPU, and on a GPU four of a frame or one of a batch of chips."""
    threads: int = Field(default=1, ge=1, le=64)
    """Threads of one run on the CPU. Runs side by side use cores better than threads inside one run."""
    max_batch: int = Field(default=8, ge=1, le=256)
    """Chips of one run on a GPU, filled up where fewer wait. A detector takes one frame a run."""


class DataSettings(BaseSettings):
    """Where this machine keeps what must survive a restart."""

    model_config = group("")
    data_dir: Path = Path(".watchline")


class ServiceSettings(BaseSettings):
    """How any service runs."""

    model_config = group("SERVICE")
    concurrency: int = Field(default=32, ge=1, le=1024)
    """Messages in hand at a time."""
    ack_wait_s: float = Field(default=2.0, gt=0)
    """After this long without a sign of life from its handler a message is delivered to another."""
    max_deliver: int = Field(default=8, ge=1)
    """A message that failed this often is dead-lettered."""
    grace_s: float = Field(default=3.0, gt=0)
    """How long a service that was told to stop may take to finish what it has in hand."""


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S]) -> S:
    """The settings of one group, from the environment.

    Raises:
        UserError: a value that does not fit, named with its variable.
    """
    try:
        return settings()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        prefix = settings.model_config.get("env_prefix", "")
        variable = prefix + "_".join(str(part) for part in problem["loc"]).upper()
        raise UserError(f"{variable}={problem['input']!r} will not do", problem["msg"].lower()) from None
