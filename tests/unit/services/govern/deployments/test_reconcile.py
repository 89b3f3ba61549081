"""What follows from a record: by the clock, in the right order, and all the same after a death in the middle of it."""

import asyncio
from types import SimpleNamespace

import pytest

from libs.errors import ConflictError, PermanentError, TransientError
from proto.codec import DecodeError
from proto.requests.deployments import DeploymentRequest
from services.govern.profiles.reading import load_profiles
from services.govern.service import Rounds
from tests.casework import Death, dying
from tests.deployment_work import EU, HOUR_S, NAME, DeploymentWork
from tests.examples import changed

URGENT = {**EU, "judicial_authorisation": "", "urgent": True}


@pytest.fixture
def work(crew, clock, log):
    return DeploymentWork(crew, clock, log)


async def look(work):
    """What the program does every few seconds; and what that did to the world."""
    work.happened.clear()
    await work.reconciler.reconcile_all()
    return work.happened


def without(happened, *starts):
    return [line for line in happened if not line.startswith(starts)]


# -- the order


async def test_the_audit_knows_who_armed_it_before_it_is_armed(work):
    await work.to("authorised")
    await work.do("arm")
    assert work.happened == ["record armed", "audit deployment.armed", "warrant armed"]


@pytest.mark.parametrize("verb", ["suspend", "end"])
async def test_what_stops_it_comes_first(work, verb):
    await work.to("armed")
    await work.do(verb)
    state = {"suspend": "suspended", "end": "ended"}[verb]
    assert work.happened[:3] == [f"record {state}", f"warrant {state}", f"audit deployment.{state}"]


async def test_a_refusal_by_a_judge_stops_it_before_anything_else(work):
    await work.to("armed", **URGENT, ends_at=work.clock.now + 20 * HOUR_S)
    await work.do("refuse_judicial", reference="J-1")
    assert work.happened[:2] == ["record ended", "warrant ended"]


async def test_without_an_audit_nothing_is_armed(work):
    await work.to("authorised")
    work.ledger.fails_at = ".3"
    with pytest.raises(TransientError):
        await work.do("arm")
    assert work.warrant is None
    work.ledger.fails_at = None
    await look(work)
    assert work.warrant.state == "armed"


async def test_without_an_audit_it_is_stopped_all_the_same(work):
    await work.to("armed")
    work.ledger.fails_at = ".4"
    with pytest.raises(TransientError):
        await work.do("suspend")
    assert work.warrant.state == "suspended"


# -- the clock


async def test_it_ends_by_itself_when_its_end_time_has_passed(work):
    await work.to("armed")
    end = work.record.draft.ends_at
    work.clock.now = end - 0.001
    assert await look(work) == []
    work.clock.now = end
    assert without(await look(work), "destroyed") == ["record ended", "warrant ended", "audit deployment.ended"]
    deed = work.record.deeds[-1]
    assert (deed.who, deed.verb, deed.reason) == ("govern", "end", "its end time has passed")


async def test_after_days_of_downtime_periods_count_from_the_end_time(work):
    await work.to("armed")
    end = work.record.draft.ends_at
    work.clock.now = end + 40 * 24 * HOUR_S
    await work.start_again()
    assert work.record.ended_at == end
    assert work.record.state == "purged"
    assert work.audit[-3:] == ["ended", "purge_ordered", "purged"]


async def test_a_clock_that_went_backwards_arms_nothing_again(work):
    await work.to("armed")
    work.clock.now = work.record.draft.ends_at
    await look(work)
    work.clock.advance(-3 * HOUR_S)
    assert await look(work) == []
    assert (work.record.state, work.warrant.state) == ("ended", "ended")
    with pytest.raises(ConflictError, match="is ended"):
        await work.do("arm")


async def test_what_was_authorised_and_never_armed_ends_too_and_leaves_the_lists_to_others(work):
    await work.to("authorised")
    work.clock.now = work.record.draft.ends_at
    assert await look(work) == ["record ended", "audit deployment.ended"]
    assert work.warrant is None
    work.clock.advance(100 * 24 * HOUR_S)
    await look(work)
    assert all(watch_list.state == "ready" for watch_list in work.all_lists.known.values())


