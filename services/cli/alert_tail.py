"""Follows alerts, and what people decide about them, as both happen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from rich.text import Text

from libs.bus import Bus
from proto import subjects
from proto.messages import Alert, Message
from proto.requests import Adjudication, Intervention
from services.cli.alert_lines import adjudication_line, alert_line, intervention_line

M = TypeVar("M", bound=Message)
ALL = "*"


async def tail(
    bus: Bus, show: Callable[[Text], None], since: float, deployment: str = ALL, seeds: bool = False
) -> None:
    """Shows a line for each thing that has happened from `since` (Unix seconds) on, until it is cancelled."""

    async def follow(told: AsyncIterator[M], at: Callable[[M], float], line: Callable[[M], Text]) -> None:
        async for message in told:
            if at(message) >= since:
                show(line(message))

    alerts = bus.follow(subjects.ALERTS, subjects.alerts_of(deployment), Alert)
    decisions = bus.follow(subjects.ADJUDICATIONS, subjects.adjudications_of(deployment), Adjudication)
    interventions = bus.follow(subjects.INTERVENTIONS, subjects.interventions_of(deployment), Intervention)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(alerts, lambda alert: alert.raised_at, alert_line))
        tasks.create_task(follow(decisions, lambda told: told.at, adjudication_line))
        tasks.create_task(follow(interventions, lambda told: told.confirmed_at, intervention_line))
        if seeds:
            walked = bus.follow(subjects.SEEDS, subjects.seeds_of(deployment), Alert)
            tasks.create_task(follow(walked, lambda alert: alert.raised_at, alert_line))


def since_minutes(minutes: float) -> float:
    """The moment that many minutes ago."""
    return time.time() - 60 * minutes
