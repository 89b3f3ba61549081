"""`match` as it runs, on a real bus with a real gallery: lists imported by officers' acts, and gone when destroyed."""

import asyncio
import time

import pytest

from libs.bus import AskError, Records
from libs.errors import TransientError
from libs.seals import Signer
from proto import subjects
from proto.messages import EnrolReply
from proto.requests.listing import ListRequest
from proto.requests.watchlists import (
    CreateListRequest,
    DestroyListRequest,
    DuplicatesReply,
    DuplicatesRequest,
    EnrolEntryRequest,
    ListReply,
    RemoveEntryRequest,
)
from proto.watchlists import EntryRecord, NameRecord
from services.cli.client import Client
from services.cli.watchlists import importing
from services.cli.watchlists.importing import abort_import, entries_of, import_images
from services.cli.watchlists.reference_images import ImageFile, single_request
from tests.match_desk import VERSION, entry_form, list_form, picture, png, with_notice
from tests.match_world import answering_peers, running_match

NAME = "Jane Mary Unusual-Doe"


@pytest.fixture
async def peers(nats_server, log):
    async with answering_peers(nats_server, log) as peers:
        yield peers


@pytest.fixture
def world(crew, tmp_path, monkeypatch):
    """The settings of `match`: whom it trusts, and where its gallery lies."""
    for name, value in crew.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WATCHLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WATCHLINE_MATCH_SWEEP_S", "0.05")
    return tmp_path


@pytest.fixture
def client(bus, crew):
    return Client(bus, crew["l-stone"])


async def create(client, name="wanted", **form):
    request = CreateListRequest(form=list_form(time.time, watch_list=name, **form))
    return (await client.act(f"{subjects.WATCHLIST}.create", request, ListReply)).record


async def shown(client, name="wanted"):
    return (await client.ask(f"{subjects.WATCHLIST}.show", ListRequest(of=name), ListReply)).record


def photos(folder, *numbers, name=""):
    """A file and an entry for each number, two of a subject."""
    folder.mkdir(exist_ok=True)
    files = []
    for number in numbers:
        path = folder / f"{number}.png"
        path.write_bytes(png(picture(number)))
        files.append(ImageFile(f"S-{number // 2}", path, entry_form(time.time, name=name)))
    return files


def nothing(_result):
    pass


async def test_a_folder_is_imported_and_imported_again_without_a_second_look(world, peers, client, nats_server, log):
    async with running_match(nats_server, log):
        await create(client)
        images = photos(world / "photos", *range(6))
        result = await import_images(client, "wanted", images, nothing)
        assert (result.enrolled, result.already, result.refused) == (6, 0, [])
        assert (result.record.state, result.record.subjects, result.record.references) == ("ready", 3, 6)
        templates = len(peers.templates)
        again = await import_images(client, "wanted", images, nothing)
        assert (again.enrolled, again.already, again.record.references) == (0, 6, 6)
        assert len(peers.templates) == templates
        assert again.record.inputs_sha256 == result.record.inputs_sha256
        assert [entry.subject for entry in await entries_of(client, "wanted")] == ["S-0", "S-1", "S-2"]


async def test_an_import_that_was_cut_off_goes_on_where_it_was_and_ends_with_all(
    world, peers, client, nats_server, log
):
    images = photos(world / "photos", *range(6))
    async with running_match(nats_server, log):
        await create(client)
        cut_off = asyncio.create_task(import_images(client, "wanted", images[:2], nothing))
        await peers.asked.wait()
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
        under_way = await shown(client)
        assert under_way.state == "importing"
    async with running_match(nats_server, log):
        result = await import_images(client, "wanted", images, nothing, under_way.import_id)
        assert (result.record.state, result.record.references) == ("ready", 6)
        assert result.enrolled + result.already == 6
    assert [request.event for request in peers.audit] == [
        "watchlist.created",
        "watchlist.import_begun",
        "watchlist.imported",
    ]


