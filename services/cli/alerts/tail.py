"""Follows alerts, and what people decide about them, as both happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from rich.text import Text

from libs.bus import Bus
from libs.seals import PublicKey, SealError
from proto import subjects
from proto.cases import Adjudication, Intervention
from proto.messages import Alert, Message
from proto.sealed import Sealed
from services.cli.alerts.lines import adjudication_line, alert_line, forged_line, intervention_line

M = TypeVar("M", bound=Message)
ALL = "*"


class Tail:
    """Shows what has happened from a moment on."""

    def __init__(self, bus: Bus, govern: PublicKey, show: Callable[[Text], None], since: float) -> None:
        """`since` is in Unix seconds; an intervention counts only if `govern` has sealed it."""
        self._bus = bus
        self._govern = govern
        self._show = show
        self._since = since

    async def run(self, deployment: str = ALL, seeds: bool = False) -> None:
        """Shows a line for each thing that has happened, until it is cancelled."""
        alerts = self._bus.follow(subjects.ALERTS, subjects.alerts_of(deployment), Alert)
        decisions = self._bus.follow(subjects.ADJUDICATIONS, subjects.adjudications_of(deployment), Adjudication)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(alerts, lambda alert: alert.raised_at, alert_line))
            tasks.create_task(self._follow(decisions, lambda told: told.at, adjudication_line))
            tasks.create_task(self._follow_interventions(subjects.interventions_of(deployment)))
            tasks.create_task(self._follow_bare(subjects.interventions_of(deployment)))
            if seeds:
                walked = self._bus.follow(subjects.SEEDS, subjects.seeds_of(deployment), Alert)
                tasks.create_task(self._follow(walked, lambda alert: alert.raised_at, alert_line))

    async def _follow(self, told: AsyncIterator[M], at: Callable[[M], float], line: Callable[[M], Text]) -> None:
        async for message in told:
            if at(message) >= self._since:
                self._show(line(message))

    async def _follow_interventions(self, subject: str) -> None:
        """Those that are sealed; one that `govern` did not seal is shown whenever it says it happened."""
        async for sealed in self._bus.follow(subjects.INTERVENTIONS, subject, Sealed):
            try:
                told = self._govern.open(sealed, Intervention)
            except SealError as error:
                self._show(forged_line(error.reason))
            else:
                if told.confirmed_at >= self._since:
                    self._show(intervention_line(told))

    async def _follow_bare(self, subject: str) -> None:
        async for _ in self._bus.follow(subjects.INTERVENTIONS, subject, Intervention):
            self._show(forged_line("it is not sealed at all"))


def since_minutes(minutes: float) -> float:
    """The moment that many minutes ago."""
    return time.time() - 60 * minutes
