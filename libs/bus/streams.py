"""Streams, buckets and stores: made where they are missing, and brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nats.errors
import nats.js.errors
from nats.js.api import (
    DiscardPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.client import JetStreamContext

from libs.errors import PermanentError, TransientError
from proto import subjects

RETRY_S = 0.25
"""Pause between two tries at a server that is away: when it is back it is found within a quarter of a second."""
HISTORY = 64
"""Revisions that an erasable bucket keeps until they are overwritten: the most that the server allows."""
OTHER_REVISION = (10071, 10164)
"""JetStream's codes for "wrong last sequence"."""
OTHER_CONFIG = 10058
"""JetStream's code for "stream name already in use with a different configuration"."""


class Conflict(Exception):  # noqa: N818  the word for it
    """Someone else wrote meanwhile: the record since it was read, or the stream since its last message was."""


@contextmanager
def as_transient(what: str) -> Iterator[None]:
    """Turns what NATS raises when a server is away, full or slow into `TransientError`.

    Raises:
        PermanentError: the message is larger than the server takes, which no later try will change.
    """
    try:
        yield
    except nats.errors.MaxPayloadError as error:
        raise PermanentError(f"{what}: {error}") from error
    except (TimeoutError, nats.errors.Error, nats.js.errors.Error, OSError) as error:
        said = getattr(error, "description", None) or type(error).__name__  # some errors of its API are silent
        raise TransientError(f"{what}: {said}", delay_s=RETRY_S) from error


class JetStream(JetStreamContext):
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


async def ensure(jetstream: JetStreamContext, replicas: int) -> None:
    """Makes every stream, bucket and store of ours that is not there yet, with `replicas` copies.

    Raises:
        TransientError: the server is away or has no JetStream.
    """
    with as_transient("the streams could not be made"):
        for stream in subjects.STREAMS:
            await jetstream.add_stream(_stream_config(stream, replicas))
        for bucket in subjects.BUCKETS:
            await _make_bucket(jetstream, bucket, replicas)
        for store in subjects.PORTRAIT_STORES:
            config = ObjectStoreConfig(bucket=store.name, ttl=store.ttl_s or None, replicas=replicas)
            await jetstream.create_object_store(store.name, config=config)


async def _make_bucket(jetstream: JetStreamContext, bucket: subjects.Bucket, replicas: int) -> None:
    if bucket.erasable:
        await jetstream.add_stream(_erasable_config(bucket, replicas))
        return
    await jetstream.create_key_value(
        KeyValueConfig(
            bucket=bucket.name, storage=StorageType(bucket.storage), ttl=bucket.ttl_s or None, replicas=replicas
        )
    )


def _erasable_config(bucket: subjects.Bucket, replicas: int) -> StreamConfig:
    """A bucket as the client makes it (ADR-8), but one whose messages may be deleted, and are until then found.

    What pushes a message out of a full history leaves its bytes in the file, so the history never fills.
    """
    return StreamConfig(
        name=f"KV_{bucket.name}",
        subjects=[f"$KV.{bucket.name}.>"],
        storage=StorageType(bucket.storage),
        max_age=bucket.ttl_s or None,
        max_msgs_per_subject=HISTORY,
        discard=DiscardPolicy.NEW,
        duplicate_window=120,
        num_replicas=replicas,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=False,
    )


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
        deny_delete=stream.append_only,
        deny_purge=stream.append_only,
    )
