"""What has expired goes by match's own clock, also after days in which it did not run."""

import pytest

from libs.errors import TransientError
from proto import codec
from proto.codec import DecodeError
from services.match import removals
from services.match.entries import entries_of
from tests.examples import changed
from tests.governance_examples import WATCH_LIST
from tests.match_desk import DAY_S, NOTHING, DeadError, MatchDesk


@pytest.fixture
async def desk(crew, log, clock):
    made = MatchDesk(crew, log, clock)
    await made.create()
    await made.enrol("S-1", 1, expires_at=clock() + DAY_S)
    await made.enrol("S-2", 2, expires_at=clock() + 2 * DAY_S)
    return made


async def test_nothing_goes_before_its_time(desk, clock):
    clock.advance(DAY_S - 1)
    before = desk.list()
    await desk.sweeper.sweep()
    assert desk.list() == before


async def test_an_entry_is_not_current_from_the_moment_it_expires_swept_or_not(desk, clock):
    book = desk.registry.book
    assert book.is_current("wanted", "S-1", clock())
    clock.advance(DAY_S)
    assert not book.is_current("wanted", "S-1", clock())
    assert book.is_current("wanted", "S-2", clock())


async def test_an_entry_that_has_expired_is_taken_off(desk, clock):
    clock.advance(DAY_S)
    await desk.sweeper.sweep()
    assert desk.biometrics() == (["S-2/2.png"], ["reference.wanted.S-2"], [])
    assert (desk.entry("S-1").form, desk.entry("S-1").removed_at) == (None, clock())
    told = desk.peers.audit[-1]
    assert (told.event, told.deed.who, told.details["entries"]) == ("watchlist.removed", "match", 1)
    assert desk.list().references == 1


async def test_a_list_is_not_searchable_from_the_moment_it_expires_swept_or_not(desk, clock):
    clock.now = desk.list().form.expires_at - 1
    assert desk.registry.book.is_searchable("wanted", clock())
    clock.advance(1)
    assert not desk.registry.book.is_searchable("wanted", clock())


async def test_a_list_that_has_expired_is_destroyed_also_after_days_of_downtime(desk, clock):
    clock.advance(400 * DAY_S)
    again = desk.reborn()
    await again.sweeper.sweep()
    assert again.list().state == "destroyed"
    assert again.biometrics() == NOTHING
    assert (again.list().subjects, again.list().references) == (2, 2)
    told = desk.peers.audit[-1]
    assert (told.event, told.deed.who, told.deed.reason) == ("watchlist.destroyed", "match", "the list has expired")


async def test_a_list_that_expires_in_the_middle_of_its_import_goes_too(crew, log, clock):
    desk = MatchDesk(crew, log, clock)
    await desk.create()
    import_id = (await desk.step("begin", manifest_sha256="ab" * 32)).import_id
    await desk.enrol("S-1", 1, import_id)
    clock.now = desk.list().form.expires_at
    await desk.sweeper.sweep()
    assert (desk.list().state, desk.biometrics()) == ("destroyed", NOTHING)


async def test_what_has_expired_is_told_once_though_it_could_not_be_erased_at_once(desk, clock):
    clock.advance(DAY_S)
    discard = desk.gallery.discard

    async def away(_watch_list, _references):
        raise TransientError("the engine is away")

    desk.gallery.discard = away
    for _ in range(3):
        await desk.sweeper.sweep()
        with pytest.raises(TransientError):
            await desk.removals.finish("wanted")
        assert await desk.removals.expire("wanted", clock()) == 0
    desk.gallery.discard = discard
    await desk.sweeper.sweep()
    assert desk.peers.events.count("watchlist.removed") == 1
    assert desk.biometrics()[0] == ["S-2/2.png"]


async def test_whoever_has_expired_is_off_since_that_moment_whenever_it_was_swept(desk, clock):
    expires_at = desk.entry("S-1").form.expires_at
    clock.advance(1.5 * DAY_S)
    await desk.sweeper.sweep()
    assert desk.entry("S-1").removed_at == expires_at


async def test_of_a_crowd_that_expires_at_once_all_are_off_after_one_sweep_a_part_at_a_time(desk, clock, monkeypatch):
    monkeypatch.setattr(removals, "AT_A_TIME", 2)
    for number in range(3, 6):
        await desk.enrol(f"S-{number}", number, expires_at=clock() + DAY_S)
    clock.advance(DAY_S)
    await desk.sweeper.sweep()
    told = [request.details["entries"] for request in desk.peers.audit if request.event == "watchlist.removed"]
    assert told == [2, 2]
    assert desk.biometrics()[0] == ["S-2/2.png"]


