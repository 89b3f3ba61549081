"""Acts on deployments: who may do what, in which state, and that nobody overwrites what another has just done."""

import hashlib

import pytest

from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import ForbiddenError
from proto.deployments import Zone, location_sha256
from proto.records import CameraRecord
from proto.requests.deployments import DeploymentRequest, DraftRequest, TransitionRequest
from proto.requests.listing import ListRequest
from services.govern.deployments.binding import canonical_sha256
from services.govern.deployments.transitions import STEPS
from tests.deployment_work import EU, HOUR_S, NAME, WHO, DeploymentWork
from tests.examples import changed

EVERYBODY = ("a-jones", "b-smith", "c-brown", "d-green", "f-black", "l-stone")
MAY = {
    "authorise": {"b-smith"},
    "refuse": {"b-smith"},
    "arm": {"c-brown"},
    "suspend": {"b-smith", "c-brown", "d-green"},
    "end": {"c-brown"},
    "purge": {"c-brown"},
    "grant_judicial": {"b-smith"},
    "refuse_judicial": {"b-smith"},
    "register": {"b-smith"},
}
FROM = {
    "authorise": {"draft", "authorised"},
    "refuse": {"draft", "authorised"},
    "arm": {"authorised", "suspended"},
    "suspend": {"armed"},
    "end": {"armed", "suspended"},
    "purge": {"ended"},
    "grant_judicial": {"draft", "authorised", "armed", "suspended", "ended"},
    "refuse_judicial": {"armed", "suspended", "ended"},
    "register": {"draft", "authorised", "armed", "suspended", "ended"},
}
STATES = ("draft", "authorised", "armed", "suspended", "refused", "ended", "purged")
WRONG = [(verb, state) for verb, sources in FROM.items() for state in STATES if state not in sources]


@pytest.fixture
def work(crew, clock, log):
    return DeploymentWork(crew, clock, log)


# -- from draft to purged


async def test_a_deployment_goes_from_draft_to_purged_and_the_record_says_who_did_it_all(work):
    await work.draft()
    for verb in ("authorise", "arm", "suspend", "arm", "end", "purge"):
        await work.do(verb, reason=f"time to {verb}")
    record = work.record
    assert (record.state, record.record_version, record.deleting) == ("purged", 8, False)
    assert [(deed.who, deed.verb) for deed in record.deeds] == [
        ("a-jones", "draft"),
        ("b-smith", "authorise"),
        ("c-brown", "arm"),
        ("d-green", "suspend"),
        ("c-brown", "arm"),
        ("c-brown", "end"),
        ("c-brown", "purge"),
        ("govern", "erase"),
    ]
    assert record.deeds[1].reason == "time to authorise"
    assert record.deeds[1].origin
    assert len(record.deeds[1].act) == 64
    assert work.audit == ["drafted", "authorised", "armed", "suspended", "armed", "ended", "purge_ordered", "purged"]


@pytest.mark.parametrize(("verb", "state"), WRONG)
async def test_in_any_other_state_a_verb_is_refused(work, verb, state):
    await work.to(state, **EU)
    before = work.record
    with pytest.raises(ConflictError, match=f"{NAME} is {state}: {verb} is for one that is"):
        await work.do(verb, reference="R-1")
    assert work.record == before


@pytest.mark.parametrize(
    ("verb", "who"), [(verb, who) for verb, may in MAY.items() for who in EVERYBODY if who not in may]
)
async def test_a_verb_is_refused_to_those_without_its_role(work, verb, who):
    await work.to(sorted(FROM[verb])[0], **EU)
    with pytest.raises(ForbiddenError, match=f"{who} is not one of"):
        await work.do(verb, who=who, reference="R-1")


@pytest.mark.parametrize("who", sorted(MAY["suspend"]))
async def test_whoever_sees_that_it_must_stop_can_suspend(work, who):
    await work.to("armed")
    assert (await work.do("suspend", who=who)).state == "suspended"


def test_every_verb_has_its_row():
    assert set(STEPS) == set(FROM) == set(MAY) == set(WHO)


# -- drafting


async def test_only_a_drafter_drafts(work):
    with pytest.raises(ForbiddenError):
        await work.draft(who="b-smith")


async def test_a_name_is_given_once(work):
    await work.to("purged")
    with pytest.raises(ConflictError, match="there is a deployment station-north already: choose another name"):
        await work.draft()


async def test_a_profile_that_is_not_there_is_refused_and_those_that_are_named(work):
    with pytest.raises(PermanentError, match="no profile uk-polite: choose one of eu-ai-act, evaluation, uk-police"):
        await work.draft(profile="uk-polite")
    assert work.deployments.records == {}


