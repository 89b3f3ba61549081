"""What a gallery of face templates is, for both engines: values, checks and ranking.

A gallery holds watch lists. A watch list holds references: templates of subjects, known here only by
ids. Each list is one collection per template version, so templates of different models are never compared.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from libs.errors import PermanentError, UserError

Templates = npt.NDArray[np.float32]

LIST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VERSION_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
INDEX_LINKS, INDEX_BUILD_WIDTH, INDEX_SEARCH_WIDTH = 16, 128, 256
"""m, ef_construct and ef of the HNSW index (Malkov and Yashunin 2018, arXiv:1603.09320).

Source: measured as in `exact_up_to`; at 10,000 recall is 1.0 mated and 0.985 non-mated."""
REFERENCE_IDS = uuid.UUID("6f1d0f0a-5f0e-5c0b-9d5e-3a4c1f6f2b77")
"""Namespace in which a reference id becomes the engine's point id (UUID version 5, RFC 9562)."""

SHORTEST, LONGEST = 1e-15, 1e15
"""Lengths between which a template's squared length is safe in float32 (1e-38 to 3e38, IEEE 754)."""
SPARE_HITS = 8
"""Hits asked for beyond k at first, so that a few subjects with several references need no second round."""


@dataclass(frozen=True, slots=True)
class GallerySettings:
    """Where the gallery is and what it holds. `url` None means embedded, in `directory`."""

    template_version: str
    """Name of the model the templates come from: lower-case letters, digits, dot, dash, underscore."""
    dimension: int
    """Number of components of a template."""
    directory: Path = Path("gallery")
    """Directory of the embedded engine; it has one owner at a time."""
    url: str | None = None
    """Address of a Qdrant server or cluster, for example http://qdrant:6333."""
    api_key: str | None = None
    """Key of that server."""
    exact_up_to: int = 100_000
    """References in a list up to which every search is exact; above, an HNSW index is built.

    Source: measured with Qdrant Edge 0.9 on two cores, 128-d random unit vectors, 100,000 references: exact 6 to
    10 ms for one probe, 39 ms for eight; indexed 1.6 and 14 ms, recall of the best candidate 0.985 for mated
    probes and 0.73 for non-mated ones, three minutes to build. Exactness is worth more than 8 ms.
    """
    timeout_s: int = 5
    """Seconds a server may take to answer before the message is tried again."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One enrolled template, float32 (d,), of a subject; `reference` is its unique id in the watch list."""

    subject: str
    reference: str
    template: Templates
    template_version: str
    enrolled_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """What a listing tells of a reference: ids and the time of enrolment, never the template."""

    subject: str
    reference: str
    enrolled_at: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject a probe resembles. `score` is the cosine similarity of its best reference, -1 to 1."""

    watch_list: str
    subject: str
    reference: str
    score: float


@dataclass(frozen=True, slots=True)
class PossiblePair:
    """Two subjects who may be one person: both of `watch_list`, or the other one of another list."""

    watch_list: str
    subject: str
    other_list: str
    other_subject: str
    score: float
    """The cosine similarity of their most similar references, -1 to 1."""


class UnknownWatchListError(PermanentError):
    """The gallery has no such watch list for its template version."""

    def __init__(self, watch_list: str) -> None:
        super().__init__(f"there is no watch list '{watch_list}' in the gallery; create it first")
        self.watch_list = watch_list


class Gallery(Protocol):
    """References by watch list, searched by template.

    Every method may raise `TransientError` (engine away, try later) and `UserError` (settings to mend); every
    method but `create` raises `UnknownWatchListError` for a list that was not created.
    """

    async def create(self, watch_list: str) -> None:
        """Make an empty watch list; does nothing when it exists. Raises UserError for a bad name."""

    async def enrol(self, watch_list: str, references: Sequence[Reference]) -> None:
        """Store references durably, replacing those with the same reference id.

        Raises PermanentError, before anything is stored, for a wrong version, shape, dtype or value.
        """

    async def remove(self, watch_list: str, subject: str) -> int:
        """Number of references removed: all of that subject, in that list."""

    async def discard(self, watch_list: str, references: Sequence[str]) -> int:
        """Number of references removed: those with these reference ids, in that list."""

    async def search(self, watch_lists: Sequence[str], templates: Templates, k: int) -> list[list[Candidate]]:
        """Candidates of each probe, best first over all lists, at most k.

        `templates` is float32 (n, d). A subject appears once for each list it is on, with its best reference.
        """

    async def duplicates(
        self, watch_list: str, others: Sequence[str], threshold: float, most: int
    ) -> list[PossiblePair]:
        """Pairs of subjects with a score of at least `threshold`, best first, at most `most`.

        One is on `watch_list`, the other is another one there, or anyone on `others`. A pair comes once.
        """

    async def count(self, watch_list: str) -> int:
        """Number of references in the list."""

    async def references(self, watch_list: str) -> list[ReferenceEntry]:
        """Ids of all references of the list, ordered by subject and reference."""

    async def watch_lists(self) -> list[str]:
        """Names of the lists there are for this template version, ordered."""

    async def drop(self, watch_list: str) -> None:
        """Destroy the list and all its templates."""

    async def close(self) -> None:
        """Let go of the engine; the gallery cannot be used afterwards."""


def collection_name(watch_list: str, template_version: str) -> str:
    """Name of the collection that holds a list's templates of one version; `list_name` is its inverse.

    Raises UserError when the list's name is not lower-case letters, digits and dashes, 63 at most.
    """
    if not LIST_NAME.fullmatch(watch_list):
        raise UserError(
            f"'{watch_list}' cannot name a watch list",
            "use lower-case letters, digits and dashes, not starting or ending with a dash, 63 at most",
        )
    return f"{watch_list}.{template_version}"  # no dot in a list's name, so the first dot separates


def list_name(collection: str, template_version: str) -> str | None:
    """The watch list whose templates of that version the collection holds; None when it is another's."""
    name, _, version = collection.partition(".")
    return name if version == template_version and LIST_NAME.fullmatch(name) else None


