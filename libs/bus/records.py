"""Key-value buckets of records, and mirrors of them that follow every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import nats.errors
import nats.js.errors
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE, KeyValue

from libs.bus.connection import Bus
from libs.bus.desk import dead_letter
from libs.bus.erasing import overwrite
from libs.bus.reading import ALL, Stored, read
from libs.bus.streams import OTHER_REVISION, RETRY_S, Conflict, as_transient
from libs.errors import TransientError
from libs.waiting import end, unless
from proto import codec
from proto.messages import Message
from proto.subjects import Bucket, token

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Records(Generic[M]):
    """The records of one bucket, each with a revision to compare and set."""

    def __init__(self, bus: Bus, bucket: Bucket, kind: type[M]) -> None:
        self._bus = bus
        self._bucket = bucket
        self._kind = kind
        self._opened: KeyValue | None = None

    async def get(self, key: str) -> tuple[M, int] | None:
        """The record under `key` and its revision, or `None`.

        Raises:
            TransientError: the server is away.
            DecodeError: what lies there is no such record.
        """
        try:
            with as_transient(f"{self._bucket.name} could not be read"):
                entry = await (await self._store()).get(key)
        except TransientError as error:
            if isinstance(error.__cause__, (nats.js.errors.KeyNotFoundError, nats.js.errors.KeyDeletedError)):
                return None
            raise
        return codec.decode(self._kind, entry.value or b""), entry.revision or 0

    async def all(self, *prefix: str) -> dict[str, M]:
        """Every record, by key; given a `prefix`, those whose keys start with these parts and go on.

        What lies there and is no such record is left out.

        Raises:
            TransientError: the server is away.
        """
        data = {}
        async for stored in self._stored(prefix):
            data[stored.subject] = b"" if stored.marker else stored.data  # of several revisions the last
        records: dict[str, M] = {}
        for subject, encoded in data.items():
            with suppress(codec.DecodeError):
                records[subject.removeprefix(self._subject(""))] = codec.decode(self._kind, encoded)
        return records

    async def keys(self, *prefix: str) -> list[str]:
        """The keys of what lies there, whatever it is; given a `prefix`, those that start with these parts and go on.

        Raises:
            TransientError: the server is away.
        """
        there = {stored.subject: not stored.marker async for stored in self._stored(prefix)}
        return [subject.removeprefix(self._subject("")) for subject, is_there in there.items() if is_there]

    async def put(self, key: str, record: M) -> int:
        """The revision of `record`, now under `key` whatever was there.

        Raises:
            TransientError: the server is away.
            PermanentError: the record is larger than the server takes.
        """
        with as_transient(f"{self._bucket.name} could not be written"):
            written = await (await self._store()).put(key, codec.encode(record))
            await self._forget(key, written)
            return written

    async def replace(self, key: str, record: M, revision: int) -> int:
        """The new revision of `record`, written only if `revision` (0: nothing) is what lies under `key`.

        Raises:
            Conflict: something else lies there.
            TransientError, PermanentError: as `put`.
        """
        try:
            with as_transient(f"{self._bucket.name} could not be written"):
                store = await self._store()
                data = codec.encode(record)
                if not revision:
                    return await self._create(store, key, data)
                written = await store.update(key, data, last=revision)
                await self._forget(key, written)
                return written
        except TransientError as error:
            if isinstance(error.__cause__, nats.js.errors.KeyWrongLastSequenceError):
                raise Conflict(key) from None
            raise

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Removes the record under `key`; given a `revision`, only if that is what lies there.

        Raises:
            Conflict: something else lies there, or nothing any more.
            TransientError: the server is away.
        """
        if self._bucket.erasable and revision is None:
            await self.erase(key)
            return
        try:
            with as_transient(f"{self._bucket.name} could not be written"):
                store = await self._store()
                await (store.purge(key) if revision is None else store.delete(key, last=revision))
                await self._forget(key, revision + 1 if revision else 0)
        except TransientError as error:
            if getattr(error.__cause__, "err_code", None) in OTHER_REVISION:
                raise Conflict(key) from None
            raise

    async def erase(self, key: str) -> None:
        """Removes the record under `key`, if there is one, and overwrites it in the server's files, older ones too.

        Cut short it has done nothing or less than all, and is to be done again. Mirrors hear of it.

        Raises:
            ValueError: the bucket is not an erasable one.
            TransientError: the server is away.
        """
        if not self._bucket.erasable:
            raise ValueError(f"what is deleted from {self._bucket.name} stays in the server's files for a while")
        with as_transient(f"{self._bucket.name} could not be erased"):
            marker = await self._bus.jetstream.publish(self._subject(key), headers={KV_OP: KV_DEL})
            await self._forget(key, marker.seq)

    async def _create(self, store: KeyValue, key: str, data: bytes) -> int:
        """The revision of a new record. Of one before it that was erased in part only, nothing is left then."""
        try:
            return await store.update(key, data, last=0)
        except nats.js.errors.KeyWrongLastSequenceError:
            written = await store.create(key, data)
            await self._forget(key, written)
            return written

    async def _forget(self, key: str, before: int) -> None:
        """Overwrites what lay under `key` before the revision `before`, in a bucket where that must not stay behind."""
        if self._bucket.erasable:
            await overwrite(self._bus.jetstream, f"KV_{self._bucket.name}", self._subject(key), before)

    def _stored(self, prefix: tuple[str, ...]) -> AsyncIterator[Stored]:
        below = self._subject(".".join((*map(token, prefix), ALL)))
        silence_s = self._bus.settings.ask_timeout_s
        return read(self._bus.jetstream, f"KV_{self._bucket.name}", below, silence_s=silence_s)

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket.name}.{key}"

    async def _store(self) -> KeyValue:
        """The bucket; the server is asked about it once, for it answers by describing all of it."""
        if self._opened is None:
            self._opened = await self._bus.jetstream.key_value(self._bucket.name)
        return self._opened


