"""The run loop of a stage: pull, decode, handle, publish, settle.

A handler is a plain async function of its message that returns the messages it causes. What it raises decides what
becomes of the message:

    returns            its messages are published, then the message is acknowledged
    TransientError     handed back, delivered again after the error's delay, however often
    PermanentError     dead-lettered (ids and reason only) and never delivered again
    anything else      a bug: logged with its traceback, delivered again after a growing delay, and dead-lettered
                       when it was delivered `max_deliver` times

A message whose handler was killed with its process comes back after `ack_wait_s`. Handling it twice is harmless:
what it causes carries the same ids both times. One that kills its handler each time is dead-lettered too: from
`max_deliver` deliveries on a mark lies in the bucket `attempts` while it is handled, and a mark that is there already
was left by a handler that died. (The count alone cannot tell: a message may have been handed back as often.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs import metrics
from libs.bus import Bus, Delivery, Inbox, Records, dead_letter
from libs.errors import PermanentError, TransientError
from libs.log import Log, describe_bug
from libs.settings import ServiceSettings
from libs.waiting import end, unless
from proto import codec, subjects
from proto.messages import Message
from proto.records import Attempt
from proto.subjects import Stream

In = TypeVar("In", bound=Message)
Handle = Callable[[In], Awaitable[Sequence[Message]]]

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Delays after the first, second, … failure of a handler with a bug; the last one repeats."""


@dataclass(frozen=True)
class Stage(Generic[In]):
    """What a stage reads and how it handles one message. `name` is its durable consumer too."""

    name: str
    stream: Stream
    reads: type[In]
    handle: Handle[In]


class Actor(Generic[In]):
    """Runs a stage on a bus."""

    def __init__(self, stage: Stage[In], bus: Bus, settings: ServiceSettings, log: Log) -> None:
        self._stage = stage
        self._bus = bus
        self._settings = settings
        self._log = log.bind(stage=stage.name)
        self._attempts = Records(bus, subjects.ATTEMPTS, Attempt)

    async def run(self, stopping: asyncio.Event) -> None:
        """Handles messages until `stopping` is set, then hands back what it has not started and finishes the rest.

        Raises:
            TransientError: the connection is closed.
        """
        capacity, ack_wait_s = self._settings.concurrency, self._settings.ack_wait_s
        async with Inbox.open(
            self._bus, self._stage.stream, self._stage.name, capacity=capacity, ack_wait_s=ack_wait_s
        ) as inbox:
            heartbeat = asyncio.create_task(self._keep_alive(inbox), name=f"{self._stage.name} heartbeat")
            try:
                in_hand = await self._work_until(stopping, inbox)
                await inbox.stop()
                await self._finish(in_hand)
            finally:
                await end(heartbeat)

    async def _work_until(self, stopping: asyncio.Event, inbox: Inbox) -> set[asyncio.Task[None]]:
        """Starts on each delivery as it comes; gives what is still in hand when `stopping` is set."""
        in_hand: set[asyncio.Task[None]] = set()
        while (delivery := await unless(stopping, inbox.next())) is not None:
            task = asyncio.create_task(self._work(delivery), name=f"{self._stage.name} {delivery.sequence}")
            in_hand.add(task)
            task.add_done_callback(in_hand.discard)
            task.add_done_callback(self._report)
        return in_hand

    def _report(self, task: asyncio.Task[None]) -> None:
        """A bug in the loop itself; the message comes again after `ack_wait_s`."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("actor.bug", task=task.get_name(), **describe_bug(error))

    async def _finish(self, in_hand: set[asyncio.Task[None]]) -> None:
        """Waits for what is in hand; what takes longer than the grace time is dropped and will be delivered again."""
        if in_hand:
            _, late = await asyncio.wait(in_hand, timeout=self._settings.grace_s)
            await end(*late)

    async def _keep_alive(self, inbox: Inbox) -> None:
        while True:
            await asyncio.sleep(self._settings.ack_wait_s / 3)
            for delivery in inbox.unsettled():
                await delivery.in_progress()

    async def _work(self, delivery: Delivery) -> None:
        started = time.perf_counter()
        with metrics.IN_HAND.labels(self._stage.name).track_inprogress():
            outcome, reason = await self._attempt(delivery)
        seconds = time.perf_counter() - started
        metrics.MESSAGES.labels(self._stage.name, outcome).inc()
        metrics.HANDLE_SECONDS.labels(self._stage.name).observe(seconds)
        self._log.info(
            "message",
            id=delivery.headers.get("Nats-Msg-Id", ""),
            outcome=outcome,
            seconds=round(seconds, 4),
            waited_s=round(delivery.waited_s, 4),
            deliveries=delivery.deliveries,
            trace=delivery.headers.get(codec.TRACE_HEADER, "")[3:35],
            **({"reason": reason} if reason else {}),
        )

    async def _attempt(self, delivery: Delivery) -> tuple[str, str]:
        """The outcome and its reason, after the message has been settled accordingly."""
        try:
            message = codec.decode(self._stage.reads, delivery.data, delivery.headers)
            async with self._marked(delivery):
                for caused in await self._stage.handle(message):
                    await self._bus.publish(caused, delivery.headers.get(codec.TRACE_HEADER, ""))
        except TransientError as error:
            await delivery.nak(error.delay_s)
            return "retry", error.reason
        except (PermanentError, codec.DecodeError) as error:
            return await self._bury(delivery, str(error))
        except Exception as error:  # noqa: BLE001  this is the run loop: one message must not end it
            self._log.error("handler.bug", id=delivery.headers.get("Nats-Msg-Id", ""), **describe_bug(error))
            if delivery.deliveries >= self._settings.max_deliver:
                return await self._bury(delivery, f"a bug: {type(error).__name__}")
            await delivery.nak(BACKOFF_S[min(delivery.deliveries, len(BACKOFF_S)) - 1])
            return "bug", type(error).__name__
        await delivery.ack()
        return "done", ""

    @asynccontextmanager
    async def _marked(self, delivery: Delivery) -> AsyncIterator[None]:
        """Keeps a mark while the block handles a message that came suspiciously often.

        Raises:
            PermanentError: the mark is there already: the handler died of the message.
            TransientError: the server is away.
        """
        if delivery.deliveries <= self._settings.max_deliver:
            yield
            return
        key = subjects.key(self._stage.name, f"{delivery.sequence}")
        if await self._attempts.get(key) is not None:
            raise PermanentError("its handler died each time")
        await self._attempts.put(key, Attempt(stage=self._stage.name, sequence=delivery.sequence))
        try:
            yield
        finally:
            await self._attempts.delete(key)

    async def _bury(self, delivery: Delivery, reason: str) -> tuple[str, str]:
        """Dead-letters the message. If even that fails it is handed back, so that its death is not lost."""
        letter = dead_letter(
            self._stage.name,
            delivery.subject,
            delivery.headers,
            reason,
            delivery.deliveries,
            f"{delivery.sequence}",
        )
        try:
            await self._bus.dead_letter(letter, delivery.headers.get(codec.TRACE_HEADER, ""))
        except TransientError as error:
            await delivery.nak(error.delay_s)
            return "retry", error.reason
        await delivery.term()
        return "dead", reason
