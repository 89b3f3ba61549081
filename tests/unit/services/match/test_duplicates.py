"""One person under two numbers is sought by an act that is written down; who resembles but faintly is not shown."""

import pytest

from libs.errors import PermanentError
from libs.gallery import PossiblePair
from libs.officers import ForbiddenError
from proto.sealed import Sealed
from tests.match_desk import MatchDesk, sha256


@pytest.fixture
async def desk(crew, log, clock):
    made = MatchDesk(crew, log, clock)
    for name in ("wanted", "missing"):
        await made.create(name)
        await made.enrol("S-1", 1, name=name)
        await made.enrol("S-2", 2, name=name)
    made.gallery.pairs = [
        PossiblePair("wanted", "S-1", "wanted", "S-2", 0.9),
        PossiblePair("wanted", "S-1", "missing", "S-1", 0.5),
        PossiblePair("wanted", "S-2", "missing", "S-1", 0.2),
    ]
    return made


async def test_one_who_may_be_on_a_list_twice_or_on_another_list_is_shown(desk):
    pairs = (await desk.seek_duplicates(threshold=0.5)).pairs
    assert [(pair.subject, pair.other_list, pair.other_subject) for pair in pairs] == [
        ("S-1", "wanted", "S-2"),
        ("S-1", "missing", "S-1"),
    ]


async def test_that_it_was_sought_is_written_down_with_what_and_how_many_were_found_and_not_who(desk):
    await desk.seek_duplicates(threshold=0.5)
    told = desk.peers.audit[-1]
    assert (told.event, told.deed.who, told.deed.verb) == ("watchlist.duplicates_sought", "l-stone", "seek_duplicates")
    assert told.details == {"threshold": 0.5, "other_lists": 1, "pairs": 2}
    assert told.deed.act == sha256(told.sealed)


async def test_it_stays_owed_to_the_audit_while_govern_is_away(desk):
    desk.peers.audit_away = True
    await desk.seek_duplicates()
    assert [owed.event for owed in desk.list().owed] == ["watchlist.duplicates_sought"]


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.449])
async def test_no_threshold_at_which_strangers_resemble_each_other_is_taken(desk, threshold):
    with pytest.raises(PermanentError, match=r"under a score of 0\.45 strangers resemble"):
        await desk.seek_duplicates(threshold=threshold)
    assert desk.gallery.sought == []


async def test_only_a_list_manager_may_seek(desk):
    with pytest.raises(ForbiddenError):
        await desk.seek_duplicates(who="d-green")
    assert desk.gallery.sought == []


async def test_an_ask_that_nobody_signed_is_refused(desk):
    sealed = desk.act(desk.duplicates_request())
    with pytest.raises(PermanentError):
        await desk.duplicates.find(Sealed(**{**sealed.model_dump(), "signature": bytes(64)}))
    assert desk.gallery.sought == []


async def test_lists_under_a_profile_that_is_not_the_officers_are_not_searched(desk, crew):
    crew.write_roster(l_stone='profiles = ["evaluation"]\n')
    await desk.create("trial", profile="evaluation")
    await desk.create("trial-too", profile="evaluation")
    await desk.seek_duplicates("trial")
    assert desk.gallery.sought == [("trial", ["trial-too"])]
