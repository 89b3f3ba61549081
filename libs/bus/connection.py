"""The connection: messages published with an id, streams followed, asks asked and answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import nats
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig, DeliverPolicy, Header
from nats.js.client import JetStreamContext
from nats.micro import add_service
from nats.micro.service import EndpointConfig, ServiceConfig

from libs.bus.client import Client, TooLargeError
from libs.bus.desk import Answer, Desk, Endpoint, raise_refusal
from libs.bus.erasing import overwrite_one
from libs.bus.flushing import flushed
from libs.bus.portraits import Portraits
from libs.bus.reading import ALL, Stored, read, read_one
from libs.bus.streams import OTHER_REVISION, RETRY_S, Conflict, JetStream, as_transient, ensure
from libs.errors import PermanentError, TransientError, UserError
from libs.log import Log
from libs.settings import NatsSettings
from libs.waiting import end, unless
from proto import codec, subjects
from proto.messages import DeadLetter, Message
from proto.sealed import Sealed

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)

SERVICE_VERSION = "1.0.0"
CLOSE_S = 1.0
"""How long an orderly end may take that needs the server, which may be away."""
PENDING_NEWS = 64
"""Messages that may wait for a follower; the rest waits in the stream."""
PRESENCE_POLL_S = 0.05
"""How often a program that is not there yet is looked for."""
PENDING_ASKS = 1024
"""Asks that may wait in an answering program. Live cameras keep two in flight, so this is 512 of them a replica."""


@asynccontextmanager
async def connect(settings: NatsSettings, name: str, log: Log) -> AsyncIterator[Bus]:
    """A bus connected to the server while the block runs, with every stream, bucket and store of ours ensured.

    Once connected it reconnects for ever, and ensures them anew: memory streams are gone when a server restarts.

    Raises:
        UserError: no server answers within `settings.wait_s`, or it refuses us.
    """
    bus = Bus(settings, name, log)
    try:
        await bus._open()
        yield bus
    finally:
        await bus._close()


class Bus:
    """A connection to NATS in Watchline's terms. Made by `connect`."""

    def __init__(self, settings: NatsSettings, name: str, log: Log) -> None:
        self.settings = settings
        self.name = name
        self.log = log
        self._nc = Client()
        self._js: JetStreamContext = JetStream(self._nc, timeout=settings.ask_timeout_s)
        self.portraits = Portraits(self._nc, self._js)
        self._back = asyncio.Event()
        self._ensuring: asyncio.Task[None] | None = None

    # -- connecting

    async def _open(self) -> None:
        credentials = self.settings.credentials
        if credentials is not None and not credentials.is_file():
            raise UserError(f"there are no credentials at {credentials}", "set WATCHLINE_NATS_CREDENTIALS to the file")
        try:
            async with asyncio.timeout(self.settings.wait_s):
                await self._nc.connect(
                    servers=self.settings.url.split(","),
                    name=self.name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # any number of seconds
                    connect_timeout=2,
                    user_credentials=str(credentials) if credentials else None,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                    error_cb=self._on_error,
                )
                await self.ensure()
        except (TimeoutError, nats.errors.Error, OSError, TransientError, ValueError) as error:
            reason = "" if isinstance(error, TimeoutError) else f" ({error})"
            raise UserError(
                f"no NATS server with JetStream answers at {without_secrets(self.settings.url)}{reason}",
                "start one, or set WATCHLINE_NATS_URL to where it is",
                exit_code=3,
            ) from None

    async def _close(self) -> None:
        if self._nc._flush_queue is None:  # the client refused before it tried to connect, and cannot be closed
            return
        await self._stop_ensuring()
        with suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
            if self._nc.is_connected:
                await asyncio.wait_for(self._nc.flush(), CLOSE_S)
        if not self._nc.is_connected:  # else the client writes to a connection that is gone, and closes only by half
            self._nc._pending_data_size = 0
        with suppress(OSError):
            await self._nc.close()

    async def ensure(self) -> None:
        """Makes every stream, bucket and store that is not there yet.

        Raises:
            TransientError: the server is away or has no JetStream.
        """
        await ensure(self._js, self.settings.replicas)

    @property
    def connected(self) -> bool:
        """Whether the server is there now."""
        return self._nc.is_connected

    @property
    def reconnected(self) -> asyncio.Event:
        """An event that is set at the next reconnection; ask for it anew each time."""
        return self._back

    async def _on_disconnect(self) -> None:
        if not self._nc.is_closed:
            self.log.warning("bus.disconnected", url=without_secrets(self.settings.url))

    async def _on_reconnect(self) -> None:
        self.log.info("bus.reconnected", url=without_secrets(self.settings.url))
        await self._stop_ensuring()
        self._ensuring = asyncio.create_task(self._ensure_again(), name="ensure streams")

    async def _ensure_again(self) -> None:
        while True:
            try:
                await self.ensure()
                break
            except TransientError:
                await asyncio.sleep(RETRY_S)
        back, self._back = self._back, asyncio.Event()
        back.set()

    async def _stop_ensuring(self) -> None:
        if self._ensuring is not None:
            await end(self._ensuring)

    async def _on_error(self, error: Exception) -> None:
        self.log.debug("bus.error", error=type(error).__name__)

    # -- publishing

    async def publish(self, message: Message, trace: str) -> None:
        """Publishes `message` where its kind belongs, under its id, and returns when the stream has it.

        Raises:
            TransientError: the server is away, slow, or the stream is full.
            PermanentError: the message with its headers is larger than the server takes.
        """
        subject, message_id = subjects.address(message)
        await self.publish_as(subject, message_id, message, trace)

    async def publish_as(self, subject: str, message_id: str, message: Message, trace: str = "") -> None:
        """Publishes `message` on a subject, under an id: one that is sealed has those of what it holds. As `publish`.

        Raises:
            TransientError, PermanentError: as `publish`.
        """
        header = {**codec.headers(message, trace), "Nats-Msg-Id": message_id}
        with as_transient(f"{subject} was not accepted"):
            await self._js.publish(subject, codec.encode(message), headers=header)

    async def dead_letter(self, letter: DeadLetter, trace: str = "") -> None:
        """Publishes a dead letter. Raises `TransientError` like `publish`."""
        await self.publish(letter, trace)

    # -- streams as they lie there

    async def append(self, stream: subjects.Stream, subject: str, message: Message, expected_last: int) -> int:
        """The sequence of `message` in the stream, stored only if the last one there is `expected_last` (0: none).

        Raises:
            Conflict: something else is the last.
            TransientError: the server is away or slow. The message may be stored all the same.
            PermanentError: the message with its headers is larger than the server takes.
        """
        header = {**codec.headers(message, ""), Header.EXPECTED_LAST_SEQUENCE.value: str(expected_last)}
        try:
            with as_transient(f"{stream.name} could not be written"):
                ack = await self._js.publish(subject, codec.encode(message), stream=stream.name, headers=header)
        except TransientError as error:
            if getattr(error.__cause__, "err_code", None) in OTHER_REVISION:
                raise Conflict(stream.name) from None
            raise
        return ack.seq

    def stored(self, stream: subjects.Stream, subject: str = ALL, first: int = 1) -> AsyncIterator[Stored]:
        """What lies in the stream now on `subject` (which may hold wildcards), in order, from sequence `first` on.

        Raises `TransientError`, also in the midst.
        """
        return read(self._js, stream.name, subject, first, self.settings.ask_timeout_s)

    async def stored_at(self, stream: subjects.Stream, sequence: int) -> Stored | None:
        """What lies in the stream at `sequence`, or `None`. Raises `TransientError`."""
        with as_transient(f"{stream.name} could not be read"):
            return await read_one(self._js, stream.name, sequence)

    async def oldest(self, stream: subjects.Stream, subject: str) -> Stored | None:
        """The first that lies in the stream on `subject`, or `None`. Raises `TransientError`."""
        with as_transient(f"{stream.name} could not be read"):
            return await read_one(self._js, stream.name, 1, subject)

    async def last_sequence(self, stream: subjects.Stream) -> int:
        """The sequence of the last message that the stream ever took; 0 before the first. Raises `TransientError`."""
        with as_transient(f"{stream.name} could not be looked at"):
            return (await self._js.stream_info(stream.name)).state.last_seq

    async def erase(self, stream: subjects.Stream, stored: Stored) -> bool:
        """Whether the message was still there; it is overwritten in the server's files. Raises `TransientError`."""
        with as_transient(f"{stream.name} could not be erased from"):
            return await overwrite_one(self._js, stream.name, stored.sequence)

    async def follow(self, stream: subjects.Stream, subject: str, kind: type[R], first: int = 1) -> AsyncIterator[R]:
        """Every message of a stream on `subject` (wildcards too), from sequence `first` on, then each new one.

        Goes on over reconnections, and from the first on again where the stream was made anew. What is no such
        message is passed over.
        """
        start = max(first, 1)
        while True:
            back, arrived = self._back, asyncio.Queue[Msg](PENDING_NEWS)
            try:
                async with self._reading(stream, subject, start, arrived):
                    while (message := await unless(back, arrived.get())) is not None:
                        start = message.metadata.sequence.stream + 1
                        with suppress(codec.DecodeError):
                            yield codec.decode(kind, message.data, message.headers)
            except TransientError:
                await asyncio.sleep(RETRY_S)

    @asynccontextmanager
    async def _reading(
        self, stream: subjects.Stream, subject: str, start: int, arrived: asyncio.Queue[Msg]
    ) -> AsyncIterator[None]:
        """Puts what the stream holds from sequence `start` on into `arrived`, in order, while the block runs."""
        with as_transient(f"{stream.name} could not be followed"):
            if (await self._js.stream_info(stream.name)).state.last_seq < start - 1:
                start = 1
            reader = await self._js.subscribe(
                subject,
                stream=stream.name,
                cb=arrived.put,
                ordered_consumer=True,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=start),
            )
        try:
            yield
        finally:
            with suppress(nats.errors.Error):
                await reader.unsubscribe()

    # -- asking and answering

    async def ask(self, subject: str, message: Message, expected: type[R], timeout_s: float | None = None) -> R:
        """The answer of type `expected` to `message`.

        Raises:
            TransientError: nobody answered (in time).
            AskError: the other side refused the ask.
            PermanentError: the ask is larger than the server takes.
            DecodeError: what came back is no such answer.
        """
        body, headers = codec.encode(message), codec.headers(message, "")
        timeout_s = timeout_s or self.settings.ask_timeout_s
        with as_transient("nobody answered"):
            try:
                reply = await self._nc.request(subject, body, timeout=timeout_s, headers=headers)
            except TooLargeError as error:
                raise PermanentError(f"{error}: ask for less at a time, or raise its max_payload") from None
            except nats.errors.NoRespondersError:
                raise TransientError(f"{subjects.program(subject)} does not run", RETRY_S, subject) from None
            except TimeoutError:
                raise TransientError(_late(subject, message, timeout_s), RETRY_S, subject) from None
        raise_refusal(subject, reply)
        return codec.decode(expected, reply.data, reply.headers)

    @asynccontextmanager
    async def answering(self, subject: str, reads: type[M], answer: Answer[M], concurrency: int) -> AsyncIterator[None]:
        """Answers asks on `subject` while the block runs, `concurrency` at a time, sharing them with its replicas."""
        desk = Desk(subject, Endpoint(reads, answer), concurrency, self.dead_letter, self.log)
        subscription = await self._nc.subscribe(
            subject, queue=subject.rpartition(".")[2], cb=desk.take, pending_msgs_limit=PENDING_ASKS
        )
        await flushed(self._nc)
        try:
            yield
        finally:
            await _stop_listening(subscription)
            await desk.finish()

    @asynccontextmanager
    async def micro_service(
        self, name: str, prefix: str, endpoints: Mapping[str, Endpoint[Any]]
    ) -> AsyncIterator[None]:
        """Serves `endpoints` under `prefix` as a NATS micro service (see `nats micro list`) while the block runs."""
        desks: list[Desk[Any]] = []
        service = await add_service(self._nc, ServiceConfig(name=name, version=SERVICE_VERSION))
        for name_of, endpoint in endpoints.items():
            subject = f"{prefix}.{name_of}"
            desk = Desk(subject, endpoint, endpoint.concurrency, self.dead_letter, self.log)
            desks.append(desk)
            await service.add_endpoint(
                EndpointConfig(name=name_of, subject=subject, queue_group=name, handler=desk.take_request)
            )
        await flushed(self._nc)
        try:
            yield
        finally:
            with suppress(nats.errors.Error, asyncio.TimeoutError):
                await asyncio.wait_for(service.stop(), CLOSE_S)
            for desk in desks:
                await desk.finish()

    @asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Makes this program known as a NATS service of its name while the block runs: it is ready for work."""
        async with self.micro_service(self.name, "", {}):
            yield

    async def until_present(self, names: Iterable[str]) -> None:
        """Returns when each of the programs has made itself known."""
        for name in names:
            while not await self._is_present(name):  # noqa: ASYNC110  the program is another process
                await asyncio.sleep(PRESENCE_POLL_S)

    async def _is_present(self, name: str) -> bool:
        try:
            await self._nc.request(f"$SRV.PING.{name}", timeout=self.settings.ask_timeout_s)
        except (TimeoutError, nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return False
        return True

    # -- for the modules beside this one

    @property
    def client(self) -> Client:
        """The NATS client: for `libs/bus` alone."""
        return self._nc

    @property
    def jetstream(self) -> JetStreamContext:
        """Its JetStream context: for `libs/bus` alone."""
        return self._js


def without_secrets(url: str) -> str:
    """The addresses in `url` without the users and passwords that they may hold."""
    return re.sub(r"//[^,]*@", "//", url)


def _late(subject: str, message: Message, timeout_s: float) -> str:
    """What a person is told whose ask was not answered; an act may be done all the same."""
    late = f"{subjects.program(subject)} has not answered in {timeout_s:g} s"
    return f"{late}; the act may be done: look first" if isinstance(message, Sealed) else late


async def _stop_listening(subscription: Subscription) -> None:
    """Takes no more asks; those that lie in the client's queue go unanswered, and their askers ask again."""
    with suppress(nats.errors.Error):
        await subscription.unsubscribe()
