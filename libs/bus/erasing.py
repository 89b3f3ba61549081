"""Deletion that leaves nothing behind: messages overwritten in the server's files.

A purge, a full history and an age only take messages off the server's index: their bytes stay in the file until it is
rewritten, which may be never. Deleting a message by its sequence overwrites it at once (JetStream's secure erase).
"""

from __future__ import annotations

from contextlib import suppress

import nats.js.errors
from nats.js.client import JetStreamContext

NOT_THERE = (10037, 10043, 10057)
"""JetStream's codes for a message that cannot be deleted; somebody else may have deleted it a moment ago."""


async def overwrite(jetstream: JetStreamContext, stream: str, subject: str, before: int | None = None) -> int:
    """How many messages on `subject` (wildcards too) it overwrote, of those with sequences under `before`."""
    count, start = 0, 1
    with suppress(nats.js.errors.NotFoundError):
        while True:
            found = await jetstream.get_msg(stream, start, subject, next=True)
            if found.seq is None or (before is not None and found.seq >= before):
                break
            count += await overwrite_one(jetstream, stream, found.seq)
            start = found.seq + 1
    return count


async def overwrite_one(jetstream: JetStreamContext, stream: str, sequence: int) -> bool:
    """Whether the message was there and is overwritten now."""
    try:
        return await jetstream.delete_msg(stream, sequence)
    except nats.js.errors.APIError as error:
        if error.err_code in NOT_THERE and await _is_gone(jetstream, stream, sequence):
            return False
        raise


async def _is_gone(jetstream: JetStreamContext, stream: str, sequence: int) -> bool:
    try:
        await jetstream.get_msg(stream, sequence)
    except nats.js.errors.NotFoundError:
        return True
    return False
