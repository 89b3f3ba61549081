"""What stands against arming: each obstacle by itself, with its remedy, and nothing where nothing does."""

from functools import partial

import pytest

from proto.deployments import Document, Zone
from proto.watchlists import EnrolledImage, EntryRecord
from services.govern.deployments.arming import obstacles, threshold_of
from services.govern.deployments.situation import read_situation
from tests.deployment_work import EU, HOUR_S, DeploymentWork
from tests.examples import changed


@pytest.fixture
async def work(crew, clock, log):
    """A deployment that was authorised, and that nothing stands against."""
    work = DeploymentWork(crew, clock, log)
    await work.to("authorised")
    assert found(work) == ()
    return work


@pytest.fixture
async def eu(crew, clock, log):
    work = DeploymentWork(crew, clock, log)
    await work.to("authorised", **EU)
    assert found(work) == ()
    return work


def found(work, **draft):
    """The obstacles, with these values in the draft."""
    record = work.record.model_copy(update={"draft": work.record.draft.model_copy(update=draft)})
    return obstacles(read_situation(work.office, record))


def only(work, **draft):
    (obstacle,) = found(work, **draft)
    return obstacle


def rules(work, name="uk-police", **fields):
    work.profiles[name] = work.profiles[name].model_copy(update=fields)


def entry(watch_list, subject, **form):
    example = changed("entry_record")
    form = example.form.model_copy(update=form)
    return example.model_copy(update={"watch_list": watch_list, "subject": subject, "form": form})


def put(work, *entries: EntryRecord):
    work.entries.known = {f"{number}": each for number, each in enumerate(entries)}


def other(work, state, deployment="station-south", **fields):
    """Another deployment that uses the same lists."""
    record = work.record
    draft = record.draft.model_copy(update={"deployment": deployment, "profile": fields.pop("profile", "uk-police")})
    values = {"draft": draft, "state": state, "armed_at": work.clock.now - HOUR_S, **fields}
    work.deployments.records[deployment] = record.model_copy(update=values), 1


# -- the deployment


async def test_what_is_not_authorised(crew, clock, log):
    work = DeploymentWork(crew, clock, log)
    await work.draft()
    assert only(work).startswith("it is not authorised: an authorising officer who did not draft it")


async def test_before_its_start_and_after_its_end(work):
    start, end = work.record.draft.starts_at, work.record.draft.ends_at
    work.clock.now = start - 1
    assert only(work) == "it starts at 2023-11-14 22:13:20 UTC: arm it then"
    work.clock.now = end - 1
    assert found(work) == ()
    work.clock.now = end
    assert only(work) == "its end was at 2023-11-15 03:13:20 UTC: draft another"


async def test_more_hours_than_the_profile_allows(work):
    start = work.record.draft.starts_at
    year = {"dpia": Document(id="D", expires_at=start * 2), "policy": Document(id="P", expires_at=start * 2)}
    assert found(work, ends_at=start + 12 * HOUR_S, **year) == ()
    assert only(work, ends_at=start + 12.5 * HOUR_S, **year).startswith("it lasts 12.5 h and the profile allows 12")


@pytest.mark.parametrize("document", ["dpia", "policy"])
async def test_a_document_that_is_missing_or_expires_before_the_end(work, document):
    end = work.record.draft.ends_at
    assert only(work, **{document: None}).startswith(f"the document {document} is missing: name it in the draft")
    assert found(work, **{document: Document(id="X-1", expires_at=end)}) == ()
    expiring = only(work, **{document: Document(id="X-1", expires_at=end - 1)})
    assert expiring.startswith(f"the document {document} (X-1) expires at 2023-11-15 03:13:19 UTC")


async def test_no_signs_and_no_contact_for_complaints(work):
    assert "signs are not confirmed" in only(work, signage_confirmed=False)
    assert "no complaints_contact" in only(work, complaints_contact="")


async def test_an_authoriser_who_has_left_or_has_another_rank_by_now(work):
    path = work.crew.roster_path
    whole = path.read_text()
    path.write_text(whole.replace('rank = "superintendent"', 'rank = "inspector"'))
    assert only(work).startswith("b-smith, who authorised it, has the rank 'inspector': it takes one of superintendent")
    path.write_text(whole.replace("officers.b-smith", "officers.b-smythe"))
    assert only(work).startswith("b-smith, who authorised it, is on the roster no longer")


