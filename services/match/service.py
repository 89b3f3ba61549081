"""Owns the watch lists: searches the lists of a deployment for each probe, and takes acts of officers on lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.actor import Stage
from libs.bus import Endpoint, Records
from libs.gallery import Gallery, GallerySettings, open_gallery
from libs.images import use_one_thread
from libs.officers import Roster
from libs.service import Host
from libs.settings import DataSettings, TrustSettings, load
from libs.waiting import end
from libs.warrants import Warrants, open_warrants
from proto import subjects
from proto.messages import Probe
from proto.requests.listing import ListRequest
from proto.requests.watchlists import EntriesRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, NameRecord, WatchListRecord
from services.match.counting import search_board
from services.match.duplicates import Duplicates
from services.match.enrolment import Enrolment
from services.match.entries import Entries, entries_of, open_entries
from services.match.imports import Imports
from services.match.matcher import Books, Matcher
from services.match.membership import Membership
from services.match.registry import Registry
from services.match.removals import Removals
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings
from services.match.sweeper import Sweeper
from services.match.watchlists import WatchLists

OpenBooks = tuple[Warrants, Entries]
BATCHES_AT_ONCE = 4
"""Acts of imports under way at a time, of several images each: so that detect and embed never wait for the next."""


@asynccontextmanager
async def match(host: Host) -> AsyncIterator[None]:
    """The program: an actor on the probes, the micro service `watchlist`, and a sweeper."""
    use_one_thread()
    settings, trust = load(MatchSettings), load(TrustSettings)
    roster = Roster(trust.officers, trust.key())
    gallery = open_gallery(_gallery_settings(settings))
    enrolment = Enrolment(host.bus, settings.template_version, load(EnrolmentSettings))
    try:
        async with (
            open_warrants(host.bus, trust, host.log) as warrants,
            open_entries(host.bus) as entries,
            search_board(host) as counts,
        ):
            registry = _registry(host, gallery, roster, (warrants, entries), settings.template_version)
            matcher = Matcher(gallery, Books(warrants, entries), counts, settings)
            async with (
                host.actor(Stage("match", subjects.PROBES, Probe, matcher.search)),
                _lists_kept(host, registry, enrolment, settings),
            ):
                yield
    finally:
        enrolment.close()
        await gallery.close()


@asynccontextmanager
async def _lists_kept(
    host: Host, registry: Registry, enrolment: Enrolment, settings: MatchSettings
) -> AsyncIterator[None]:
    """Answers acts on lists and sweeps them while the block runs."""
    lists, imports, removals = WatchLists(registry), Imports(registry), Removals(registry)
    membership, duplicates = Membership(registry, enrolment), Duplicates(registry, settings.duplicates_floor)
    endpoints: dict[str, Endpoint[Any]] = {
        "create": Endpoint(Sealed, lists.create),
        "import": Endpoint(Sealed, imports.step),
        "enrol": Endpoint(Sealed, membership.enrol),
        "enrol_images": Endpoint(Sealed, membership.enrol_images, concurrency=BATCHES_AT_ONCE),
        "remove": Endpoint(Sealed, removals.remove),
        "expire": Endpoint(Sealed, lists.expire),
        "destroy": Endpoint(Sealed, lists.destroy),
        "show": Endpoint(ListRequest, lists.show),
        "list": Endpoint(ListRequest, lists.list),
        "entries": Endpoint(EntriesRequest, lists.entries),
        "duplicates": Endpoint(Sealed, duplicates.find),
    }
    sweeping = Sweeper(registry, lists, imports, removals).run(settings.sweep_s)
    sweeper = host.tasks.create_task(sweeping, name="sweep the watch lists")
    try:
        async with host.bus.micro_service("watchlist", subjects.WATCHLIST, endpoints):
            yield
    finally:
        await end(sweeper)


def _registry(host: Host, gallery: Gallery, roster: Roster, books: OpenBooks, template_version: str) -> Registry:
    entry_records = Records(host.bus, subjects.ENTRIES, EntryRecord)

    async def snapshot(watch_list: str) -> dict[str, EntryRecord]:
        return entries_of(watch_list, await entry_records.all(watch_list))

    return Registry(
        bus=host.bus,
        lists=Records(host.bus, subjects.WATCHLISTS, WatchListRecord),
        entries=entry_records,
        names=Records(host.bus, subjects.NAMES, NameRecord),
        portraits=host.bus.portraits,
        gallery=gallery,
        roster=roster,
        warrants=books[0],
        book=books[1],
        snapshot=snapshot,
        log=host.log,
        template_version=template_version,
    )


def _gallery_settings(settings: MatchSettings) -> GallerySettings:
    qdrant = load(QdrantSettings)
    return GallerySettings(
        template_version=settings.template_version,
        dimension=settings.dimension,
        directory=load(DataSettings).data_dir / "gallery",
        url=qdrant.url,
        api_key=qdrant.api_key.get_secret_value() if qdrant.api_key else None,
        exact_up_to=settings.exact_up_to,
    )