def checked_version(template_version: str) -> str:
    """The template version, once it is known to be usable in a collection's name. Raises UserError."""
    if not VERSION_NAME.fullmatch(template_version):
        raise UserError(
            f"'{template_version}' cannot name a template version",
            "use lower-case letters, digits, dots, dashes and underscores, 63 at most",
        )
    return template_version


def point_id(reference: str) -> str:
    """The engine's id for a reference id: the same reference is always the same point."""
    return str(uuid.uuid5(REFERENCE_IDS, reference))


def checked_references(references: Sequence[Reference], settings: GallerySettings) -> list[Reference]:
    """The references to store, the last of each reference id. Raises PermanentError."""
    for reference in references:
        if reference.template_version != settings.template_version:
            raise PermanentError(
                f"a template of version '{reference.template_version}' cannot go into a gallery of "
                f"'{settings.template_version}'; enrol the subject again with the model in use"
            )
        if not reference.subject or not reference.reference:
            raise PermanentError("a reference needs a subject id and a reference id")
        checked_templates(reference.template[np.newaxis], settings.dimension)
    return list({reference.reference: reference for reference in references}.values())


def checked_templates(templates: Templates, dimension: int) -> Templates:
    """The templates, once known to be float32 (n, dimension), finite and not zero. Raises PermanentError."""
    if templates.dtype != np.float32 or templates.ndim != 2 or templates.shape[1] != dimension:
        shape = "x".join(map(str, templates.shape))
        raise PermanentError(f"templates must be float32, n x {dimension}; these are {templates.dtype}, {shape}")
    norms = np.linalg.norm(templates.astype(np.float64), axis=1)
    if not np.isfinite(norms).all():
        raise PermanentError("a template holds values that are not finite numbers")
    if not ((norms > SHORTEST) & (norms < LONGEST)).all():
        raise PermanentError("a template is all zeros, or so short or long that it has no direction to compare")
    return templates


HitQuery = Callable[[Templates, int], Awaitable[list[list[Candidate]]]]
"""The best `limit` references for each of the templates, best first, several of a subject possible."""


async def best_subjects(query: HitQuery, templates: Templates, k: int) -> list[list[Candidate]]:
    """The best reference of each of the k best subjects, for each template.

    Hits come best first, so the first hit of a subject is its best. The engine is asked for more hits until k
    subjects are among them or it has no more: k distinct subjects are guaranteed where the list has them.
    """
    found: list[list[Candidate]] = [[] for _ in templates]
    open_probes, limit = list(range(len(templates))), k + SPARE_HITS
    while open_probes:
        answers = await query(templates[open_probes], limit)
        for probe, hits in zip(open_probes, answers, strict=True):
            found[probe] = _first_of_each_subject(hits)[:k]
        open_probes = [
            probe
            for probe, hits in zip(open_probes, answers, strict=True)
            if len(found[probe]) < k and len(hits) == limit
        ]
        limit *= 4
    return found


def merged(per_list: Sequence[list[list[Candidate]]], probes: int, k: int) -> list[list[Candidate]]:
    """The k best candidates of each probe over several lists; ties are ordered by ids, so runs repeat."""
    rows = [[candidate for lists in per_list for candidate in lists[probe]] for probe in range(probes)]
    return [sorted(row, key=_rank)[:k] for row in rows]


def _first_of_each_subject(hits: Sequence[Candidate]) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for hit in sorted(hits, key=_rank):
        best.setdefault(hit.subject, hit)
    return list(best.values())


def _rank(candidate: Candidate) -> tuple[float, str, str, str]:
    return (-candidate.score, candidate.watch_list, candidate.subject, candidate.reference)
