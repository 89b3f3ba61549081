"""The officers of an evaluation may act under its profile alone, and their keys are nowhere but in memory."""

import tomllib

from libs.officers import Officer
from proto.deployments import Zone
from services.cli.trials.course import Course
from services.cli.trials.evaluation import PROFILE, ROLES, Officers, cut_off, draft, list_form
from tests.unit.services.cli.trials.site import Site


def officers_in(text):
    return {name: Officer.model_validate(table) for name, table in tomllib.loads(text)["officers"].items()}


def test_each_has_one_role_and_may_act_in_evaluations_alone():
    found = officers_in(Officers().roster())
    assert [set(officer.roles) for officer in found.values()] == [{role} for role in ROLES]
    assert all(officer.may_act_under(PROFILE) for officer in found.values())
    assert not any(officer.may_act_under("uk-police") for officer in found.values())


def test_those_of_one_evaluation_are_strangers_to_the_next():
    first, second = officers_in(Officers().roster()), officers_in(Officers().roster())
    assert not {one.public_key for one in first.values()} & {one.public_key for one in second.values()}


def test_the_private_keys_are_not_in_the_roster():
    officers = Officers()
    assert all(officers[role]._key.encode().hex() not in officers.roster() for role in ROLES)


def test_its_list_is_its_own_and_both_are_over_after_a_day():
    form, drafted = list_form("replay-1"), draft("replay-1", {"door": Zone()}, 0.5, 60.0)
    assert drafted.watch_lists == (form.watch_list,)
    assert drafted.profile == PROFILE
    assert drafted.ends_at - drafted.starts_at <= 24 * 3600


async def test_evaluations_that_were_cut_off_are_found_by_their_list_or_their_deployment(tmp_path):
    site = Site(tmp_path)
    listed, deployed, over, wanted = "replay-0123456789aa", "replay-0123456789ab", "replay-0123456789ac", "wanted"
    for name in (listed, over, wanted):
        await Course(name, site.client).make_list(list_form(name))
    for name, state in ((deployed, "ended"), (over, "purged"), (wanted, "armed")):
        site.deployment(name, state)
        site.deployments[name] = site.deployments[name].model_copy(update={"draft": draft(name, {"a": Zone()}, 0.5, 1)})
    site.lists[over] = site.lists[over].model_copy(update={"state": "destroyed"})
    assert await cut_off(site.client("commander")) == [listed, deployed]