async def test_a_draft_can_be_drafted_again_and_an_authorised_one_cannot(work):
    await work.draft()
    again = await work.draft(version=1, purpose="another purpose")
    assert (again.draft.purpose, again.record_version) == ("another purpose", 2)
    await work.do("authorise")
    with pytest.raises(ConflictError, match="is authorised: draft is for one that is draft"):
        await work.draft(version=3, purpose="a third")


async def test_an_officer_of_evaluations_acts_in_nothing_else(work):
    work.crew.write_roster(a_jones='profiles = ["evaluation"]\n', c_brown='profiles = ["evaluation"]\n')
    with pytest.raises(ForbiddenError, match="a-jones may not act under the profile uk-police"):
        await work.draft()
    work.crew.write_roster(c_brown='profiles = ["evaluation"]\n')
    await work.to("authorised")
    with pytest.raises(ForbiddenError, match="c-brown may not act under the profile uk-police"):
        await work.do("arm")


# -- two people


def both_roles(work, name="a_jones"):
    text = work.crew.roster_path.read_text().replace('roles = ["drafter"]', 'roles = ["drafter", "authoriser"]')
    work.crew.roster_path.write_text(text)


async def test_who_drafted_does_not_authorise_even_with_the_role(work):
    both_roles(work)
    await work.draft()
    with pytest.raises(ForbiddenError, match="a-jones drafted station-north: another officer must authorise it"):
        await work.do("authorise", who="a-jones")


async def test_who_drafted_an_earlier_version_does_not_authorise_either(work):
    both_roles(work)
    work.crew.write_roster()
    text = work.crew.roster_path.read_text()
    work.crew.roster_path.write_text(
        text.replace('roles = ["drafter"]', 'roles = ["drafter", "authoriser"]').replace(
            'roles = ["operator"]', 'roles = ["operator", "drafter"]'
        )
    )
    await work.draft()
    await work.draft(who="d-green", version=1)
    with pytest.raises(ForbiddenError, match="a-jones drafted"):
        await work.do("authorise", who="a-jones")


async def test_one_person_under_two_names_is_one_person(work):
    key = work.crew["a-jones"]
    table = f'\n[officers.z-jones]\npublic_key = "{key.public}"\nroles = ["authoriser"]\nrank = "superintendent"\n'
    work.crew.roster_path.write_text(work.crew.roster_path.read_text() + table)
    await work.draft()
    key.name = "z-jones"
    work.crew._signers["z-jones"] = key
    with pytest.raises(ForbiddenError, match="z-jones drafted"):
        await work.do("authorise", who="z-jones")


async def test_authorising_takes_the_rank_that_the_profile_names(work):
    path = work.crew.roster_path
    path.write_text(path.read_text().replace('rank = "superintendent"', 'rank = "sergeant"'))
    await work.draft()
    with pytest.raises(ForbiddenError, match="b-smith has the rank 'sergeant': it takes one of superintendent"):
        await work.do("authorise")


# -- two officers at once


async def test_an_act_for_an_older_version_is_refused_with_what_happened_since(work):
    await work.to("armed")
    seen = work.record.record_version
    await work.do("suspend")
    with pytest.raises(ConflictError, match=r"is at version 4 \(last: suspend by d-green\).*made for version 3"):
        await work.do("end", version=seen)
    assert work.record.state == "suspended"


async def test_of_two_acts_at_the_same_moment_one_is_taken(work):
    await work.to("armed")
    version = work.record.record_version
    work.deployments.before_replacing = lambda: work.do("suspend", version=version)
    with pytest.raises(ConflictError, match="somebody else has just changed station-north: look at it again"):
        await work.do("end", version=version)
    assert [deed.verb for deed in work.record.deeds] == ["draft", "authorise", "arm", "suspend"]


async def test_of_two_drafts_of_one_name_at_the_same_moment_one_is_taken(work):
    work.deployments.before_replacing = lambda: work.draft(purpose="the first")
    with pytest.raises(ConflictError):
        await work.draft(purpose="the second")
    assert work.record.draft.purpose == "the first"


async def test_a_copied_act_and_a_forged_one_are_refused(work):
    await work.draft()
    request = TransitionRequest(verb="authorise", deployment=NAME, record_version=1)
    forged = work.crew.act("d-green", request, work.clock).model_copy(update={"signer": "b-smith"})
    with pytest.raises(PermanentError):
        await work.desk.transition(forged)
    assert work.record.state == "draft"
    act = work.crew.act("b-smith", request, work.clock)
    await work.desk.transition(act)
    with pytest.raises(ForbiddenError, match="a copy of it was sent"):
        await work.desk.transition(act)


