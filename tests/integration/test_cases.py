"""Alerts in the hands of people on a real server: what goes over the wire, in which order, and how often."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from libs.actor import Actor, Stage
from libs.bus import AskError, Endpoint, Mirror, Records
from libs.settings import ServiceSettings
from proto import subjects
from proto.governance import Case, DeploymentRecord, EntryRecord, Passage, WatchListRecord
from proto.messages import Alert
from proto.requests import Adjudication, CaseReply, CaseRequest, CasesReply, Intervention, ListRequest
from proto.sealed import Sealed
from services.govern.cases import Cases
from services.govern.office import Office
from services.govern.settings import GovernSettings
from tests.casework import Book, Ledger, profile
from tests.examples import changed
from tests.waiting import soon, until

NORTH = "station-north"
RED = b"\xa3red"
"""A response class as MessagePack has it."""
LISTS = f"$KV.{subjects.WATCHLISTS.name}."
"""Where it may be read at any time: in the record of the list, which says nothing of an alert."""


class Room:
    """A control room at a real bus: `decide(who, verdict)` asks as an officer's software does."""

    def __init__(self, bus, crew, clock):
        self.bus, self.crew, self.clock = bus, crew, clock
        self.heard = []

    async def act(self, name, who, kind, **fields):
        sealed = self.crew.act(who, changed(kind, **{"deployment": NORTH, "alert": "a1b2c3", **fields}), self.clock)
        return (await self.bus.ask(f"{subjects.CASES}.{name}", sealed, CaseReply)).case

    async def decide(self, who, verdict="confirmed", **fields):
        return await self.act("adjudicate", who, "adjudicate_request", verdict=verdict, **fields)

    async def case(self, alert="a1b2c3"):
        found = await Records(self.bus, subjects.CASE_RECORDS, Case).get(subjects.key(NORTH, alert))
        return found[0] if found else None

    async def raise_alert(self, **fields):
        alert = changed("alert", raised_at=self.clock.now, captured_at=self.clock.now - 1, **fields)
        await self.bus.publish(alert, "")

        async def is_told():
            case = await self.case(alert.id)
            return case is not None and bool(case.told)

        await until(is_told)

    async def listen(self, message):
        if not message.subject.startswith(("$JS.", "_INBOX.")) or RED in message.data:
            self.heard.append((message.subject, message.data))

    def subjects_heard(self, start):
        return [subject for subject, _ in self.heard if subject.startswith(start)]


@asynccontextmanager
async def casework(bus, crew, clock, log, confirmations=2):
    """What `govern` runs for alerts, on that bus."""
    async with AsyncExitStack() as stack:

        async def mirror(bucket, kind):
            return await stack.enter_async_context(Mirror.open(bus, bucket, kind))

        office = Office(
            bus=bus, log=log, settings=GovernSettings(), roster=crew.roster(clock), signer=crew.govern,
            ledger=Ledger(), profiles={"uk-police": profile(confirmations=confirmations)}, calibrations={},
            deployments=Records(bus, subjects.DEPLOYMENTS, DeploymentRecord),
            warrants=Records(bus, subjects.WARRANTS, Sealed), cases=Records(bus, subjects.CASE_RECORDS, Case),
            all_deployments=await mirror(subjects.DEPLOYMENTS, DeploymentRecord),
            all_lists=await mirror(subjects.WATCHLISTS, WatchListRecord),
            all_entries=await mirror(subjects.ENTRIES, EntryRecord), all_cameras=Book(),
            all_cases=await mirror(subjects.CASE_RECORDS, Case), clock=clock,
        )  # fmt: skip
        cases = Cases(office, Records(bus, subjects.PASSAGES, Passage))
        endpoints = {
            "adjudicate": Endpoint(Sealed, cases.adjudicate),
            "engage": Endpoint(Sealed, cases.engage),
            "passage": Endpoint(Sealed, cases.passage),
            "show": Endpoint(CaseRequest, cases.show),
            "list": Endpoint(ListRequest, cases.list),
        }
        await stack.enter_async_context(bus.micro_service("cases", subjects.CASES, endpoints))
        stopping, settings = asyncio.Event(), ServiceSettings()
        stages = (Stage("cases", subjects.ALERTS, Alert, cases.take_alert),
                  Stage("seeds", subjects.SEEDS, Alert, cases.take_alert))  # fmt: skip
        running = [asyncio.create_task(Actor(stage, bus, settings, log).run(stopping)) for stage in stages]
        try:
            yield cases
        finally:
            stopping.set()
            await asyncio.gather(*running)


@pytest.fixture
async def room(bus, crew, clock):
    """A deployment that runs, its lists and a seed, as records; and everything that goes over the wire, heard."""
    room = Room(bus, crew, clock)
    deployment = changed("deployment_record", armed_at=clock.now - 3600)
    await Records(bus, subjects.DEPLOYMENTS, DeploymentRecord).put(NORTH, deployment)
    for name, fields in {"wanted": {"response": "red"}, "blue": {"seed": True, "response": "green"}}.items():
        form = changed("watch_list_record").form.model_copy(update={"watch_list": name, **fields})
        await Records(bus, subjects.WATCHLISTS, WatchListRecord).put(name, changed("watch_list_record", form=form))
    seed = changed("entry_record", watch_list="blue", subject="blue-1")
    await Records(bus, subjects.ENTRIES, EntryRecord).put("blue.blue-1", seed)
    tap = await bus.client.subscribe(">", cb=room.listen)
    yield room
    await tap.unsubscribe()


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


async def test_nothing_on_the_wire_suggests_an_intervention_before_enough_people_confirmed(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log) as cases:
        await room.raise_alert()
        assert (await room.decide("d-green")).status == "open"
        clock.advance(600)
        await cases.escalate_due()
        await bus.ask(f"{subjects.CASES}.list", ListRequest(of=""), CasesReply)
        await bus.client.flush()
        assert room.subjects_heard("watchline.v1.alert.")
        assert len(room.subjects_heard("watchline.v1.adjudication.")) == 2  # a decision and an escalation
        assert room.subjects_heard("watchline.v1.intervention") == []
        assert [subject for subject, data in room.heard if RED in data and not subject.startswith(LISTS)] == []
        assert (await room.decide("e-white")).status == "confirmed"
        (intervention,) = await soon(
            kept(bus, subjects.INTERVENTIONS, subjects.interventions_of(NORTH), Intervention, 1)
        )
    assert (intervention.response, intervention.confirmed_by) == ("red", ("d-green", "e-white"))


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
    cases = Records(bus, subjects.CASE_RECORDS, Case)
    case = await room.case()
    await cases.put(subjects.key(NORTH, "a1b2c3"), case.model_copy(update={"told": ()}))  # died before it was noted
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
    decided = changed("case", told=(), outcome=None, raised_at=clock.now, captured_at=clock.now - 1)
    await Records(bus, subjects.CASE_RECORDS, Case).put(subjects.key(NORTH, "a1b2c3"), decided)
    async with casework(bus, crew, clock, log, confirmations=1) as again:
        await again.escalate_due()
    (intervention,) = await soon(kept(bus, subjects.INTERVENTIONS, subjects.interventions_of("*"), Intervention, 1))
    assert intervention.alert == "a1b2c3"


async def test_an_alert_for_a_seed_never_appears_where_operators_look(room, bus, crew, clock, log):
    async with casework(bus, crew, clock, log):
        await room.raise_alert(seed=True, watch_list="blue", subject="blue-1")
        with pytest.raises(AskError, match="for a seed"):
            await room.decide("d-green")
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
        await room.raise_alert(id="later")
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
