"""The second lock: what is searched for whom, what is forgotten, and what is counted. No other lock stands here."""

import numpy as np
import pytest

from libs.errors import PermanentError
from libs.gallery import Candidate
from proto.deployments import Binding
from proto.messages import Sighting
from services.match.matcher import Books, Matcher
from services.match.settings import MatchSettings
from tests.examples import EXAMPLES, changed
from tests.fakes import Deployments

CREATED = {"missing": 1.0, "wanted": 2.0, "blue": 3.0}
BINDING = Binding(lists=CREATED)
WARRANT = changed("warrant", binding=BINDING)  # floor 0.25, watch lists missing and wanted
SEEDED = changed("warrant", binding=BINDING, seed_lists=("blue",))
PROBE = EXAMPLES["probe"]


class Lists:
    """A gallery of lists by name, each of (subject, score), and which of them and who on them may be found."""

    def __init__(self, references=1000, **lists):
        self.lists = {"missing": [], "wanted": [], "blue": []} | lists
        self.references = references
        self.created = dict(CREATED)
        self.closed, self.expired = set(), set()
        self.searches = []

    async def search(self, watch_lists, templates, k):
        self.searches.append((tuple(watch_lists), templates, k))
        found = [Candidate(name, who, f"{who}/1", score) for name in watch_lists for who, score in self.lists[name]]
        return [sorted(found, key=lambda one: -one.score)[:k] for _ in templates]

    async def count(self, _watch_list):
        return self.references

    def is_searchable(self, watch_list, _now):
        return watch_list not in self.closed

    def was_created_at(self, watch_list, created_at):
        return self.created[watch_list] == created_at

    def is_current(self, watch_list, subject, _now):
        return (watch_list, subject) not in self.expired


class Counted(list):
    """What was counted: (deployment, camera, best score, N) of each search."""

    def add(self, *search):
        self.append(search)


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def matcher(clock, counted):
    def make(lists, *warrants, **settings):
        books = Books(Deployments(*(warrants or (WARRANT,))), lists)
        return Matcher(lists, books, counted, MatchSettings(**settings), clock)

    return make


def people(found):
    return [(candidate.watch_list, candidate.subject) for candidate in found.candidates]


async def test_the_candidates_at_or_over_the_floor_are_kept_best_first(matcher):
    lists = Lists(missing=[("S-2", 0.25)], wanted=[("S-1", 0.7), ("S-3", 0.2499)])
    (found,) = await matcher(lists).search(PROBE)
    assert people(found) == [("wanted", "S-1"), ("missing", "S-2")]
    assert found.portrait == PROBE.portrait


async def test_of_a_face_that_resembles_nobody_nothing_is_passed_on(matcher):
    (nobody,) = await matcher(Lists(wanted=[("S-1", 0.2)])).search(PROBE)
    assert nobody.candidates == ()
    assert nobody.portrait == b""
    assert nobody.searched == 2000


async def test_an_empty_list_is_sent_too_so_that_searches_can_be_counted(matcher):
    assert len(await matcher(Lists(references=0)).search(PROBE)) == 1


async def test_the_lists_of_the_warrant_are_searched_and_no_others(matcher):
    lists = Lists(elsewhere=[("S-9", 0.9)])
    (found,) = await matcher(lists, candidates=3).search(PROBE)
    ((names, templates, k),) = lists.searches
    assert names == ("missing", "wanted")
    assert np.array_equal(templates, PROBE.template[None])
    assert k == 3
    assert people(found) == []


async def test_where_and_when_the_face_was_seen_stays_as_it_was(matcher):
    (found,) = await matcher(Lists(wanted=[("S-1", 0.7)])).search(PROBE)
    for name in Sighting.model_fields:
        assert getattr(found, name) == getattr(PROBE, name)
    assert found.id == PROBE.id


async def test_a_template_of_another_model_is_refused_before_anything_is_searched(matcher, counted):
    lists = Lists(wanted=[("S-1", 0.9)])
    with pytest.raises(PermanentError, match="another version"):
        await matcher(lists).search(changed("probe", template_version="arcface-r50"))
    assert (lists.searches, counted) == ([], [])


# -- the lock


@pytest.mark.parametrize(
    "warrant",
    [
        changed("warrant", deployment="elsewhere"),
        changed("warrant", state="suspended"),
        changed("warrant", state="ended"),
        changed("warrant", starts_at=1_700_000_001.0),
        changed("warrant", ends_at=1_700_000_000.0),
        changed("warrant", cameras=("gate-2",)),
    ],
    ids=["unknown", "suspended", "ended", "not begun", "over", "without the camera"],
)
async def test_nobody_is_searched_for_in_a_deployment_that_is(matcher, counted, warrant):
    lists = Lists(wanted=[("S-1", 0.9)])
    with pytest.raises(PermanentError, match="no armed deployment station-north covers camera gate-1"):
        await matcher(lists, warrant).search(PROBE)
    assert (lists.searches, counted) == ([], [])


