"""What processes use: CPU seconds, memory, and bytes that a process read and wrote."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Usage:
    """What processes had used at a moment, by name."""

    at_s: float
    """Of the monotonic clock."""
    cpu_s: Mapping[str, float]
    read_bytes: Mapping[str, int]
    """What they read from sockets and files; empty where the system does not say."""


class Processes:
    """Some running processes, by name."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}

    def usage(self) -> Usage:
        """What they have used so far."""
        cpu = {name: process.cpu_times() for name, process in self._processes.items()}
        return Usage(
            at_s=time.monotonic(),
            cpu_s={name: times.user + times.system for name, times in cpu.items()},
            read_bytes=self._read_bytes(),
        )

    def memory_mb(self) -> dict[str, float]:
        """The memory of each that no other process shares, in MB (10^6 bytes)."""
        return {name: process.memory_full_info().uss / MEGABYTE for name, process in self._processes.items()}

    def _read_bytes(self) -> dict[str, int]:
        if not psutil.LINUX:
            return {}
        return {name: process.io_counters().read_chars for name, process in self._processes.items()}


def cpu_per_frame(before: Usage, after: Usage, frames: int) -> dict[str, float]:
    """CPU seconds a frame between two moments, by process."""
    return {name: (after.cpu_s[name] - before.cpu_s[name]) / frames for name in after.cpu_s}