async def test_an_import_of_other_images_is_refused_while_one_is_under_way(world, peers, client, nats_server, log):
    async with running_match(nats_server, log):
        await create(client)
        peers.held.clear()
        first = asyncio.create_task(import_images(client, "wanted", photos(world / "a", 1), nothing))
        await peers.asked.wait()
        with pytest.raises(AskError, match="is under way") as refusal:
            await import_images(client, "wanted", photos(world / "b", 2), nothing)
        assert refusal.value.code == "409"
        peers.held.set()
        assert (await first).enrolled == 1


async def test_an_import_that_is_taken_back_leaves_the_list_as_it_was(world, peers, client, nats_server, log):
    async with running_match(nats_server, log):
        await create(client)
        before = (await import_images(client, "wanted", photos(world / "a", 0, 2), nothing)).record
        peers.asked.clear()
        cut_off = asyncio.create_task(import_images(client, "wanted", photos(world / "b", 3, 4, 6), nothing))
        await peers.asked.wait()
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
        record = await abort_import(client, "wanted", (await shown(client)).import_id)
        assert (record.state, record.references) == ("ready", before.references)
        entries = await entries_of(client, "wanted")
        assert [(entry.subject, len(entry.images)) for entry in entries] == [("S-0", 1), ("S-1", 1)]


async def test_nobody_without_a_key_of_the_roster_changes_anything(world, peers, bus, crew, nats_server, log):
    async with running_match(nats_server, log):
        for signer in (crew["d-green"], Signer.generate("l-stone"), Signer.generate("nobody")):
            with pytest.raises(AskError) as refusal:
                await create(Client(bus, signer))
            assert refusal.value.code in ("403", "400")
        with pytest.raises(AskError, match="there is no watch list"):
            await shown(Client(bus))


