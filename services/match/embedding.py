"""Templates of references, asked of `embed` for several faces at a time: those that come while others are asked for.

A message costs more than what is in it. Measured: an import of small photographs spends a third less on the bus.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from libs.errors import PermanentError
from libs.geometry import Floats, Image
from proto import subjects
from proto.messages import EmbedReply, EmbedRequest
from services.match.registry import Asker

ASKS_AT_ONCE = 3
"""Under way at a time: enough to keep the cores of one `embed` busy while others gather."""
FACES_AN_ASK = 4
"""150 KB, of the 8 MB that a message may have."""
TIMEOUT_S = 8.0
"""How long a group may take: 0.1 s on an idle core, and cameras may keep it busy. Asking again makes it busier."""


@dataclass
class _Group:
    """Faces that are asked for together."""

    chips: list[Image] = field(default_factory=list)
    asked: asyncio.Task[Floats] | None = None


class Embedding:
    """Asks for templates."""

    def __init__(self, bus: Asker, template_version: str) -> None:
        self._bus = bus
        self._version = template_version
        self._turns = asyncio.Semaphore(ASKS_AT_ONCE)
        self._gathering: _Group | None = None

    async def template_of(self, chip: Image) -> Floats:
        """The template of a face, float32 (d,): the mean of it and its mirror image, of length 1.

        Raises:
            TransientError: embed or the bus is away: ask again.
            PermanentError: embed runs another model than the gallery holds templates of.
        """
        group = self._gathering = self._gathering or _Group()
        place = len(group.chips)
        group.chips.append(chip)
        if len(group.chips) == FACES_AN_ASK:
            self._gathering = None
        if group.asked is None:
            group.asked = asyncio.create_task(self._ask(group), name="embed references")
        templates = await asyncio.shield(group.asked)
        template: Floats = templates[place]
        return template

    async def _ask(self, group: _Group) -> Floats:
        """The templates of a group, which others join until it is its turn."""
        async with self._turns:
            if self._gathering is group:
                self._gathering = None
            request = EmbedRequest(chips=np.stack(group.chips), both_ways=True)
            reply = await self._bus.ask(subjects.EMBED, request, EmbedReply, TIMEOUT_S)
        if reply.template_version != self._version:
            raise PermanentError(f"embed runs {reply.template_version}, the gallery holds {self._version}")
        return reply.templates
