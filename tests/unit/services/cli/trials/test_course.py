"""An evaluation takes the steps of every deployment, each by the officer whose it is, however often it must ask."""

import pytest

from libs.bus import AskError
from libs.errors import TransientError
from proto.deployments import Zone
from services.cli.client import DESTROY_S, Client
from services.cli.trials import course as course_module
from services.cli.trials.course import TO_ARMED, TO_ENDED, TO_PURGED, Course
from services.cli.trials.evaluation import draft, list_form
from tests.unit.services.cli.trials.site import Site

NAME = "replay-0123456789ab"
DRAFT = draft(NAME, {"door": Zone()}, threshold=0.5, cooldown_s=60.0)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def course(site):
    return Course(NAME, site.client)


async def run_through(course):
    await course.make_list(list_form(NAME))
    await course.draft(DRAFT)
    assert await course.go(TO_ARMED) == "armed"
    assert await course.go(TO_ENDED) == "ended"
    await course.destroy_list()
    assert await course.go(TO_PURGED) == "purged"


WHOLE = [
    ("create", "evaluation-list-manager"),
    ("draft", "evaluation-drafter"),
    ("authorise", "evaluation-authoriser"),
    ("arm", "evaluation-commander"),
    ("end", "evaluation-commander"),
    ("destroy", "evaluation-list-manager"),
    ("purge", "evaluation-commander"),
]


async def test_each_step_is_an_act_of_the_officer_whose_it_is(site, course):
    await run_through(course)
    assert site.acts == WHOLE


async def test_it_waits_for_the_destruction_of_its_list_as_long_as_an_officer_would(site, course, monkeypatch):
    waited = {}
    act = Client.act

    async def noting(client, subject, request, expected, timeout_s=0.0):
        waited[subject.rsplit(".", 1)[1]] = timeout_s
        return await act(client, subject, request, expected, timeout_s)

    monkeypatch.setattr(Client, "act", noting)
    await run_through(course)
    assert waited["destroy"] == DESTROY_S


async def test_asks_that_nobody_heard_are_asked_again(site, course):
    site.unheard = 5
    await run_through(course)
    assert site.acts == WHOLE


async def test_an_act_whose_answer_was_lost_is_not_done_twice(site, course):
    steps = (
        lambda: course.make_list(list_form(NAME)), lambda: course.draft(DRAFT), lambda: course.go(TO_ARMED),
        lambda: course.go(TO_ENDED), course.destroy_list, lambda: course.go(TO_PURGED),
    )  # fmt: skip
    for step in steps:
        site.unanswered = 1
        await step()
    assert site.acts == WHOLE


async def test_a_deployment_that_somebody_else_ended_meanwhile_is_looked_at_again(site, course, monkeypatch):
    monkeypatch.setattr(course_module, "HEARSAY_S", 0.0)
    site.deployment(NAME, "armed")
    site.before_act = lambda: site.deployments[NAME].state == "armed" and site.change(NAME, "ended")
    assert await course.go(TO_PURGED) == "purged"
    assert site.acts == [("purge", "evaluation-commander")]


async def test_what_govern_has_not_heard_of_yet_is_asked_again(site, course):
    refusals = iter([True, True])

    def refuse():
        if next(refusals, False):
            raise AskError("transition", "409", "there is no record of camera door")

    site.deployment(NAME, "authorised")
    site.before_act = refuse
    assert await course.go(TO_ARMED) == "armed"


async def test_a_purge_that_is_under_way_is_waited_for(site, course, monkeypatch):
    site.deployment(NAME, "ended")
    site.change(NAME, "ended", deleting=True)
    shown = site._deployment_show

    def show(message):
        reply = shown(message)
        site.change(NAME, "purged", deleting=False)
        return reply

    monkeypatch.setattr(site, "_deployment_show", show)
    assert await course.go(TO_PURGED) == "purged"
    assert site.acts == []


async def test_a_refusal_that_stands_is_raised(site, course, monkeypatch):
    monkeypatch.setattr(course_module, "HEARSAY_S", 0.0)
    site.deployment(NAME, "draft")

    def refuse():
        raise AskError("transition", "403", "not yours to authorise")

    site.before_act = refuse
    with pytest.raises(AskError, match="not yours to authorise"):
        await course.go(TO_ARMED)


async def test_a_govern_that_stays_away_is_given_up(site, course):
    site.deployment(NAME, "armed")
    site.unheard = 10**9
    with pytest.raises(TransientError, match="nobody answered"):
        await course.go(TO_ENDED, 0.02)


@pytest.mark.parametrize(
    ("state", "left"), [("draft", "refused"), ("authorised", "refused"), ("armed", "purged"), ("suspended", "purged"),
                        ("ended", "purged"), ("refused", "refused"), ("purged", "purged")]
)  # fmt: skip
async def test_from_every_state_there_is_a_way_to_the_end(site, course, state, left):
    site.deployment(NAME, state)
    assert await course.go(TO_PURGED) == left


async def test_what_is_not_there_need_not_be_ended(course):
    assert await course.go(TO_PURGED) is None
    await course.destroy_list()