async def test_it_is_purged_by_itself_when_its_profile_says(work):
    await work.to("ended")
    work.clock.now = work.record.ended_at + 31 * 24 * HOUR_S - 1
    assert await look(work) == []
    work.clock.advance(1)
    assert await look(work) == [
        *("record ended", "warrant ended", "audit deployment.purge_ordered"),
        *("erased", "record purged", "warrant ended", "audit deployment.purged"),
    ]


async def test_a_profile_that_purges_nothing_by_itself(work):
    work.profiles["uk-police"] = load_profiles()["uk-police"].model_copy(update={"purged_after_hours": "unlimited"})
    await work.to("ended")
    work.clock.advance(1000 * 24 * HOUR_S)
    assert await look(work) == []


async def test_an_evaluation_ends_with_a_restart_and_others_do_not(work):
    await work.to("armed")
    await work.start_again()
    assert work.record.state == "armed"
    work.profiles["uk-police"] = load_profiles()["uk-police"].model_copy(update={"ends_with_restart": True})
    await work.start_again()
    assert (work.record.state, work.warrant.state) == ("ended", "ended")
    assert "started anew" in work.record.deeds[-1].reason


# -- judges


async def test_in_urgency_its_warrant_ends_with_the_time_without_a_judge(work):
    work.profiles["eu-ai-act"] = load_profiles()["eu-ai-act"].model_copy(update={"urgency_hours": 2.0})
    record = await work.to("armed", **URGENT)
    assert record.urgent_until == work.warrant.ends_at == work.clock.now + 2 * HOUR_S
    assert not work.warrant.covers("gate-1", work.clock.now + 2 * HOUR_S)


async def test_arming_it_again_does_not_give_it_more_time(work):
    armed_at = work.clock.now
    work.profiles["eu-ai-act"] = load_profiles()["eu-ai-act"].model_copy(update={"urgency_hours": 2.0})
    await work.to("armed", **URGENT)
    await work.do("suspend")
    work.clock.advance(HOUR_S)
    await work.do("arm")
    assert work.record.urgent_until == work.warrant.ends_at == armed_at + 2 * HOUR_S


async def test_a_profile_that_takes_a_judge_by_now_gives_what_is_armed_again_its_hours_and_no_more(work):
    eu = load_profiles()["eu-ai-act"]
    work.profiles["eu-ai-act"] = eu.model_copy(update={"judicial_authorisation": False, "urgency_hours": 0.0})
    await work.to("armed", **URGENT)
    await work.do("suspend")
    work.profiles["eu-ai-act"] = eu.model_copy(update={"urgency_hours": 2.0})
    await work.do("arm")
    assert work.record.urgent_until == work.warrant.ends_at == work.clock.now + 2 * HOUR_S


async def test_lists_that_outlive_a_purge_are_destroyed_when_they_are_due(work):
    uk = load_profiles()["uk-police"]
    work.profiles["uk-police"] = uk.model_copy(update={"list_destroyed_after_hours": 24.0})
    await work.to("ended")
    await work.do("purge")
    work.clock.advance(20 * HOUR_S)
    assert [line for line in await look(work) if "destroy" in line] == []
    work.clock.advance(5 * HOUR_S)
    assert [line for line in await look(work) if "destroy" in line] != []


async def test_without_a_judge_in_time_it_stops_and_all_of_it_is_deleted(work):
    work.profiles["eu-ai-act"] = load_profiles()["eu-ai-act"].model_copy(update={"urgency_hours": 2.0})
    await work.to("armed", **URGENT)
    work.clock.advance(2 * HOUR_S)
    await look(work)
    assert work.erasure.asked == [(NAME, False)]
    assert (work.record.state, work.warrant.state) == ("purged", "ended")
    assert {watch_list.state for watch_list in work.all_lists.known.values()} == {"destroyed"}
    assert work.audit[-2:] == ["judicial_lapsed", "purged"]


