"""An import is begun, resumed and completed as one act, or taken back as if it had never been."""

import asyncio

import pytest

from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import ForbiddenError
from proto import subjects
from services.match.provenance import reviewed
from tests.examples import changed
from tests.match_desk import NOTHING, DeadError, MatchDesk, picture, png

MANIFEST = "f6" * 32


@pytest.fixture
async def desk(crew, log, clock):
    made = MatchDesk(crew, log, clock)
    await made.create()
    return made


async def begun(desk, **rest):
    return (await desk.step("begin", manifest_sha256=MANIFEST, images=3, **rest)).import_id


async def test_a_list_under_import_cannot_be_searched_until_it_is_complete(desk, clock):
    assert desk.registry.book.is_searchable("wanted", clock())
    import_id = await begun(desk)
    assert desk.list().state == "importing"
    assert not desk.registry.book.is_searchable("wanted", clock())
    await desk.enrol("S-1", 1, import_id)
    await desk.step("complete", import_id, images=1)
    assert desk.registry.book.is_searchable("wanted", clock())


async def test_a_complete_import_says_how_many_came_from_which_images_and_when(desk, clock):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id)
    await desk.enrol("S-1", 2, import_id)
    await desk.enrol("S-2", 3, import_id)
    clock.advance(60)
    record = await desk.step("complete", import_id, manifest_sha256=MANIFEST, images=4, refused=1)
    assert (record.state, record.import_id, record.built_at) == ("ready", "", clock())
    assert (record.subjects, record.references) == (2, 3)
    assert len(record.inputs_sha256) == 64


async def test_the_audit_has_one_entry_for_an_import_not_one_for_each_image(desk):
    import_id = await begun(desk)
    for number in range(5):
        await desk.enrol(f"S-{number}", number, import_id)
    await desk.step("complete", import_id, manifest_sha256=MANIFEST, images=6, refused=1)
    assert desk.peers.events == ["watchlist.created", "watchlist.import_begun", "watchlist.imported"]
    told = desk.peers.audit[-1]
    assert told.deed.who == "l-stone"
    assert {key: told.details[key] for key in ("images", "refused", "subjects", "references", "manifest_sha256")} == {
        "images": 6,
        "refused": 1,
        "subjects": 5,
        "references": 5,
        "manifest_sha256": MANIFEST,
    }


async def test_where_each_image_came_from_is_kept_with_it(desk):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id, source="custody photograph", image_date="2021")
    await desk.enrol("S-1", 2, import_id, source="passport", image_date="2023", lawful_basis="consent")
    kept = [(image.source, image.image_date, image.lawful_basis) for image in desk.entry("S-1").images]
    assert kept == [("custody photograph", "2021", "PACE 1984, s. 64A"), ("passport", "2023", "consent")]
    assert {image.import_id for image in desk.entry("S-1").images} == {import_id}


async def test_an_image_that_is_enrolled_already_changes_nothing_and_asks_no_model(desk):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id)
    before, asks = desk.entry("S-1"), len(desk.peers.asks)
    reply = await desk.enrol("S-1", 1, import_id, reference="another-name.png")
    assert (reply.enrolled, reply.already) == (True, True)
    assert reviewed(desk.entry("S-1"), before.images[0].sha256, 0.0) == before
    assert len(desk.peers.asks) == asks


async def test_the_same_image_for_two_subjects_is_two_references(desk):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id)
    assert not (await desk.enrol("S-2", 1, import_id)).already
    assert desk.biometrics()[0] == ["S-1/1.png", "S-2/1.png"]


async def test_the_same_manifest_resumes_its_import_and_begins_no_second(desk):
    import_id = await begun(desk)
    version = desk.list().record_version
    assert await begun(desk) == import_id
    assert (await desk.step("begin", import_id, manifest_sha256="00" * 32)).import_id == import_id
    assert desk.list().record_version == version
    assert desk.peers.events.count("watchlist.import_begun") == 1


@pytest.mark.parametrize("manifest", ["00" * 32, ""])
async def test_another_import_cannot_be_begun_meanwhile(desk, manifest):
    import_id = await begun(desk)
    with pytest.raises(ConflictError, match=f"an import {import_id} is under way"):
        await desk.step("begin", manifest_sha256=manifest)


