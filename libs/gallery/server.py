"""The gallery on a Qdrant server or cluster, spoken to over REST by Qdrant's own async client.

What the server does with deleted templates is its own affair: a removed reference is never found again, but
its bytes leave the server's files only when its optimiser rewrites the segment and its write-ahead log moves
on. It is asked to rewrite at once. `drop` destroys the collection with all its files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pydantic
from qdrant_client import AsyncQdrantClient
from qdrant_client import models as qdrant
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from libs.errors import PermanentError, TransientError, UserError
from libs.gallery.contract import (
    INDEX_BUILD_WIDTH,
    INDEX_LINKS,
    INDEX_SEARCH_WIDTH,
    Candidate,
    GallerySettings,
    PossiblePair,
    Reference,
    ReferenceEntry,
    Templates,
    UnknownWatchListError,
    best_subjects,
    checked_references,
    checked_templates,
    collection_name,
    list_name,
    merged,
    point_id,
)
from libs.gallery.pairs import Listed, likely_pairs

PREFIX = "watchline."
"""Begins the name of each of our collections, since a server may hold others."""
POINTS_A_REQUEST = 500
"""References stored or listed in one request: about 1 MB of JSON at 128-d; the server refuses 32 MB."""
SMALLEST_VACUUM = 100
"""Points below which a Qdrant server does not rewrite a segment; it accepts no smaller setting."""


class ServerGallery:
    """`libs.gallery.Gallery` on the Qdrant server at `settings.url`; several processes may share it."""

    def __init__(self, settings: GallerySettings) -> None:
        """Prepare a client; nothing is sent yet. Raises UserError when the address is none."""
        self._settings = settings
        # As a header, because the client warns about keys over plain http, usual inside a cluster.
        headers = {"api-key": settings.api_key} if settings.api_key else None
        try:
            self._client = AsyncQdrantClient(
                url=settings.url, headers=headers, timeout=settings.timeout_s, check_compatibility=False
            )
        except ValueError as error:
            raise UserError(
                f"'{settings.url}' is no address of a Qdrant server", "give one like http://qdrant:6333"
            ) from error
        self._counts: dict[str, int] = {}

    async def create(self, watch_list: str) -> None:
        """See `Gallery.create`."""
        name = self._collection(watch_list)
        with self._outcomes(watch_list):
            if not await self._client.collection_exists(name):
                await self._create(name)
            await self._refuse_other_dimension(name)

    async def enrol(self, watch_list: str, references: Sequence[Reference]) -> None:
        """See `Gallery.enrol`."""
        checked = checked_references(references, self._settings)
        await self.count(watch_list)
        for start in range(0, len(checked), POINTS_A_REQUEST):
            points = [_point(reference) for reference in checked[start : start + POINTS_A_REQUEST]]
            with self._outcomes(watch_list):
                await self._client.upsert(self._collection(watch_list), points, wait=True)
        await self.count(watch_list)

    async def remove(self, watch_list: str, subject: str) -> int:
        """See `Gallery.remove`. The server rewrites its files afterwards, in its own time."""
        of_subject = qdrant.Filter(must=[qdrant.FieldCondition(key="subject", match=qdrant.MatchValue(value=subject))])
        return await self._delete(watch_list, await self._records(watch_list, of_subject))

    async def discard(self, watch_list: str, references: Sequence[str]) -> int:
        """See `Gallery.discard`. The server rewrites its files afterwards, in its own time."""
        await self.count(watch_list)
        with self._outcomes(watch_list):
            ids = [point_id(reference) for reference in references]
            there = await self._client.retrieve(self._collection(watch_list), ids, with_payload=False)
        return await self._delete(watch_list, there)

    async def search(self, watch_lists: Sequence[str], templates: Templates, k: int) -> list[list[Candidate]]:
        """See `Gallery.search`."""
        checked_templates(templates, self._settings.dimension)

        async def best_in(watch_list: str) -> list[list[Candidate]]:
            if watch_list not in self._counts:
                await self.count(watch_list)

            async def query(probes: Templates, limit: int) -> list[list[Candidate]]:
                return await self._query(watch_list, probes, limit)

            return await best_subjects(query, templates, k)

        return merged([await best_in(name) for name in dict.fromkeys(watch_lists)], len(templates), k)

    async def duplicates(
        self, watch_list: str, others: Sequence[str], threshold: float, most: int
    ) -> list[PossiblePair]:
        """See `Gallery.duplicates`."""
        of, *rest = [await self._all(name) for name in dict.fromkeys((watch_list, *others))]
        return await asyncio.to_thread(likely_pairs, of, rest, threshold, most)

    async def count(self, watch_list: str) -> int:
        """See `Gallery.count`."""
        with self._outcomes(watch_list):
            answer = await self._client.count(self._collection(watch_list), exact=True)
        self._counts[watch_list] = answer.count
        return answer.count

    async def references(self, watch_list: str) -> list[ReferenceEntry]:
        """See `Gallery.references`."""
        records = await self._records(watch_list)
        entries = [ReferenceEntry(**(record.payload or {})) for record in records]
        return sorted(entries, key=lambda entry: (entry.subject, entry.reference))

    async def watch_lists(self) -> list[str]:
        """See `Gallery.watch_lists`."""
        with self._outcomes(""):
            answer = await self._client.get_collections()
        ours = [entry.name for entry in answer.collections if entry.name.startswith(PREFIX)]
        lists = [list_name(name.removeprefix(PREFIX), self._settings.template_version) for name in ours]
        return sorted(name for name in lists if name is not None)

    async def drop(self, watch_list: str) -> None:
        """See `Gallery.drop`."""
        await self.count(watch_list)
        with self._outcomes(watch_list):
            await self._client.delete_collection(self._collection(watch_list))
        self._counts.pop(watch_list, None)

    async def close(self) -> None:
        """See `Gallery.close`."""
        await self._client.close()

    def _collection(self, watch_list: str) -> str:
        return PREFIX + collection_name(watch_list, self._settings.template_version)

    async def _create(self, name: str) -> None:
        kilobytes = self._settings.exact_up_to * self._settings.dimension * 4 // 1024 + 1
        vectors = qdrant.VectorParams(size=self._settings.dimension, distance=qdrant.Distance.COSINE)
        try:
            await self._client.create_collection(
                name,
                vectors_config=vectors,
                hnsw_config=qdrant.HnswConfigDiff(m=INDEX_LINKS, ef_construct=INDEX_BUILD_WIDTH),
                optimizers_config=qdrant.OptimizersConfigDiff(
                    indexing_threshold=kilobytes,
                    deleted_threshold=0.0,
                    vacuum_min_vector_number=SMALLEST_VACUUM,
                ),
            )
        except UnexpectedResponse as error:
            if error.status_code != 409:  # another process has just created it
                raise

    async def _refuse_other_dimension(self, name: str) -> None:
        vectors = (await self._client.get_collection(name)).config.params.vectors
        found = vectors.size if isinstance(vectors, qdrant.VectorParams) else None
        if found != self._settings.dimension:
            raise UserError(
                f"the collection {name} holds {found} components a template, not {self._settings.dimension}",
                "give the templates of another model another version name",
            )

    async def _query(self, watch_list: str, templates: Templates, limit: int) -> list[list[Candidate]]:
        # A list that another process shrank since we counted may be searched by its index for a while.
        exact = self._counts.get(watch_list, 0) <= self._settings.exact_up_to
        parameters = qdrant.SearchParams(exact=exact, hnsw_ef=max(INDEX_SEARCH_WIDTH, limit))
        requests = [
            qdrant.QueryRequest(
                query=template.tolist(), limit=limit, with_payload=["subject", "reference"], params=parameters
            )
            for template in templates
        ]
        if not requests:
            return []
        with self._outcomes(watch_list):
            answers = await self._client.query_batch_points(self._collection(watch_list), requests)
        return [[_candidate(watch_list, hit) for hit in answer.points] for answer in answers]

    async def _delete(self, watch_list: str, records: Sequence[qdrant.Record]) -> int:
        if records:
            selector = qdrant.PointIdsList(points=[record.id for record in records])
            with self._outcomes(watch_list):
                await self._client.delete(self._collection(watch_list), selector, wait=True)
            await self.count(watch_list)
        return len(records)

    async def _all(self, watch_list: str) -> Listed:
        records = await self._records(watch_list, with_vectors=True)
        rows = np.array([record.vector for record in records], np.float32).reshape(-1, self._settings.dimension)
        return Listed(watch_list, [(record.payload or {})["subject"] for record in records], rows)

    async def _records(
        self, watch_list: str, chosen: qdrant.Filter | None = None, with_vectors: bool = False
    ) -> list[qdrant.Record]:
        records: list[qdrant.Record] = []
        offset = None
        while True:
            with self._outcomes(watch_list):
                page, offset = await self._client.scroll(
                    self._collection(watch_list),
                    chosen,
                    limit=POINTS_A_REQUEST,
                    offset=offset,
                    with_vectors=with_vectors,
                )
            records += page
            if offset is None:
                return records

    @contextmanager
    def _outcomes(self, watch_list: str) -> Iterator[None]:
        """Turn what the client raises into the outcomes of `libs.errors`."""
        try:
            yield
        except ResourceExhaustedResponse as error:
            raise TransientError("Qdrant has no room for more requests now", error.retry_after_s) from error
        except ResponseHandlingException as error:
            if isinstance(error.source, pydantic.ValidationError):
                raise UserError(
                    f"what answers at {self._settings.url} is no Qdrant server that we know",
                    "check the address; Qdrant 1.10 or later is needed",
                ) from error
            raise TransientError(f"Qdrant at {self._settings.url} does not answer") from error
        except UnexpectedResponse as error:
            raise self._refusal(error, watch_list) from error

    def _refusal(self, error: UnexpectedResponse, watch_list: str) -> Exception:
        status = error.status_code or 0
        if status in (401, 403):
            remedy = "check WATCHLINE_QDRANT_API_KEY"
            return UserError(f"Qdrant at {self._settings.url} refuses our key ({status})", remedy)
        if status == 404:
            self._counts.pop(watch_list, None)
            return UnknownWatchListError(watch_list)
        if status == 429 or status >= 500:
            return TransientError(f"Qdrant at {self._settings.url} answers {status}")
        return PermanentError(f"Qdrant at {self._settings.url} refuses the request ({status})")


def _point(reference: Reference) -> qdrant.PointStruct:
    payload = {
        "subject": reference.subject,
        "reference": reference.reference,
        "enrolled_at": reference.enrolled_at,
    }
    return qdrant.PointStruct(id=point_id(reference.reference), vector=reference.template.tolist(), payload=payload)


def _candidate(watch_list: str, hit: qdrant.ScoredPoint) -> Candidate:
    ids = hit.payload or {}
    return Candidate(watch_list, ids["subject"], ids["reference"], hit.score)