async def test_even_what_has_ended_by_then_is_deleted_without_a_judge(work):
    await work.to("ended", **URGENT)
    work.clock.advance(24 * HOUR_S)
    await look(work)
    assert work.erasure.asked == [(NAME, False)]
    assert work.record.state == "purged"


@pytest.mark.parametrize("state", ["armed", "suspended", "ended"])
async def test_when_a_judge_refuses_it_stops_and_all_of_it_is_deleted(work, state):
    await work.to(state, **URGENT)
    record = await work.do("refuse_judicial", reference="J-1")
    assert record.state == "purged"
    assert work.erasure.asked == [(NAME, False)]
    assert {watch_list.state for watch_list in work.all_lists.known.values()} == {"destroyed"}
    assert work.entry("judicial_refused").details == {"reference": "J-1"}


async def test_when_a_judge_authorises_it_the_warrant_lasts_to_its_end(work):
    work.profiles["eu-ai-act"] = load_profiles()["eu-ai-act"].model_copy(update={"urgency_hours": 2.0})
    await work.to("armed", **URGENT)
    await work.do("grant_judicial", reference="J-1")
    assert work.warrant.ends_at == work.record.draft.ends_at
    work.clock.advance(3 * HOUR_S)
    await look(work)
    assert work.record.state == "armed"


# -- lists


async def test_its_lists_are_destroyed_after_it_as_the_profile_says(work):
    work.profiles["uk-police"] = load_profiles()["uk-police"].model_copy(update={"list_destroyed_after_hours": 1.0})
    await work.to("ended")
    assert work.all_lists.known["wanted"].state == "ready"
    work.clock.advance(HOUR_S)
    assert await look(work) == ["destroyed missing", "destroyed wanted", "destroyed blue"]
    assert await look(work) == []


async def test_lists_that_were_made_anew_since_are_left(work):
    await work.to("ended")
    work.all_lists.known["wanted"] = work.a_list("wanted", created_at=work.clock.now + 1)
    work.clock.advance(HOUR_S)
    assert await look(work) == []


async def test_a_list_that_cannot_be_destroyed_holds_up_nothing_else_and_is_tried_again(work):
    work.lists.error = PermanentError("match is not well")
    await work.to("armed", **URGENT)
    with pytest.raises(PermanentError):
        await work.do("refuse_judicial", reference="J-1")
    assert (work.record.state, work.warrant.state) == ("purged", "ended")
    assert work.audit[-1] == "purged"
    work.lists.error = None
    assert await look(work) == ["destroyed missing", "destroyed wanted", "destroyed blue"]


# -- purging


async def test_a_purge_keeps_cases_and_says_in_the_audit_what_was_deleted(work):
    await work.to("ended")
    record = await work.do("purge")
    assert (record.state, record.deleting) == ("purged", False)
    assert work.erasure.asked == [(NAME, True)]
    assert work.entry("purged").details == {"alerts": 3, "sha256": "ab" * 32}
    assert work.entry("purged").deed.who == "govern"


async def test_a_purge_that_could_not_be_finished_is_finished_later(work):
    await work.to("ended")
    work.erasure.error = TransientError("the bus is away")
    with pytest.raises(TransientError):
        await work.do("purge")
    assert (work.record.state, work.record.deleting) == ("ended", True)
    with pytest.raises(ConflictError, match="is being purged"):
        await work.do("register", reference="EU-1")
    work.erasure.error = None
    assert (await work.do("purge")).state == "purged"  # whoever asks again is not refused
    assert work.audit.count("purge_ordered") == 1


# -- deaths


async def test_a_death_between_the_record_and_the_audit_of_an_arming_is_made_up_for(work):
    await work.to("authorised")
    work.ledger.fails_at, work.ledger.error = ".3", Death()
    with dying():
        await work.do("arm")
    assert work.warrant is None
    work.ledger.fails_at = None
    await work.start_again()
    assert (work.warrant.state, work.audit[-1]) == ("armed", "armed")


