"""Alerts in the hands of people: who may decide what, what it comes to, and what is told of it."""

import hashlib
from types import SimpleNamespace

import pytest

from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import ForbiddenError
from libs.seals import SealError
from proto import codec
from proto.cases import Intervention
from proto.codec import DecodeError
from proto.requests.alerts import AdjudicateRequest, CaseRequest
from proto.requests.listing import ListRequest
from proto.sealed import Act
from services.govern.cases.evidence import decision_of
from services.govern.cases.passages import NOTED_WITHIN_S
from tests.casework import ESCALATED_AFTER_S, KEPT_S, KEY, Casework, Death, dying, profile
from tests.examples import ALERT, changed


@pytest.fixture
def work(crew, clock, log):
    """One person confirms."""
    return Casework(crew, clock, log)


@pytest.fixture
def two(crew, clock, log):
    """Two people confirm."""
    return Casework(crew, clock, log, confirmations=2)


def another_operator(crew, name="g-grey"):
    """Puts one more operator on the roster, with the key of e-white under another name if it is so called."""
    key = crew["e-white"] if name == "e-white-2" else crew["f-black"]
    table = f'\n[officers.{name}]\npublic_key = "{key.public}"\nroles = ["operator"]\n'
    crew.roster_path.write_text(crew.roster_path.read_text() + table)
    key.name = name
    crew._signers[name] = key


# -- from an alert to a case


async def test_an_alert_becomes_a_case_with_all_that_the_decision_rests_on(two):
    case = await two.alert()
    assert (case.alert, case.camera, case.subject, case.watch_list) == (ALERT, "gate-1", "S-0001", "wanted")
    assert (case.score, case.threshold, case.searched, case.template_version) == (0.5625, 0.5, 10_000, "sface-2021dec")
    assert (case.record_version, case.raised_at, case.portrait_sha256) == (3, two.clock.now, "d4" * 32)
    assert (case.status, case.decisions, case.confirmations_needed) == ("open", (), 2)


async def test_the_audit_holds_the_alert_with_its_figures_and_nothing_of_the_face(work):
    await work.alert()
    entry = work.entry("alert.raised")
    assert (entry.alert, entry.deployment, entry.record_version, entry.watch_list) == (
        *(ALERT, "station-north", 3, "wanted"),
    )
    assert entry.details == {
        "camera": "gate-1",
        "subject": "S-0001",
        "score": 0.5625,
        "threshold": 0.5,
        "searched": 10_000,
        "template_version": "sface-2021dec",
        "captured_at": work.clock.now - 1.5,
        "expires_at": work.clock.now + KEPT_S,
        "portrait_sha256": "d4" * 32,
        "captured_to_alert_s": 1.5,
    }


async def test_an_alert_that_comes_again_is_the_same_case_decided_as_it_was(work):
    await work.alert()
    await work.decide("d-green")
    assert (await work.alert()).status == "confirmed"
    assert work.events().count("alert.raised") == 1


async def test_a_stamp_stays_on_the_case_and_in_the_audit(work):
    work.bind(stamp="EVALUATION")
    assert (await work.alert(stamp="")).stamp == "EVALUATION"
    assert work.entry("alert.raised").details["stamp"] == "EVALUATION"


async def test_no_alert_makes_an_evaluation_of_a_deployment_that_is_none(work):
    assert (await work.alert(stamp="EVALUATION")).stamp == ""
    await work.decide("d-green")
    assert len(work.wire.interventions) == 1


async def test_a_case_that_a_crash_kept_out_of_the_audit_gets_there_when_the_alert_comes_again(work):
    work.ledger.fails_at, work.ledger.error = ".raised", Death()
    with dying():
        await work.alert()
    work.ledger.fails_at = None
    work.restarted()
    await work.alert()
    assert work.events() == ["alert.raised"]


@pytest.mark.parametrize(
    "fields",
    [
        {"deployment": "nowhere"},
        {"watch_list": "unheard-of"},
        {"watch_list": "blue"},
        {"id": "a1b2c3"},
        {"id": ALERT, "camera": "gate-9"},
    ],
    ids=["deployment", "list", "seed list", "odd id", "id of another"],
)
async def test_an_alert_that_no_deployment_can_have_raised_is_none_for_its(work, fields):
    with pytest.raises(PermanentError):
        await work.cases.take_alert(work.an_alert(**fields))
    assert (work.shelf.records, work.ledger.entries) == ({}, {})


async def test_a_real_alert_cannot_be_passed_off_as_one_for_a_seed(work):
    with pytest.raises(PermanentError, match="no seed list wanted"):
        await work.cases.take_alert(work.an_alert(seed=True))


@pytest.mark.parametrize("fields", [{"state": "purged"}, {"state": "refused"}, {"deleting": True}])
async def test_a_deployment_whose_data_is_deleted_gets_no_case_any_more(work, fields):
    work.put_deployment(**fields)
    with pytest.raises(PermanentError, match="raises no alerts"):
        await work.alert()


async def test_a_deployment_that_was_never_armed_has_no_alerts(work):
    record = work.put_deployment()
    work.deployments.records[record.id] = record.model_copy(update={"armed_at": 0.0}), 9
    with pytest.raises(PermanentError, match="raises no alerts"):
        await work.alert()


async def test_an_alert_whose_profile_is_gone_is_a_case_at_once_and_escalates(two):
    """As many must confirm as it was armed with; nothing suggests an intervention before somebody knows its rules."""
    rules = two.profiles.pop("uk-police")
    case = await two.alert()
    assert (case.status, case.confirmations_needed, case.expires_at) == ("open", 2, two.clock.now + KEPT_S)
    two.clock.advance(ESCALATED_AFTER_S)
    await two.cases.escalate_due()
    assert two.events() == ["alert.raised", "alert.escalated"]
    await two.decide("d-green")
    await two.decide("e-white")
    assert (two.case().status, two.wire.interventions) == ("confirmed", [])
    two.profiles["uk-police"] = rules
    await two.cases.escalate_due()
    assert len(two.wire.interventions) == 1


async def test_an_alert_whose_list_has_no_record_is_a_case_like_any_other(work):
    work.lists.known.pop("wanted")
    assert (await work.alert()).status == "open"
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    assert work.events() == ["alert.raised", "alert.escalated"]
    assert (await work.decide("d-green")).response == "red"  # as it was armed


# -- who may decide


@pytest.mark.parametrize("who", ["a-jones", "b-smith", "c-brown", "f-black", "l-stone"])
async def test_only_an_operator_decides(work, who):
    await work.alert()
    with pytest.raises(ForbiddenError, match="not one of: operator"):
        await work.decide(who)
    assert work.case().status == "open"


async def test_the_system_itself_decides_about_nobody(work):
    await work.alert()
    with pytest.raises(ForbiddenError, match="a person must do this"):
        await work.decide("govern")
    assert work.case().decisions == ()


async def test_an_operator_of_another_profile_does_not_decide(work, crew):
    crew.write_roster(d_green='profiles = ["evaluation"]\n')
    await work.alert()
    with pytest.raises(ForbiddenError, match="may not act under the profile uk-police"):
        await work.decide("d-green")
    with pytest.raises(ForbiddenError, match="may not act under the profile uk-police"):
        await work.passage("d-green")