async def test_an_import_goes_on_after_match_has_died_and_come_back(desk):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id)
    again = desk.reborn()
    await again.sweeper.sweep()
    assert (again.list().state, again.list().import_id) == ("importing", import_id)
    await again.enrol("S-2", 2, import_id)
    assert (await again.step("complete", import_id)).references == 2


async def test_taken_back_the_list_is_as_it_was_before(desk):
    await desk.enrol("S-1", 1)
    await desk.enrol("S-2", 2)
    before, entries, biometrics = desk.list(), dict(desk.registry.book.entries.all()), desk.biometrics()
    portraits = dict(desk.portraits.kept)
    import_id = await begun(desk)
    await desk.enrol("S-2", 20, import_id, source="elsewhere")
    await desk.enrol("S-3", 3, import_id)
    assert desk.biometrics() != biometrics
    record = await desk.step("abort", import_id)
    assert desk.biometrics() == biometrics
    assert desk.portraits.kept == portraits
    assert desk.registry.book.entries.all() == entries
    assert (record.state, record.import_id, record.references) == ("ready", "", 2)
    assert record.inputs_sha256 == before.inputs_sha256
    assert desk.peers.events[-1] == "watchlist.import_aborted"
    assert desk.peers.audit[-1].details["images_taken_back"] == 2


async def test_an_entry_that_was_taken_off_before_stays_off_when_its_import_is_taken_back(desk):
    await desk.enrol("S-1", 1)
    await desk.remove("S-1")
    import_id = await begun(desk)
    await desk.enrol("S-1", 2, import_id)
    assert desk.entry("S-1").form is not None
    await desk.step("abort", import_id)
    assert desk.entry("S-1").form is None
    assert len(desk.entry("S-1").images) == 1
    assert desk.biometrics() == NOTHING


async def test_images_that_come_together_are_answered_in_their_order_each_for_itself(desk):
    import_id = await begun(desk)
    images = [
        desk.image("S-2", 2),
        desk.image("S-1", 1),
        desk.image("S-3", 3, image=b"a text file"),
        desk.image("S-4", 4, expires_at=desk.clock()),
        desk.image("S-1", 5),
    ]
    replies = await desk.bring(images, import_id)
    assert [(reply.subject, reply.reference, reply.enrolled) for reply in replies] == [
        ("S-2", "2.png", True),
        ("S-1", "1.png", True),
        ("S-3", "3.png", False),
        ("S-4", "4.png", False),
        ("S-1", "5.png", True),
    ]
    assert "not a JPEG" in replies[2].reason
    assert replies[3].reason == "the entry has expired"
    assert desk.biometrics()[0] == ["S-1/1.png", "S-1/5.png", "S-2/2.png"]
    assert [image.reference for image in desk.entry("S-1").images] == ["1.png", "5.png"]
    assert desk.peers.asks.count(subjects.EMBED) == 1


async def test_the_portrait_is_that_of_the_best_of_the_images_that_come_together(desk):
    import_id = await begun(desk)
    poor, good = desk.image("S-1", 2, image=png(picture(2, shades=60))), desk.image("S-1", 1)
    await desk.bring([poor, good], import_id)
    (portrait,) = desk.portraits.kept.values()
    await desk.bring([desk.image("S-2", 1, reference="alone.png")], import_id)
    assert desk.portraits.kept["reference.wanted.S-2"] == portrait


async def test_a_file_that_comes_twice_together_is_enrolled_once(desk):
    import_id = await begun(desk)
    replies = await desk.bring([desk.image("S-1", 1, reference=f"{n}.png") for n in "abc"], import_id)
    assert [(reply.reference, reply.enrolled, reply.already) for reply in replies] == [
        ("a.png", True, False),
        ("b.png", True, True),
        ("c.png", True, True),
    ]
    assert desk.biometrics()[0] == ["S-1/a.png"]
    desk.peers.faces = 0
    replies = await desk.bring([desk.image("S-2", 2, reference=f"{n}.png") for n in "ab"], import_id)
    assert [(reply.enrolled, reply.already, reply.reason) for reply in replies] == [
        (False, False, "no face was found in the image")
    ] * 2


async def test_images_of_one_name_are_two_references(desk):
    import_id = await begun(desk)
    images = [desk.image("S-1", number, reference="front.png") for number in (1, 2)]
    assert all(reply.enrolled for reply in await desk.bring(images, import_id))
    assert [image.reference for image in desk.entry("S-1").images] == ["front.png", "front.png"]
    assert len(desk.gallery.lists["wanted"]) == 2


