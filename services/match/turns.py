"""Whose turn it is with a watch list: many may enrol at once, and who changes the list itself does so alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class _Turn:
    change: asyncio.Condition = field(default_factory=asyncio.Condition)
    together: int = 0
    alone: bool = False
    waiting_alone: int = 0


class Turns:
    """One turn a list. Who waits to be alone comes before those who come later to share."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def shared(self, watch_list: str) -> AsyncIterator[None]:
        """Runs the block while nobody is alone with the list."""
        turn = self._turns.setdefault(watch_list, _Turn())
        async with turn.change:
            await turn.change.wait_for(lambda: not (turn.alone or turn.waiting_alone))
            turn.together += 1
        try:
            yield
        finally:
            turn.together -= 1
            await self._pass_on(turn)

    @asynccontextmanager
    async def alone(self, watch_list: str) -> AsyncIterator[None]:
        """Runs the block while nobody else does anything to the list."""
        turn = self._turns.setdefault(watch_list, _Turn())
        async with turn.change:
            turn.waiting_alone += 1
            try:
                await turn.change.wait_for(lambda: not (turn.alone or turn.together))
                turn.alone = True
            finally:
                turn.waiting_alone -= 1
                turn.change.notify_all()  # who gave up waiting lets those in who waited behind
        try:
            yield
        finally:
            turn.alone = False
            await self._pass_on(turn)

    @staticmethod
    async def _pass_on(turn: _Turn) -> None:
        async with turn.change:
            turn.change.notify_all()