async def test_a_death_before_the_warrant_of_an_arming_is_made_up_for(work):
    await work.to("authorised")
    work.warrants.fails_at, work.warrants.error = lambda _: True, Death()
    with dying():
        await work.do("arm")
    work.warrants.fails_at = None
    await work.start_again()
    assert work.warrant.state == "armed"
    assert work.audit.count("armed") == 1


async def test_a_death_before_the_warrant_of_an_end_is_made_up_for_first_of_all(work):
    await work.to("armed")
    work.warrants.fails_at, work.warrants.error = lambda _: True, Death()
    with dying():
        await work.do("end")
    assert work.warrant.state == "armed"
    work.warrants.fails_at = None
    work.happened.clear()
    await work.start_again()
    assert work.happened[0] == "warrant ended"
    assert work.audit[-1] == "ended"


async def test_a_death_while_lists_are_destroyed_is_made_up_for(work):
    await work.to("armed")
    work.lists.error = Death()
    with dying():
        await work.do("end")
    work.lists.error = None
    await work.start_again()
    assert {watch_list.state for watch_list in work.all_lists.known.values()} == {"destroyed"}


async def test_a_death_in_the_middle_of_a_purge_is_made_up_for(work):
    await work.to("ended")
    work.erasure.error = Death()
    with dying():
        await work.do("purge")
    assert (work.record.state, work.record.deleting) == ("ended", True)
    work.erasure.error = None
    await work.start_again()
    assert (work.record.state, work.record.deleting) == ("purged", False)
    assert work.audit[-2:] == ["purge_ordered", "purged"]


async def test_a_death_after_the_deletion_and_before_it_is_written_down_deletes_again(work):
    await work.to("ended")
    work.deployments.fails_at, work.deployments.error = lambda record: record.state == "purged", Death()
    with dying():
        await work.do("purge")
    work.deployments.fails_at = None
    await work.start_again()
    assert work.record.state == "purged"
    assert work.erasure.asked == [(NAME, True)] * 2


@pytest.mark.parametrize("state", ["draft", "authorised", "armed", "suspended", "refused", "ended", "purged"])
async def test_looking_again_changes_nothing(work, state):
    await work.to(state)
    assert await look(work) == []
    entries = list(work.ledger.entries)
    work.happened.clear()
    await work.start_again()
    assert without(work.happened, "audit") == []
    assert list(work.ledger.entries) == entries


async def test_what_is_purged_and_over_is_not_looked_at_for_ever(work):
    await work.to("purged")
    reads = []
    read, work.deployments.get = work.deployments.get, lambda key: reads.append(key) or read(key)
    await look(work)
    await look(work)
    assert len(reads) == 2  # until its end time an old warrant of it would still arm something
    work.clock.now = work.record.draft.ends_at
    await look(work)
    assert len(reads) == 2


# -- warrants


async def test_a_warrant_that_somebody_else_wrote_is_written_over(work):
    await work.to("armed")
    forged = work.crew["d-green"].seal(work.warrant).model_copy(update={"signer": "govern"})
    work.warrants.records[NAME] = forged, 9
    assert await look(work) == ["warrant armed"]
    assert work.warrant.state == "armed"


async def test_an_old_warrant_that_was_put_back_is_written_over(work):
    await work.to("armed")
    old = work.warrants.records[NAME][0]
    await work.do("suspend")
    work.warrants.records[NAME] = old, 9
    assert await look(work) == ["warrant suspended"]


async def test_what_is_no_warrant_at_all_is_written_over(work):
    await work.to("armed")
    records, work.warrants.get = work.warrants.get, broken
    await look(work)
    work.warrants.get = records
    assert work.warrant.state == "armed"


async def broken(_key):
    raise DecodeError("sealed", "not MessagePack")


async def test_a_look_that_began_before_an_act_does_not_undo_its_warrant(work):
    """The record was read as armed; meanwhile it was suspended, and its warrant replaced."""
    await work.to("armed")
    seen = work.record
    await work.do("suspend")
    await work.reconciler._follow(seen, 3)
    assert work.warrant.state == "suspended"