def earlier(work, alert, **fields):
    """An alert of an earlier deployment that nobody has decided about, and that is there for another hour."""
    values = {"deployment": "earlier", "status": "open", "decisions": (), "outcome": None, **fields}
    return changed("case", alert=alert, **{"expires_at": work.clock.now + HOUR_S, **values})


async def test_alerts_of_earlier_deployments_that_nobody_has_decided_about(work):
    case = partial(earlier, work)
    work.cases.known = {
        "1": case("1"),
        "2": case("2", status="rejected"),
        "3": case("3", seed=True),
        "4": case("4", stamp="EVALUATION"),
        "5": case("5", deployment="station-north"),
        "6": case("6", deployment="purged-one"),
    }
    other(work, "purged", "purged-one", armed_at=0.0)
    assert only(work) == (
        "1 alerts of earlier deployments are open and the profile allows 0: adjudicate them with "
        "`watchline alerts adjudicate`"
    )
    rules(work, backlog=1)
    assert found(work) == ()


@pytest.mark.parametrize("verdicts", [(), ("confirmed",), ("confirmed", "no_decision")], ids=str)
async def test_an_alert_that_is_deleted_before_enough_people_have_confirmed_waits_for_nobody(work, verdicts):
    said = tuple(
        changed("case").decisions[0].model_copy(update={"officer": officer, "verdict": verdict})
        for officer, verdict in zip(("d-green", "e-white"), verdicts, strict=False)
    )
    work.cases.known = {"1": earlier(work, "1", decisions=said, confirmations_needed=2)}
    assert only(work).startswith("1 alerts of earlier deployments are open")
    work.clock.advance(HOUR_S)
    assert found(work) == ()
    kept = {"expires_at": work.clock.now + HOUR_S, "decisions": said, "confirmations_needed": 2}
    work.cases.known = {"1": earlier(work, "1", **kept, deleted_at=work.clock.now)}
    assert found(work) == ()


# -- under the AI Act


async def test_no_fundamental_rights_assessment_and_no_registration(eu):
    assert "fundamental rights impact assessment is missing" in only(eu, fria="")
    assert "registration in the EU database is missing" in only(eu, registration="")


async def test_no_judicial_authorisation(eu):
    assert only(eu, judicial_authorisation="").startswith("the judicial authorisation is missing")


async def test_urgency_waives_the_judge_and_the_registration_for_now_and_nothing_else(eu):
    assert found(eu, judicial_authorisation="", registration="", urgent=True) == ()
    assert "fundamental rights" in only(eu, judicial_authorisation="", urgent=True, fria="")


async def test_urgency_where_the_profile_knows_none(eu):
    rules(eu, "eu-ai-act", urgency_hours=0.0)
    assert "judicial authorisation is missing" in only(eu, judicial_authorisation="", urgent=True)


async def test_the_time_without_a_judge_is_over(eu):
    record = eu.record.model_copy(update={"urgent_until": eu.clock.now})
    eu.deployments.records["station-north"] = record, 9
    assert "is over" in only(eu, judicial_authorisation="", urgent=True)


async def test_no_second_urgency_follows_on_one_that_no_judge_authorised(eu):
    now, urgent = eu.clock.now, {"judicial_authorisation": "", "urgent": True}
    draft = eu.record.draft.model_copy(update={"deployment": "first", **urgent})

    def first(ended_at, **changes):
        fields = {"draft": draft.model_copy(update=changes), "state": "purged", "armed_at": 1.0, "ended_at": ended_at}
        eu.deployments.records["first"] = eu.record.model_copy(update=fields), 1

    first(now - 167 * HOUR_S)
    assert only(eu, **urgent).startswith("first used the same lists or cameras in urgency")
    assert found(eu) == ()
    first(now - 167 * HOUR_S, watch_lists=("others",), seed_lists=())  # at the same cameras
    assert only(eu, **urgent).startswith("first used")
    first(now - 167 * HOUR_S, watch_lists=("others",), seed_lists=(), cameras={"yard": Zone()})
    assert found(eu, **urgent) == ()
    first(now - 167 * HOUR_S, judicial_authorisation="J-2")
    assert found(eu, **urgent) == ()
    first(now - 168 * HOUR_S)
    assert found(eu, **urgent) == ()


