"""A control room at a real server: what `govern` runs for alerts, and officers who decide about them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from libs.actor import Actor, Stage
from libs.bus import Endpoint, Mirror, Records
from libs.settings import ServiceSettings
from proto import subjects
from proto.counts import Passage
from proto.deployments import Binding, DeploymentRecord
from proto.messages import Alert
from proto.requests.alerts import CaseReply, CaseRequest
from proto.requests.listing import ListRequest
from proto.sealed import Sealed
from proto.watchlists import EntryRecord, WatchListRecord
from services.govern.audit.ledger import Chain
from services.govern.cases.desk import Cases
from services.govern.cases.vault import CaseVault, opened_case
from services.govern.office import Office
from services.govern.settings import GovernSettings
from services.govern.shelves import Shelves
from tests.casework import Book, profile
from tests.examples import ALERT, an_alert, changed
from tests.waiting import until

NORTH = "station-north"
RED = b"\xa3red"
"""A response class as MessagePack has it."""


class Room:
    """A control room at a real bus: `decide(who, verdict)` asks as an officer's software does."""

    def __init__(self, bus, crew, clock):
        self.bus, self.crew, self.clock = bus, crew, clock
        self.heard = []

    async def act(self, name, who, kind, **fields):
        sealed = self.crew.act(who, changed(kind, **{"deployment": NORTH, "alert": ALERT, **fields}), self.clock)
        return (await self.bus.ask(f"{subjects.CASES}.{name}", sealed, CaseReply)).case

    async def decide(self, who, verdict="confirmed", **fields):
        return await self.act("adjudicate", who, "adjudicate_request", verdict=verdict, **fields)

    async def case(self, alert=ALERT):
        found = await case_vault(self.bus, self.crew).get(subjects.key(NORTH, alert))
        return found[0] if found else None

    async def raise_alert(self, **fields):
        alert = an_alert(raised_at=self.clock.now, captured_at=self.clock.now - 1, **fields)
        await self.bus.publish(alert, "")

        async def is_told():
            case = await self.case(alert.id)
            return case is not None and bool(case.told)

        await until(is_told)
        return alert.id

    async def listen(self, message):
        if not message.subject.startswith(("$JS.", "_INBOX.")) or RED in message.data:
            self.heard.append((message.subject, message.data))

    def subjects_heard(self, start):
        return [subject for subject, _ in self.heard if subject.startswith(start)]


def case_vault(bus, crew):
    """The records of cases on that bus, as govern seals them."""
    return CaseVault(Records(bus, subjects.CASE_RECORDS, Sealed), crew.govern, structlog.get_logger())


@asynccontextmanager
async def casework(bus, crew, clock, log, confirmations=2, stamp=""):
    """What `govern` runs for alerts, on that bus; the deployment was armed with these `confirmations` and `stamp`."""
    deployments = Records(bus, subjects.DEPLOYMENTS, DeploymentRecord)
    if (found := await deployments.get(NORTH)) is not None:
        armed_with = found[0].binding.model_copy(update={"confirmations": confirmations, "stamp": stamp})
        await deployments.put(NORTH, found[0].model_copy(update={"binding": armed_with}))
    async with AsyncExitStack() as stack:

        async def mirror(bucket, kind):
            return await stack.enter_async_context(Mirror.open(bus, bucket, kind))

        audit = await stack.enter_async_context(Chain.open(bus, crew.govern, log, clock))
        office = Office(
            bus=bus, log=log, settings=GovernSettings(), roster=crew.roster(clock), signer=crew.govern,
            ledger=audit, profiles={"uk-police": profile(confirmations=confirmations)}, calibrations={},
            deployments=deployments,
            warrants=Records(bus, subjects.WARRANTS, Sealed), cases=case_vault(bus, crew),
            all_deployments=await mirror(subjects.DEPLOYMENTS, DeploymentRecord),
            all_lists=await mirror(subjects.WATCHLISTS, WatchListRecord),
            all_entries=await mirror(subjects.ENTRIES, EntryRecord), all_cameras=Book(),
            all_cases=Shelves(
                await mirror(subjects.CASE_RECORDS, Sealed), partial(opened_case, crew.govern.public), log
            ),
            clock=clock,
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


@asynccontextmanager
async def opened_room(bus, crew, clock):
    """A deployment that runs, its lists and a seed, as records; and everything that goes over the wire, heard."""
    room = Room(bus, crew, clock)
    bound = Binding(responses={"wanted": "red", "blue": "green"})
    deployment = changed("deployment_record", armed_at=clock.now - 3600, binding=bound)
    await Records(bus, subjects.DEPLOYMENTS, DeploymentRecord).put(NORTH, deployment)
    for name, fields in {"wanted": {"response": "red"}, "blue": {"seed": True, "response": "green"}}.items():
        form = changed("watch_list_record").form.model_copy(update={"watch_list": name, **fields})
        await Records(bus, subjects.WATCHLISTS, WatchListRecord).put(name, changed("watch_list_record", form=form))
    form = changed("entry_record").form.model_copy(update={"expires_at": clock.now + 86_400})
    seed = changed("entry_record", watch_list="blue", subject="blue-1", form=form)
    await Records(bus, subjects.ENTRIES, EntryRecord).put("blue.blue-1", seed)
    tap = await bus.client.subscribe(">", cb=room.listen)
    try:
        yield room
    finally:
        await tap.unsubscribe()
