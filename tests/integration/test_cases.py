"""Alerts in the hands of people on a real server: what goes over the wire, in which order, and how often."""

import asyncio

import pytest

from libs.bus import AskError, Endpoint, flushed
from proto import subjects
from proto.cases import Adjudication, Case, Intervention
from proto.requests.alerts import AdjudicateRequest, CaseReply, CasesReply
from proto.requests.listing import ListRequest
from proto.sealed import Sealed
from services.govern.cases.evidence import decision_of
from tests.control_room import NORTH, RED, case_vault, casework, opened_room
from tests.examples import ALERT, changed
from tests.waiting import soon, until

OF_LISTS = (f"$KV.{subjects.WATCHLISTS.name}.", "$KV.deployments.")
"""Where it may be read at any time: in the records of a list and of its deployment, which say nothing of an alert."""


@pytest.fixture
async def room(bus, crew, clock):
    async with opened_room(bus, crew, clock) as room:
        yield room


async def kept(bus, stream, subject, kind, count):
    """The first `count` messages of a stream, when they are there."""
    found = []
    reading = bus.follow(stream, subject, kind)
    async for message in reading:
        found.append(message)
        if len(found) == count:
            break
    await reading.aclose()
    return found


async def the_intervention(bus, crew):
    """The first that lies in the stream, which govern has sealed."""
    (sealed,) = await soon(kept(bus, subjects.INTERVENTIONS, subjects.interventions_of("*"), Sealed, 1))
    return crew.govern.public.open(sealed, Intervention)


async def test_nothing_on_the_wire_suggests_an_intervention_before_enough_people_confirmed(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log) as cases:
        await room.raise_alert()
        assert (await room.decide("d-green")).status == "open"
        clock.advance(600)
        await cases.escalate_due()
        await bus.ask(f"{subjects.CASES}.list", ListRequest(of=""), CasesReply)
        await flushed(bus.client)
        assert room.subjects_heard("watchline.v1.alert.")
        assert len(room.subjects_heard("watchline.v1.adjudication.")) == 2  # a decision and an escalation
        assert room.subjects_heard("watchline.v1.intervention") == []
        assert [subject for subject, data in room.heard if RED in data and not subject.startswith(OF_LISTS)] == []
        assert (await room.decide("e-white")).status == "confirmed"
        intervention = await the_intervention(bus, crew)
        last = await bus.jetstream.stream_info("AUDIT")
    assert (intervention.response, intervention.confirmed_by) == ("red", ("d-green", "e-white"))
    assert last.state.messages == 5  # raised, decided, escalated, decided, intervention


async def test_an_evaluation_never_suggests_an_intervention(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log, confirmations=1, stamp="EVALUATION") as cases:
        await room.raise_alert()
        assert (await room.decide("d-green")).status == "confirmed"
        await cases.escalate_due()
        await flushed(bus.client)
    assert room.subjects_heard("watchline.v1.intervention") == []
    assert (await bus.jetstream.stream_info("INTERVENTIONS")).state.messages == 0


async def test_an_answer_that_is_too_large_is_refused_in_words_and_not_with_silence(bus, log):
    async def answer(_ask):
        return changed("sealed", body=bytes(bus.client.max_payload))

    endpoints = {"list": Endpoint(ListRequest, answer)}
    async with (
        bus.micro_service("large", "large", endpoints),
        bus.answering("small", ListRequest, answer, 1),
    ):
        for subject in ("large.list", "small"):
            with pytest.raises(AskError, match="more than the server takes: ask for less at a time") as refusal:
                await bus.ask(subject, ListRequest(of=""), Sealed)
            assert refusal.value.code == "413"


async def test_two_officers_who_confirm_at_the_same_moment_both_count_and_one_intervention_leaves(
    room, bus, crew, clock, log
):
    async with casework(bus, crew, clock, log):
        await room.raise_alert()
        await asyncio.gather(room.decide("d-green"), room.decide("e-white"))
        case = await room.case()
    assert (case.status, {decision.officer for decision in case.decisions}) == ("confirmed", {"d-green", "e-white"})
    assert (await bus.jetstream.stream_info("INTERVENTIONS")).state.messages == 1
    assert (await bus.jetstream.stream_info("ADJUDICATIONS")).state.messages == 2


async def test_of_two_officers_at_the_same_moment_the_second_is_told_what_the_first_has_decided(
    room, bus, crew, clock, log
):
    async with casework(bus, crew, clock, log, confirmations=1):
        await room.raise_alert()
        acts = (room.decide("d-green"), room.decide("e-white", "rejected"))
        answers = await asyncio.gather(*acts, return_exceptions=True)
        case = await room.case()
    (refusal,) = (answer for answer in answers if isinstance(answer, AskError))
    (done,) = (answer for answer in answers if isinstance(answer, Case))
    assert refusal.code == "409"
    assert f"is {case.status} already" in refusal.detail
    assert case.decisions == done.decisions
    assert (await bus.jetstream.stream_info("INTERVENTIONS")).state.messages == (case.status == "confirmed")