async def test_two_who_bring_images_of_one_name_at_once_take_none_from_each_other(desk):
    """Neither act knows of the other's image when it begins to write."""
    import_id = await begun(desk)
    first, second = (desk.image("S-1", number, reference="front.png") for number in (1, 2))
    await asyncio.gather(desk.bring([first], import_id), desk.bring([second], import_id))
    kept = desk.gallery.lists["wanted"]
    assert sorted(kept) == sorted(f"S-1/{image.sha256}" for image in desk.entry("S-1").images)
    assert len(kept) == 2


async def test_particulars_that_differ_among_images_that_come_together_are_said_to_be_not_taken(desk):
    import_id = await begun(desk)
    images = [desk.image("S-1", 1), desk.image("S-1", 2, reason="another"), desk.image("S-2", 3)]
    replies = await desk.bring(images, import_id)
    assert [reply.reason for reply in replies] == ["", "the entry keeps the reason it has", ""]


async def test_an_image_of_an_import_by_itself_names_no_import_and_is_refused_while_one_is_under_way(desk):
    await begun(desk)
    with pytest.raises(ConflictError, match="is under way: complete it"):
        await desk.enrol("S-1", 1)


async def test_nobody_is_added_to_a_list_that_was_armed_while_their_image_was_looked_at(desk, clock):
    ask = desk.peers.ask

    async def arming(subject, *rest):
        if subject == subjects.EMBED:
            window = {"starts_at": clock.now - 10, "ends_at": clock.now + 1000}
            desk.warrants["d"] = changed("warrant", watch_lists=("wanted",), seed_lists=(), state="armed", **window)
        return await ask(subject, *rest)

    desk.peers.ask = arming
    with pytest.raises(ConflictError, match="armed"):
        await desk.enrol("S-1", 1)
    assert desk.biometrics() == NOTHING


async def test_an_enrolment_that_failed_before_it_was_counted_is_counted_when_it_is_asked_for_again(desk, monkeypatch):
    async def away(*_):
        raise TransientError("the bus is away")

    with monkeypatch.context() as broken:
        broken.setattr(desk.membership, "_count", away)
        with pytest.raises(TransientError):
            await desk.enrol("S-1", 1)
    assert (await desk.enrol("S-1", 1)).already
    assert (desk.list().subjects, desk.list().references) == (1, 1)


async def test_an_import_that_was_taken_back_is_not_said_to_be_complete(desk):
    import_id = await begun(desk)
    await desk.enrol("S-1", 1, import_id)
    await desk.step("complete", import_id)
    second = (await desk.step("begin", manifest_sha256="a7" * 32, images=1)).import_id
    await desk.step("abort", second)
    with pytest.raises(ConflictError, match="is under way"):
        await desk.step("complete", second)


async def test_a_name_is_taken_back_with_its_entry(desk):
    import_id = await begun(desk)
    await enrol_named(desk, "S-1", "Jane Doe", import_id)
    assert desk.biometrics()[2] == ["wanted.S-1"]
    await desk.step("abort", import_id)
    assert desk.biometrics() == NOTHING
    assert set(desk.names.erased) == {"wanted.S-1"}


async def enrol_named(desk, subject, name, import_id):
    (reply,) = await desk.bring([desk.image(subject, 1, reference="a.png", name=name)], import_id)
    return reply


@pytest.mark.parametrize("step", ["complete", "abort"])
async def test_an_import_that_is_not_under_way_is_neither_completed_nor_taken_back(desk, step):
    with pytest.raises(ConflictError, match=r"no import nonsense .* is under way"):
        await desk.step(step, "nonsense")
    await begun(desk)
    with pytest.raises(ConflictError, match=r"no import nonsense .* is under way"):
        await desk.step(step, "nonsense")
    assert desk.list().state == "importing"


async def test_a_step_whose_answer_was_lost_is_answered_again(desk):
    import_id = await begun(desk)
    done = await desk.step("complete", import_id)
    assert await desk.step("complete", import_id) == done
    other = await begun(desk)
    taken_back = await desk.step("abort", other)
    assert await desk.step("abort", other) == taken_back


