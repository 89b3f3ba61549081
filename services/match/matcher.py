"""Searches the watch lists of a deployment for each probe: the second lock.

The lists of seeds (people who walk past on purpose, to measure TPIR) are searched too, but apart: a seed takes no place
on the candidate list from anybody who is wanted, does not count in N, and is in no histogram of scores. So seeds make
neither the list look longer nor the scores of strangers higher than they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from libs import metrics
from libs.errors import PermanentError
from libs.gallery import Candidate as Found
from libs.gallery import Gallery
from libs.geometry import Floats
from proto import subjects
from proto.deployments import Warrant
from proto.messages import Candidate, Candidates, Probe
from services.match.counting import NOBODY, Counts
from services.match.settings import MatchSettings


class Warrants(Protocol):
    """Where the matcher looks up what it may do: `libs.warrants.Warrants`."""

    async def find(self, key: str) -> Warrant | None:
        """The warrant of a deployment, or `None`."""


class Entries(Protocol):
    """Who may be found: `services.match.entries.Entries`."""

    def is_searchable(self, watch_list: str, now: float) -> bool:
        """Whether the list may be searched at `now`."""

    def was_created_at(self, watch_list: str, created_at: float | None) -> bool:
        """Whether the list of that name is the one that was created then."""

    def is_current(self, watch_list: str, subject: str, now: float) -> bool:
        """Whether the subject is on the list at `now`."""


@dataclass(frozen=True)
class Books:
    """What a matcher goes by."""

    warrants: Warrants
    entries: Entries


class Matcher:
    """The handler of probes: refuses what no warrant covers now, forgets what is under the floor."""

    def __init__(
        self,
        gallery: Gallery,
        books: Books,
        counts: Counts,
        settings: MatchSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gallery = gallery
        self._books = books
        self._counts = counts
        self._settings = settings
        self._clock = clock

    async def search(self, probe: Probe) -> Sequence[Candidates]:
        """The candidate list of a probe, which is sent even when it is empty: an empty one holds nothing of a face.

        Raises:
            PermanentError: no warrant covers the probe's camera now, or the template is of another version than the
                gallery's.
        """
        if probe.template_version != self._settings.template_version:
            raise PermanentError(f"the probe is of {probe.template_version}, the gallery of another version")
        now = self._clock()
        warrant = await self._books.warrants.find(subjects.key(probe.deployment))
        if warrant is None or not warrant.covers(probe.camera, now):
            raise PermanentError(f"no armed deployment {probe.deployment} covers camera {probe.camera}")
        lists = self._searchable(warrant, warrant.watch_lists, now)
        seed_lists = self._searchable(warrant, warrant.seed_lists, now)
        found = await self._current(lists, probe.template, warrant.floor, now)
        seeds = await self._current(seed_lists, probe.template, warrant.floor, now)
        searched = sum([await self._gallery.count(name) for name in lists])
        self._counts.add(probe.deployment, probe.camera, found[0].score if found else NOBODY, searched)
        return [self._answer(probe, _kept([*found, *seeds], warrant.floor), searched)]

    def _searchable(self, warrant: Warrant, watch_lists: Sequence[str], now: float) -> list[str]:
        """Those lists that may be searched.

        One that expired, whose import is under way, or that is not the very one that was armed is left out.
        """
        entries, armed = self._books.entries, warrant.binding.lists
        return [
            name
            for name in watch_lists
            if entries.was_created_at(name, armed.get(name)) and entries.is_searchable(name, now)
        ]

    async def _current(self, lists: Sequence[str], template: Floats, floor: float, now: float) -> list[Found]:
        """The subjects on `lists` whom the template resembles most and whose entries hold now, best first.

        More are asked for as long as expired entries take the places of others who may be over the floor.
        """
        if not lists:
            return []
        entries, wanted = self._books.entries, self._settings.candidates
        k = wanted
        while True:
            (found,) = await self._gallery.search(lists, template[None], k)
            current = [one for one in found if entries.is_current(one.watch_list, one.subject, now)]
            enough = len(current) >= wanted or (current and found[-1].score < floor)
            if enough or len(found) < k:
                return current[:wanted]
            k *= 2

    def _answer(self, probe: Probe, kept: tuple[Candidate, ...], searched: int) -> Candidates:
        metrics.SEARCHES.labels(probe.deployment, "candidates" if kept else "nobody").inc()
        return Candidates(
            **probe.seen(),
            candidates=kept,
            searched=searched,
            template_version=probe.template_version,
            portrait=probe.portrait if kept else b"",
        )


def _kept(found: Sequence[Found], floor: float) -> tuple[Candidate, ...]:
    """The candidates at or over the floor, best first."""
    over = sorted((one for one in found if one.score >= floor), key=lambda one: -one.score)
    return tuple(Candidate(watch_list=one.watch_list, subject=one.subject, score=one.score) for one in over)