async def test_a_warrant_that_changes_at_this_moment_is_not_written_over(work):
    await work.to("armed")
    work.warrants.records.pop(NAME)

    async def another():
        await work.warrants.put(NAME, sealed_by_another_replica)

    sealed_by_another_replica = work.crew.govern.seal(changed("warrant", record_version=99))
    work.warrants.before_replacing = another
    await look(work)
    assert work.warrant.record_version == 99


async def test_a_deployment_whose_profile_is_gone_does_not_run(work):
    await work.to("armed")
    work.profiles.pop("uk-police")
    await look(work)
    assert work.warrant.state == work.record.state == "suspended"
    assert work.audit[-1] == "suspended"


async def test_a_deployment_whose_profile_is_changed_is_suspended_until_a_commander_arms_it_as_it_is_now(work):
    await work.to("armed")
    bound = work.record.binding.profile_sha256
    another = {"confirmations": 2, "stamp": "EVALUATION"}
    work.profiles["uk-police"] = load_profiles()["uk-police"].model_copy(update=another)
    await look(work)
    assert (work.record.state, work.warrant.state, work.warrant.stamp) == ("suspended", "suspended", "")
    assert (work.record.deeds[-1].who, work.audit[-1]) == ("govern", "suspended")
    shown = await work.desk.show(DeploymentRequest(deployment=NAME))
    assert shown.warnings[0].startswith("the profile uk-police is not as it was")
    await work.do("arm")
    assert (work.warrant.state, work.warrant.stamp) == ("armed", "EVALUATION")
    assert work.record.binding.profile_sha256 != bound


# -- all of them


async def test_a_record_that_breaks_the_code_holds_up_no_other_and_ends_no_look(work):
    await work.to("armed")
    other = work.record.model_copy(update={"draft": work.record.draft.model_copy(update={"deployment": "a-south"})})
    work.deployments.records["a-south"] = other, 1
    work.clock.now = work.record.draft.ends_at
    work.warrants.error, work.warrants.fails_at = (
        ZeroDivisionError("what it holds"),
        lambda sealed: work.opened(sealed).deployment == "a-south",
    )
    await look(work)
    assert work.warrant.state == "ended"
    (said,) = (entry for entry in work.log.entries if entry["event"] == "deployment.waits")
    assert said["deployment"] == "a-south"
    assert "what it holds" not in str(said)


@pytest.mark.parametrize("bad", ["reconcile_all", "escalate_due", "sweep"])
async def test_whatever_happens_in_one_part_of_a_round_the_others_are_made_and_so_is_the_next(log, bad):
    stopping, made = asyncio.Event(), []

    def part(name):
        async def look():
            made.append(name)
            if len(made) == 6:
                stopping.set()
            if name == bad:
                raise ZeroDivisionError

        look.__name__ = name
        return SimpleNamespace(**{name: look})

    parts = [part(name) for name in ("reconcile_all", "escalate_due", "sweep")]
    await Rounds(*parts, log, every_s=0.001).run(stopping)
    assert made == ["reconcile_all", "escalate_due", "sweep"] * 2
    assert [entry["part"] for entry in log.entries] == [bad, bad]


async def test_one_that_cannot_be_looked_after_holds_up_no_other_and_is_named(work):
    await work.to("armed")
    record = work.record
    other = record.model_copy(update={"draft": record.draft.model_copy(update={"deployment": "a-south"})})
    work.deployments.records["a-south"] = other, 1
    work.ledger.fails_at = "a-south.3"
    work.clock.now = record.draft.ends_at
    await look(work)
    assert work.record.state == "ended"
    waiting = [entry for entry in work.log.entries if entry["event"] == "deployment.waits"]
    assert [(entry["deployment"], entry["reason"]) for entry in waiting] == [("a-south", "the audit is away")]


async def test_somebody_who_acts_at_this_moment_goes_first(work):
    await work.to("armed")
    work.clock.now = work.record.draft.ends_at

    async def another():
        record, revision = work.deployments.records[NAME]
        work.deployments.records[NAME] = record, revision + 1

    work.deployments.before_replacing = another
    await look(work)
    assert work.record.state == "armed"
    await look(work)
    assert work.record.state == "ended"
