"""Starts the programs of one machine, restarts those that die, and stops them all.

Each program runs in a session of its own, so that Ctrl-C reaches this process alone and the end has an order. Should
this process be killed outright, the kernel ends its children (`PR_SET_PDEATHSIG`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from libs.errors import UserError
from services.cli.machine.data_dir import put_long_log_aside
from services.cli.signals import first_error

STOP_S = 1.2
"""How long a program may take to end after SIGTERM; then it is killed. The services end together, then the bus: all
is over within five seconds."""
RESTART_S = (0.0, 0.2, 1.0, 3.0, 10.0)
"""Pauses before the first, second, … restart of a program that keeps dying; the last one repeats."""
STEADY_S = 30.0
"""A program that ran this long is healthy again: its next death is its first."""
GIVE_UP_CODES = frozenset({2})
"""Exit codes of a program that says its settings are wrong: starting it again would not help."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
LAST_WORDS_BYTES = 4096
"""How much of a log's end is read for the reason of a death; a line has about 300 bytes."""


@dataclass(frozen=True)
class ProgramSpec:
    """A program to run: its name, its command, what its environment has over ours, and whether it comes back."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    restarted: bool = True
    stop_s: float = STOP_S


class Program:
    """One program, kept running."""

    def __init__(self, spec: ProgramSpec, log_file: Path, on_event: Callable[[str, str], None]) -> None:
        self.spec = spec
        self.log_file = log_file
        self.restarts = 0
        self._on_event = on_event
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the process; its output goes to the log file."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.spec.environment},
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    async def keep(self) -> None:
        """Starts it again whenever it dies, later and later, until it is stopped.

        Raises:
            UserError: it ended and is not to be restarted, or says that its settings are wrong.
        """
        deaths, clock = 0, asyncio.get_running_loop().time
        while self._process is not None:
            started = clock()
            code = await self._process.wait()
            if self._stopping:
                return
            deaths = 1 if clock() - started > STEADY_S else deaths + 1
            if not self.spec.restarted or code in GIVE_UP_CODES:
                raise UserError(f"{self.spec.name} ended with code {code}", last_words(self.log_file), exit_code=4)
            self._on_event(self.spec.name, f"died with code {code}; restarting")
            await asyncio.sleep(RESTART_S[min(deaths, len(RESTART_S)) - 1])
            self.restarts += 1
            await self.start()

    async def stop(self) -> None:
        """Ends the process for good: asks, waits `stop_s`, then kills. Kills at once when this is cancelled."""
        self._stopping = True
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait({asyncio.ensure_future(self._process.wait())}, timeout=self.spec.stop_s)
            finally:
                if self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()


@asynccontextmanager
async def running(
    specs: Sequence[ProgramSpec], log_dir: Path, on_event: Callable[[str, str], None]
) -> AsyncIterator[dict[str, Program]]:
    """Keeps the programs running while the block runs, by name; then ends them all at once.

    Raises:
        UserError: a program ended that is not restarted, or whose settings are wrong.
    """
    keep_no_core()
    await asyncio.to_thread(log_dir.mkdir, parents=True, exist_ok=True)
    programs = {spec.name: Program(spec, log_dir / f"{spec.name}.log", on_event) for spec in specs}
    for program in programs.values():
        put_long_log_aside(program.log_file)
    try:
        for program in programs.values():
            await program.start()
        async with _kept(programs):
            yield programs
    finally:
        await asyncio.gather(*(program.stop() for program in programs.values()))


@asynccontextmanager
async def _kept(programs: Mapping[str, Program]) -> AsyncIterator[None]:
    """Restarts programs while the block runs; an end that must not be ends the block with its reason."""
    try:
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(program.keep(), name=f"keep {name}") for name, program in programs.items()]
            try:
                yield
            finally:
                for keeper in keepers:
                    keeper.cancel()
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


def last_words(log_file: Path) -> str:
    """The last line of a program's log: where it said why it ended."""
    with log_file.open("rb") as log:
        log.seek(max(0, log_file.stat().st_size - LAST_WORDS_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {log_file}"


def keep_no_core() -> None:
    """Lets a crash of this process, and of those it starts, write none of its memory to the disk: it may hold faces."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    keep_no_core()
