"""The handler of probes: it searches the lists of an armed deployment and forgets what is under its floor."""

import numpy as np
import pytest

from libs.errors import PermanentError
from proto.messages import RemoveRequest, Sighting, WatchListRequest
from services.match.service import Matcher, WatchLists
from services.match.settings import MatchSettings
from tests.examples import EXAMPLES, changed
from tests.fakes import Deployments, Gallery, Portraits

DEPLOYMENT = changed("deployment_record")  # floor 0.25, watch lists missing and wanted
PROBE = EXAMPLES["probe"]


def matcher(gallery, clock, *records, **settings):
    return Matcher(gallery, Deployments(*(records or (DEPLOYMENT,))), MatchSettings(**settings), clock)


async def test_the_candidates_at_or_over_the_floor_are_kept_best_first(clock):
    gallery = Gallery(("S-1", 0.7), ("S-2", 0.25), ("S-3", 0.2499))
    (found,) = await matcher(gallery, clock).search(PROBE)
    assert [(candidate.subject, candidate.score) for candidate in found.candidates] == [("S-1", 0.7), ("S-2", 0.25)]
    assert found.portrait == PROBE.portrait


async def test_of_a_face_that_resembles_nobody_nothing_is_passed_on(clock):
    (nobody,) = await matcher(Gallery(("S-1", 0.2)), clock).search(PROBE)
    assert nobody.candidates == ()
    assert nobody.portrait == b""
    assert nobody.searched == 2000


async def test_an_empty_list_is_sent_too_so_that_searches_can_be_counted(clock):
    assert len(await matcher(Gallery(references=0), clock).search(PROBE)) == 1


async def test_the_lists_of_the_deployment_are_searched_and_no_others(clock):
    gallery = Gallery()
    (found,) = await matcher(gallery, clock, candidates=3).search(PROBE)
    ((lists, templates, k),) = gallery.searches
    assert lists == ("missing", "wanted")
    assert np.array_equal(templates, PROBE.template[None])
    assert k == 3
    assert found.searched == 2 * 1000


async def test_where_and_when_the_face_was_seen_stays_as_it_was(clock):
    (found,) = await matcher(Gallery(("S-1", 0.7)), clock).search(PROBE)
    for name in Sighting.model_fields:
        assert getattr(found, name) == getattr(PROBE, name)
    assert found.id == PROBE.id


async def test_a_template_of_another_model_is_refused_before_anything_is_searched(clock):
    gallery = Gallery(("S-1", 0.9))
    with pytest.raises(PermanentError, match="another version"):
        await matcher(gallery, clock).search(changed("probe", template_version="arcface-r50"))
    assert gallery.searches == []


@pytest.mark.parametrize(
    "record",
    [
        changed("deployment_record", deployment="elsewhere"),
        changed("deployment_record", state="ended"),
        changed("deployment_record", starts_at=1_700_000_001.0),
        changed("deployment_record", ends_at=1_700_000_000.0),
        changed("deployment_record", cameras=("gate-2",)),
    ],
    ids=["unknown", "ended", "not begun", "over", "without the camera"],
)
async def test_nobody_is_searched_for_in_a_deployment_that_is(clock, record):
    gallery = Gallery(("S-1", 0.9))
    with pytest.raises(PermanentError, match="no armed deployment station-north covers camera gate-1"):
        await matcher(gallery, clock, record).search(PROBE)
    assert gallery.searches == []


async def test_a_deployment_ends_while_its_probes_are_on_their_way(clock):
    handler = matcher(Gallery(), clock)
    await handler.search(PROBE)
    clock.now = DEPLOYMENT.ends_at
    with pytest.raises(PermanentError):
        await handler.search(PROBE)


# -- asks about lists


class Listed:
    """A gallery with one reference of one subject."""

    def __init__(self):
        self.subjects = {"wanted": ["S/1"]}

    async def create(self, watch_list):
        self.subjects.setdefault(watch_list, [])

    async def count(self, watch_list):
        return len(self.subjects[watch_list])

    async def remove(self, watch_list, subject):
        removed = self.subjects[watch_list].count(subject)
        self.subjects[watch_list] = [name for name in self.subjects[watch_list] if name != subject]
        return removed

    async def references(self, watch_list):
        return [type("Entry", (), {"subject": name}) for name in self.subjects[watch_list]]

    async def drop(self, watch_list):
        del self.subjects[watch_list]


async def test_creating_a_list_twice_keeps_it():
    lists = WatchLists(Listed(), Portraits())
    assert (await lists.create(WatchListRequest(watch_list="wanted"))).references == 1
    assert (await lists.create(WatchListRequest(watch_list="new"))).references == 0


async def test_a_subject_who_is_taken_off_a_list_leaves_no_portrait_behind():
    gallery, portraits = Listed(), Portraits()
    portraits.kept = {"reference.wanted.S-2": b"another"}
    reply = await WatchLists(gallery, portraits).remove(RemoveRequest(watch_list="wanted", subject="S/1"))
    assert reply.removed == 1
    assert portraits.dropped == ["reference.wanted.h_" + portraits.dropped[0][-32:]]
    assert list(portraits.kept) == ["reference.wanted.S-2"]


async def test_a_list_that_is_dropped_leaves_no_portraits_behind():
    gallery, portraits = Listed(), Portraits()
    gallery.subjects["wanted"] = ["S-1", "S-2"]
    reply = await WatchLists(gallery, portraits).drop(WatchListRequest(watch_list="wanted"))
    assert reply.references == 0
    assert portraits.dropped == ["reference.wanted.S-1", "reference.wanted.S-2"]
    assert gallery.subjects == {}
