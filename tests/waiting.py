"""Ways to wait for what must happen, on a machine that may be slow."""

import asyncio

from libs.errors import TransientError

SOON_S = 20.0
"""How long a test waits for what must happen; on an idle machine it takes milliseconds."""


async def until(condition):
    """Returns when the coroutine function `condition` says true."""
    async with asyncio.timeout(SOON_S):
        while not await condition():
            await asyncio.sleep(0.01)


async def eventually(attempt):
    """What the coroutine function `attempt` returns once it no longer raises `TransientError`."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await attempt()
            except TransientError:
                await asyncio.sleep(0.05)


async def soon(coming):
    """What `coming` comes to."""
    return await asyncio.wait_for(coming, SOON_S)
