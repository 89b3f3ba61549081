"""The connection: streams ensured, messages published with an id, asks asked and answered, portraits kept."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.client import JetStreamContext
from nats.js.object_store import ObjectStore
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, ServiceConfig

from libs.errors import PermanentError, TransientError, UserError
from libs.log import Log, describe_bug
from libs.settings import NatsSettings
from libs.waiting import end, unless
from proto import codec, subjects
from proto.messages import DeadLetter, Message

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)
Answer = Callable[[M], Awaitable[Message]]

ERROR_CODE_HEADER = "Nats-Service-Error-Code"
ERROR_HEADER = "Nats-Service-Error"
"""Both of ADR-32, the NATS services convention."""
SERVICE_VERSION = "1.0.0"
RECONNECT_WAIT_S = 0.25
"""Pause between two tries to reconnect: a restarted server is found within a quarter of a second."""
CLOSE_S = 1.0
"""How long an orderly end may take that needs the server, which may be away."""
PENDING_NEWS = 64
"""Messages that may wait for a follower; the rest waits in the stream."""
OTHER_CONFIG = 10058
"""JetStream's code for "stream name already in use with a different configuration"."""
PRESENCE_POLL_S = 0.05
"""How often a program that is not there yet is looked for."""
PENDING_ASKS = 1024
"""Asks that may wait in an answering program. Cameras keep two each in flight, so this is 512 cameras a replica."""


@dataclass(frozen=True)
class Endpoint(Generic[M]):
    """What an endpoint of a micro service reads, and how it answers."""

    reads: type[M]
    answer: Answer[M]


class AskError(PermanentError):
    """The asked program refused: `code` 400 (the ask is wrong), 409 (it conflicts) or 500 (a bug over there)."""

    def __init__(self, subject: str, code: str, reason: str) -> None:
        super().__init__(f"{subject} refused: {reason}")
        self.code = code
        self.detail = reason


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


@contextmanager
def as_transient(what: str) -> Iterator[None]:
    """Turns what NATS raises when a server is away, full or slow into `TransientError`.

    Raises:
        PermanentError: the message is larger than the server takes, which no later try will change.
    """
    try:
        yield
    except nats.errors.MaxPayloadError as error:
        raise PermanentError(f"{what}: it is larger than the server takes") from error
    except (TimeoutError, nats.errors.Error, nats.js.errors.Error, OSError) as error:
        said = getattr(error, "description", None) or type(error).__name__  # some errors of its API are silent
        raise TransientError(f"{what}: {said}", delay_s=RECONNECT_WAIT_S) from error


class _JetStream(JetStreamContext):
    """A JetStream context that brings a stream, bucket or store which an earlier version made up to date."""

    async def add_stream(
        self,
        config: StreamConfig | None = None,
        **params: Any,  # noqa: ANN401  as the base class says
    ) -> StreamInfo:
        """The stream as configured, but for the number of its copies, which is the operator's once it is there."""
        try:
            return await super().add_stream(config, **params)
        except nats.js.errors.BadRequestError as error:
            if error.err_code != OTHER_CONFIG or config is None or config.name is None:
                raise
            there = await self.stream_info(config.name)
            return await self.update_stream(config.evolve(num_replicas=there.config.num_replicas))