class Mirror(Generic[M]):
    """A local copy of a bucket that follows its changes, over reconnections and server restarts too."""

    def __init__(self, bus: Bus, bucket: Bucket, kind: type[M]) -> None:
        self._bus = bus
        self._bucket = bucket
        self._kind = kind
        self._records: dict[str, M] = {}
        self._change = asyncio.Event()
        self._filled = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, bus: Bus, bucket: Bucket, kind: type[M]) -> AsyncIterator[Mirror[M]]:
        """A mirror that holds what is in the bucket now, and follows it while the block runs."""
        mirror = cls(bus, bucket, kind)
        follower = asyncio.create_task(mirror._follow(), name=f"mirror {bucket.name}")
        try:
            await mirror._until_filled(follower)
            yield mirror
        finally:
            await end(follower)

    def get(self, key: str) -> M | None:
        """The record under `key` as last heard."""
        return self._records.get(key)

    async def find(self, key: str) -> M | None:
        """The record under `key`; one not heard of yet is looked up, for a message may outrun the news.

        Raises `TransientError`; what lies there and is no such record is `None`, as in the mirror.
        """
        if (known := self._records.get(key)) is not None:
            return known
        try:
            found = await Records(self._bus, self._bucket, self._kind).get(key)
        except codec.DecodeError:
            return None
        return found[0] if found else None

    def all(self) -> dict[str, M]:
        """Every record, by key."""
        return dict(self._records)

    async def changed(self) -> None:
        """Returns at the next change, or at once if there was one since the last call."""
        await self._change.wait()
        self._change.clear()

    async def _until_filled(self, follower: asyncio.Task[None]) -> None:
        filled = asyncio.create_task(self._filled.wait())
        try:
            await asyncio.wait({filled, follower}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
        if follower.done():
            follower.result()

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_until_reconnection()
            except TransientError:
                await asyncio.sleep(RETRY_S)

    async def _follow_until_reconnection(self) -> None:
        back = self._bus.reconnected
        with as_transient(f"{self._bucket.name} could not be followed"):
            store = await self._bus.jetstream.key_value(self._bucket.name)
            watcher = await store.watchall()
        updates = watcher._updates
        try:
            fresh: dict[str, M] = {}
            taken = 0
            while isinstance(entry := await self._coming(back, updates), KeyValue.Entry):
                await self._take(fresh, entry)
                taken += 1
            # the client's "that is all" comes too early where all that the server has sent is still on its way
            sent = await self._sent(watcher)
            while taken < sent and not back.is_set():
                if isinstance(entry := await self._coming(back, updates), KeyValue.Entry):
                    await self._take(fresh, entry)
                    taken += 1
            if not back.is_set():
                self._records = fresh
                self._filled.set()
                self._change.set()
            while isinstance(entry := await unless(back, updates.get()), KeyValue.Entry):
                await self._take(self._records, entry)
        finally:
            with suppress(nats.errors.Error):
                await watcher.stop()  # type: ignore[no-untyped-call]  # the client's

    async def _coming(self, back: asyncio.Event, updates: asyncio.Queue[T]) -> T | None:
        """What comes next while the mirror is filled. Raises `TransientError`: nothing does, and something must."""
        with as_transient(f"{self._bucket.name} could not be followed"):
            async with asyncio.timeout(self._bus.settings.ask_timeout_s):
                return await unless(back, updates.get())

    async def _sent(self, watcher: KeyValue.KeyWatcher) -> int:
        """How many records the server has sent to a watcher."""
        subscription: Any = watcher._sub  # its type leaves open whether there is one
        with as_transient(f"{self._bucket.name} could not be followed"):
            delivered = (await subscription.consumer_info()).delivered
        return delivered.consumer_seq if delivered is not None else 0

    async def _take(self, records: dict[str, M], entry: KeyValue.Entry) -> None:
        if entry.operation in (KV_DEL, KV_PURGE):
            records.pop(entry.key, None)
        else:
            try:
                records[entry.key] = codec.decode(self._kind, entry.value or b"")
            except codec.DecodeError as error:
                records.pop(entry.key, None)
                letter = dead_letter(self._bucket.name, entry.key, {}, str(error), sequence=f"{entry.revision}")
                with suppress(TransientError):
                    await self._bus.dead_letter(letter)
        self._change.set()
