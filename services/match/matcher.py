"""Searches the watch lists of a deployment for each probe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from libs import metrics
from libs.errors import PermanentError
from libs.gallery import Gallery
from proto import subjects
from proto.governance import Warrant
from proto.messages import Candidate, Candidates, Probe
from services.match.settings import MatchSettings


class Deployments(Protocol):
    """Where the matcher looks a deployment up."""

    async def find(self, key: str) -> Warrant | None:
        """The warrant of a deployment, or `None`."""


class Matcher:
    """The handler of probes: refuses what no armed deployment covers, forgets what is under its floor."""

    def __init__(
        self,
        gallery: Gallery,
        deployments: Deployments,
        settings: MatchSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gallery = gallery
        self._deployments = deployments
        self._settings = settings
        self._clock = clock

    async def search(self, probe: Probe) -> Sequence[Candidates]:
        """The candidate list of a probe, which is sent even when it is empty: an empty one holds nothing of a face.

        Raises:
            PermanentError: no deployment that is armed now covers the probe's camera, or the template is of
                another version than the gallery's.
        """
        if probe.template_version != self._settings.template_version:
            raise PermanentError(f"the probe is of {probe.template_version}, the gallery of another version")
        deployment = await self._deployments.find(subjects.key(probe.deployment))
        if deployment is None or not deployment.covers(probe.camera, self._clock()):
            raise PermanentError(f"no armed deployment {probe.deployment} covers camera {probe.camera}")
        found = await self._gallery.search(deployment.watch_lists, probe.template[None], self._settings.candidates)
        searched = sum([await self._gallery.count(name) for name in deployment.watch_lists])
        kept = tuple(
            Candidate(watch_list=candidate.watch_list, subject=candidate.subject, score=candidate.score)
            for candidate in found[0]
            if candidate.score >= deployment.floor
        )
        metrics.SEARCHES.labels(probe.deployment, "candidates" if kept else "nobody").inc()
        return [
            Candidates(
                **probe.seen(),
                candidates=kept,
                searched=searched,
                template_version=probe.template_version,
                portrait=probe.portrait if kept else b"",
            )
        ]