class Bus:
    """A connection to NATS in Watchline's terms. Made by `connect`."""

    def __init__(self, settings: NatsSettings, name: str, log: Log) -> None:
        self.settings = settings
        self.name = name
        self.log = log
        self._nc = Client()
        self._js: JetStreamContext = _JetStream(self._nc, timeout=settings.ask_timeout_s)
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
                    reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # any number of seconds
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
        with as_transient("the streams could not be made"):
            for stream in subjects.STREAMS:
                await self._js.add_stream(_stream_config(stream, self.settings.replicas))
            for bucket in subjects.BUCKETS:
                await self._js.create_key_value(
                    KeyValueConfig(
                        bucket=bucket.name,
                        storage=StorageType(bucket.storage),
                        ttl=bucket.ttl_s or None,
                        replicas=self.settings.replicas,
                    )
                )
            await self._js.create_object_store(
                subjects.PORTRAITS,
                config=ObjectStoreConfig(bucket=subjects.PORTRAITS, replicas=self.settings.replicas),
            )

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
                await asyncio.sleep(RECONNECT_WAIT_S)
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
            PermanentError: the message is larger than the server takes.
        """
        subject, message_id = subjects.address(message)
        header = {**codec.headers(message, trace), "Nats-Msg-Id": message_id}
        with as_transient(f"{subject} was not accepted"):
            await self._js.publish(subject, codec.encode(message), headers=header)

    async def dead_letter(self, letter: DeadLetter, trace: str = "") -> None:
        """Publishes a dead letter. Raises `TransientError` like `publish`."""
        await self.publish(letter, trace)

    async def follow(self, stream: subjects.Stream, subject: str, kind: type[R]) -> AsyncIterator[R]:
        """Every message of a stream on `subject` (which may hold wildcards), from the first on, then each new one.

        Goes on over reconnections, and from the first on again where the stream was made anew. What is no such
        message is passed over.
        """
        start = 1
        while True:
            back, arrived = self._back, asyncio.Queue[Msg](PENDING_NEWS)
            try:
                async with self._reading(stream, subject, start, arrived):
                    while (message := await unless(back, arrived.get())) is not None:
                        start = message.metadata.sequence.stream + 1
                        with suppress(codec.DecodeError):
                            yield codec.decode(kind, message.data, message.headers)
            except TransientError:
                await asyncio.sleep(RECONNECT_WAIT_S)

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
        with as_transient(f"nobody answered {subject}"):
            reply = await self._nc.request(
                subject,
                codec.encode(message),
                timeout=timeout_s or self.settings.ask_timeout_s,
                headers=codec.headers(message, ""),
            )
        _raise_refusal(subject, reply)
        return codec.decode(expected, reply.data, reply.headers)

    @asynccontextmanager
    async def answering(self, subject: str, reads: type[M], answer: Answer[M], concurrency: int) -> AsyncIterator[None]:
        """Answers asks on `subject` while the block runs, `concurrency` at a time, sharing them with its replicas."""
        desk = _Desk(self, subject, reads, answer, concurrency)
        subscription = await self._nc.subscribe(
            subject, queue=subject.rpartition(".")[2], cb=desk.take, pending_msgs_limit=PENDING_ASKS
        )
        await self._nc.flush()
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
        service = await add_service(self._nc, ServiceConfig(name=name, version=SERVICE_VERSION))
        for name_of, endpoint in endpoints.items():
            subject = f"{prefix}.{name_of}"
            desk = _Desk(self, subject, endpoint.reads, endpoint.answer, concurrency=1)
            await service.add_endpoint(
                EndpointConfig(name=name_of, subject=subject, queue_group=name, handler=desk.take_request)
            )
        await self._nc.flush()
        try:
            yield
        finally:
            with suppress(nats.errors.Error, asyncio.TimeoutError):
                await asyncio.wait_for(service.stop(), CLOSE_S)

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

    # -- portraits

    async def put_portrait(self, key: str, jpeg: bytes) -> None:
        """Keeps a portrait under `key`, in place of any before it. Raises `TransientError`."""
        with as_transient("the portrait was not stored"):
            await (await self._portraits()).put(key, jpeg)

    async def get_portrait(self, key: str) -> bytes | None:
        """The portrait under `key`, or `None`. Raises `TransientError`."""
        try:
            with as_transient("the portrait could not be read"):
                return (await (await self._portraits()).get(key)).data
        except TransientError as error:
            if isinstance(error.__cause__, nats.js.errors.NotFoundError):
                return None
            raise

    async def drop_portrait(self, key: str) -> None:
        """Deletes the portrait under `key`, if there is one, and overwrites it on the disk. Raises `TransientError`."""
        try:
            with as_transient("the portrait could not be deleted"):
                store = await self._portraits()
                await self._erase((await store.get_info(key)).nuid)
                await store.delete(key)
        except TransientError as error:
            if not isinstance(error.__cause__, nats.js.errors.NotFoundError):
                raise

    async def _erase(self, object_id: str) -> None:
        """Overwrites the chunks of an object: deleting it alone would leave them in the stream's file for a while."""
        stream, chunks = f"OBJ_{subjects.PORTRAITS}", f"$O.{subjects.PORTRAITS}.C.{object_id}"
        with suppress(nats.js.errors.NotFoundError):
            while (chunk := await self._js.get_last_msg(stream, chunks)).seq is not None:
                await self._js.delete_msg(stream, chunk.seq)

    async def _portraits(self) -> ObjectStore:
        return await self._js.object_store(subjects.PORTRAITS)