async def test_an_import_that_is_over_is_not_begun_again(desk):
    import_id = await begun(desk)
    await desk.step("complete", import_id)
    with pytest.raises(ConflictError, match="is over"):
        await desk.step("begin", import_id)


async def test_an_image_of_an_import_that_is_over_is_refused(desk):
    import_id = await begun(desk)
    await desk.step("abort", import_id)
    with pytest.raises(ConflictError, match=f"no import {import_id}"):
        await desk.enrol("S-1", 1, import_id)
    assert desk.biometrics() == NOTHING


async def test_nobody_is_enrolled_beside_an_import(desk):
    await begun(desk)
    with pytest.raises(ConflictError, match="is under way"):
        await desk.enrol("S-1", 1)


async def test_nobody_is_taken_off_during_an_import(desk):
    await desk.enrol("S-1", 1)
    await begun(desk)
    with pytest.raises(ConflictError, match="is under way"):
        await desk.remove("S-1")


async def test_only_list_managers_import(desk):
    with pytest.raises(ForbiddenError):
        await desk.step("begin", who="b-smith")
    import_id = await begun(desk)
    with pytest.raises(ForbiddenError):
        await desk.enrol("S-1", 1, import_id, who="d-green")
    assert desk.biometrics() == NOTHING


async def test_nothing_is_imported_into_a_list_that_has_expired(desk, clock):
    clock.now = desk.list().form.expires_at
    with pytest.raises(PermanentError, match="has expired"):
        await desk.step("begin")
    with pytest.raises(ConflictError, match="has expired"):
        await desk.enrol("S-1", 1)


async def test_nothing_is_imported_into_a_list_that_is_not_there(desk):
    with pytest.raises(MissingError, match="no watch list nowhere"):
        await desk.step("begin", name="nowhere")


async def half_done(crew, log, clock):
    """A list with S-1 on it, and an import under way that has added S-1's second image and S-2."""
    desk = MatchDesk(crew, log, clock)
    await desk.create()
    await desk.enrol("S-1", 1)
    import_id = await begun(desk)
    await desk.enrol("S-1", 10, import_id)
    await enrol_named(desk, "S-2", "Jane Doe", import_id)
    return desk, import_id


async def test_a_crash_anywhere_in_taking_back_can_be_taken_up_again(crew, log, clock):
    desk, import_id = await half_done(crew, log, clock)
    before = len(desk.life.steps)
    await desk.step("abort", import_id)
    steps = len(desk.life.steps) - before
    assert steps > 5
    for step in range(steps):
        desk, import_id = await half_done(crew, log, clock)
        desk.life.dies_at = step
        with pytest.raises(DeadError):
            await desk.step("abort", import_id)
        again = desk.reborn()
        await again.sweeper.sweep()
        if again.list().state == "importing":
            assert step == 0
            await again.step("abort", import_id)
            await again.sweeper.sweep()
        references, portraits, names = again.biometrics()
        assert (references, portraits, names) == (["S-1/1.png"], ["reference.wanted.S-1"], []), f"died at {step}"
        assert [image.reference for image in again.entry("S-1").images] == ["1.png"]
        assert (again.list().state, again.list().owed) == ("ready", ())


async def test_a_crash_anywhere_in_an_enrolment_leaves_no_reference_that_no_entry_speaks_for(crew, log, clock):
    steps = 4  # the reference, the portrait, the name, the entry
    for step in range(steps):
        desk = MatchDesk(crew, log, clock)
        await desk.create()
        import_id = await begun(desk)
        desk.life.dies_at = step
        with pytest.raises(DeadError):
            await enrol_named(desk, "S-1", "Jane Doe", import_id)
        again = desk.reborn()
        await again.sweeper.sweep()
        assert again.biometrics() == NOTHING, f"died at step {step}"
        assert (await enrol_named(again, "S-1", "Jane Doe", import_id)).enrolled
        assert (await again.step("complete", import_id)).references == 1


async def test_while_an_import_is_taken_back_nobody_is_told_to_take_it_back(desk):
    import_id = (await desk.step("begin")).import_id
    desk.lists.records["wanted"] = desk.list().model_copy(update={"state": "aborting"}), 99
    for act in (desk.remove("S-1"), desk.enrol("S-1", 1)):
        with pytest.raises(ConflictError, match=f"the import {import_id} is being taken back: try again in a moment"):
            await act