async def test_an_act_on_what_is_not_there_is_refused(work):
    ask = TransitionRequest(verb="arm", deployment="nowhere", record_version=1)
    with pytest.raises(MissingError, match="there is no deployment nowhere"):
        await work.desk.transition(work.crew.act("c-brown", ask, work.clock))
    with pytest.raises(MissingError):
        await work.desk.show(DeploymentRequest(deployment="nowhere"))


async def test_what_is_decided_and_cannot_follow_yet_is_said_so(work):
    await work.to("armed")
    work.warrants.fails_at, work.warrants.error = lambda _: True, TransientError("the bus is away")
    with pytest.raises(TransientError, match=r"suspend is decided and recorded.*the bus is away"):
        await work.do("suspend")
    assert work.record.state == "suspended"


# -- arming


async def test_an_armed_deployment_has_its_threshold_and_a_warrant_with_all_its_limits(work):
    zone = Zone(polygon=((0, 0), (0.5, 0), (0.5, 1)), min_face_px=40)
    record = await work.to("armed", cameras={"gate-1": zone, "gate-2": Zone()})
    warrant = work.warrant
    assert (record.threshold, record.armed_at) == (0.5, work.clock.now)
    assert (warrant.state, warrant.record_version, warrant.profile) == ("armed", 3, "uk-police")
    assert (warrant.cameras, warrant.zone("gate-1")) == (("gate-1", "gate-2"), zone)
    assert (warrant.watch_lists, warrant.seed_lists) == (("missing", "wanted"), ("blue",))
    assert (warrant.threshold, warrant.floor) == (0.5, pytest.approx(0.4))
    assert (warrant.starts_at, warrant.ends_at) == (record.draft.starts_at, record.draft.ends_at)
    assert (warrant.live_sources, warrant.stamp, warrant.alerts_kept_s) == (True, "", 24 * HOUR_S)