@pytest.mark.parametrize("state", ["armed", "suspended"])
async def test_no_second_urgency_runs_beside_one_that_no_judge_has_authorised_yet(eu, state):
    urgent = {"judicial_authorisation": "", "urgent": True}
    changes = {"deployment": "first", "watch_lists": ("others",), "seed_lists": (), **urgent}
    draft = eu.record.draft.model_copy(update=changes)
    fields = {"draft": draft, "state": state, "armed_at": eu.clock.now - 23 * HOUR_S, "ended_at": 0.0}
    eu.deployments.records["first"] = eu.record.model_copy(update=fields), 1
    assert only(eu, **urgent).startswith("first used the same lists or cameras in urgency")


# -- lists


@pytest.mark.parametrize("name", ["missing", "wanted", "blue"])
async def test_a_list_that_is_not_there_or_not_whole(work, name):
    for state, words in (
        ("importing", "is being imported"),
        ("aborting", "is not whole"),
        ("destroying", "is destroying"),
        ("destroyed", "is"),
    ):
        work.set_list(name, state=state)
        assert only(work).startswith(f"watch list {name} {words}")
    del work.all_lists.known[name]
    assert only(work) == f"there is no watch list {name}: make it with `watchline watchlist create`"


async def test_a_list_that_was_made_for_another_profile(work):
    form = work.all_lists.known["wanted"].form.model_copy(update={"profile": "evaluation"})
    work.set_list("wanted", form=form)
    assert only(work).startswith("watch list wanted was made for deployments under evaluation, and this one is under")


async def test_a_list_that_has_expired(work):
    form = work.all_lists.known["wanted"].form.model_copy(update={"expires_at": work.clock.now})
    work.set_list("wanted", form=form)
    assert only(work).startswith("watch list wanted expired at")


async def test_a_list_that_is_older_than_the_profile_allows(work):
    work.set_list("wanted", built_at=work.clock.now - 24 * HOUR_S)
    assert found(work) == ()
    work.set_list("wanted", built_at=work.clock.now - 24.5 * HOUR_S)
    assert only(work) == ("watch list wanted is 24.5 h old and the profile allows 24 h: review it and import it again")
    rules(work, list_age_hours="unlimited")
    assert found(work) == ()


async def test_a_list_is_as_old_as_its_image_that_nobody_has_put_forward_since(work):
    def of(**fields):
        image = EnrolledImage(reference="front", sha256="c3" * 32, quality=0.75, **fields)
        put(work, changed("entry_record", images=(image,)))

    of(enrolled_at=work.clock.now - 300 * HOUR_S)
    assert "watch list wanted is 300.0 h old" in only(work)
    of(enrolled_at=work.clock.now - 300 * HOUR_S, reviewed_at=work.clock.now - HOUR_S)
    assert found(work) == ()


async def test_a_list_that_was_never_imported_is_as_old_as_itself(work):
    work.set_list("wanted", built_at=0.0, created_at=work.clock.now - 25 * HOUR_S)
    assert "is 25.0 h old" in only(work)


async def test_more_references_than_the_profile_allows_on_all_lists_together(work):
    for name in ("missing", "wanted", "blue"):
        work.set_list(name, references=667)
    assert only(work, threshold=0.6).startswith("the lists hold 2001 references and the profile allows 2000")
    work.set_list("blue", references=666)
    assert found(work, threshold=0.6) == ()


async def test_a_person_under_18_without_a_rationale(work):
    minor = entry("missing", "M-1", under_18=True, under_18_rationale="")
    put(work, minor, entry("missing", "M-2", under_18=True, under_18_rationale="a missing child"))
    assert only(work) == "1 entries are of people under 18 without a rationale: give one, or take them off"


async def test_a_person_on_a_seed_list_and_a_watch_list(work):
    put(work, entry("wanted", "S-1"), entry("blue", "S-1"), entry("blue", "B-1"), entry("missing", "S-2"))
    assert only(work) == "1 subjects are on a seed list and on a watch list: give the seeds ids of their own"
    assert "S-1" not in only(work)


async def test_who_was_taken_off_a_list_stands_against_nothing(work):
    put(work, entry("wanted", "S-1"), changed("entry_record", watch_list="blue", subject="S-1", form=None))
    assert found(work) == ()


async def test_a_real_list_named_as_one_of_seeds_would_hide_its_alerts(work):
    assert "watch list wanted is no list of seeds" in only(work, watch_lists=("missing",), seed_lists=("wanted",))


