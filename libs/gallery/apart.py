"""One piece of long engine work in a process of its own, so that it cannot stall this one."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from typing import TypeVarTuple

from libs.errors import TransientError

Arguments = TypeVarTuple("Arguments")


async def run_apart(work: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
    """Do the work in a fresh process, which is killed when this task is cancelled.

    Raises TransientError when that process does not end well.
    """
    process = get_context("spawn").Process(target=_work_as_child, args=(work, *arguments), daemon=True)
    process.start()
    try:
        await asyncio.to_thread(process.join)
    finally:
        process.kill()
        process.join()
    if process.exitcode != 0:
        raise TransientError(f"the process doing {work.__name__} ended with {process.exitcode}", delay_s=10.0)


def _work_as_child(work: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    if sys.platform == "linux":  # end with the parent: its directory will have another owner
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    work(*arguments)