async def test_the_audit_keeps_which_references_are_searched_and_the_projected_rate(work):
    await work.to("armed")
    details = work.entry("armed").details
    assert details["references"] == 9
    assert details["lists"] == "blue missing wanted"
    lines = "\n".join(f"{name} {'b2' * 32}" for name in ("blue", "missing", "wanted"))
    assert details["lists_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert details["false_alerts_per_face"] == pytest.approx(9 * 1.53e-6, rel=0.01)


async def test_a_target_for_false_alerts_becomes_a_threshold_when_it_is_armed(work):
    work.set_list("wanted", references=600)
    record = await work.to("armed", threshold=None, target_fpir=0.0007)
    assert record.threshold == work.warrant.threshold == 0.51
    assert record.draft.threshold is None


async def test_whatever_stands_against_arming_is_said_and_nothing_is_armed(work):
    await work.to("authorised")
    work.set_list("wanted", state="importing")
    with pytest.raises(ConflictError, match="cannot arm: watch list wanted is being imported"):
        await work.do("arm")
    assert (work.record.state, work.warrant) == ("authorised", None)


async def test_an_evaluation_is_stamped_and_reads_recordings_alone(work):
    for camera in ("gate-1", "gate-2"):
        work.cameras.known[camera] = work.cameras.known[camera].model_copy(update={"location": f"{camera}.mp4"})
    await work.to("armed", profile="evaluation")
    assert (work.warrant.stamp, work.warrant.live_sources) == ("EVALUATION", False)


# -- amending


async def test_another_threshold_is_an_act_of_an_authoriser_with_a_new_version_and_a_new_warrant(work):
    await work.to("armed")
    record = await work.amend(threshold=0.55)
    assert (record.threshold, record.record_version, record.state) == (0.55, 4, "armed")
    assert (work.warrant.threshold, work.warrant.record_version) == (0.55, 4)
    assert work.entry("amended").deed.who == "b-smith"
    details = work.entry("amended").details
    assert (details["threshold_before"], details["threshold"]) == (0.5, 0.55)


async def test_other_cameras_are_amended_too_and_those_left_out_are_covered_no_longer(work):
    await work.to("armed")
    await work.amend(cameras={"gate-2": Zone()})
    assert not work.warrant.covers("gate-1", work.clock.now)
    assert work.entry("amended").details["cameras_before"] == "gate-1 gate-2"


# -- what was armed, and nothing of the same name


async def test_the_warrant_is_bound_to_the_lists_the_cameras_and_the_profile_that_were_armed(work):
    await work.to("armed")
    binding = work.warrant.binding
    assert binding == work.record.binding
    assert binding.lists == {name: found.created_at for name, found in work.all_lists.known.items()}
    assert binding.locations == {name: location_sha256(name, "rtsp://c") for name in ("gate-1", "gate-2")}
    assert binding.profile_sha256 == canonical_sha256(work.profiles["uk-police"])
    assert work.entry("armed").details["binding_sha256"] == canonical_sha256(binding)


async def test_another_list_or_location_of_the_same_name_is_taken_by_arming_anew(work):
    await work.to("suspended")
    before = work.record.binding
    work.set_list("wanted", created_at=work.clock.now - 60)
    work.cameras.known["gate-1"] = CameraRecord(camera="gate-1", location="rtsp://another")
    await work.reconciler.reconcile_all()
    assert work.warrant.binding == before
    await work.do("arm")
    assert work.warrant.binding.lists["wanted"] == work.clock.now - 60
    assert work.warrant.binding.locations["gate-1"] == location_sha256("gate-1", "rtsp://another")


async def test_amending_the_cameras_takes_where_they_are_now_and_no_other_list(work):
    await work.to("armed")
    lists = work.record.binding.lists
    work.set_list("wanted", created_at=work.clock.now - 60)
    work.cameras.known["gate-2"] = CameraRecord(camera="gate-2", location="rtsp://another")
    await work.amend(threshold=0.55)
    assert work.warrant.binding.locations["gate-2"] == location_sha256("gate-2", "rtsp://c")
    await work.amend(cameras={"gate-2": Zone()})
    assert work.warrant.binding.locations == {"gate-2": location_sha256("gate-2", "rtsp://another")}
    assert work.warrant.binding.lists == lists
    assert work.deployments.records[NAME][0].deeds[-1].details["binding_sha256"]


async def test_lists_that_have_grown_over_the_limit_stand_against_an_amendment(work):
    await work.to("armed")
    work.set_list("wanted", references=1999)
    with pytest.raises(ConflictError, match="references and the profile allows 2000"):
        await work.amend(cameras={"gate-2": Zone()})


async def test_a_list_that_is_there_no_longer_stands_against_an_amendment(work):
    await work.to("armed")
    work.set_list("wanted", state="destroyed")
    with pytest.raises(ConflictError, match="watch list wanted is destroyed"):
        await work.amend(cameras={"gate-2": Zone()})


async def test_what_was_drafted_authorised_and_amended_can_be_proved(work):
    await work.to("armed")
    before = canonical_sha256(work.record.draft)
    assert work.entry("drafted").details == {"draft_sha256": before}
    assert work.entry("authorised").details["draft_sha256"] == before
    zone = Zone(polygon=((0, 0), (0.5, 0), (0.5, 1)))
    await work.amend(cameras={**work.record.draft.cameras, "gate-1": zone})
    assert work.entry("amended").details["draft_sha256"] == canonical_sha256(work.record.draft) != before


@pytest.mark.parametrize("who", ["a-jones", "c-brown", "d-green"])
async def test_nobody_else_amends(work, who):
    await work.to("armed")
    with pytest.raises(ForbiddenError):
        await work.amend(who=who, threshold=0.55)


async def test_the_drafter_does_not_amend_even_with_the_role(work):
    both_roles(work)
    await work.to("armed")
    with pytest.raises(ForbiddenError, match="a-jones drafted"):
        await work.amend(who="a-jones", threshold=0.55)


async def test_an_amendment_cannot_exceed_the_false_alerts_that_the_profile_allows(work):
    work.set_list("wanted", references=600)
    await work.to("armed")
    with pytest.raises(ConflictError, match=r"cannot amend: 606 references at threshold 0.45"):
        await work.amend(threshold=0.45)
    assert work.warrant.threshold == 0.5


async def test_an_amendment_cannot_name_a_camera_nobody_knows(work):
    await work.to("armed")
    with pytest.raises(ConflictError, match="there is no record of camera gate-9"):
        await work.amend(cameras={"gate-9": Zone()})


async def test_an_old_list_does_not_keep_a_running_deployment_from_being_made_stricter(work):
    await work.to("armed")
    work.clock.advance(4 * HOUR_S)
    work.set_list("wanted", built_at=work.clock.now - 100 * HOUR_S)
    assert (await work.amend(threshold=0.6)).threshold == 0.6


async def test_an_amendment_of_nothing_and_one_that_is_no_draft_are_refused(work):
    await work.to("armed")
    with pytest.raises(PermanentError, match="name one"):
        await work.amend()
    with pytest.raises(PermanentError, match="either a threshold or a target_fpir"):
        await work.amend(threshold=0.5, target_fpir=0.001)


@pytest.mark.parametrize("state", ["draft", "ended", "purged"])
async def test_what_does_not_run_is_not_amended(work, state):
    await work.to(state)
    with pytest.raises(ConflictError, match=f"is {state}"):
        await work.amend(threshold=0.55)


async def test_a_deployment_that_is_amended_while_suspended_stays_suspended(work):
    await work.to("suspended")
    await work.amend(threshold=0.6)
    assert (work.warrant.state, work.warrant.threshold) == ("suspended", 0.6)


# -- judges


async def test_a_judicial_authorisation_needs_its_reference(work):
    await work.draft(**{**EU, "judicial_authorisation": ""})
    with pytest.raises(PermanentError, match="needs the reference"):
        await work.do("grant_judicial")
    record = await work.do("grant_judicial", reference="J-7")
    assert record.draft.judicial_authorisation == "J-7"
    assert work.entry("judicial_granted").details == {"reference": "J-7"}


@pytest.mark.parametrize("reference", ["x" * 129, "J-7\n", "  "])
async def test_a_reference_that_the_audit_would_not_take_is_refused_before_anything_is_written(work, reference):
    await work.to("armed", **EU)
    before = work.record
    with pytest.raises(PermanentError, match="128 characters at most"):
        await work.do("refuse_judicial", reference=reference + "\0")
    assert work.record == before


async def test_more_cameras_than_the_audit_has_room_for_are_a_number_and_a_hash(work):
    cameras = {f"camera-{number:03}-{'x' * 20}": Zone() for number in range(40)}
    work.cameras.known |= dict.fromkeys(cameras, work.cameras.known["gate-1"])
    await work.to("armed", cameras=cameras)
    assert work.entry("armed").details["cameras"].startswith("40 names, sha256 ")


async def test_a_registration_is_recorded(work):
    await work.draft(**{**EU, "registration": ""})
    assert (await work.do("register", reference="EU-7")).draft.registration == "EU-7"


async def test_where_the_profile_asks_for_no_judge_none_can_refuse(work):
    await work.to("armed")
    with pytest.raises(PermanentError, match="asks for no judicial authorisation"):
        await work.do("refuse_judicial", reference="J-7")


async def test_a_judicial_authorisation_that_comes_too_late_is_refused(work):
    await work.to("armed", **{**EU, "judicial_authorisation": "", "urgent": True, "ends_at": work.clock.now + 86_000})
    work.clock.advance(24 * HOUR_S)
    with pytest.raises(ConflictError, match="is over"):
        await work.do("grant_judicial", reference="J-7")


# -- looking


async def test_a_deployment_is_shown_with_what_stands_against_it_and_what_is_weak(work):
    await work.draft()
    work.set_list("wanted", state="importing")
    shown = await work.desk.show(DeploymentRequest(deployment=NAME))
    assert [line.split(":")[0] for line in shown.obstacles] == [
        "it is not authorised",
        "watch list wanted is being imported",
    ]
    assert any(line.startswith("list_age_hours = 24") for line in shown.warnings)
    assert any("sface-2021dec" in line and "street" in line for line in shown.warnings)


async def test_alerts_of_other_deployments_that_were_let_lapse_are_told_of(work):
    await work.draft()
    fields = {"status": "open", "decisions": (), "outcome": None, "expires_at": work.clock.now + HOUR_S}
    work.cases.known = {n: changed("case", alert=n, deployment="earlier", **fields) for n in ("1", "2")}
    lapsed = "alerts of other deployments that were deleted before enough people had decided: 2"
    assert lapsed not in (await work.desk.show(DeploymentRequest(deployment=NAME))).warnings
    work.clock.advance(HOUR_S)
    assert lapsed in (await work.desk.show(DeploymentRequest(deployment=NAME))).warnings


async def test_nothing_stands_against_what_runs_or_is_over(work):
    await work.to("armed")
    assert await work.obstacles() == ()
    await work.do("end")
    assert await work.obstacles() == ()


async def test_a_deployment_whose_profile_is_gone_can_be_shown_and_ended(work):
    await work.to("armed")
    work.profiles.pop("uk-police")
    assert "there is no profile uk-police" in (await work.obstacles())[0]
    assert (await work.do("end")).state == "ended"
    assert work.warrant.state == "ended"


async def test_all_deployments_are_listed_by_name_or_the_one_that_is_named(work):
    for name in ("b", "a"):
        request = DraftRequest(draft=work.a_draft(deployment=name))
        await work.desk.draft(work.crew.act("a-jones", request, work.clock))
    assert [record.id for record in (await work.desk.list(ListRequest(of=""))).records] == ["a", "b"]
    assert [record.id for record in (await work.desk.list(ListRequest(of="b"))).records] == ["b"]
