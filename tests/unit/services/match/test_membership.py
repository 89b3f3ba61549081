"""One image of one person on a list, and off it again: what is written down, and what is not taken."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest

from libs.bus import Conflict
from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import ForbiddenError
from proto import codec, subjects
from proto.requests.watchlists import EnrolEntryRequest, EnrolmentNotice
from proto.sealed import Act, Sealed
from tests.match_desk import (
    DAY_S,
    NOTHING,
    DeadError,
    MatchDesk,
    entry_form,
    picture,
    png,
    sha256,
    with_notice,
)


@pytest.fixture
async def desk(crew, log, clock):
    made = MatchDesk(crew, log, clock)
    await made.create()
    return made


async def test_who_is_enrolled_is_written_down_with_why_and_from_where(desk, clock):
    reply = await desk.enrol("S-1", 1)
    assert (reply.enrolled, reply.already, reply.reason) == (True, False, "")
    entry = desk.entry("S-1")
    assert (entry.form.reason, entry.form.requester) == ("warrant 17/2023", "Inspector 4711")
    (image,) = entry.images
    assert (image.reference, image.sha256) == ("1.png", sha256(png(picture(1))))
    assert image.quality == reply.quality.unified
    assert image.enrolled_at == clock()
    assert desk.biometrics() == (["S-1/1.png"], ["reference.wanted.S-1"], [])


async def test_an_enrolment_by_itself_is_an_act_of_its_own(desk):
    await desk.enrol("S-1", 1)
    record = desk.list()
    assert (record.record_version, record.subjects, record.references) == (2, 1, 1)
    told = desk.peers.audit[-1]
    assert (told.record_version, told.event) == (2, "watchlist.enrolled")
    assert told.details == {"subject": "S-1", "sha256": sha256(png(picture(1)))}


async def test_an_image_that_is_there_already_is_no_act(desk):
    await desk.enrol("S-1", 1)
    assert (await desk.enrol("S-1", 1)).already
    assert desk.list().record_version == 2
    assert desk.peers.events.count("watchlist.enrolled") == 1


async def test_an_image_that_is_put_forward_again_is_as_of_now(desk, clock):
    await desk.enrol("S-1", 1)
    enrolled_at = clock()
    clock.advance(3600)
    await desk.enrol("S-1", 1)
    (image,) = desk.entry("S-1").images
    assert (image.enrolled_at, image.as_of) == (enrolled_at, enrolled_at + 3600)


async def test_only_a_list_manager_enrols_and_takes_off(desk):
    with pytest.raises(ForbiddenError):
        await desk.enrol("S-1", 1, who="b-smith")
    await desk.enrol("S-1", 1)
    with pytest.raises(ForbiddenError):
        await desk.remove("S-1", who="c-brown")
    assert desk.biometrics()[0] == ["S-1/1.png"]


async def test_an_entry_keeps_the_particulars_it_has_and_that_is_said(desk, clock):
    await desk.enrol("S-1", 1)
    later = clock() + 20 * DAY_S
    reply = await desk.enrol("S-1", 2, expires_at=later, reason="another")
    assert reply.enrolled
    assert reply.reason == "the entry keeps the reason, expires_at it has"
    assert desk.entry("S-1").form.expires_at < later
    assert desk.entry("S-1").form.reason == "warrant 17/2023"


async def test_the_portrait_is_that_of_the_best_image(desk):
    await desk.enrol("S-1", 1)
    (first,) = desk.portraits.kept.values()
    poor = png(picture(2, shades=60))
    await desk.enrol("S-1", 2, image=poor)
    qualities = [image.quality for image in desk.entry("S-1").images]
    assert qualities[1] < qualities[0]
    assert list(desk.portraits.kept.values()) == [first]


async def test_a_better_image_takes_the_place_of_the_portrait(desk):
    await desk.enrol("S-1", 2, image=png(picture(2, shades=60)))
    (first,) = desk.portraits.kept.values()
    await desk.enrol("S-1", 1)
    assert list(desk.portraits.kept.values()) != [first]


async def test_an_image_without_a_usable_face_is_refused_with_reason_and_remedy_and_nothing_is_kept(desk):
    desk.peers.faces = 0
    reply = await desk.enrol("S-1", 1)
    assert not reply.enrolled
    assert reply.reason == "no face was found in the image"
    assert "from the front" in reply.remedy
    assert desk.biometrics() == NOTHING
    assert desk.entry("S-1") is None
    assert desk.list().record_version == 1


async def test_an_entry_that_has_expired_already_is_refused(desk, clock):
    reply = await desk.enrol("S-1", 1, expires_at=clock())
    assert (reply.enrolled, reply.reason) == (False, "the entry has expired")
    assert reply.remedy
    assert desk.peers.asks.count(subjects.DETECT_IMAGES) == 0


async def test_a_reference_whose_name_cannot_be_shown_is_refused(desk):
    assert not (await desk.enrol("S-1", 1, reference="a\nb")).enrolled
    assert desk.biometrics() == NOTHING


@pytest.mark.parametrize("who", [subjects.DETECT_IMAGES, subjects.EMBED])
async def test_a_stage_that_is_away_is_said_so_and_nothing_is_kept(desk, who):
    desk.peers.away = (who,)
    with pytest.raises(TransientError, match="nobody answered"):
        await desk.enrol("S-1", 1)
    assert desk.biometrics() == NOTHING
    assert desk.entry("S-1") is None


async def test_somebody_else_who_writes_the_entry_meanwhile_loses_nothing(desk):
    await desk.enrol("S-1", 1)
    replace = desk.entries.replace

    async def overtaken(key, record, revision):
        desk.entries.replace = replace
        await other()
        return await replace(key, record, revision)

    async def other():
        entry, revision = desk.entries.records["wanted.S-1"]
        theirs = entry.images[0].model_copy(update={"reference": "theirs.png", "sha256": "ab" * 32})
        await replace("wanted.S-1", entry.model_copy(update={"images": (*entry.images, theirs)}), revision)

    desk.entries.replace = overtaken
    await desk.enrol("S-1", 2)
    assert [image.reference for image in desk.entry("S-1").images] == ["1.png", "theirs.png", "2.png"]


async def test_who_is_taken_off_leaves_an_id_hashes_and_times_only(desk, clock):
    await desk.enrol("S-1", 1)
    await desk.enrol("S-2", 2)
    clock.advance(60)
    record = (await desk.remove("S-1")).record
    assert (record.subjects, record.references) == (1, 1)
    assert desk.biometrics() == (["S-2/2.png"], ["reference.wanted.S-2"], [])
    entry = desk.entry("S-1")
    assert (entry.form, entry.removed_at) == (None, clock())
    (image,) = entry.images
    assert (image.reference, image.source, image.sha256) == ("", "", sha256(png(picture(1))))
    told = desk.peers.audit[-1]
    assert (told.event, told.details["subject"], told.deed.reason) == ("watchlist.removed", "S-1", "warrant withdrawn")


async def test_who_is_not_on_the_list_cannot_be_taken_off(desk):
    with pytest.raises(MissingError, match="not on the list"):
        await desk.remove("S-1")
    await desk.enrol("S-1", 1)
    await desk.remove("S-1")
    with pytest.raises(MissingError, match="not on the list"):
        await desk.remove("S-1")


async def test_who_was_taken_off_can_come_back_and_the_old_hashes_stay(desk):
    await desk.enrol("S-1", 1)
    await desk.remove("S-1")
    await desk.enrol("S-1", 2, reason="another warrant")
    entry = desk.entry("S-1")
    assert (entry.form.reason, entry.removed_at) == ("another warrant", 0.0)
    assert [image.sha256 for image in entry.images] == [sha256(png(picture(n))) for n in (1, 2)]
    assert desk.list().references == 1
    assert desk.biometrics()[0] == ["S-1/2.png"]


async def test_a_crash_anywhere_in_taking_off_is_made_good_at_the_next_start(crew, log, clock):
    desk = await with_one_named(crew, log, clock)
    before = len(desk.life.steps)
    await desk.remove("S-1")
    steps = len(desk.life.steps) - before
    assert steps > 5
    for step in range(1, steps):
        desk = await with_one_named(crew, log, clock)
        desk.life.dies_at = step
        with suppress(DeadError):  # the last is what is owed to the audit
            await desk.remove("S-1")
        again = desk.reborn()
        assert not again.registry.book.is_current("wanted", "S-1", clock())
        await again.sweeper.sweep()
        assert again.biometrics() == NOTHING, f"died at step {step}"
        assert (again.list().references, again.list().removing, again.list().owed) == (0, (), ())
        assert [request.deed.who for request in desk.peers.audit if request.event == "watchlist.removed"] == ["l-stone"]


async def test_taking_off_that_failed_half_way_is_finished_when_it_is_asked_again(crew, log, clock):
    desk = await with_one_named(crew, log, clock)
    drop = desk.portraits.drop

    async def away(_key):
        raise TransientError("the bus is away")

    desk.portraits.drop = away
    with pytest.raises(TransientError):
        await desk.remove("S-1")
    assert not desk.registry.book.is_current("wanted", "S-1", clock())
    with pytest.raises(TransientError, match="still being erased"):
        await desk.enrol("S-1", 2)
    desk.portraits.drop = drop
    record = (await desk.remove("S-1")).record
    assert (record.subjects, record.removing, desk.biometrics()) == (0, (), NOTHING)
    assert desk.peers.events.count("watchlist.removed") == 1


async def test_nobody_comes_back_on_a_list_before_it_is_written_down_that_they_are_off(crew, log, clock):
    desk = await with_one_named(crew, log, clock)
    put = desk.lists.put

    async def away(key, record):
        if not record.removing:
            raise TransientError("the bus is away")
        return await put(key, record)

    desk.lists.put = away
    with pytest.raises(TransientError):
        await desk.remove("S-1")
    assert desk.entry("S-1").form is None
    with pytest.raises(TransientError, match="still being erased"):  # the next sweep would erase it
        await desk.enrol("S-1", 2)
    desk.lists.put = put
    await desk.sweeper.sweep()
    assert (await desk.enrol("S-1", 2)).enrolled
    await desk.sweeper.sweep()
    assert desk.registry.book.is_current("wanted", "S-1", clock())


async def with_one_named(crew, log, clock):
    """A list with S-1 on it, who has a name."""
    desk = MatchDesk(crew, log, clock)
    await desk.create()
    await desk.enrol("S-1", 1, person="Jane Doe")
    return desk


async def test_an_entry_that_has_expired_takes_no_image_that_would_go_with_it(desk, clock):
    await desk.enrol("S-1", 1, expires_at=clock() + 60)
    clock.advance(60)
    for number in (1, 2):
        with pytest.raises(TransientError, match="still being erased"):
            await desk.enrol("S-1", number)
    await desk.sweeper.sweep()
    assert (await desk.enrol("S-1", 1)).enrolled
    assert desk.registry.book.is_current("wanted", "S-1", clock())


async def test_an_image_is_on_the_list_already_by_what_lies_there_and_not_by_what_was_heard(desk, clock):
    await desk.enrol("S-1", 1)
    heard = dict(desk.registry.book.entries.all())
    await desk.remove("S-1")
    desk.registry.book.entries = SimpleNamespace(get=heard.get, all=lambda: heard)  # a mirror that lags
    reply = await desk.enrol("S-1", 1)
    assert (reply.enrolled, reply.already) == (True, False)
    assert desk.entries.records["wanted.S-1"][0].form is not None
    assert desk.biometrics()[0] == ["S-1/1.png"]


async def test_an_entry_that_expires_while_its_image_is_looked_at_takes_none(desk, clock):
    await desk.enrol("S-1", 1, expires_at=clock() + 60)
    enrol = desk.gallery.enrol

    async def slow(watch_list, references):
        clock.advance(60)
        await enrol(watch_list, references)

    desk.gallery.enrol = slow
    with pytest.raises(TransientError, match="still being erased"):
        await desk.enrol("S-1", 2)
    await desk.sweeper.sweep()
    assert desk.biometrics() == NOTHING


async def test_a_name_that_an_entry_does_not_take_is_said(desk):
    await desk.enrol("S-1", 1, person="Jane Doe")
    assert (await desk.enrol("S-1", 2, person="Jane Doe")).reason == ""
    assert (await desk.enrol("S-1", 3)).reason == ""
    assert (await desk.enrol("S-1", 4, person="J. Roe")).reason == "the entry keeps the name it has"
    await desk.enrol("S-2", 5)
    assert (await desk.enrol("S-2", 6, person="John Roe")).reason == "the entry keeps the name it has"
    assert [record.name for record, _ in desk.names.records.values()] == ["Jane Doe"]


@pytest.mark.parametrize("step", range(8))
async def test_wherever_an_enrolment_dies_nobody_is_searched_for_whom_no_officer_put_there(crew, log, clock, step):
    desk = MatchDesk(crew, log, clock)
    await desk.create()
    desk.life.dies_at = step  # the deed, the reference, the portrait, the entry, the counts, what is owed
    with suppress(DeadError):
        await desk.enrol("S-1", 1)
    again = desk.reborn()
    await again.sweeper.sweep()
    on_it = again.entry("S-1") is not None
    told = [request.deed.who for request in desk.peers.audit if request.event == "watchlist.enrolled"]
    assert told == ["l-stone"] or not on_it
    assert again.list().references == len(again.biometrics()[0]) == int(on_it)


async def test_what_the_audit_keeps_of_an_enrolment_is_signed_and_holds_neither_picture_nor_name(desk, crew, clock):
    request = EnrolEntryRequest(
        watch_list="wanted",
        subject="S-1",
        reference="Jane Doe.png",
        image=png(picture(1)),
        entry=entry_form(clock, name="Jane Doe"),
    )
    await desk.membership.enrol(desk.act(with_notice(crew["l-stone"], request, clock)))
    told = desk.peers.audit[-1]
    act = crew["l-stone"].public.open(codec.decode(Sealed, told.sealed), Act, "l-stone")
    notice = codec.decode(EnrolmentNotice, act.request)
    assert (notice.subject, notice.sha256) == ("S-1", sha256(png(picture(1))))
    assert told.deed.act == sha256(told.sealed)
    assert len(told.sealed) < 1000
    assert b"Jane" not in told.sealed


@pytest.mark.parametrize("notice", ["none", "of another person", "another's"])
async def test_an_enrolment_whose_notice_for_the_audit_is_wrong_is_refused(desk, crew, clock, notice):
    request = EnrolEntryRequest(
        watch_list="wanted", subject="S-1", reference="a", image=png(picture(1)), entry=entry_form(clock)
    )
    if notice == "of another person":
        other = with_notice(crew["l-stone"], request.model_copy(update={"subject": "S-2"}), clock)
        request = other.model_copy(update={"subject": "S-1"})
    elif notice == "another's":
        request = with_notice(crew.govern, request, clock)
    with pytest.raises(PermanentError, match="notice"):
        await desk.membership.enrol(desk.act(request))
    assert desk.biometrics() == NOTHING


async def test_two_who_change_a_list_at_once_do_so_one_after_the_other(desk):
    await asyncio.gather(*(desk.enrol(f"S-{number}", number) for number in range(6)))
    assert (desk.list().record_version, desk.list().references) == (7, 6)


async def test_a_list_that_others_keep_changing_is_a_conflict_and_not_a_loop(desk, clock):
    async def never(key, _record, _revision):
        raise Conflict(key)

    desk.lists.replace = never
    with pytest.raises(ConflictError, match="changed by somebody else"):
        await desk.expire(clock() + 1)
