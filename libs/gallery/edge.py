"""The embedded gallery: Qdrant's engine in this process (Qdrant Edge), one shard a collection.

Two properties of the engine, both measured with qdrant-edge-py 0.9, shape this file.

It holds Python's interpreter lock while it works, also in a thread: every call stalls the whole process. So
work is cut into pieces of tens of milliseconds, and what cannot be cut (rewriting a large collection, or
building its index) is done on a copy by another process while searches go on.

It forgets lazily: a deleted template stays in its file, and in the write-ahead log. So there is no such log
(a change is on disk because `flush` has returned), and what was removed is rewritten away before `remove`
returns.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from uuid import UUID

import numpy as np
import qdrant_edge as engine

from libs.errors import UserError
from libs.gallery.apart import run_apart
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
from libs.gallery.directory import (
    BUILDING,
    GalleryDirectory,
    damage_named,
    mark_changing,
    record_count,
    recorded_count,
)
from libs.gallery.pairs import Listed, likely_pairs

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
PointId = int | UUID | str

PROBES_A_STEP = 8
"""Probes searched in one engine call. Source: measured, 34 ms at 100,000 references of 128-d, two cores."""
REFERENCES_A_STEP = 500
"""References stored or listed in one engine call. Source: measured, 20 ms at 128-d, two cores."""
REWRITE_HERE_UP_TO = 10_000
"""References up to which a collection is rewritten in this process. Source: measured, a stall of 0.17 s."""


class EdgeGallery:
    """`libs.gallery.Gallery` in a directory that this process owns."""

    def __init__(self, settings: GallerySettings) -> None:
        """Open all watch lists in the directory. Raises UserError when it is taken, foreign or damaged."""
        self._settings = settings
        self._directory = GalleryDirectory(settings.directory)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gallery")
        self._changes = asyncio.Lock()
        self._shards: dict[str, engine.EdgeShard] = {}
        try:
            for name in self._directory.collections():
                watch_list = list_name(name, settings.template_version)
                if watch_list is not None:
                    self._shards[watch_list] = open_shard(settings.directory / name, settings)
        except UserError:
            self._let_go()
            raise

    async def create(self, watch_list: str) -> None:
        """See `Gallery.create`."""
        name = collection_name(watch_list, self._settings.template_version)
        async with self._changes:
            if watch_list not in self._shards:
                await self._run(self._create, watch_list, name)

    async def enrol(self, watch_list: str, references: Sequence[Reference]) -> None:
        """See `Gallery.enrol`."""
        checked = checked_references(references, self._settings)
        async with self._changes:
            if len(checked) <= REFERENCES_A_STEP:
                to_rewrite = await self._run(self._enrol_few, watch_list, checked)
            else:
                to_rewrite = await self._enrol_many(watch_list, checked)
            if to_rewrite is not None:
                await self._rewrite(watch_list, to_rewrite)
                await self._run(self._finish_change, watch_list)

    async def remove(self, watch_list: str, subject: str) -> int:
        """See `Gallery.remove`. When it returns, no file in the directory holds the templates."""
        return await self._take_out(watch_list, lambda: self._of_subject(watch_list, subject))

    async def discard(self, watch_list: str, references: Sequence[str]) -> int:
        """See `Gallery.discard`. When it returns, no file in the directory holds the templates."""
        return await self._take_out(watch_list, lambda: self._of_ids(watch_list, references))

    async def search(self, watch_lists: Sequence[str], templates: Templates, k: int) -> list[list[Candidate]]:
        """See `Gallery.search`."""
        checked_templates(templates, self._settings.dimension)

        async def best_in(watch_list: str) -> list[list[Candidate]]:
            async def query(probes: Templates, limit: int) -> list[list[Candidate]]:
                steps = [probes[start : start + PROBES_A_STEP] for start in range(0, len(probes), PROBES_A_STEP)]
                return [row for step in steps for row in await self._run(self._query, watch_list, step, limit)]

            await self._run(self._shard, watch_list)
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
        return await self._run(self._count, watch_list)

    async def references(self, watch_list: str) -> list[ReferenceEntry]:
        """See `Gallery.references`."""
        entries: list[ReferenceEntry] = []
        offset: str | None = None
        while True:
            page, offset = await self._run(self._list, watch_list, offset)
            entries += page
            if offset is None:
                return sorted(entries, key=lambda entry: (entry.subject, entry.reference))

    async def watch_lists(self) -> list[str]:
        """See `Gallery.watch_lists`."""
        return sorted(self._shards)

    async def drop(self, watch_list: str) -> None:
        """See `Gallery.drop`. When it returns, no file in the directory holds its templates."""
        async with self._changes:
            await self._run(self._drop, watch_list)

    async def close(self) -> None:
        """See `Gallery.close`."""
        async with self._changes:
            await self._run(self._let_go)
            self._thread.shutdown()

    async def _run(self, call: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _enrol_many(self, watch_list: str, references: Sequence[Reference]) -> int | None:
        """An enrolment in steps, between which others get their turn in the engine; gives what `_settle` does."""
        unfinished, replaced = await self._run(self._begin_enrolment, watch_list), False
        for start in range(0, len(references), REFERENCES_A_STEP):
            replaced |= await self._run(self._store, watch_list, references[start : start + REFERENCES_A_STEP])
        return await self._run(self._settle, watch_list, replaced, unfinished)

    async def _take_out(self, watch_list: str, chosen: Callable[[], list[PointId]]) -> int:
        """Number of references removed, all of which `chosen` names."""
        async with self._changes:
            removed, unfinished = await self._run(self._delete, watch_list, chosen)
            if removed or unfinished:
                await self._rewrite(watch_list, await self._run(self._count, watch_list))
                await self._run(self._finish_change, watch_list)
            return removed

    async def _all(self, watch_list: str) -> Listed:
        subjects: list[str] = []
        templates: list[Templates] = []
        offset: str | None = None
        while True:
            page, rows, offset = await self._run(self._templates, watch_list, offset)
            subjects += page
            templates.append(rows)
            if offset is None:
                return Listed(watch_list, subjects, np.concatenate(templates))

    async def _rewrite(self, watch_list: str, count: int) -> None:
        path = self._path(watch_list)
        if count <= min(REWRITE_HERE_UP_TO, self._settings.exact_up_to):
            await self._run(rewrite_shard, self._shard(watch_list))
            return
        await self._run(self._directory.sweep, path.name)
        await run_apart(rewrite_copy, path, path.with_name(path.name + BUILDING), self._settings)
        await self._run(self._swap, watch_list)

    # What follows runs in the gallery's thread.

    def _shard(self, watch_list: str) -> engine.EdgeShard:
        if watch_list not in self._shards:
            collection_name(watch_list, self._settings.template_version)  # a bad name is said to be bad
            raise UnknownWatchListError(watch_list)
        return self._shards[watch_list]

    def _path(self, watch_list: str) -> Path:
        return self._settings.directory / collection_name(watch_list, self._settings.template_version)

    def _create(self, watch_list: str, name: str) -> None:
        building = self._settings.directory / (name + BUILDING)
        building.mkdir()
        shard = engine.EdgeShard.create(str(building), shard_config(self._settings))
        shard.flush()
        shard.close()
        record_count(building, 0)
        self._directory.install(name)
        self._shards[watch_list] = open_shard(self._settings.directory / name, self._settings)

    def _begin_enrolment(self, watch_list: str) -> bool:
        """Whether an earlier change died unfinished."""
        self._shard(watch_list)
        path = self._path(watch_list)
        unfinished = recorded_count(path) is None
        mark_changing(path)
        return unfinished

    def _enrol_few(self, watch_list: str, references: Sequence[Reference]) -> int | None:
        """An enrolment in one go; gives what `_settle` does."""
        unfinished = self._begin_enrolment(watch_list)
        return self._settle(watch_list, self._store(watch_list, references), unfinished)

    def _settle(self, watch_list: str, replaced: bool, unfinished: bool) -> int | None:
        """Brings an enrolment to the disk; the number of references to rewrite where the collection must be."""
        self._shard(watch_list).flush()
        info = self._shard(watch_list).info()
        indexed, count = info.indexed_vectors_count, info.points_count
        if unfinished or (replaced and indexed) or count - indexed > self._settings.exact_up_to:
            return int(count)
        self._finish_change(watch_list)
        return None

    def _store(self, watch_list: str, references: Sequence[Reference]) -> bool:
        """Whether some of the references replaced others, whose templates may still lie in an indexed segment."""
        shard = self._shard(watch_list)
        ids: list[PointId] = [point_id(reference.reference) for reference in references]
        replaced = shard.retrieve(ids, with_payload=False, with_vector=False)
        points = [
            engine.Point(point, reference.template.tolist(), payload(reference))
            for point, reference in zip(ids, references, strict=True)
        ]
        shard.update(engine.UpdateOperation.upsert_points(points))
        return bool(replaced)

    def _count(self, watch_list: str) -> int:
        return int(self._shard(watch_list).info().points_count)

    def _finish_change(self, watch_list: str) -> None:
        record_count(self._path(watch_list), self._count(watch_list))

    def _of_subject(self, watch_list: str, subject: str) -> list[PointId]:
        of_subject = engine.Filter(must=[engine.FieldCondition("subject", match=engine.MatchValue(subject))])
        limit = self._count(watch_list) + 1
        records, _ = self._shard(watch_list).scroll(engine.ScrollRequest(limit=limit, filter=of_subject))
        return [record.id for record in records]

    def _of_ids(self, watch_list: str, references: Sequence[str]) -> list[PointId]:
        ids: list[PointId] = [point_id(reference) for reference in references]
        records = self._shard(watch_list).retrieve(ids, with_payload=False, with_vector=False)
        return [record.id for record in records]

    def _delete(self, watch_list: str, chosen: Callable[[], list[PointId]]) -> tuple[int, bool]:
        shard, path = self._shard(watch_list), self._path(watch_list)
        ids = chosen()
        unfinished = recorded_count(path) is None
        if ids:
            mark_changing(path)
            shard.update(engine.UpdateOperation.delete_points(ids))
            shard.flush()
        return len(ids), unfinished

    def _templates(self, watch_list: str, offset: str | None) -> tuple[list[str], Templates, str | None]:
        request = engine.ScrollRequest(
            offset=offset, limit=REFERENCES_A_STEP, with_payload=["subject"], with_vector=True
        )
        records, following = self._shard(watch_list).scroll(request)
        rows = np.array([record.vector for record in records], np.float32).reshape(-1, self._settings.dimension)
        names = [(record.payload or {})["subject"] for record in records]
        return names, rows, None if following is None else str(following)

    def _query(self, watch_list: str, templates: Templates, limit: int) -> list[list[Candidate]]:
        shard = self._shard(watch_list)
        exact = shard.info().points_count <= self._settings.exact_up_to
        parameters = engine.SearchParams(exact=exact, hnsw_ef=max(INDEX_SEARCH_WIDTH, limit))
        queries = [
            engine.QueryRequest(
                limit=limit,
                query=engine.Query.Nearest(template.tolist()),
                with_payload=["subject", "reference"],
                params=parameters,
            )
            for template in templates
        ]
        answers = shard.query_batch(engine.QueryBatchRequest(queries))
        return [[candidate(watch_list, hit) for hit in hits] for hits in answers]

    def _list(self, watch_list: str, offset: str | None) -> tuple[list[ReferenceEntry], str | None]:
        request = engine.ScrollRequest(offset=offset, limit=REFERENCES_A_STEP, with_payload=True)
        records, following = self._shard(watch_list).scroll(request)
        entries = [ReferenceEntry(**(record.payload or {})) for record in records]
        return entries, None if following is None else str(following)

    def _swap(self, watch_list: str) -> None:
        path = self._path(watch_list)
        self._shard(watch_list).close()
        self._directory.install(path.name)
        self._shards[watch_list] = engine.EdgeShard.load(str(path), shard_config(self._settings))
        self._directory.sweep(path.name)

    def _drop(self, watch_list: str) -> None:
        self._shard(watch_list).close()
        del self._shards[watch_list]
        self._directory.drop(self._path(watch_list).name)

    def _let_go(self) -> None:
        while self._shards:
            self._shards.popitem()[1].close()
        self._directory.release()


def open_shard(path: Path, settings: GallerySettings) -> engine.EdgeShard:
    """The shard at the path, with nothing left in it of what was being removed when its last owner died.

    Raises UserError when it is damaged, also where the engine itself would open it with references missing.
    """
    with damage_named(path):
        shard = engine.EdgeShard.load(str(path), shard_config(settings))
        recorded = recorded_count(path)
        if recorded is None:
            rewrite_shard(shard)
        count, readable = shard.info().points_count, readable_count(shard, settings)
        if recorded not in (None, count) or readable < count:
            shard.close()
            raise ValueError(f"{recorded or count} references were stored, {readable} can be read")
    record_count(path, count)
    return shard


def readable_count(shard: engine.EdgeShard, settings: GallerySettings) -> int:
    """Number of references that have their ids and can be searched, found by going through all of them."""
    with_subject = engine.Filter(must_not=[engine.IsEmptyCondition("subject")])
    count = shard.count(engine.CountRequest(exact=True, filter=with_subject))
    anything = engine.Query.Nearest(np.ones(settings.dimension).tolist())
    exact = engine.SearchParams(exact=True)
    found = shard.query(engine.QueryRequest(limit=10, query=anything, with_payload=True, params=exact))
    return count if len(found) == min(10, count) else len(found)


def rewrite_shard(shard: engine.EdgeShard) -> None:
    """Rewrite segments with deleted templates, index those over the threshold; quick when there are none."""
    shard.optimize()
    shard.flush()


def rewrite_copy(source: Path, target: Path, settings: GallerySettings) -> None:
    """Make at `target` a rewritten copy of the shard at `source`, which nobody changes meanwhile.

    Raises ValueError when the copy does not hold as many references.
    """
    shutil.copytree(source, target)
    shard = engine.EdgeShard.load(str(target), shard_config(settings))
    before = shard.info().points_count
    rewrite_shard(shard)
    after = readable_count(shard, settings)
    shard.close()
    if after != before:
        raise ValueError(f"{before} references became {after} when {source} was rewritten")


def shard_config(settings: GallerySettings) -> engine.EdgeConfig:
    """The engine's settings of a collection: exact up to the threshold, no log, every deletion rewritten."""
    kilobytes = settings.exact_up_to * settings.dimension * 4 // 1024 + 1
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=settings.dimension, distance=engine.Distance.Cosine),
        wal_enabled=False,
        hnsw_config=engine.HnswIndexConfig(m=INDEX_LINKS, ef_construct=INDEX_BUILD_WIDTH, full_scan_threshold=10),
        optimizers=engine.EdgeOptimizersConfig(
            indexing_threshold=kilobytes,
            deleted_threshold=0.0,
            vacuum_min_vector_number=0,
            default_segment_number=1,
        ),
    )


def payload(reference: Reference) -> dict[str, str | float]:
    """What is stored beside a template: two ids and a time."""
    return {
        "subject": reference.subject,
        "reference": reference.reference,
        "enrolled_at": reference.enrolled_at,
    }


def candidate(watch_list: str, hit: engine.ScoredPoint) -> Candidate:
    """The candidate that one hit of the engine stands for."""
    ids = hit.payload or {}
    return Candidate(watch_list, ids["subject"], ids["reference"], hit.score)
