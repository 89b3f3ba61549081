"""Owns the watch lists: searches the lists of a deployment for each probe, and answers asks about lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.actor import Stage
from libs.bus import Endpoint, Portraits
from libs.gallery import Gallery, GallerySettings, open_gallery
from libs.images import use_one_thread
from libs.service import Host
from libs.settings import DataSettings, TrustSettings, load
from libs.warrants import open_warrants
from proto import subjects
from proto.messages import (
    EnrolRequest,
    Probe,
    RemoveReply,
    RemoveRequest,
    WatchListReply,
    WatchListRequest,
)
from services.match.counting import search_board
from services.match.enrolment import Enrolment
from services.match.entries import open_entries
from services.match.matcher import Books, Matcher
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings


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
        async with (
            open_warrants(host.bus, load(TrustSettings), host.log) as warrants,
            open_entries(host.bus) as entries,
            search_board(host) as counts,
        ):
            matcher = Matcher(gallery, Books(warrants, entries), counts, settings)
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