def test_a_record_holds_the_ids_of_all_who_are_taken_off_at_a_time():
    longest = tuple("\N{GRINNING FACE}" * 121 + f"{number:07}" for number in range(removals.AT_A_TIME))
    record = WATCH_LIST.model_copy(update={"removing": longest})
    assert len(codec.encode(record)) < 2**20 - 2**16  # the server takes 1 MiB, and the list says more than this


async def test_what_is_owed_is_told_also_of_a_list_that_cannot_be_swept(desk, clock):
    desk.peers.audit_away = True
    await desk.enrol("S-3", 3)
    desk.peers.audit_away = False
    clock.advance(DAY_S)

    async def away(_watch_list, _references):
        raise TransientError("the engine is away")

    desk.gallery.discard = away
    await desk.sweeper.sweep()
    assert desk.peers.events.count("watchlist.enrolled") == 3


def test_what_lies_under_another_key_than_its_own_is_no_entry_of_a_list():
    entry = changed("entry_record", watch_list="wanted", subject="S-1")
    foreign = changed("entry_record", watch_list="also", subject="S-2")
    records = {"wanted.S-1": entry, "wanted.S-2": foreign, "wanted.S-3": entry}
    assert entries_of("wanted", records) == {"S-1": entry}


@pytest.mark.parametrize("error", [TransientError("the engine is away"), RuntimeError("a bug")], ids=str)
async def test_one_list_that_cannot_be_swept_does_not_keep_the_others(desk, clock, log, error):
    await desk.create("also")
    await desk.enrol("S-1", 1, name="also", expires_at=clock() + DAY_S)
    clock.advance(DAY_S)
    discard = desk.gallery.discard

    async def fails(watch_list, references):
        if watch_list == "also":
            raise error
        return await discard(watch_list, references)

    desk.gallery.discard = fails
    await desk.sweeper.sweep()
    assert desk.entry("S-1").form is None
    assert desk.entry("S-1", "also").form is not None
    assert [entry["watch_list"] for entry in log.entries if entry["event"] == "sweep.failed"] == ["also"]


async def test_a_list_whose_destruction_nobody_is_said_to_have_begun_does_not_keep_the_others(desk, clock, log):
    await desk.create("also")
    record, revision = desk.lists.records["also"]
    desk.lists.records["also"] = record.model_copy(update={"state": "destroying", "owed": ()}), revision
    clock.advance(400 * DAY_S)
    await desk.sweeper.sweep()
    assert desk.list().state == "destroyed"
    (failed,) = [entry for entry in log.entries if entry["event"] == "sweep.failed"]
    assert (failed["watch_list"], failed["log_level"]) == ("also", "warning")
    assert failed["reason"] == "the watch list also is being destroyed, and its record does not say by whom"


async def test_a_clock_that_goes_backwards_brings_nobody_back(desk, clock):
    clock.advance(DAY_S)
    await desk.sweeper.sweep()
    clock.advance(-DAY_S)
    await desk.sweeper.sweep()
    assert desk.entry("S-1").form is None
    assert desk.biometrics()[0] == ["S-2/2.png"]


async def test_what_somebody_else_wrote_among_the_lists_does_not_keep_the_others(desk, clock, log):
    """A list under a key that is not its own, and one that is no list any more when it is looked at."""
    record, revision = desk.lists.records["wanted"]
    other = record.model_copy(update={"form": record.form.model_copy(update={"watch_list": "other"})})
    desk.lists.records = {"x": (other, 1), "other": (other, 1), "wanted": (record, revision)}
    get = desk.lists.get

    async def garbage(key):
        if key == "other":
            raise DecodeError("watch_list_record", "not MessagePack")
        return await get(key)

    desk.lists.get = garbage
    clock.advance(400 * DAY_S)
    await desk.sweeper.sweep()
    assert desk.list().state == "destroyed"
    events = {entry["event"] for entry in log.entries}
    assert {"sweep.foreign_record", "sweep.failed"} <= events


async def test_an_entry_under_a_key_that_is_not_its_own_is_nobodys(desk):
    record, _ = desk.entries.records["wanted.S-1"]
    desk.entries.records["elsewhere.S-7"] = record.model_copy(update={"subject": "S-7"}), 1
    assert sorted(desk.registry.book.of("wanted")) == ["S-1", "S-2"]