async def test_a_seed_list_among_the_watch_lists(work):
    assert "watch list blue is of seeds" in only(work, watch_lists=("blue",), seed_lists=())


@pytest.mark.parametrize("state", ["armed", "suspended", "ended"])
async def test_a_list_that_belongs_to_another_deployment(work, state):
    other(work, state, ended_at=work.clock.now)
    assert [line.partition(":")[0] for line in found(work)] == [
        f"watch list {name} belongs to deployment station-south" for name in ("missing", "wanted", "blue")
    ]


async def test_a_list_made_anew_after_another_deployment_ended_is_its_own(work):
    other(work, "ended", ended_at=work.clock.now - 3 * HOUR_S)
    assert found(work) == ()


async def test_a_list_is_not_pulled_from_under_an_evaluation_that_uses_it(work):
    other(work, "armed", profile="evaluation")
    assert len(found(work)) == 3
    other(work, "ended", profile="evaluation", ended_at=work.clock.now)
    assert found(work) == ()


# -- the error rate


async def test_more_false_alerts_than_the_profile_allows(work):
    for name in ("missing", "wanted", "blue"):
        work.set_list(name, references=230)
    assert only(work) == (
        "690 references at threshold 0.50 come to 0.0011 false alerts a face and the profile allows 0.001: raise the "
        "threshold to 0.51, or shorten the lists"
    )
    assert found(work, threshold=0.51) == ()


async def test_a_threshold_that_was_never_calibrated(work):
    assert "0.2 is under 0.3, the lowest that was calibrated" in only(work, threshold=0.2)


async def test_so_many_references_that_no_threshold_will_do(work):
    work.set_list("wanted", references=5000)
    rules(work, list_size=10_000)
    assert "no threshold is calibrated well enough for so many" in only(work)


async def test_a_target_that_the_sample_does_not_support(work):
    work.set_list("wanted", references=1900)
    assert "cannot promise a false alert rate of 0.0001 a face" in only(work, threshold=None, target_fpir=0.0001)


async def test_a_model_without_a_calibration(work):
    work.set_list("wanted", template_version="arcface-9")
    assert only(work).startswith("no calibration is known of arcface-9, which made watch list wanted")
    assert len(found(work, threshold=None, target_fpir=0.001)) == 2


async def test_lists_of_two_models_take_the_higher_of_their_thresholds(work):
    sface = work.calibrations["sface-2021dec"]
    worse = sface.model_copy(update={"false_matches": tuple(100 * count for count in sface.false_matches)})
    work.calibrations["other"] = worse
    draft = {"threshold": None, "target_fpir": 0.001}
    record = work.record.model_copy(update={"draft": work.record.draft.model_copy(update=draft)})
    alone = threshold_of(read_situation(work.office, record))
    work.set_list("wanted", template_version="other")
    assert threshold_of(read_situation(work.office, record)) > alone


# -- cameras


async def test_a_camera_nobody_knows(work):
    del work.cameras.known["gate-1"]
    assert only(work) == "there is no record of camera gate-1: add it, or leave it out"


@pytest.mark.parametrize("location", ["rtsp://10.0.0.7/live", "RTSPS://cam", " rtsp ://cam"])
async def test_a_live_camera_under_a_profile_for_recordings(work, location):
    assert found(work) == ()  # the police may
    rules(work, live_sources=False)
    work.cameras.known["gate-2"] = work.cameras.known["gate-2"].model_copy(update={"location": "gate.mp4"})
    work.cameras.known["gate-1"] = work.cameras.known["gate-1"].model_copy(update={"location": location})
    assert only(work) == "camera gate-1 is live and the profile uk-police reads recordings alone: name a file"


async def test_every_obstacle_is_told_at_once(work):
    work.set_list("wanted", state="importing")
    assert len(found(work, signage_confirmed=False, complaints_contact="", dpia=None)) == 4


async def test_an_obstacle_shows_no_password_of_a_camera(work):
    rules(work, live_sources=False)
    for name in work.cameras.known:
        work.cameras.known[name] = work.cameras.known[name].model_copy(update={"location": "rtsp://u:secret@c"})
    assert "secret" not in " ".join(found(work))


async def test_a_list_with_nobody_on_it(work):
    work.set_list("wanted", subjects=0, references=0)
    assert only(work) == "watch list wanted is empty: put those who are sought on it first"
