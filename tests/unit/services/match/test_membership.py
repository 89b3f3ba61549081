"""One image of one person on a list, and off it again: what is written down, and what is not taken."""

import asyncio
from contextlib import suppress

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
    assert (told.id, told.event) == ("watchlist.wanted.2", "watchlist.enrolled")
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


async def test_another_image_of_the_same_name_is_refused_so_that_nothing_is_overwritten(desk):
    await desk.enrol("S-1", 1, reference="front.png")
    reply = await desk.enrol("S-1", 2, reference="front.png")
    assert not reply.enrolled
    assert "front.png" in reply.reason
    assert len(desk.entry("S-1").images) == 1


@pytest.mark.parametrize("reference", ["a/b", "a\nb"])
async def test_a_reference_that_could_be_taken_for_another_subjects_is_refused(desk, reference):
    assert not (await desk.enrol("S-1", 1, reference=reference)).enrolled
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


async def test_a_crash_anywhere_in_taking_off_is_taken_up_again(crew, log, clock):
    for step in range(1, 5):
        desk = MatchDesk(crew, log, clock)
        await desk.create()
        await desk.enrol("S-1", 1)
        desk.life.dies_at = step
        with pytest.raises(DeadError):
            await desk.remove("S-1")
        again = desk.reborn()
        for record in again.registry.book.lists.all().values():
            await again.sweeper.repair(record)
        await again.sweeper.sweep()
        if again.entry("S-1").form is not None:
            await again.remove("S-1")
        assert again.biometrics() == NOTHING, f"died at step {step}"
        assert again.list().references == 0
        assert desk.peers.events[-1] in ("watchlist.removed", "watchlist.recounted")


@pytest.mark.parametrize("step", range(8))
async def test_wherever_an_enrolment_dies_nobody_is_searched_for_whom_no_officer_put_there(crew, log, clock, step):
    desk = MatchDesk(crew, log, clock)
    await desk.create()
    desk.life.dies_at = step  # the deed, the reference, the portrait, the entry, the counts, what is owed
    with suppress(DeadError):
        await desk.enrol("S-1", 1)
    again = desk.reborn()
    for record in again.registry.book.lists.all().values():
        await again.sweeper.repair(record)
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