def holding(folder, needles):
    """The files under `folder` in which one of the needles stands, and which."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        (path.name, what)
        for path in files
        for what, needle in needles.items()
        if needle and needle in path.read_bytes()
    ]


def needles_of(peers, images, portraits):
    """What must not be left: templates in either byte order, image files, portraits in pieces, and the name."""
    found = {f"name {NAME}": NAME.encode()}
    for number, template in enumerate(peers.templates):
        found[f"template {number}"] = template[:16].astype("<f4").tobytes()
        found[f"template {number}, the other way round"] = template[:16].astype(">f4").tobytes()
    for image in images:
        found[f"image {image.path.name}"] = image.path.read_bytes()[200:232]
    for key, jpeg in portraits.items():
        found[f"portrait {key}"] = jpeg[len(jpeg) // 2 :][:32]
    return found


async def portraits_of(bus, images):
    kept = {subject: await bus.portraits.get(subjects.reference_portrait("wanted", subject)) for subject in images}
    return {subject: jpeg for subject, jpeg in kept.items() if jpeg}


async def test_of_a_destroyed_list_nothing_biometric_and_no_name_is_on_the_disk(
    world, peers, client, bus, nats_server, log
):
    images = photos(world / "photos", *range(8), name=NAME)
    portraits = {}
    async with running_match(nats_server, log):
        await create(client)
        for image in images[:4]:  # one at a time, so that each portrait that is replaced was there
            request = single_request(client, "wanted", image)
            await client.act(f"{subjects.WATCHLIST}.enrol", request, EnrolReply)
            for subject, jpeg in (await portraits_of(bus, {"S-0", "S-1"})).items():
                portraits[f"{subject} {hash(jpeg)}"] = jpeg
        await import_images(client, "wanted", images, nothing)
        portraits |= await portraits_of(bus, {image.subject for image in images})
        names = Records(bus, subjects.NAMES, NameRecord)
        assert (await names.get(subjects.key("wanted", "S-0")))[0].name == NAME
        needles = needles_of(peers, images, portraits)
        there = {what for _, what in holding(world / "data", needles) + holding(nats_server.store, needles)}
        assert any(what.startswith("template") for what in there)
        assert any(what.startswith("portrait") for what in there)
        assert any(what.startswith("name") for what in there)
        request = DestroyListRequest(watch_list="wanted", reason="the deployment is over")
        record = (await client.act(f"{subjects.WATCHLIST}.destroy", request, ListReply)).record
        assert (record.state, record.subjects, record.references) == ("destroyed", 4, 8)
        left = holding(world / "data", needles) + holding(nats_server.store, needles)
        assert left == []
        entries = await Records(bus, subjects.ENTRIES, EntryRecord).all("wanted")
        assert sorted(entry.subject for entry in entries.values()) == ["S-0", "S-1", "S-2", "S-3"]
        assert all(entry.form is None for entry in entries.values())
    assert not (world / "data" / "gallery" / f"wanted.{VERSION}").exists()
    assert holding(world / "data", needles) + holding(nats_server.store, needles) == []


async def test_of_a_person_who_is_taken_off_nothing_biometric_is_on_the_disk(
    world, peers, client, bus, nats_server, log
):
    images = photos(world / "photos", 0, 1, name=NAME)
    async with running_match(nats_server, log):
        await create(client)
        await import_images(client, "wanted", images, nothing)
        needles = needles_of(peers, images, await portraits_of(bus, {"S-0"}))
        request = RemoveEntryRequest(watch_list="wanted", subject="S-0", reason="withdrawn")
        record = (await client.act(f"{subjects.WATCHLIST}.remove", request, ListReply)).record
        assert (record.subjects, record.references) == (0, 0)
        assert holding(world / "data", needles) + holding(nats_server.store, needles) == []


async def test_a_list_that_expires_is_destroyed_by_match_itself(world, peers, client, bus, nats_server, log):
    async with running_match(nats_server, log):
        await create(client, expires_at=time.time() + 4)
        await import_images(client, "wanted", photos(world / "photos", 0), nothing)
        async with asyncio.timeout(20):
            while (await shown(client)).state != "destroyed":
                await asyncio.sleep(0.02)
    assert [request.deed.who for request in peers.audit][-1] == "match"


async def test_one_person_under_two_numbers_and_on_two_lists_is_shown(world, peers, client, nats_server, log):
    async with running_match(nats_server, log):
        for name in ("wanted", "missing"):
            await create(client, name)
        same = png(picture(7))
        for name, subject in (("wanted", "S-1"), ("wanted", "S-2"), ("missing", "M-1")):
            request = EnrolEntryRequest(
                watch_list=name, subject=subject, reference="a.png", image=same, entry=entry_form(time.time)
            )
            signed = with_notice(client.signer, request, time.time)
            assert (await client.act(f"{subjects.WATCHLIST}.enrol", signed, EnrolReply)).enrolled
        ask = DuplicatesRequest(watch_list="wanted", threshold=0.9)
        pairs = (await client.act(f"{subjects.WATCHLIST}.duplicates", ask, DuplicatesReply)).pairs
        with pytest.raises(AskError):  # an ask that nobody signed
            await client.ask(f"{subjects.WATCHLIST}.duplicates", ask, DuplicatesReply)
        assert {(pair.subject, pair.other_list, pair.other_subject) for pair in pairs} == {
            ("S-1", "wanted", "S-2"),
            ("S-1", "missing", "M-1"),
            ("S-2", "missing", "M-1"),
        }
    assert peers.audit[-1].event == "watchlist.duplicates_sought"


async def test_a_match_that_is_away_stops_an_import_that_can_go_on(world, peers, client, nats_server, log, monkeypatch):
    async def at_once(attempt, _patience_s=0.0):
        return await attempt()

    monkeypatch.setattr(importing, "insist", at_once)
    images = photos(world / "photos", 0, 2)
    async with running_match(nats_server, log):
        await create(client)
    with pytest.raises(TransientError):
        await import_images(client, "wanted", images, nothing)
    async with running_match(nats_server, log):
        assert (await import_images(client, "wanted", images, nothing)).enrolled == 2
