"""What lies in a stream now, in order, as it lies there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.kv import KV_OP

from libs.bus.streams import as_transient

AHEAD = 4096
"""Messages that are taken from the server before they are asked for."""
ALL = ">"
SILENCE_S = 5.0


@dataclass(frozen=True)
class Stored:
    """One message of a stream."""

    sequence: int
    subject: str
    at: float
    """When the server took it, in Unix seconds by the server's clock."""
    data: bytes
    marker: bool = False
    """Whether it says that a record is gone, in a bucket."""


async def read(
    jetstream: JetStreamContext,
    stream: str,
    subject: str = ALL,
    first: int = 1,
    silence_s: float = SILENCE_S,
    with_data: bool = True,
) -> AsyncIterator[Stored]:
    """The messages of a stream on `subject`, which may hold wildcards, from sequence `first` to the last there is now.

    Raises:
        TransientError: the server is away or said nothing for `silence_s`.
    """
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(first, 1), headers_only=not with_data
    )
    async with _opened(jetstream, stream, subject, config) as arrived:
        while arrived is not None:
            message = await _next(arrived, stream, silence_s)
            said = message.metadata
            yield Stored(
                said.sequence.stream,
                message.subject,
                said.timestamp.timestamp(),
                message.data,
                KV_OP in (message.headers or {}),
            )
            if said.num_pending == 0:
                return


async def read_one(
    jetstream: JetStreamContext, stream: str, sequence: int, subject: str | None = None
) -> Stored | None:
    """The message of a stream at `sequence`, or the first from there on that is on `subject`; `None` if there is none.

    Raises what the client raises.
    """
    try:
        found = await jetstream.get_msg(stream, sequence, subject, next=subject is not None)
    except nats.js.errors.NotFoundError:
        return None
    at = found.time.timestamp() if found.time is not None else 0.0
    marker = KV_OP in (found.headers or {})
    return Stored(found.seq or sequence, found.subject or "", at, found.data or b"", marker)


@asynccontextmanager
async def _opened(
    jetstream: JetStreamContext, stream: str, subject: str, config: ConsumerConfig
) -> AsyncIterator[asyncio.Queue[Msg] | None]:
    """Where the messages arrive; `None` where there are none."""
    arrived = asyncio.Queue[Msg](AHEAD)
    with as_transient(f"{stream} could not be read"):
        reader = await jetstream.subscribe(subject, stream=stream, cb=arrived.put, ordered_consumer=True, config=config)
    try:
        with as_transient(f"{stream} could not be read"):
            info = await reader.consumer_info()
        delivered = info.delivered.consumer_seq if info.delivered else 0
        yield arrived if info.num_pending or delivered else None
    finally:
        with suppress(nats.errors.Error):
            await reader.unsubscribe()


async def _next(arrived: asyncio.Queue[Msg], stream: str, silence_s: float) -> Msg:
    with suppress(asyncio.QueueEmpty):
        return arrived.get_nowait()
    with as_transient(f"{stream} could not be read to its end"):
        async with asyncio.timeout(silence_s):
            return await arrived.get()
