"""Portraits by key: those of alerts in a store that forgets them, those of references in one that does not.

They lie as the client's object stores lay them (ADR-20), but where the client would purge a portrait that is replaced,
deleted or only half written, which leaves its bytes in the server's files, it is overwritten here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime

import nats.js.errors
from nats.aio.client import Client
from nats.js.api import Header, ObjectInfo, ObjectMetaOptions
from nats.js.client import JetStreamContext
from nats.js.object_store import ObjectStore

from libs.bus.erasing import overwrite
from libs.bus.reading import read
from libs.bus.streams import as_transient
from libs.errors import TransientError
from proto import subjects

CHUNK_BYTES = 128 * 1024
"""As the client cuts objects."""


class Portraits:
    """The portraits on a bus."""

    def __init__(self, client: Client, jetstream: JetStreamContext) -> None:
        self._client = client
        self._js = jetstream
        self._opened: dict[str, ObjectStore] = {}

    async def put(self, key: str, jpeg: bytes) -> None:
        """Keeps a portrait under `key`, in place of any before it. Raises `TransientError`."""
        with as_transient("the portrait was not stored"):
            before = await self._info(key)
            info = _described(key, jpeg, self._client._nuid.next().decode())
            if before is not None and before.digest == info.digest:
                return
            try:
                await self._write(info, jpeg)
            except BaseException:
                with suppress(nats.errors.Error, nats.js.errors.Error, TimeoutError):
                    await self._overwrite(info)
                raise
            if before is not None:
                await self._overwrite(before)

    async def get(self, key: str) -> bytes | None:
        """The portrait under `key`, or `None`. Raises `TransientError`."""
        try:
            with as_transient("the portrait could not be read"):
                return (await (await self._store(key)).get(key)).data
        except TransientError as error:
            if isinstance(error.__cause__, nats.js.errors.NotFoundError):
                return None
            raise

    async def drop(self, key: str) -> None:
        """Deletes the portrait under `key`, if there is one, and overwrites it on the disk. Raises `TransientError`."""
        with as_transient("the portrait could not be deleted"):
            info = await self._info(key)
            if info is not None:
                await self._overwrite(info)
                await self._publish(ObjectInfo(name=key, bucket=info.bucket, nuid=info.nuid, deleted=True))

    async def all(self, store: subjects.Store) -> dict[str, float]:
        """The key of every portrait in the store, and when it was put there (Unix seconds). Raises `TransientError`."""
        return {info.name: at for info, at in (await self._infos(store)).values()}

    async def drop_parts(self, store: subjects.Store, before: float) -> int:
        """How many parts of portraits that were never completed it overwrote, of those written before a Unix time.

        Raises `TransientError`.
        """
        parts, stream = f"$O.{store.name}.C.", f"OBJ_{store.name}"
        written = {
            part.subject: part.at async for part in read(self._js, stream, f"{parts}*", with_data=False)
        }  # before the infos, so that none of those is of a portrait completed since
        whole = {parts + object_id for object_id in await self._infos(store)}
        left = [subject for subject, at in written.items() if at < before and subject not in whole]
        with as_transient(f"{store.name} could not be tidied"):
            return sum([await overwrite(self._js, stream, subject) for subject in left])

    async def _infos(self, store: subjects.Store) -> dict[str, tuple[ObjectInfo, float]]:
        """What is known of each portrait, and since when, by the id of its chunks."""
        found = {}
        async for stored in read(self._js, f"OBJ_{store.name}", f"$O.{store.name}.M.*"):
            info = _info_in(stored.data)
            if info is not None and not info.deleted:
                found[info.nuid or ""] = info, stored.at
        return found

    async def _info(self, key: str) -> ObjectInfo | None:
        store = await self._store(key)
        try:
            return await store.get_info(key)
        except nats.js.errors.NotFoundError:
            return None

    async def _store(self, key: str) -> ObjectStore:
        """The store of that key; the server is asked about it once, for it answers by describing all of it."""
        name = subjects.portrait_store(key).name
        if name not in self._opened:
            self._opened[name] = await self._js.object_store(name)
        return self._opened[name]

    async def _write(self, info: ObjectInfo, jpeg: bytes) -> None:
        for start in range(0, len(jpeg), CHUNK_BYTES):
            await self._js.publish(_chunks(info), jpeg[start : start + CHUNK_BYTES])
        await self._publish(info)

    async def _publish(self, info: ObjectInfo) -> None:
        name = base64.urlsafe_b64encode(info.name.encode()).decode()
        data = json.dumps(info.as_dict()).encode()
        await self._js.publish(f"$O.{info.bucket}.M.{name}", data, headers={Header.ROLLUP.value: "sub"})

    async def _overwrite(self, info: ObjectInfo) -> None:
        await overwrite(self._js, f"OBJ_{info.bucket}", _chunks(info))


def _info_in(data: bytes) -> ObjectInfo | None:
    """What is known of a portrait; `None` where somebody else wrote something else there."""
    try:
        info = ObjectInfo.from_response(json.loads(data))
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
    return info if isinstance(info.name, str) and isinstance(info.nuid, str | None) else None


def _chunks(info: ObjectInfo) -> str:
    return f"$O.{info.bucket}.C.{info.nuid}"


def _described(key: str, jpeg: bytes, object_id: str) -> ObjectInfo:
    return ObjectInfo(
        name=key,
        bucket=subjects.portrait_store(key).name,
        nuid=object_id,
        size=len(jpeg),
        chunks=-(-len(jpeg) // CHUNK_BYTES),
        digest="SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(jpeg).digest()).decode(),
        mtime=datetime.now(UTC).isoformat(),
        options=ObjectMetaOptions(max_chunk_size=CHUNK_BYTES),
    )