async def test_an_intervention_leaves_once_over_a_crash_and_a_server_that_starts_anew(
    room, bus, nats_server, crew, clock, log
):
    async with casework(bus, crew, clock, log, confirmations=1):
        await room.raise_alert()
        await room.decide("d-green")
    cases = case_vault(bus, crew)
    case = await room.case()
    await cases.put(subjects.key(NORTH, ALERT), case.model_copy(update={"told": ()}))  # died before it was noted
    back = bus.reconnected
    nats_server.restart()
    await soon(back.wait())
    async with casework(bus, crew, clock, log, confirmations=1) as again:
        await again.escalate_due()
        assert (await room.case()).told == case.told
    assert (await bus.jetstream.stream_info("INTERVENTIONS")).state.messages == 1
    assert (await bus.jetstream.stream_info("ADJUDICATIONS")).state.messages == 1


async def test_an_intervention_that_a_crash_prevented_leaves_at_the_next_start(room, bus, crew, clock, log):
    """All that the program that died had done is the record: the decision."""
    async with casework(bus, crew, clock, log, confirmations=1):
        await room.raise_alert()
    act = crew.act("d-green", changed("adjudicate_request", alert=ALERT), clock)
    signed = crew.roster(clock).check(act, AdjudicateRequest, {"operator"})
    decisions = (decision_of(signed, act, clock.now),)
    fields = {"raised_at": clock.now, "expires_at": clock.now + 60, "decisions": decisions}
    decided = changed("case", alert=ALERT, told=(), outcome=None, **fields)
    await case_vault(bus, crew).put(subjects.key(NORTH, ALERT), decided)
    async with casework(bus, crew, clock, log, confirmations=1) as again:
        await again.escalate_due()
    intervention = await the_intervention(bus, crew)
    assert intervention.alert == ALERT


async def test_an_alert_for_a_seed_never_appears_where_operators_look(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log):
        seed = await room.raise_alert(seed=True, watch_list="blue", subject="blue-1")
        with pytest.raises(AskError, match="for a seed"):
            await room.decide("d-green", alert=seed)
    assert room.subjects_heard("watchline.v1.seed.")
    assert room.subjects_heard("watchline.v1.alert.") == []
    assert (await bus.jetstream.stream_info("ALERTS")).state.messages == 0
    assert (await bus.jetstream.stream_info("ADJUDICATIONS")).state.messages == 0


async def test_an_alert_that_is_delivered_again_is_one_case(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log):
        await room.raise_alert()
        await room.decide("d-green")
    await bus.jetstream.delete_consumer("ALERTS", "cases")  # the next program reads the stream from its start
    async with casework(bus, crew, clock, log):
        await room.raise_alert(track="later")
        assert len((await room.case()).decisions) == 1


async def test_an_alert_of_nobody_is_a_dead_letter_and_no_case(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log):
        await bus.publish(changed("alert", deployment="nowhere"), "")

        async def it_is_dead():
            return (await bus.jetstream.stream_info("DEADLETTERS")).state.messages == 1

        await until(it_is_dead)
    assert room.subjects_heard("$KV.cases") == []


async def test_refusals_come_with_their_codes(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log):
        for code, attempt in {
            "404": room.decide("d-green"),
            "403": room.decide("c-brown"),
            "400": bus.ask(f"{subjects.CASES}.adjudicate", changed("adjudicate_request"), CaseReply),
        }.items():
            with pytest.raises(AskError) as refusal:
                await attempt
            assert refusal.value.code == code


async def test_the_stream_tells_a_copy_from_a_new_intervention_as_long_as_it_keeps_them(bus):
    for name in ("INTERVENTIONS", "ADJUDICATIONS"):
        config = (await bus.jetstream.stream_info(name)).config
        assert config.duplicate_window == config.max_age == subjects.LONGEST_S


async def test_a_control_room_follows_what_people_decide(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log, confirmations=1):
        await room.raise_alert()
        await room.decide("d-green")
        await room.act("engage", "e-white", "engagement_request")
        told = await soon(kept(bus, subjects.ADJUDICATIONS, subjects.adjudications_of(NORTH), Adjudication, 2))
    assert [(message.event, message.officer) for message in told] == [
        ("decision", "d-green"),
        ("engagement", "e-white"),
    ]