async def test_a_deployment_ends_while_its_probes_are_on_their_way(matcher, clock):
    handler = matcher(Lists())
    await handler.search(PROBE)
    clock.now = WARRANT.ends_at
    with pytest.raises(PermanentError):
        await handler.search(PROBE)


# -- lists and entries that hold no more


async def test_another_list_of_the_name_of_one_that_was_armed_is_not_searched(matcher):
    lists = Lists(missing=[("S-2", 0.8)], wanted=[("S-1", 0.7)], blue=[("B-1", 0.9)])
    lists.created |= {"missing": 9.0, "blue": 9.0}
    (found,) = await matcher(lists, SEEDED).search(PROBE)
    assert people(found) == [("wanted", "S-1")]
    assert found.searched == 1000


async def test_a_list_that_the_warrant_was_not_armed_with_is_not_searched(matcher):
    lists = Lists(missing=[("S-2", 0.8)], wanted=[("S-1", 0.7)])
    (found,) = await matcher(lists, changed("warrant")).search(PROBE)
    assert (people(found), lists.searches) == ([], [])


async def test_a_list_that_expired_or_is_being_imported_is_neither_searched_nor_part_of_n(matcher):
    lists = Lists(missing=[("S-2", 0.8)], wanted=[("S-1", 0.7)])
    lists.closed.add("missing")
    (found,) = await matcher(lists).search(PROBE)
    assert people(found) == [("wanted", "S-1")]
    assert [names for names, _, _ in lists.searches] == [("wanted",)]
    assert found.searched == 1000


async def test_with_no_list_left_nothing_is_searched_and_that_is_told(matcher, counted):
    lists = Lists(wanted=[("S-1", 0.7)])
    lists.closed |= {"missing", "wanted"}
    (found,) = await matcher(lists).search(PROBE)
    assert (found.candidates, found.searched, lists.searches) == ((), 0, [])
    assert counted == [("station-north", "gate-1", -1.0, 0)]


async def test_who_has_expired_on_one_list_is_found_on_the_other_alone(matcher):
    lists = Lists(missing=[("S-1", 0.7)], wanted=[("S-1", 0.7)])
    lists.expired.add(("wanted", "S-1"))
    (found,) = await matcher(lists).search(PROBE)
    assert people(found) == [("missing", "S-1")]


async def test_expired_entries_take_no_places_from_those_who_hold(matcher):
    gone = [(f"gone-{number}", 0.9) for number in range(20)]
    lists = Lists(wanted=[*gone, ("S-1", 0.7), ("S-2", 0.6), ("S-3", 0.5)])
    lists.expired |= {("wanted", subject) for subject, _ in gone}
    (found,) = await matcher(lists, candidates=2).search(PROBE)
    assert people(found) == [("wanted", "S-1"), ("wanted", "S-2")]


async def test_no_more_are_asked_for_once_what_follows_is_under_the_floor(matcher, counted):
    lists = Lists(wanted=[("gone", 0.9), ("S-1", 0.7), ("S-2", 0.2), ("S-3", 0.1), ("S-4", 0.1)])
    lists.expired.add(("wanted", "gone"))
    (found,) = await matcher(lists, candidates=3).search(PROBE)
    assert people(found) == [("wanted", "S-1")]
    assert len(lists.searches) == 1
    assert counted[-1][2] == 0.7


# -- seeds


async def test_seeds_are_searched_for_too(matcher):
    lists = Lists(wanted=[("S-1", 0.6)], blue=[("blue-1", 0.8)])
    (found,) = await matcher(lists, SEEDED).search(PROBE)
    assert people(found) == [("blue", "blue-1"), ("wanted", "S-1")]


async def test_a_list_of_seeds_makes_n_no_larger_and_the_scores_of_strangers_no_higher(matcher, counted):
    lists = Lists(wanted=[("S-1", 0.22)], blue=[("blue-1", 0.8)])
    (found,) = await matcher(lists, SEEDED).search(PROBE)
    assert found.searched == 2000
    assert counted == [("station-north", "gate-1", 0.22, 2000)]


async def test_seeds_take_no_places_on_the_candidate_list(matcher):
    lists = Lists(wanted=[("S-1", 0.6)], blue=[(f"blue-{number}", 0.8) for number in range(5)])
    (found,) = await matcher(lists, SEEDED, candidates=2).search(PROBE)
    assert ("wanted", "S-1") in people(found)


# -- what is counted


async def test_a_search_under_the_floor_is_forgotten_and_counted(matcher, counted):
    (nobody,) = await matcher(Lists(wanted=[("S-1", 0.2)])).search(PROBE)
    assert nobody.candidates == ()
    assert counted == [("station-north", "gate-1", 0.2, 2000)]