async def test_what_an_act_that_failed_left_in_the_gallery_is_erased_at_the_next_sweep(desk):
    await desk.sweeper.sweep()
    put = desk.entries.put

    async def away(_key, _record):
        raise TransientError("the bus is away")

    desk.entries.put = away
    with pytest.raises(TransientError):
        await desk.enrol("S-3", 3)
    assert "S-3/3.png" in desk.biometrics()[0]
    desk.entries.put = put
    await desk.sweeper.sweep()
    assert desk.biometrics() == (["S-1/1.png", "S-2/2.png"], ["reference.wanted.S-1", "reference.wanted.S-2"], [])


async def test_a_gallery_that_is_away_at_the_start_is_looked_through_once_it_is_back(desk):
    desk.life.dies_at = 2  # the deed and the reference are written, the portrait is not
    with pytest.raises(DeadError):
        await desk.enrol("S-3", 3)
    again = desk.reborn()
    references = again.gallery.references

    async def away(_watch_list):
        raise TransientError("the engine is away")

    again.gallery.references = away
    await again.sweeper.sweep()
    assert "S-3/3.png" in again.biometrics()[0]
    again.gallery.references = references
    await again.sweeper.sweep()
    assert again.biometrics()[0] == ["S-1/1.png", "S-2/2.png"]


async def test_a_gallery_that_is_tidy_is_not_looked_through_again(desk):
    await desk.sweeper.sweep()

    async def never(_watch_list):
        raise AssertionError("looked through again")

    desk.gallery.references = never
    await desk.sweeper.sweep()


async def test_an_enrolment_that_was_not_counted_is_counted_at_the_next_sweep(desk):
    await desk.sweeper.sweep()
    put, entries = desk.lists.put, desk.entries.records

    async def away(key, record):
        if "wanted.S-3" in entries:
            raise TransientError("the bus is away")
        return await put(key, record)

    desk.lists.put = away
    with pytest.raises(TransientError):
        await desk.enrol("S-3", 3)
    desk.lists.put = put
    await desk.sweeper.sweep()
    assert (desk.list().subjects, desk.list().references) == (3, 3)


async def test_who_expires_during_an_import_that_is_taken_back_leaves_the_counts_of_those_who_are_left(desk, clock):
    import_id = (await desk.step("begin", manifest_sha256="ab" * 32)).import_id
    await desk.enrol("S-3", 3, import_id)
    clock.advance(DAY_S)
    await desk.sweeper.sweep()
    record = await desk.step("abort", import_id)
    assert (record.state, record.subjects, record.references) == ("ready", 1, 1)


async def test_who_is_taken_off_during_an_import_leaves_the_counts_to_its_end(desk):
    import_id = (await desk.step("begin", manifest_sha256="ab" * 32)).import_id
    for number in (3, 4):
        await desk.enrol(f"S-{number}", number, import_id)
    desk.lists.records["wanted"] = desk.list().model_copy(update={"removing": ("S-1",)}), 99
    await desk.removals.finish("wanted")
    assert (desk.list().removing, desk.list().subjects) == ((), 2)  # as it was when it could last be searched
    assert (await desk.step("complete", import_id, images=2)).subjects == 3


@pytest.mark.parametrize("then", ["destroy", "begin"])
async def test_what_another_program_took_back_first_does_not_come_back_as_ready(desk, crew, log, clock, then):
    """Two programs over one list, as while one is replaced by the next."""
    import_id = (await desk.step("begin", manifest_sha256="ab" * 32)).import_id
    await desk.enrol("S-3", 3, import_id)
    other, erase, begun = MatchDesk(crew, log, clock, desk), desk.entries.erase, []

    async def overtaken(key):
        await erase(key)
        if not begun:
            begun.append(key)
            await other.sweeper.sweep()
            await (other.destroy() if then == "destroy" else other.step("begin", manifest_sha256="cd" * 32))

    desk.entries.erase = overtaken
    await desk.step("abort", import_id)
    assert begun
    assert desk.list().state == {"destroy": "destroyed", "begin": "importing"}[then]
    assert bool(desk.list().import_id) == (then == "begin")


async def test_nothing_to_finish_leaves_what_a_destroyed_list_says_of_itself(desk):
    await desk.destroy()
    before = desk.list()
    await desk.removals.finish("wanted")
    assert (desk.list(), desk.list().subjects) == (before, 2)