class _Desk:
    """Takes asks for one subject, decodes, answers and refuses them."""

    def __init__(self, bus: Bus, subject: str, reads: type[M], answer: Answer[M], concurrency: int) -> None:
        self._bus = bus
        self._subject = subject
        self._reads = reads
        self._answer = answer
        self._free = asyncio.Semaphore(concurrency)
        self._in_hand: set[asyncio.Task[None]] = set()

    async def take(self, ask: Msg) -> None:
        """Starts on an ask; waits while all hands are full: asks then queue in the client, which is bounded."""
        await self._free.acquire()
        task = asyncio.create_task(self._work(ask), name=f"answer {self._subject}")
        self._in_hand.add(task)
        task.add_done_callback(self._done)

    async def take_request(self, request: Request) -> None:
        """Answers an ask that came through the micro service framework."""
        data, headers = await self._reply(request.data, dict(request.headers or {}))
        await request.respond(data, headers=headers)

    async def finish(self) -> None:
        """Returns when nothing is in hand."""
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._free.release()

    async def _work(self, ask: Msg) -> None:
        data, headers = await self._reply(ask.data, dict(ask.headers or {}))
        if ask.reply:
            with suppress(nats.errors.Error):
                await self._bus.client.publish(ask.reply, data, headers=headers)

    async def _reply(self, data: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        try:
            answer = await self._answer(codec.decode(self._reads, data, headers))
            return codec.encode(answer), codec.headers(answer, headers.get(codec.TRACE_HEADER, ""))
        except codec.DecodeError as error:
            await self._bury(str(error), headers)
            return b"", _refusal("400", str(error))
        except PermanentError as error:
            return b"", _refusal("400", error.reason)
        except UserError as error:
            return b"", _refusal("400", str(error))
        except TransientError as error:
            return b"", _refusal("503", error.reason)
        except Exception as error:  # noqa: BLE001  the desk is a run loop: one bad ask must not stop it
            self._bus.log.error("ask.bug", subject=self._subject, **describe_bug(error))  # noqa: TRY400  its message may quote the ask
            return b"", _refusal("500", type(error).__name__)

    async def _bury(self, reason: str, headers: dict[str, str]) -> None:
        letter = dead_letter(self._subject.rpartition(".")[2], self._subject, headers, reason)
        with suppress(TransientError):
            await self._bus.dead_letter(letter)


def dead_letter(
    stage: str, subject: str, headers: dict[str, str], reason: str, deliveries: int = 1, sequence: str = ""
) -> DeadLetter:
    """The dead letter for a message that came with `headers`: its ids and the reason, nothing of its content."""
    return DeadLetter(
        stage=stage,
        subject=subject,
        message_id=headers.get("Nats-Msg-Id", "")[:256] or sequence or codec.new_trace()[3:35],
        message_kind=headers.get(codec.TYPE_HEADER, "")[:64],
        reason=reason,
        deliveries=deliveries,
        at=time.time(),
    )


def without_secrets(url: str) -> str:
    """The addresses in `url` without the users and passwords that they may hold."""
    return re.sub(r"//[^,]*@", "//", url)


def _refusal(code: str, reason: str) -> dict[str, str]:
    return {ERROR_CODE_HEADER: code, ERROR_HEADER: reason.replace("\r", " ").replace("\n", " ")[:500]}


def _raise_refusal(subject: str, reply: Msg) -> None:
    headers = reply.headers or {}
    code = headers.get(ERROR_CODE_HEADER)
    if code is None:
        return
    reason = headers.get(ERROR_HEADER, "no reason given")
    if code == "503":
        raise TransientError(f"{subject}: {reason}", delay_s=RECONNECT_WAIT_S)
    raise AskError(subject, code, reason)


async def _stop_listening(subscription: Subscription) -> None:
    """Takes no more asks; those that lie in the client's queue go unanswered, and their askers ask again."""
    with suppress(nats.errors.Error):
        await subscription.unsubscribe()


def _stream_config(stream: subjects.Stream, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType(stream.storage),
        retention=RetentionPolicy(stream.retention),
        max_age=stream.max_age_s,
        max_msgs=stream.max_messages,
        discard=DiscardPolicy.NEW if stream.max_messages > 0 else DiscardPolicy.OLD,
        duplicate_window=stream.duplicate_window_s,
        num_replicas=replicas,
        allow_direct=True,
    )
