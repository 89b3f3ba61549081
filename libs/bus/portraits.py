"""Portraits by key: those of alerts in a store that forgets them, those of references in one that does not."""

from __future__ import annotations

from contextlib import suppress

import nats.js.errors
from nats.js.client import JetStreamContext
from nats.js.object_store import ObjectStore

from libs.bus.streams import as_transient
from libs.errors import TransientError
from proto import subjects


class Portraits:
    """The portraits on a bus."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._js = jetstream

    async def put(self, key: str, jpeg: bytes) -> None:
        """Keeps a portrait under `key`, in place of any before it. Raises `TransientError`."""
        with as_transient("the portrait was not stored"):
            await (await self._store(key)).put(key, jpeg)

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
        try:
            with as_transient("the portrait could not be deleted"):
                store = await self._store(key)
                await self._erase(subjects.portrait_store(key).name, (await store.get_info(key)).nuid)
                await store.delete(key)
        except TransientError as error:
            if not isinstance(error.__cause__, nats.js.errors.NotFoundError):
                raise

    async def _erase(self, store: str, object_id: str) -> None:
        """Overwrites the chunks of an object: deleting it alone would leave them in the stream's file for a while."""
        stream, chunks = f"OBJ_{store}", f"$O.{store}.C.{object_id}"
        with suppress(nats.js.errors.NotFoundError):
            while (chunk := await self._js.get_last_msg(stream, chunks)).seq is not None:
                await self._js.delete_msg(stream, chunk.seq)

    async def _store(self, key: str) -> ObjectStore:
        return await self._js.object_store(subjects.portrait_store(key).name)