async def test_an_act_that_was_signed_by_another_is_none(work):
    await work.alert()
    forged = work.act("e-white", "adjudicate_request").model_copy(update={"signer": "d-green"})
    with pytest.raises(PermanentError, match="signature"):
        await work.cases.adjudicate(forged)


async def test_an_act_that_is_sent_again_by_somebody_else_counts_once(two):
    await two.alert()
    act = two.act("d-green", "adjudicate_request")
    await two.cases.adjudicate(act)
    with pytest.raises(ForbiddenError, match="came before"):
        await two.cases.adjudicate(act)
    two.restarted()  # it has forgotten which acts it saw
    assert len((await two.cases.adjudicate(act)).case.decisions) == 1
    assert two.events() == ["alert.raised", "alert.decided"]


def test_a_decision_without_a_reason_is_none():
    blank = codec.encode(changed("adjudicate_request")).replace(b"\xa9same scar", b"\xa3 \t ")
    with pytest.raises(DecodeError, match="reason"):
        codec.decode(AdjudicateRequest, blank)


async def test_an_alert_that_is_not_there_cannot_be_decided(work):
    with pytest.raises(MissingError, match=f"no alert {ALERT}"):
        await work.decide("d-green")
    with pytest.raises(MissingError, match="no deployment elsewhere"):
        await work.decide("d-green", deployment="elsewhere")


# -- what decisions come to


async def test_one_person_confirms_where_one_is_enough(work):
    await work.alert()
    assert (await work.decide("d-green")).status == "confirmed"
    assert len(work.wire.interventions) == 1


async def test_one_person_is_not_two(two):
    await two.alert()
    assert (await two.decide("d-green")).status == "open"
    with pytest.raises(ConflictError, match="d-green has decided already"):
        await two.decide("d-green", reason="looked again")
    assert (await two.decide("d-green")).status == "open"
    assert two.wire.interventions == []


async def test_one_person_under_two_names_is_not_two(two, crew):
    another_operator(crew, "e-white-2")
    await two.alert()
    await two.decide("e-white-2")
    crew["e-white"].name = "e-white"
    with pytest.raises(ConflictError, match="e-white-2 has decided already"):
        await two.decide("e-white")
    assert two.wire.interventions == []


async def test_two_different_people_confirm_where_two_must(two):
    await two.alert()
    await two.decide("d-green")
    assert (await two.decide("e-white")).status == "confirmed"
    (intervention,) = two.wire.interventions
    assert intervention.confirmed_by == ("d-green", "e-white")


async def test_who_confirmed_cannot_reject_later(two):
    await two.alert()
    await two.decide("d-green")
    with pytest.raises(ConflictError, match="d-green has decided already"):
        await two.decide("d-green", "rejected")


@pytest.mark.parametrize("order", [1, -1], ids=["confirmed first", "rejected first"])
async def test_a_rejection_by_anyone_ends_it(two, order):
    await two.alert()
    first, second = [("d-green", "confirmed"), ("e-white", "rejected")][::order]
    await two.decide(*first)
    if order == 1:
        await two.decide(*second)
    else:
        with pytest.raises(ConflictError, match="rejected already, by e-white"):
            await two.decide(*second)
    assert two.case().status == "rejected"
    assert two.wire.interventions == []


async def test_no_decision_leaves_it_undecided_and_another_may_still_decide(work):
    await work.alert()
    assert (await work.decide("d-green", "no_decision")).status == "undecided"
    assert (await work.decide("e-white")).status == "confirmed"


async def test_no_decision_beside_a_confirmation_leaves_it_open(two):
    await two.alert()
    await two.decide("d-green")
    assert (await two.decide("e-white", "no_decision")).status == "open"
    assert two.wire.interventions == []


@pytest.mark.parametrize("verdict", ["confirmed", "rejected"])
async def test_after_a_final_decision_there_is_none(work, verdict):
    await work.alert()
    await work.decide("d-green", verdict)
    for other in ("confirmed", "rejected", "no_decision"):
        with pytest.raises(ConflictError, match=f"is {verdict} already, by d-green") as refusal:
            await work.decide("e-white", other)
        assert refusal.value.code == "409"


# -- two at once


async def test_of_two_who_act_at_once_both_count_where_they_fit(two):
    await two.alert()
    two.shelf.before_replacing = lambda: two.decide("e-white")
    case = await two.decide("d-green")
    assert (case.status, [decision.officer for decision in case.decisions]) == ("confirmed", ["e-white", "d-green"])
    assert len(two.wire.interventions) == 1


async def test_of_two_who_act_at_once_the_second_is_told_where_it_does_not_fit(work):
    await work.alert()
    work.shelf.before_replacing = lambda: work.decide("e-white", "rejected")
    with pytest.raises(ConflictError, match="rejected already, by e-white"):
        await work.decide("d-green")
    assert (work.case().status, len(work.case().decisions)) == ("rejected", 1)
    assert work.wire.interventions == []


async def test_the_same_person_at_two_desks_at_once_counts_once(two):
    await two.alert()
    two.shelf.before_replacing = lambda: two.decide("d-green")
    with pytest.raises(ConflictError, match="d-green has decided already"):
        await two.decide("d-green", "rejected")
    assert [decision.verdict for decision in two.case().decisions] == ["confirmed"]


# -- when the data is deleted


async def test_what_nobody_can_see_any_more_nobody_can_confirm_or_reject(work):
    await work.alert()
    work.change(deleted_at=work.clock.now)
    for verdict in ("confirmed", "rejected"):
        with pytest.raises(ConflictError, match="deleted"):
            await work.decide("d-green", verdict)


async def test_an_alert_that_should_be_deleted_counts_as_deleted_although_the_sweep_is_late(work):
    await work.alert()
    work.clock.advance(KEPT_S - 1)
    await work.decide("d-green", "no_decision")
    work.clock.advance(1)
    with pytest.raises(ConflictError, match="deleted"):
        await work.decide("e-white")


async def test_an_alert_that_says_it_is_deleted_sooner_is(work):
    assert (await work.alert()).expires_at == work.clock.now + KEPT_S
    brief = await work.alert(track="brief", expires_at=work.clock.now + 60)
    assert brief.expires_at == work.clock.now + 60
    work.clock.advance(60)
    with pytest.raises(ConflictError, match="deleted"):
        await work.decide("d-green", alert=brief.alert)
    assert (await work.decide("d-green")).status == "confirmed"


async def test_an_open_alert_whose_data_is_deleted_can_be_closed_as_undecided(two):
    await two.alert()
    await two.decide("d-green")
    two.change(deleted_at=two.clock.now)
    assert (await two.decide("e-white", "no_decision")).status == "undecided"


async def test_what_is_undecided_when_its_data_is_deleted_stays_so(work, crew):
    another_operator(crew)
    await work.alert()
    await work.decide("d-green", "no_decision")
    work.change(deleted_at=work.clock.now)
    with pytest.raises(ConflictError, match="nothing is left to decide"):
        await work.decide("g-grey", "no_decision")


