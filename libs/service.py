"""What every program of Watchline is around its own work: settings, log, bus, health, signals and an orderly end.

A program is an async context manager over a `Host`: it enters when the program is ready for work and exits when it
has handed everything back. The order of the end is: not ready, stop asking for messages, finish what is in hand,
hand back the rest, close the bus.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from libs import health, log
from libs.actor import Actor, In, Stage
from libs.bus import Bus, connect
from libs.errors import TransientError, UserError
from libs.log import Log
from libs.settings import HealthSettings, LogSettings, NatsSettings, ServiceSettings, load


@dataclass(frozen=True)
class Host:
    """What a program is given: the bus, its log, and hands to run actors and tasks that must not die unseen."""

    name: str
    bus: Bus
    log: Log
    settings: ServiceSettings
    tasks: asyncio.TaskGroup

    @asynccontextmanager
    async def actor(self, stage: Stage[In]) -> AsyncIterator[None]:
        """Runs `stage` while the block runs."""
        stopping = asyncio.Event()
        running = self.tasks.create_task(
            Actor(stage, self.bus, self.settings, self.log).run(stopping), name=f"actor {stage.name}"
        )
        try:
            yield
        finally:
            stopping.set()
            await asyncio.wait({running})


Program = Callable[[Host], AbstractAsyncContextManager[None]]


def main(name: str, program: Program) -> int:
    """The exit code of `program` run as a process: 0 after SIGTERM or SIGINT, else what its `UserError` says."""
    gc.freeze()  # what is loaded by now stays: the collector need not look at it, least of all at the end (0.3 s)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold faces and templates
    try:
        logger = log.configure(load(LogSettings), name)
        log.bugs_to(logger)
        asyncio.run(_run(name, program, logger))
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  the one line a person must see
        return error.exit_code
    except TransientError as error:
        print(f"{name}: {error.reason}; is the NATS server well?", file=sys.stderr)  # noqa: T201  so is this
        return 3
    return 0


async def _run(name: str, program: Program, logger: Log) -> None:
    """Runs the program until a signal; one that comes before it is ready (NATS may be away) gives the start up."""
    stop, readiness = asyncio.Event(), health.Readiness()
    log.orphans_to(logger, asyncio.get_running_loop())
    running = asyncio.create_task(_host(name, program, logger, (stop, readiness)), name=name)

    def end() -> None:
        if not readiness.ready and not stop.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with suppress(asyncio.CancelledError):
        await running


async def _host(name: str, program: Program, logger: Log, state: tuple[asyncio.Event, health.Readiness]) -> None:
    nats, settings = load(NatsSettings), load(ServiceSettings)
    stop, readiness = state
    with health.serve(load(HealthSettings), readiness, logger):
        try:
            async with connect(nats, name, logger) as bus, asyncio.TaskGroup() as tasks:
                await _serve(Host(name, bus, logger, settings, tasks), program, readiness, stop)
        except BaseExceptionGroup as group:
            raise _first(group) from group


async def _serve(host: Host, program: Program, readiness: health.Readiness, stop: asyncio.Event) -> None:
    async with program(host), host.bus.present():
        readiness.ready = True
        host.log.info("ready")
        await stop.wait()
        readiness.ready = False
        host.log.info("stopping")
    host.log.info("stopped")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error a person should be shown: a `UserError` or `TransientError` if there is one, else the group itself."""
    found = group.subgroup((UserError, TransientError))
    while isinstance(found, BaseExceptionGroup):
        error = found.exceptions[0]
        if not isinstance(error, BaseExceptionGroup):
            return error
        found = error
    return group
