"""The receiving end of a work queue: a durable pull consumer with a bounded number of deliveries in hand.

Pull requests are sent ahead, so that the next message is on its way while one is being handled, but never for more
than the handler has hands: what a program cannot start on stays on the server, where another replica can take it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from libs.bus.connection import Bus
from libs.bus.streams import RETRY_S, as_transient
from libs.errors import TransientError
from libs.waiting import any_of, end
from proto.subjects import Stream

REQUEST_EXPIRES_S = 5.0
"""A pull request that the server has not filled by then is answered with a status, and renewed."""
SILENCE_S = REQUEST_EXPIRES_S + 2.0
"""A server silent for longer has forgotten our requests (it restarted): they are sent anew."""
STOP_S = 1.0
"""How long the server may take to confirm that it sends nothing more."""


@dataclass(eq=False)
class Delivery:
    """One message as delivered, and the ways to settle it."""

    data: bytes
    headers: dict[str, str]
    subject: str
    deliveries: int
    sequence: int
    waited_s: float
    """Seconds since the message was published."""
    _message: Msg = field(repr=False)
    _inbox: Inbox = field(repr=False)

    async def ack(self) -> None:
        """Says the message was handled; it is deleted."""
        await self._settle(b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Hands the message back, to be delivered again after `delay_s`."""
        await self._settle(b"-NAK " + json.dumps({"delay": int(delay_s * 1e9)}).encode())

    async def term(self) -> None:
        """Says the message must not be delivered again; it is deleted."""
        await self._settle(b"+TERM")

    async def in_progress(self) -> None:
        """Says the message is still being handled, which starts its acknowledgement wait anew."""
        with suppress(nats.errors.Error):
            await self._message.in_progress()

    async def _settle(self, verdict: bytes) -> None:
        """A verdict that is lost on the way is harmless: the message comes again and what it causes has an id."""
        with suppress(nats.errors.Error):
            await self._inbox.bus.client.publish(self._message.reply, verdict)
        self._inbox.settled(self)


class Inbox:
    """Deliveries of one durable consumer, at most `capacity` of them unsettled. Made by `Inbox.open`."""

    def __init__(self, bus: Bus, stream: Stream, durable: str, capacity: int, ack_wait_s: float) -> None:
        self.bus = bus
        self._stream = stream.name
        self._durable = durable
        self._capacity = capacity
        self._ack_wait_s = ack_wait_s
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()
        self._unsettled: set[Delivery] = set()
        self._requested = 0
        self._lost = True
        self._asking = True
        self._heard = asyncio.Event()
        self._heard.set()
        self._address = bus.client.new_inbox()
        self._subscription: Subscription | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, bus: Bus, stream: Stream, durable: str, *, capacity: int, ack_wait_s: float
    ) -> AsyncIterator[Inbox]:
        """An inbox that receives while the block runs; its consumer is made as soon as the server is well.

        Raises:
            TransientError: the connection is closed.
        """
        inbox = cls(bus, stream, durable, capacity, ack_wait_s)
        inbox._subscription = subscription = await bus.client.subscribe(inbox._address, cb=inbox._receive)
        keeper = asyncio.create_task(inbox._keep_asking(), name=f"inbox {durable}")
        try:
            yield inbox
        finally:
            await end(keeper)
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def next(self) -> Delivery:
        """The next delivery, waiting for one if need be."""
        return await self._waiting.get()

    def unsettled(self) -> tuple[Delivery, ...]:
        """What was delivered and is neither settled nor handed back."""
        return tuple(self._unsettled)

    async def stop(self) -> None:
        """Asks for nothing more and hands back at once what was delivered and not yet taken by `next`.

        The server is told first, and what it sent before it knew is waited for: otherwise what is handed back would
        be delivered to the requests that are still open here, again and again.
        """
        self._asking = False
        if self._subscription is not None:
            with suppress(nats.errors.Error, asyncio.TimeoutError):
                await asyncio.wait_for(self._subscription.drain(), STOP_S)  # type: ignore[no-untyped-call]  # the client's
        while not self._waiting.empty():
            await self._waiting.get_nowait().nak(0)

    def settled(self, delivery: Delivery) -> None:
        """Called by a delivery when it is settled: there is a hand free again."""
        self._unsettled.discard(delivery)
        self._heard.set()

    async def _ensure(self) -> None:
        with as_transient(f"the consumer {self._durable} could not be made"):
            await self.bus.jetstream.add_consumer(
                self._stream,
                ConsumerConfig(
                    durable_name=self._durable,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=self._ack_wait_s,
                    max_deliver=-1,
                    max_ack_pending=-1,
                ),
            )

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is not None and not message.reply:
            self._on_status(status, message)
            return
        self._requested = max(0, self._requested - 1)
        meta = message.metadata
        delivery = Delivery(
            data=message.data,
            headers=dict(message.headers or {}),
            subject=message.subject,
            deliveries=meta.num_delivered,
            sequence=meta.sequence.stream,
            waited_s=_since(meta.timestamp),
            _message=message,
            _inbox=self,
        )
        if not self._asking:
            await delivery.nak(0)
            return
        self._unsettled.add(delivery)
        self._waiting.put_nowait(delivery)

    def _on_status(self, status: str, message: Msg) -> None:
        """A request ended unfilled (408), or can no longer be filled (404, 409, 503: the consumer is gone)."""
        pending = (message.headers or {}).get("Nats-Pending-Messages")
        if status == "408" and pending is not None:
            self._requested = max(0, self._requested - int(pending))
        elif status != "100":
            self._requested, self._lost = 0, True
        self._heard.set()

    async def _keep_asking(self) -> None:
        """Renews the pull requests whenever a hand is free, and all of them after a silence or a reconnection."""
        while True:
            if not await self._something_happened():
                self._requested, self._lost = 0, True
            try:
                if self._lost:
                    await self._ensure()
                    self._lost = False
                await self._request()
            except TransientError as error:
                self.bus.log.warning("inbox.waits", consumer=self._durable, reason=error.reason)
                self._requested, self._lost = 0, True
                self._heard.set()
                await asyncio.sleep(RETRY_S)

    async def _something_happened(self) -> bool:
        """Waits for a settled delivery or a status; false after a silence or when the server came back."""
        back = self.bus.reconnected
        heard = await any_of(self._heard.wait(), back.wait(), timeout_s=SILENCE_S)
        fresh = heard and not back.is_set()
        self._heard.clear()
        return fresh

    async def _request(self) -> None:
        """Asks for as many messages as there are hands free, if that is worth a request."""
        room = self._capacity - len(self._unsettled) - self._requested
        if not self._asking or room < max(1, self._capacity // 4):
            return
        self._requested += room
        ask = json.dumps({"batch": room, "expires": int(REQUEST_EXPIRES_S * 1e9)}).encode()
        with as_transient("no message could be asked for"):
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
            await self.bus.client.publish(subject, ask, reply=self._address)


def _since(published: datetime) -> float:
    return (datetime.now(UTC) - published).total_seconds()