async def test_an_alert_that_is_deleted_between_look_and_decision_is_not_confirmed(work):
    await work.alert()

    async def delete():
        work.change(deleted_at=work.clock.now)

    work.shelf.before_replacing = delete
    with pytest.raises(ConflictError, match="deleted"):
        await work.decide("d-green")
    assert work.wire.interventions == []


@pytest.mark.parametrize("fields", [{"state": "purged"}, {"state": "refused"}, {"state": "ended", "deleting": True}])
async def test_after_the_deployment_was_purged_nothing_is_decided(work, fields):
    await work.alert()
    await work.decide("d-green")
    work.put_deployment(**fields)
    acts = [
        work.decide("e-white", "no_decision"),
        work.engage("e-white"),
        work.passage("e-white", subject="blue-1"),
    ]
    for act in acts:
        with pytest.raises(ConflictError, match="its data deleted"):
            await act


async def test_after_the_end_of_a_deployment_its_alerts_are_still_decided(work):
    await work.alert()
    work.put_deployment(state="ended", ended_at=work.clock.now)
    assert (await work.decide("d-green")).status == "confirmed"


# -- what comes of it


async def test_what_came_of_a_confirmed_alert_is_noted_once(work):
    await work.alert()
    await work.decide("d-green")
    case = await work.engage("e-white")
    assert (case.outcome.officer, case.outcome.engagement) == ("e-white", "confirmed_true")
    with pytest.raises(ConflictError, match="noted already, by e-white"):
        await work.engage("d-green", engagement="confirmed_false")
    assert work.case().outcome.engagement == "confirmed_true"


@pytest.mark.parametrize("verdict", [None, "rejected", "no_decision"])
async def test_nobody_is_engaged_over_an_alert_that_is_not_confirmed(work, verdict):
    await work.alert()
    if verdict:
        await work.decide("d-green", verdict)
    with pytest.raises(ConflictError, match="nobody may be engaged before it is confirmed"):
        await work.engage("e-white")


async def test_only_an_operator_says_what_came_of_it(work):
    await work.alert()
    await work.decide("d-green")
    with pytest.raises(ForbiddenError):
        await work.engage("c-brown")


# -- seeds


async def test_an_alert_for_a_seed_is_counted_and_nobody_decides_about_it(work):
    case = await work.alert(seed=True, watch_list="blue", subject="blue-1")
    assert case.seed
    assert work.events() == ["seed.raised"]
    for act in (work.decide("d-green", alert=case.alert), work.engage("d-green", alert=case.alert)):
        with pytest.raises(ConflictError, match="is for a seed"):
            await act
    assert work.wire.messages == []


async def test_a_seed_that_nobody_decides_about_is_not_escalated(work):
    case = await work.alert(seed=True, watch_list="blue", subject="blue-1")
    work.clock.advance(ESCALATED_AFTER_S + 1)
    await work.cases.escalate_due()
    assert work.case(case.alert).escalated_at == 0
    assert work.wire.messages == []


# -- what is published


async def test_nothing_but_the_intervention_says_how_to_respond(two):
    case = await two.alert()
    assert case.response == ""
    assert (await two.decide("d-green")).response == ""
    two.clock.advance(ESCALATED_AFTER_S)
    await two.cases.escalate_due()
    for message in two.wire.messages:
        assert b"red" not in codec.encode(message)
    assert (await two.decide("e-white")).response == "red"
    assert two.wire.interventions[0].response == "red"


async def test_an_intervention_names_who_confirmed_and_on_which_record(work):
    await work.alert()
    work.clock.advance(20)
    await work.decide("d-green")
    (intervention,) = work.wire.interventions
    assert (intervention.alert, intervention.camera, intervention.subject) == (ALERT, "gate-1", "S-0001")
    assert (intervention.record_version, intervention.stamp) == (3, "")
    assert (intervention.confirmed_by, intervention.confirmed_at) == (("d-green",), work.clock.now)


async def test_an_alert_of_an_evaluation_never_comes_to_an_intervention(work):
    work.bind(stamp="EVALUATION")
    await work.alert()
    assert (await work.decide("d-green")).status == "confirmed"
    await work.cases.escalate_due()
    assert work.wire.interventions == []
    assert "alert.intervention" not in work.events()


async def test_an_alert_of_an_evaluation_stays_one_whatever_its_deployment_is_armed_with_later(work):
    work.bind(stamp="EVALUATION")
    await work.alert()
    work.bind(stamp="")
    await work.decide("d-green")
    assert work.wire.interventions == []
    assert "alert.intervention" not in work.events()


@pytest.mark.parametrize("where", ["profile", "binding"])
async def test_a_case_that_lost_its_stamp_is_still_one_of_an_evaluation(work, where):
    if where == "profile":
        work.profiles["uk-police"] = profile(stamp="EVALUATION", live_sources=False)
    else:
        work.bind(stamp="EVALUATION")
    await work.alert()
    work.change(stamp="")
    await work.decide("d-green")
    await work.cases.escalate_due()
    assert work.wire.interventions == []


async def test_the_stamp_of_a_case_is_that_of_its_profile_although_the_alert_bears_none(crew, clock, log):
    work = Casework(crew, clock, log, stamp="EVALUATION", live_sources=False)
    assert (await work.alert()).stamp == "EVALUATION"


async def test_an_intervention_is_sealed_by_govern_and_leaves_under_its_own_id(work):
    await work.alert()
    await work.decide("d-green")
    (sealed,) = work.wire.of("intervention")
    assert (sealed.holds, sealed.signer) == ("intervention", "govern")
    with pytest.raises(SealError):
        work.crew["d-green"].public.open(sealed, Intervention)
    work.change(told=())  # died before it was noted
    await work.restarted().escalate_due()
    assert len(work.wire.interventions) == 1


async def test_nobody_keeps_an_intervention_from_leaving_by_taking_its_id(work):
    """The id of its kind and alert is no secret, and the stream drops what has an id that it knows."""
    case = await work.alert()
    await work.wire.publish_as("", f"intervention.{case.alert}", changed("sealed"))
    await work.decide("d-green")
    assert len(work.wire.interventions) == 1


@pytest.mark.parametrize("closed", ["deleted", "purged", "rejected"])
async def test_no_intervention_is_suggested_after_what_came_while_the_rest_was_told(work, closed):
    await work.alert()

    async def meanwhile(message, _trace):
        if message.event == "decision":
            match closed:
                case "deleted":
                    work.change(deleted_at=work.clock.now)
                case "purged":
                    work.put_deployment(deleting=True)
                case "rejected":
                    work.change(status="rejected")

    work.wire.publish = meanwhile
    await work.decide("d-green")
    assert work.wire.interventions == []
    assert "alert.intervention" not in work.events()


