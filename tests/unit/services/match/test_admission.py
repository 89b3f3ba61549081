"""Nobody is added behind an armed deployment, and an officer of evaluations touches no list that is used in earnest."""

import pytest

from libs.errors import ConflictError
from libs.officers import ForbiddenError
from proto.requests.watchlists import CreateListRequest, DestroyListRequest
from tests.examples import changed
from tests.match_desk import DAY_S, NOTHING, MatchDesk, list_form

MANIFEST = {"manifest_sha256": "ab" * 32}


@pytest.fixture
async def desk(crew, log, clock):
    made = MatchDesk(crew, log, clock)
    await made.create()
    await made.enrol("S-1", 1)
    return made


def armed(desk, **changes):
    """A deployment that may search the list `wanted`."""
    desk.warrants["station-north"] = changed("warrant", ends_at=desk.clock() + DAY_S, **changes)


@pytest.mark.parametrize(
    "warrant",
    [
        {"state": "armed"},
        {"state": "suspended"},
        {"watch_lists": ("missing",), "seed_lists": ("wanted",)},
    ],
    ids=["armed", "suspended", "with a list of seeds"],
)
async def test_nobody_is_added_to_a_list_that_a_deployment_is(desk, warrant):
    armed(desk, **warrant)
    with pytest.raises(ConflictError, match=r"deployment station-north is .*end it first"):
        await desk.enrol("S-2", 2)
    with pytest.raises(ConflictError, match="station-north"):
        await desk.step("begin", **MANIFEST)
    assert desk.list().subjects == 1
    await desk.destroy()
    with pytest.raises(ConflictError, match="station-north"):
        await desk.create()
    assert desk.list().state == "destroyed"


async def test_an_import_that_was_under_way_when_it_was_armed_adds_nobody_and_can_be_taken_back(desk):
    begun = await desk.step("begin", **MANIFEST)
    await desk.enrol("S-2", 2, begun.import_id)
    armed(desk)
    with pytest.raises(ConflictError, match="station-north"):
        await desk.enrol("S-3", 3, begun.import_id)
    with pytest.raises(ConflictError, match="station-north"):
        await desk.step("complete", begun.import_id)
    assert (await desk.step("abort", begun.import_id)).state == "ready"
    assert desk.biometrics()[0] == ["S-1/1.png"]


async def test_people_come_off_an_armed_list_and_it_expires_and_is_destroyed(desk, clock):
    armed(desk)
    await desk.remove("S-1")
    await desk.expire(clock() + 3600)
    await desk.destroy()
    assert (desk.list().state, desk.biometrics()) == ("destroyed", NOTHING)


@pytest.mark.parametrize(
    "warrant",
    [{"state": "ended"}, {"watch_lists": ("missing",)}],
    ids=["ended", "armed without it"],
)
async def test_people_are_added_to_a_list_of_a_deployment_that_is(desk, warrant):
    armed(desk, **warrant)
    assert (await desk.enrol("S-2", 2)).enrolled


async def test_people_are_added_again_once_the_end_of_the_deployment_has_come(desk, clock):
    armed(desk)
    clock.advance(DAY_S)
    assert (await desk.enrol("S-2", 2)).enrolled


# -- profiles

ACTS = {
    "create": lambda desk: desk.create("another"),
    "begin": lambda desk: desk.step("begin", **MANIFEST),
    "enrol": lambda desk: desk.enrol("S-2", 2),
    "remove": lambda desk: desk.remove("S-1"),
    "expire": lambda desk: desk.expire(desk.clock() + 3600),
    "destroy": lambda desk: desk.destroy(),
    "duplicates": lambda desk: desk.seek_duplicates(),
}


@pytest.mark.parametrize("act", ACTS)
async def test_an_officer_of_evaluations_cannot_touch_a_list_that_is_used_in_earnest(desk, crew, act):
    crew.write_roster(l_stone='profiles = ["evaluation"]\n')
    before = dict(desk.lists.records)
    with pytest.raises(ForbiddenError, match="l-stone may not act under the profile uk-police"):
        await ACTS[act](desk)
    assert desk.lists.records == before
    assert desk.biometrics()[0] == ["S-1/1.png"]


async def test_nor_can_it_go_on_with_an_import_of_one(desk, crew):
    begun = await desk.step("begin", **MANIFEST)
    crew.write_roster(l_stone='profiles = ["evaluation"]\n')
    for act in (desk.enrol("S-2", 2, begun.import_id), desk.step("complete", begun.import_id)):
        with pytest.raises(ForbiddenError):
            await act
    assert desk.list().state == "importing"


async def test_an_officer_of_evaluations_makes_and_destroys_its_own_lists(desk, crew):
    crew.write_roster(l_stone='profiles = ["evaluation"]\n')
    await desk.create("trial", profile="evaluation")
    assert (await desk.enrol("S-9", 9, name="trial")).enrolled


async def test_govern_itself_may_act_on_every_list(desk, clock):
    create = CreateListRequest(form=list_form(clock, watch_list="other", profile="evaluation"))
    await desk.watchlists.create(desk.act(create, "govern"))
    await desk.watchlists.destroy(desk.act(DestroyListRequest(watch_list="wanted", reason="ended"), "govern"))
    assert (desk.list("other").state, desk.list().state) == ("ready", "destroyed")
