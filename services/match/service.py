"""Owns the watch lists: searches the lists of a deployment for each probe, and answers asks about lists."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from libs import metrics
from libs.actor import Stage
from libs.bus import Endpoint, Portraits
from libs.errors import PermanentError
from libs.gallery import Gallery, GallerySettings, open_gallery
from libs.images import use_one_thread
from libs.service import Host
from libs.settings import DataSettings, TrustSettings, load
from libs.warrants import open_warrants
from proto import subjects
from proto.messages import (
    Candidate,
    Candidates,
    EnrolRequest,
    Probe,
    RemoveReply,
    RemoveRequest,
    WatchListReply,
    WatchListRequest,
)
from proto.governance import Warrant
from services.match.enrolment import Enrolment
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings


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


class WatchLists:
    """Answers asks about watch lists."""

    def __init__(self, gallery: Gallery, portraits: Portraits) -> None:
        self._gallery = gallery
        self._portraits = portraits

    async def create(self, ask: WatchListRequest) -> WatchListReply:
        """Makes the list if it is not there."""
        await self._gallery.create(ask.watch_list)
        return await self.count(ask)

    async def count(self, ask: WatchListRequest) -> WatchListReply:
        """How many references the list holds."""
        return WatchListReply(watch_list=ask.watch_list, references=await self._gallery.count(ask.watch_list))

    async def drop(self, ask: WatchListRequest) -> WatchListReply:
        """Destroys the list and the portraits of its references."""
        for entry in await self._gallery.references(ask.watch_list):
            await self._portraits.drop(subjects.reference_portrait(ask.watch_list, entry.subject))
        await self._gallery.drop(ask.watch_list)
        return WatchListReply(watch_list=ask.watch_list, references=0)

    async def remove(self, ask: RemoveRequest) -> RemoveReply:
        """Takes a subject off the list, with the portrait."""
        removed = await self._gallery.remove(ask.watch_list, ask.subject)
        await self._portraits.drop(subjects.reference_portrait(ask.watch_list, ask.subject))
        return RemoveReply(watch_list=ask.watch_list, subject=ask.subject, removed=removed)


@asynccontextmanager
async def match(host: Host) -> AsyncIterator[None]:
    """The program: an actor on the probes, and the micro service `watchlist`."""
    use_one_thread()
    settings, qdrant = load(MatchSettings), load(QdrantSettings)
    gallery = open_gallery(
        GallerySettings(
            template_version=settings.template_version,
            dimension=settings.dimension,
            directory=load(DataSettings).data_dir / "gallery",
            url=qdrant.url,
            api_key=qdrant.api_key.get_secret_value() if qdrant.api_key else None,
            exact_up_to=settings.exact_up_to,
        )
    )
    try:
        async with open_warrants(host.bus, load(TrustSettings), host.log) as warrants:
            matcher = Matcher(gallery, warrants, settings)
            lists = WatchLists(gallery, host.bus.portraits)
            enrolment = Enrolment(host.bus, gallery, settings.template_version, load(EnrolmentSettings))
            endpoints: dict[str, Endpoint[Any]] = {
                "create": Endpoint(WatchListRequest, lists.create),
                "count": Endpoint(WatchListRequest, lists.count),
                "drop": Endpoint(WatchListRequest, lists.drop),
                "remove": Endpoint(RemoveRequest, lists.remove),
                "enrol": Endpoint(EnrolRequest, enrolment.enrol),
            }
            async with (
                host.actor(Stage("match", subjects.PROBES, Probe, matcher.search)),
                host.bus.micro_service("watchlist", subjects.WATCHLIST, endpoints),
            ):
                yield
    finally:
        await gallery.close()