async def test_a_record_that_says_confirmed_and_has_not_the_decisions_suggests_nothing(two):
    await two.alert()
    await two.decide("d-green")
    two.change(status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []


async def test_an_intervention_that_a_crash_kept_from_being_told_is_not_told_once_the_alert_is_past_its_time(
    work, clock
):
    await work.alert()
    work.ledger.fails_at = "intervention"
    with pytest.raises(TransientError):
        await work.decide("d-green")
    work.ledger.fails_at = None
    clock.now = work.case().expires_at
    work.restarted()
    await work.cases.escalate_due()
    assert work.wire.interventions == []


def forged(case, clock, **fields):
    """The case with a decision by e-white that is d-green's own but for the name."""
    theirs = case.decisions[0].model_copy(update={"officer": "e-white", "at": clock.now, **fields})
    return (*case.decisions, theirs)


@pytest.mark.parametrize("fields", [{}, {"sealed": ""}, {"sealed": "no base64"}], ids=["d-green's", "none", "no seal"])
async def test_a_confirmation_that_its_officer_did_not_sign_suggests_nothing_and_is_not_in_the_audit(
    two, clock, fields
):
    await two.alert()
    case = await two.decide("d-green")
    two.change(decisions=forged(case, clock, **fields), status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []
    assert [entry.deed.who for entry in two.ledger.entries.values() if entry.event == "alert.decided"] == ["d-green"]
    assert [entry["officers"] for entry in two.log.entries if entry["event"] == "case.forged"] == [["e-white"]]


@pytest.mark.parametrize("fields", [{"verdict": "rejected"}, {"reason": "another"}, {"act": "00" * 32}])
async def test_a_decision_that_was_altered_in_the_record_is_not_told(work, fields):
    await work.alert()
    work.ledger.fails_at = "decided.d-green"
    with pytest.raises(TransientError):
        await work.decide("d-green")
    work.ledger.fails_at = None
    work.change(decisions=(work.case().decisions[0].model_copy(update=fields),))
    await work.cases.escalate_due()
    assert (work.wire.messages, work.events()) == ([], ["alert.raised"])


async def test_a_confirmation_of_another_alert_is_none_of_this_one(two):
    await two.alert()
    another = await two.alert(track="another")
    other = await two.decide("e-white", alert=another.alert)
    mine = await two.decide("d-green")
    two.change(decisions=(*mine.decisions, *other.decisions), status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []


async def test_nobody_confirms_on_top_of_a_forged_confirmation_but_everybody_may_reject(two, clock):
    await two.alert()
    case = await two.decide("d-green")
    two.change(decisions=forged(case, clock, officer="g-grey")[1:])
    two.ledger.is_asked = False
    with pytest.raises(ConflictError, match="no key of the roster signed for g-grey"):
        await two.decide("e-white")
    assert (await two.decide("e-white", "rejected")).status == "rejected"
    assert two.wire.interventions == []
    assert [message.officer for message in two.wire.of("adjudication")] == ["d-green", "e-white"]


def recorded(work, who, **fields):
    """A decision as it lies in a record, truly signed by `who`, although this program never took it."""
    act = work.act(who, "adjudicate_request", **{"verdict": "confirmed", **fields})
    request = codec.decode(AdjudicateRequest, work.crew[who].public.open(act, Act, who).request)
    digest = hashlib.sha256(codec.encode(act)).hexdigest()
    key = work.roster.officers()[who].key_sha256
    signed = SimpleNamespace(who=who, request=request, act=SimpleNamespace(origin=""), sha256=digest, key_sha256=key)
    return decision_of(signed, act, work.clock.now)


@pytest.mark.parametrize("who", ["a-jones", "c-brown", "f-black"])
async def test_a_confirmation_by_somebody_who_is_no_operator_does_not_count_although_it_is_signed(work, who):
    await work.alert()
    work.change(decisions=(recorded(work, who),), status="confirmed", response="red")
    await work.cases.escalate_due()
    assert (work.wire.messages, work.events()) == ([], ["alert.raised"])


async def test_a_confirmation_by_an_operator_of_another_profile_does_not_count_although_it_is_signed(work, crew):
    text = crew.roster_path.read_text()
    start = text.index("[officers.e-white]")
    crew.roster_path.write_text(text[:start] + text[start:].replace("\n", '\nprofiles = ["elsewhere"]\n', 1))
    await work.alert()
    work.change(decisions=(recorded(work, "e-white"),), status="confirmed", response="red")
    await work.cases.escalate_due()
    assert (work.wire.messages, work.events()) == ([], ["alert.raised"])


async def test_a_confirmation_that_was_signed_when_the_portrait_was_deleted_does_not_count(work):
    case = await work.alert()
    work.clock.advance(case.expires_at - work.clock.now)
    work.change(decisions=(recorded(work, "d-green"),), status="confirmed", response="red")
    work.ledger.entries.clear()
    await work.cases.escalate_due()
    assert (work.wire.messages, work.events()) == ([], [])


async def test_an_officer_whose_clock_is_ahead_cannot_confirm_what_by_it_is_deleted(work):
    case = await work.alert()
    work.clock.advance(case.expires_at - work.clock.now)
    act = work.act("d-green", "adjudicate_request", verdict="confirmed")
    work.clock.advance(-60)
    with pytest.raises(ConflictError, match="portrait are deleted"):
        await work.cases.adjudicate(act)


# -- officers who have left


async def test_what_came_of_what_somebody_who_has_left_confirmed_can_still_be_noted(work, crew):
    await work.alert()
    await work.decide("d-green")
    crew.dismiss("d-green")
    case = await work.engage("e-white")
    assert (case.status, case.outcome.officer) == ("confirmed", "e-white")
    assert work.events()[-1] == "alert.engaged"


async def test_somebody_who_has_left_and_another_are_two(two, crew):
    await two.alert()
    await two.decide("d-green")
    crew.dismiss("d-green")
    assert (await two.decide("e-white")).status == "confirmed"
    assert [sent.confirmed_by for sent in two.wire.interventions] == [("d-green", "e-white")]


async def test_somebody_who_left_and_came_back_under_another_name_is_one(two, crew):
    await two.alert()
    await two.decide("e-white")
    crew.dismiss("e-white")
    another_operator(crew, "e-white-2")
    for verdict in ("confirmed", "rejected"):
        with pytest.raises(ConflictError, match="e-white has decided already"):
            await two.decide("e-white-2", verdict)
    assert two.wire.interventions == []


@pytest.mark.parametrize("dismissed", [(), ("e-white",), ("e-white", "e-white-2")])
async def test_one_person_whose_two_names_were_audited_one_after_the_other_is_one(two, crew, dismissed):
    """Who can write the record hides the first decision until the second is taken."""
    await two.alert()
    await two.decide("e-white")
    (first,) = two.case().decisions
    two.change(decisions=(), status="open")
    two.ledger.is_asked = False
    another_operator(crew, "e-white-2")
    await two.decide("e-white-2")
    (second,) = two.case().decisions
    two.change(decisions=(first, second), status="confirmed", response="red")
    for name in dismissed:
        crew.dismiss(name)
    await two.cases.escalate_due()
    assert two.wire.interventions == []


@pytest.mark.parametrize("is_audited", [False, True])
async def test_a_decision_counts_of_no_other_key_than_signed_it(work, is_audited):
    await work.alert()
    mine = (await work.decide("d-green")).decisions[0] if is_audited else recorded(work, "d-green")
    work.change(decisions=(mine.model_copy(update={"key_sha256": "0" * 64}),))
    assert await work.left_out() == ["d-green"]


@pytest.mark.parametrize("change", ["another act", "another alert", "another verdict", "another officer", "unheard of"])
async def test_nothing_counts_in_the_name_of_somebody_who_has_left_but_what_the_audit_holds(work, crew, change):
    await work.alert()
    another = await work.alert(track="another")
    mine = (await work.decide("d-green")).decisions
    other = (await work.decide("d-green", alert=another.alert)).decisions
    forged = {
        "another act": (recorded(work, "d-green"),),
        "another alert": other,
        "another verdict": (mine[0].model_copy(update={"verdict": "rejected"}),),
        "another officer": (mine[0].model_copy(update={"officer": "g-grey"}),),
        "unheard of": mine,
    }[change]
    if change == "unheard of":
        work.ledger.entries.clear()
    crew.dismiss("d-green")
    work.ledger.is_asked = False
    work.change(decisions=forged, told=())
    with pytest.raises(ConflictError, match="no key of the roster signed for"):
        await work.engage("e-white")


def under_two_names(work):
    """Two confirmations that one person has truly signed."""
    first = recorded(work, "e-white")
    another_operator(work.crew, "e-white-2")
    return first, recorded(work, "e-white-2")


async def test_another_list_of_the_name_gives_a_confirmed_alert_no_other_response(work):
    await work.alert()
    listed = work.lists.known["wanted"]
    form = listed.form.model_copy(update={"response": "green"})
    work.lists.known["wanted"] = listed.model_copy(update={"form": form})
    assert (await work.decide("d-green")).response == "red"


async def test_a_response_that_was_altered_in_the_record_is_not_suggested(work):
    await work.alert()
    decided = recorded(work, "d-green")
    work.change(decisions=(decided,), status="confirmed", response="amber")
    await work.cases.escalate_due()
    assert work.wire.interventions == []


async def test_one_person_under_two_names_in_the_record_is_not_two(two):
    await two.alert()
    two.change(decisions=under_two_names(two), status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []


async def test_nobody_confirms_on_top_of_one_person_under_two_names(crew, clock, log):
    work = Casework(crew, clock, log, confirmations=3)
    await work.alert()
    work.change(decisions=under_two_names(work))
    assert (await work.decide("d-green")).status == "open"
    assert (await work.credible()).decisions == work.case().decisions[-1:]


async def test_one_person_under_two_names_is_not_two_when_both_names_are_off_the_roster(two, crew):
    await two.alert()
    two.change(decisions=under_two_names(two))
    await two.cases.escalate_due()
    assert two.events() == ["alert.raised"]  # of neither is it known that it is another's
    crew.dismiss("e-white")
    crew.dismiss("e-white-2")
    two.change(status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []


async def test_what_was_decided_counts_beside_what_the_same_person_signed_under_another_name(two, crew):
    await two.alert()
    mine = (await two.decide("e-white")).decisions
    another_operator(crew, "e-white-2")
    two.change(decisions=(*mine, recorded(two, "e-white-2")))
    assert await two.left_out() == ["e-white-2"]


async def test_a_confirmation_that_lies_twice_in_the_record_is_one(two):
    await two.alert()
    mine = (await two.decide("d-green")).decisions
    two.change(decisions=mine * 2, status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []
    with pytest.raises(ConflictError, match="2 different people must, and the record is altered"):
        await two.engage("e-white")


async def test_one_person_with_a_new_key_is_one(two, crew):
    """Who can write the record hides the first decision until the second is taken."""
    await two.alert()
    await two.decide("e-white")
    (first,) = two.case().decisions
    two.change(decisions=(), status="open")
    two.ledger.is_asked = False
    crew.renew("e-white")
    await two.decide("e-white")
    (second,) = two.case().decisions
    two.change(decisions=(first, second), status="confirmed", response="red")
    await two.cases.escalate_due()
    assert two.wire.interventions == []
    credible = await two.credible()
    assert (credible.status, credible.decisions) == ("open", (first,))
    with pytest.raises(ConflictError, match="cannot be confirmed"):
        await two.engage("d-green")


@pytest.mark.parametrize("altered", [{"status": "confirmed", "response": "red"}, {"status": "rejected"}])
async def test_what_the_alert_is_now_is_told_by_what_people_decided_and_not_by_what_the_record_says(two, altered):
    await two.alert()
    two.ledger.fails_at = ".decided.e-white"
    with pytest.raises(TransientError):
        await two.decide("e-white")
    two.ledger.fails_at = None
    two.change(**altered)
    await two.cases.escalate_due()
    assert [message.status for message in two.wire.of("adjudication")] == ["open"]
    assert two.entry("alert.decided").details["status"] == "open"


async def test_nobody_hides_a_rejection_by_calling_the_alert_undecided(two):
    await two.alert()
    await two.decide("e-white", "rejected")
    two.change(status="undecided")
    assert (await two.credible()).status == "rejected"


async def test_an_alert_that_one_of_two_confirmed_is_not_undecided_because_its_record_says_so(two):
    await two.alert()
    await two.decide("e-white")
    two.change(status="undecided")
    assert (await two.credible()).status == "open"


async def test_what_is_shown_of_an_alert_is_what_officers_have_signed(two):
    await two.alert()
    await two.decide("e-white")
    two.change(status="confirmed", response="red")
    shown = (await two.cases.show(CaseRequest(deployment="station-north", alert=ALERT))).case
    (listed,) = (await two.cases.list(ListRequest(of=""))).cases
    for case in (shown, listed):
        assert (case.status, case.response, case.confirmations_needed) == ("open", "", 2)


async def test_of_a_deployment_that_there_is_not_nobody_has_decided_anything(work):
    await work.alert()
    await work.decide("d-green")
    work.deployments.records.clear()
    (listed,) = (await work.cases.list(ListRequest(of=""))).cases
    assert (listed.status, listed.response, listed.decisions) == ("open", "", ())


@pytest.mark.parametrize("verdict", ["confirmed", "rejected", "no_decision"])
async def test_what_the_audit_holds_and_the_record_hides_stops_the_alert(two, verdict):
    """Who can write the bucket puts an older record back: nothing is decided, shown or suggested on it."""
    before = await two.alert()
    await two.decide("d-green", verdict)
    two.change(**dict(before))
    for act in (two.decide("e-white"), two.cases.show(CaseRequest(deployment="station-north", alert=ALERT))):
        with pytest.raises(PermanentError, match=rf"the audit tells of alert\.{ALERT}\.decided\.d-green"):
            await act
    assert two.wire.interventions == []


async def test_an_alert_whose_record_is_gone_is_not_opened_anew(work):
    await work.alert()
    await work.decide("d-green", "rejected")
    work.shelf.records.clear()
    with pytest.raises(PermanentError):
        await work.alert()
    assert work.shelf.records == {}


@pytest.mark.parametrize(
    "fields", [{"watch_list": "missing"}, {"portrait_sha256": "e5" * 32}, {"score": 0.99}, {"searched": 7}]
)
async def test_another_alert_does_not_take_the_id_of_one_that_the_audit_tells_of(work, fields):
    await work.alert()
    work.shelf.records.clear()
    for _ in range(2):
        with pytest.raises(PermanentError, match=f"the audit tells of another alert {ALERT}"):
            await work.cases.take_alert(work.an_alert(**fields))
    assert work.shelf.records == {}
    assert work.events() == ["alert.raised", "alert.contradicted"]


async def test_an_alert_that_another_contradicts_is_decided_as_before(work):
    await work.alert()
    with pytest.raises(PermanentError):
        await work.alert(score=0.99)
    assert (await work.decide("d-green")).status == "confirmed"


async def test_the_same_alert_again_is_no_other_whatever_its_subject_is_called_and_when_it_is_raised(work):
    alert = work.an_alert(subject="S\u00a0001")
    await work.cases.take_alert(alert)
    await work.cases.take_alert(alert.model_copy(update={"raised_at": alert.raised_at + 5, "threshold": 0.51}))
    assert work.events() == ["alert.raised"]


async def test_a_copy_that_comes_after_a_crash_changes_neither_when_an_alert_was_nor_how_long_it_is_kept(work):
    """The audit has the alert, and the program died before it had a record; then somebody sends a copy."""
    alert = work.an_alert()

    async def die():
        raise TransientError("the server is away")

    work.shelf.before_replacing = die
    with pytest.raises(TransientError):
        await work.cases.take_alert(alert)
    brief = {"raised_at": 1.0, "expires_at": 1.0, "captured_at": 0.5, "threshold": 0.1}
    await work.cases.take_alert(alert.model_copy(update=brief))
    case = work.case()
    assert (case.raised_at, case.expires_at) == (work.clock.now, work.clock.now + KEPT_S)
    assert (case.captured_at, case.threshold) == (alert.captured_at, alert.threshold)
    assert (await work.decide("d-green")).status == "confirmed"


async def test_no_intervention_leaves_after_a_purge_that_came_while_it_waited_for_the_audit(work, monkeypatch):
    await work.alert()
    append = work.ledger.append

    async def slow(request):
        if request.event == "alert.intervention":
            work.put_deployment(deleting=True)
        return await append(request)

    monkeypatch.setattr(work.ledger, "append", slow)
    await work.decide("d-green")
    assert work.wire.interventions == []


async def test_an_alert_of_a_clock_that_is_ahead_is_kept_no_longer(work):
    case = await work.alert(raised_at=work.clock.now + 3600)
    assert case.expires_at == work.clock.now + KEPT_S


async def test_an_alert_that_the_audit_may_not_hold_is_no_case(work):
    work.ledger.fails_at, work.ledger.error = "raised", PermanentError("the audit may not hold that")
    with pytest.raises(PermanentError, match="may not hold"):
        await work.alert()
    assert work.shelf.records == {}


async def test_a_record_that_was_written_between_two_looks_is_not_one_that_was_put_back(work, monkeypatch):
    """A decision of somebody else gets into the audit after the record was read, and before the audit was."""
    await work.alert()
    acts_of = work.ledger.acts_of

    async def late(*asked):
        monkeypatch.setattr(work.ledger, "acts_of", acts_of)
        await work.decide("d-green", "rejected")
        return await acts_of(*asked)

    monkeypatch.setattr(work.ledger, "acts_of", late)
    shown = await work.cases.show(CaseRequest(deployment="station-north", alert=ALERT))
    assert shown.case.status == "rejected"
    assert "case.put_back" not in [entry["event"] for entry in work.log.entries]


async def test_what_the_audit_holds_of_an_officer_otherwise_does_not_count(two):
    """A decision that the audit lacks is put back, when that officer's other decision was taken off the record."""
    before = await two.alert()
    two.ledger.fails_at = "decided.d-green"
    with pytest.raises(TransientError):
        await two.decide("d-green")
    confirmed = two.case()
    two.ledger.fails_at = None
    two.change(**dict(before))
    await two.decide("d-green", "rejected")
    two.change(**dict(confirmed))
    assert (await two.credible()).decisions == ()


async def test_an_alert_whose_place_is_taken_by_what_is_no_record_is_in_the_audit(work, monkeypatch):
    async def forged(_key):
        raise PermanentError("it is not as govern wrote it")

    work.shelf.records[KEY] = None, 1
    monkeypatch.setattr(work.shelf, "get", forged)
    with pytest.raises(PermanentError, match="not as govern wrote it"):
        await work.cases.take_alert(work.an_alert())
    assert work.events() == ["alert.raised"]


async def test_no_intervention_is_suggested_over_a_rejection_that_the_record_hides(work):
    await work.alert()
    await work.decide("d-green", "rejected")
    work.change(decisions=(recorded(work, "e-white"),), status="confirmed", response="red")
    await work.cases.escalate_due()
    assert work.wire.interventions == []


async def test_every_decision_is_told_with_what_the_alert_is_now(two):
    await two.alert()
    await two.decide("d-green")
    await two.decide("e-white")
    told = [(message.event, message.officer, message.status) for message in two.wire.of("adjudication")]
    assert told == [("decision", "d-green", "open"), ("decision", "e-white", "confirmed")]


async def test_an_outcome_is_told(work):
    await work.alert()
    await work.decide("d-green")
    await work.engage("e-white")
    assert [message.event for message in work.wire.of("adjudication")] == ["decision", "engagement"]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_between_the_decision_and_the_intervention_is_made_up_for_once(work, moment):
    await work.alert()
    work.wire.fails, work.wire.error = ("intervention", moment), Death()
    with dying():
        await work.decide("d-green")
    assert work.case().status == "confirmed"
    work.wire.fails = ("", "")
    cases = work.restarted()
    for _ in range(3):
        await cases.escalate_due()
    assert len(work.wire.interventions) == 1
    assert work.events().count("alert.intervention") == 1


async def test_a_decision_whose_audit_a_crash_prevented_is_audited_before_anything_is_published(work):
    await work.alert()
    work.ledger.fails_at, work.ledger.error = "decided.d-green", Death()
    with dying():
        await work.decide("d-green", reason="same scar")
    assert work.wire.messages == []
    work.ledger.fails_at = None
    await work.restarted().escalate_due()
    assert work.entry("alert.decided").deed.reason == "same scar"
    assert work.entry("alert.decided").deed.act == work.case().decisions[0].act != ""
    assert len(work.wire.interventions) == 1


async def test_nobody_is_told_that_a_decision_is_taken_before_the_audit_has_it(work):
    """The older record could be put back, and nobody would know."""
    before = await work.alert()
    work.ledger.fails_at = "decided.d-green"
    with pytest.raises(TransientError, match=r"not in the audit yet \(the audit is away\): do the same again"):
        await work.decide("d-green", "rejected")
    work.change(**dict(before))
    work.ledger.fails_at = None
    assert (await work.decide("d-green", "rejected")).status == "rejected"
    assert [entry.details["verdict"] for entry in work.ledger.entries.values() if "verdict" in entry.details] == [
        "rejected"
    ]


async def test_whose_answer_was_lost_says_the_same_again_and_counts_once(two):
    await two.alert()
    two.ledger.fails_at = "decided.d-green"
    with pytest.raises(TransientError):
        await two.decide("d-green")
    two.ledger.fails_at = None
    assert (await two.decide("d-green")).status == "open"
    assert len((await two.decide("d-green")).decisions) == 1
    assert two.events() == ["alert.raised", "alert.decided"]
    await two.decide("e-white")
    for _ in range(2):
        assert (await two.engage("d-green")).outcome.engagement == "confirmed_true"
    assert two.events().count("alert.engaged") == 1


async def test_a_decision_stands_while_the_audit_is_away_and_is_told_when_it_is_back(work):
    await work.alert()
    work.ledger.fails_at = "decided.d-green"
    with pytest.raises(TransientError):
        await work.decide("d-green")
    assert work.case().status == "confirmed"
    assert work.wire.messages == []
    await work.cases.escalate_due()
    assert work.wire.messages == []
    work.ledger.fails_at = None
    await work.cases.escalate_due()
    assert len(work.wire.interventions) == 1


async def test_what_is_told_is_not_told_again_at_the_next_look(work):
    await work.alert()
    await work.decide("d-green")
    tries = work.wire.tries
    await work.restarted().escalate_due()
    assert work.wire.tries == tries


async def test_no_intervention_is_made_up_for_after_its_deployment_was_purged(work):
    await work.alert()
    work.ledger.fails_at = ".intervention"
    with pytest.raises(TransientError):
        await work.decide("d-green")
    work.ledger.fails_at = None
    work.put_deployment(state="purged")
    await work.cases.escalate_due()
    assert work.wire.interventions == []
    assert "alert.intervention" not in work.events()


async def test_no_intervention_is_made_up_for_after_its_alert_was_deleted(work):
    await work.alert()
    work.ledger.fails_at = ".intervention"
    with pytest.raises(TransientError):
        await work.decide("d-green")
    work.ledger.fails_at = None
    work.change(deleted_at=work.clock.now)
    await work.cases.escalate_due()
    assert work.wire.interventions == []


async def test_one_case_that_cannot_be_looked_at_does_not_keep_the_others_waiting(work):
    first, second = await work.alert(track="first"), await work.alert(track="second")
    work.clock.advance(ESCALATED_AFTER_S)
    work.ledger.fails_at = f"{first.alert}.escalated"
    await work.cases.escalate_due()
    escalated = [message.alert for message in work.wire.of("adjudication")]
    assert escalated == [second.alert]


# -- escalation


async def test_an_alert_that_nobody_decides_escalates_in_time_and_once(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S - 0.1)
    await work.cases.escalate_due()
    assert work.wire.messages == []
    work.clock.advance(0.1)
    for _ in range(3):
        await work.cases.escalate_due()
        work.clock.advance(60)
    (message,) = work.wire.messages
    assert (message.event, message.alert, message.officer) == ("escalation", ALERT, "")
    assert work.events().count("alert.escalated") == 1
    assert work.case().escalated_at == message.at


async def test_an_alert_that_one_of_two_confirmed_escalates_too(two):
    await two.alert()
    await two.decide("d-green")
    two.clock.advance(ESCALATED_AFTER_S)
    await two.cases.escalate_due()
    assert two.case().escalated_at == two.clock.now


@pytest.mark.parametrize("verdict", ["confirmed", "rejected", "no_decision"])
async def test_an_alert_that_somebody_decided_does_not_escalate(work, verdict):
    await work.alert()
    await work.decide("d-green", verdict)
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    assert "alert.escalated" not in work.events()


async def test_an_alert_that_is_decided_while_we_look_does_not_escalate(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    work.shelf.before_replacing = lambda: work.decide("d-green")
    await work.cases.escalate_due()
    assert (work.case().status, work.case().escalated_at) == ("confirmed", 0)


async def test_nobody_is_asked_again_about_an_alert_whose_deployment_was_purged(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    work.put_deployment(state="purged")
    await work.cases.escalate_due()
    assert work.wire.messages == []


async def test_an_escalated_alert_can_still_be_decided(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    assert (await work.decide("d-green")).status == "confirmed"


async def test_a_clock_that_was_set_back_escalates_nothing_twice(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    work.clock.advance(-ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    work.clock.advance(ESCALATED_AFTER_S)
    await work.restarted().escalate_due()
    assert len(work.wire.messages) == 1


async def test_each_deployment_escalates_by_its_own_profile(work):
    work.profiles["uk-police"] = profile(escalated_after_s=10.0)
    await work.alert()
    work.clock.advance(10)
    await work.cases.escalate_due()
    assert work.case().escalated_at


# -- the audit


async def test_the_audit_holds_who_decided_what_when_why_and_how_long_it_took(work):
    await work.alert()
    work.clock.advance(20)
    await work.decide("d-green", reason="same scar")
    entry = work.entry("alert.decided")
    assert (entry.deed.who, entry.deed.reason, entry.deed.at) == ("d-green", "same scar", work.clock.now)
    assert entry.deed.origin
    assert len(entry.deed.act) == 64
    assert (entry.record_version, entry.alert) == (3, ALERT)
    assert entry.details == {
        "verdict": "confirmed",
        "status": "confirmed",
        "key_sha256": hashlib.sha256(str(work.crew["d-green"].public).encode()).hexdigest(),
        "captured_to_alert_s": 1.5,
        "alert_to_act_s": 20.0,
    }


async def test_the_audit_holds_the_engagement_the_escalation_and_the_passage(work):
    await work.alert()
    work.clock.advance(ESCALATED_AFTER_S)
    await work.cases.escalate_due()
    await work.decide("d-green")
    await work.engage("e-white", reason="identified")
    await work.passage("d-green")
    assert work.entry("alert.escalated").details["alert_to_act_s"] == ESCALATED_AFTER_S
    assert work.entry("alert.engaged").deed.reason == "identified"
    assert work.entry("alert.engaged").details["engagement"] == "confirmed_true"
    assert work.entry("alert.intervention").details["confirmed_by"] == "d-green"
    assert work.entry("passage.noted").details["subject"] == "blue-1"
    assert work.entry("passage.noted").deed.who == "d-green"


# -- passages


async def test_a_passage_of_a_seed_is_noted_with_who_noted_it(work):
    passage = await work.passage("d-green")
    assert (passage.subject, passage.camera, passage.noted_by) == ("blue-1", "gate-1", "d-green")
    assert [record for record, _ in work.passages.records.values()] == [passage]


async def test_a_passage_is_noted_with_the_time_at_which_it_was_and_never_long_after(work):
    earlier = work.clock.now
    work.clock.advance(NOTED_WITHIN_S)
    assert (await work.passage(at=earlier)).noted_at == work.clock.now
    work.clock.advance(1)
    with pytest.raises(PermanentError, match="within 15 minutes"):
        await work.passage(at=earlier + 0.5)


async def test_the_same_passage_again_counts_once(work):
    first = await work.passage("d-green")
    assert await work.passage("e-white") == first
    assert len(work.passages.records) == 1
    assert work.events() == ["passage.noted"]


async def test_two_passages_count_twice(work):
    await work.passage("d-green", at=work.clock.now - 60)
    await work.passage("d-green")
    assert len(work.passages.records) == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"camera": "gate-9"}, "no camera gate-9"),
        ({"subject": "S-0001"}, "on no seed list"),
        ({"subject": "nobody"}, "on no seed list"),
        ({"at": 1_700_000_000.0 + 121}, "was running"),
        ({"at": 1_700_000_000.0 - 3601}, "was running"),
    ],
    ids=["camera", "not a seed", "unknown", "in the future", "before it was armed"],
)
async def test_a_passage_that_cannot_be_is_refused_for_its(work, fields, said):
    with pytest.raises(PermanentError, match=said) as refusal:
        await work.passage("d-green", **fields)
    assert (work.passages.records, work.ledger.entries) == ({}, {})
    assert "S-0001" not in refusal.value.reason


async def test_a_seed_who_is_off_the_list_passes_no_more(work):
    seed = work.entries.known["blue.blue-1"]
    work.entries.known["blue.blue-1"] = seed.model_copy(update={"removed_at": work.clock.now, "form": None})
    with pytest.raises(MissingError, match="on no seed list"):
        await work.passage("d-green")


async def test_a_seed_who_is_being_taken_off_or_has_expired_passes_no_more_swept_or_not(work):
    seed, listed = work.entries.known["blue.blue-1"], work.lists.known["blue"]
    expired = seed.form.model_copy(update={"expires_at": work.clock.now})
    work.entries.known["blue.blue-1"] = seed.model_copy(update={"form": expired})
    with pytest.raises(MissingError, match="on no seed list"):
        await work.passage()
    assert await work.passage(at=work.clock.now - 1)
    work.entries.known["blue.blue-1"] = seed
    work.lists.known["blue"] = listed.model_copy(update={"removing": ("blue-1",)})
    with pytest.raises(MissingError, match="on no seed list"):
        await work.passage()


async def test_who_was_on_a_list_that_is_destroyed_now_has_passed_while_it_was_there(work):
    earlier, seed = work.clock.now, work.entries.known["blue.blue-1"]
    work.clock.advance(60)
    work.put_deployment(state="ended", armed_at=earlier - 60, ended_at=earlier + 30)
    work.entries.known["blue.blue-1"] = seed.model_copy(update={"removed_at": earlier + 40, "form": None})
    assert (await work.passage(at=earlier)).subject == "blue-1"


async def test_nobody_has_passed_who_is_on_another_list_of_the_name(work):
    listed = work.lists.known["blue"]
    work.lists.known["blue"] = listed.model_copy(update={"created_at": listed.created_at + 60})
    with pytest.raises(MissingError, match="on no seed list"):
        await work.passage()


async def test_a_passage_after_the_end_is_none(work):
    work.put_deployment(state="ended", ended_at=work.clock.now - 60)
    with pytest.raises(PermanentError, match="was running"):
        await work.passage("d-green")
    assert await work.passage("d-green", at=work.clock.now - 60)


async def test_nobody_passes_a_deployment_that_was_not_armed(work):
    record = work.put_deployment()
    work.deployments.records[record.id] = record.model_copy(update={"armed_at": 0.0}), 9
    with pytest.raises(ConflictError, match="has not been armed"):
        await work.passage("d-green")


async def test_only_an_operator_notes_a_passage(work):
    with pytest.raises(ForbiddenError):
        await work.passage("a-jones")


async def test_a_passage_whose_record_a_crash_prevented_is_noted_when_it_is_asked_again(work):
    async def die():
        raise Death

    work.passages.before_replacing = die
    with dying():
        await work.passage("d-green")
    await work.passage("d-green")
    assert (len(work.passages.records), work.events()) == (1, ["passage.noted"])


async def test_a_passage_that_the_audit_holds_is_not_refused_for_being_asked_again_late(work):
    async def lose():
        raise TransientError("lost")

    at, work.passages.before_replacing = work.clock.now, lose
    with pytest.raises(TransientError):
        await work.passage("d-green", at=at)
    work.clock.advance(NOTED_WITHIN_S + 1)
    passage = await work.passage("e-white", at=at)
    assert (passage.noted_by, passage.noted_at) == ("d-green", at)
    assert [record for record, _ in work.passages.records.values()] == [passage]


async def test_a_passage_of_the_longest_names_is_noted_once(work):
    """The audit would hold a longer id as its hash, under which nobody would look for it."""
    camera, deployment = "c" * 64, "d" * 64
    draft = work.put_deployment().draft.model_copy(update={"deployment": deployment, "cameras": (camera,)})
    work.put_deployment(draft=draft)
    first = await work.passage("d-green", camera=camera, deployment=deployment)
    assert await work.passage("e-white", camera=camera, deployment=deployment) == first
    assert work.events() == ["passage.noted"]


async def test_what_somebody_else_wrote_in_the_place_of_a_passage_is_written_over(work):
    first = await work.passage("d-green")
    ((key, (_, revision)),) = work.passages.records.items()
    work.passages.records[key] = first.model_copy(update={"noted_by": "x-other"}), revision + 1
    assert await work.passage("e-white") == first
    assert [record for record, _ in work.passages.records.values()] == [first]


# -- looking


async def test_cases_are_shown_and_listed_by_deployment(work):
    cases = [await work.alert(track="first"), await work.alert(track="second")]
    shown = await work.cases.show(CaseRequest(deployment="station-north", alert=cases[0].alert))
    assert shown.case.alert == cases[0].alert
    listed = await work.cases.list(ListRequest(of="station-north"))
    assert [case.alert for case in listed.cases] == sorted(case.alert for case in cases)
    assert listed.next == ""
    assert (await work.cases.list(ListRequest(of="elsewhere"))).cases == ()
    assert len((await work.cases.list(ListRequest(of=""))).cases) == 2


async def test_cases_come_a_page_at_a_time_each_once(work):
    alerts = [(await work.alert(track=f"a{number}")).alert for number in range(7)]
    found, after = [], ""
    while True:
        page = await work.cases.list(ListRequest(of="station-north", after=after, count=3))
        assert len(page.cases) <= 3
        found += [case.alert for case in page.cases]
        if not (after := page.next):
            break
    assert found == sorted(alerts)


async def test_a_list_of_cases_is_never_larger_than_the_server_takes(work):
    """However many there are, and however long the reasons; the signed acts are not in it."""
    for number in range(110):
        case = await work.alert(track=f"a{number}")
        await work.decide("d-green", alert=case.alert, reason="x" * 4000)
    page = await work.cases.list(ListRequest(of=""))
    assert len(codec.encode(page)) < 512 * 1024
    assert page.next
    assert {decision.sealed for case in page.cases for decision in case.decisions} == {""}
    shown = await work.cases.show(CaseRequest(deployment="station-north", alert=case.alert))
    assert shown.case.decisions[0].sealed


async def test_an_alert_that_is_not_there_is_not_shown(work):
    with pytest.raises(MissingError, match="watchline alerts list"):
        await work.cases.show(CaseRequest(deployment="station-north", alert="nothing"))
