"""The program `govern` on a real server: a whole deployment, two officers at once, and deaths in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from contextlib import asynccontextmanager

import pytest

from libs import chain
from libs.bus import AskError, Endpoint, Records
from libs.errors import TransientError
from libs.officers import sign
from libs.seals import Signer
from libs.service import Host
from libs.settings import ServiceSettings, TrustSettings
from libs.warrants import open_warrants
from proto import codec, subjects
from proto.audit import Deed, list_act_id
from proto.deployments import DeploymentRecord, Warrant
from proto.records import CameraRecord
from proto.requests.audit import AuditReply, AuditRequest
from proto.requests.deployments import (
    DeploymentReply,
    DeploymentRequest,
    DeploymentsReply,
    DraftRequest,
    FiguresReply,
    FiguresRequest,
    TransitionRequest,
)
from proto.requests.listing import ListRequest
from proto.requests.watchlists import DestroyListRequest, ListReply
from proto.sealed import Act, Sealed
from proto.watchlists import WatchListRecord
from services.govern.audit.ledger import Chain
from services.govern.deployments.sealing import WarrantDesk
from services.govern.retention.erasure import Erasure
from services.govern.service import MatchLists, govern
from tests.examples import changed
from tests.waiting import SOON_S, soon, until

NAME = "station-north"
LISTS = ("missing", "wanted", "blue")
WHO = {"authorise": "b-smith", "arm": "c-brown", "suspend": "d-green", "end": "c-brown", "purge": "c-brown"}
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("WATCHLINE_")}


class Site:
    """Officers and the part of `match` that destroys lists, at a real bus."""

    def __init__(self, bus, crew, log, monkeypatch):
        self.bus, self.crew, self.log = bus, crew, log
        self.destroyed = []
        self.asked = asyncio.Event()
        self.may_destroy = asyncio.Event()
        self.may_destroy.set()
        for name, value in crew.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WATCHLINE_GOVERN_SWEEP_S", "600")
        self._monkeypatch = monkeypatch

    def looks_often(self):
        self._monkeypatch.setenv("WATCHLINE_GOVERN_SWEEP_S", "0.05")

    @asynccontextmanager
    async def running(self):
        """The program, ready for work, in this process."""
        async with (
            asyncio.TaskGroup() as tasks,
            govern(Host("govern", self.bus, self.log, ServiceSettings(), tasks)),
        ):
            yield

    async def furnish(self, profile="uk-police"):
        """Cameras and watch lists, as others have made them."""
        now, lists = time.time(), Records(self.bus, subjects.WATCHLISTS, WatchListRecord)
        for name in LISTS:
            example = changed("watch_list_record", created_at=now - 60, built_at=now - 30)
            form = example.form.model_copy(
                update={"watch_list": name, "seed": name == "blue", "expires_at": now + 86_400, "profile": profile}
            )
            await lists.put(name, example.model_copy(update={"form": form}))
        for name in ("gate-1", "gate-2"):
            await Records(self.bus, subjects.CAMERAS, CameraRecord).put(
                name, CameraRecord(camera=name, location=f"{name}.mp4")
            )

    async def destroy(self, sealed):
        """What `match` does when it is asked to destroy a list: checks the act, then does it."""
        signed = self.crew.roster(time.time).check(sealed, DestroyListRequest, ["list_manager"])
        self.asked.set()
        await self.may_destroy.wait()
        lists = Records(self.bus, subjects.WATCHLISTS, WatchListRecord)
        record, _ = await lists.get(signed.request.watch_list)
        record = record.model_copy(update={"state": "destroyed"})
        await lists.put(record.id, record)
        self.destroyed.append((signed.who, record.id))
        return ListReply(record=record)

    async def act(self, name, who, request):
        sealed = sign(self.crew.govern if who == "govern" else self.crew[who], request)
        return (await self.bus.ask(f"{subjects.DEPLOYMENT}.{name}", sealed, DeploymentReply, SOON_S)).record

    async def draft(self, **fields):
        now = time.time()
        times = {"starts_at": now - 1, "ends_at": now + 3600}
        draft = changed("deployment_record").draft.model_copy(update={**times, **fields})
        return await self.act("draft", "a-jones", DraftRequest(draft=draft))

    async def do(self, verb, version=None, who=None):
        version = version or (await self.record()).record_version
        request = TransitionRequest(verb=verb, deployment=NAME, record_version=version, reason="as planned")
        return await self.act("transition", who or WHO[verb], request)

    async def to_armed(self, **fields):
        await self.draft(**fields)
        await self.do("authorise")
        return await self.do("arm")

    async def shown(self):
        request = DeploymentRequest(deployment=NAME)
        return await self.bus.ask(f"{subjects.DEPLOYMENT}.show", request, DeploymentReply)

    async def record(self):
        return (await self.shown()).record

    async def on_disk(self):
        """The record as it lies in the bucket."""
        sealed, _ = await Records(self.bus, subjects.DEPLOYMENTS, Sealed).get(NAME)
        return self.crew.govern.public.open(sealed, DeploymentRecord)

    async def warrant(self):
        found = await Records(self.bus, subjects.WARRANTS, Sealed).get(NAME)
        return self.crew.govern.public.open(found[0], Warrant) if found else None

    async def is_covered(self):
        warrant = await self.warrant()
        return warrant is not None and warrant.covers("gate-1", time.time())

    async def audit(self):
        """The events of deployments in the audit, which is whole."""
        verifier, events = chain.Verifier(self.crew.govern.public), []
        async for stored in self.bus.stored(subjects.AUDIT):
            entry = verifier.take(stored.sequence, stored.data)
            events.append(entry.event if entry else "")
        assert verifier.verdict([]).breaks == ()
        return [event.removeprefix("deployment.") for event in events if event.startswith("deployment.")]


@pytest.fixture
async def site(bus, crew, log, monkeypatch):
    site = Site(bus, crew, log, monkeypatch)
    await site.furnish()
    endpoints = {"destroy": Endpoint(Sealed, site.destroy)}
    async with bus.micro_service("watchlist", subjects.WATCHLIST, endpoints):
        yield site


# -- a whole deployment


async def test_a_deployment_from_its_draft_to_its_purge(site):
    async with site.running():
        await site.draft()
        assert (await site.shown()).obstacles[0].startswith("it is not authorised")
        await site.do("authorise")
        assert (await site.shown()).obstacles == ()
        assert not await site.is_covered()
        await site.do("arm")
        assert await site.is_covered()
        await site.do("suspend")
        assert not await site.is_covered()
        await site.do("arm")
        assert await site.is_covered()
        await site.do("end")
        assert not await site.is_covered()
        assert site.destroyed == [("govern", "missing"), ("govern", "wanted"), ("govern", "blue")]
        record = await site.do("purge")
        assert (record.state, record.deleting) == ("purged", False)
        assert await site.audit() == [
            *("drafted", "authorised", "armed", "suspended", "armed", "ended", "purge_ordered", "purged"),
        ]
        listed = await site.bus.ask(f"{subjects.DEPLOYMENT}.list", ListRequest(of=""), DeploymentsReply)
        assert [record.state for record in listed.records] == ["purged"]
        figures = await site.bus.ask(f"{subjects.DEPLOYMENT}.figures", FiguresRequest(deployment=NAME), FiguresReply)
        assert figures.record == record
        assert figures.audit_entries >= 8


async def test_the_three_locks_hear_of_it_as_soon_as_it_stops(site):
    async with site.running(), open_warrants(site.bus, TrustSettings(), site.log) as warrants:
        await site.to_armed()

        async def is_armed():
            warrant = warrants.get(NAME)
            return warrant is not None and warrant.covers("gate-1", time.time())

        await until(is_armed)
        await site.do("suspend")

        async def is_not():
            return not await is_armed()

        await until(is_not)


async def test_it_ends_at_its_end_time_by_itself(site):
    site.looks_often()
    async with site.running():
        record = await site.to_armed(ends_at=time.time() + 3.0)

        async def has_ended():
            return (await site.record()).state == "ended"

        await until(has_ended)
        assert time.time() >= record.draft.ends_at
        assert (await site.warrant()).state == "ended"

        async def is_destroyed():
            return len(site.destroyed) == 3

        await until(is_destroyed)


async def test_what_ended_while_the_program_was_down_is_ended_when_it_is_back(site):
    async with site.running():
        record = await site.to_armed(ends_at=time.time() + 3.0)

    async def is_over():
        return time.time() >= record.draft.ends_at

    await until(is_over)
    assert not await site.is_covered()  # no lock needs the program for that
    async with site.running():

        async def has_ended():
            return (await site.on_disk()).state == "ended" and len(site.destroyed) == 3

        await until(has_ended)
    assert (await site.audit())[-1] == "ended"


async def test_an_evaluation_does_not_outlive_the_program(site):
    async with site.running():
        await site.furnish("evaluation")
        await site.to_armed(profile="evaluation")
        assert (await site.warrant()).stamp == "EVALUATION"
    async with site.running():
        assert (await site.record()).state == "ended"
        assert not await site.is_covered()


# -- officers


async def test_of_two_officers_who_act_at_once_one_is_told_that_the_other_was_faster(site):
    async with site.running():
        version = (await site.to_armed()).record_version
        both = await asyncio.gather(site.do("suspend", version), site.do("end", version), return_exceptions=True)
        (refused,) = [each for each in both if isinstance(each, AskError)]
        assert refused.code == "409"
        assert "look at it again" in refused.detail
        assert (await site.record()).record_version == version + 1
        assert len(await site.audit()) == version + 1


@pytest.mark.parametrize("who", ["a-jones", "f-black"])
async def test_an_officer_without_the_role_is_refused_by_a_code_of_its_own(site, who):
    async with site.running():
        await site.draft()
        with pytest.raises(AskError) as refused:
            await site.do("authorise", who=who)
        assert refused.value.code == "403"


# -- deaths


def dead(*_, **__):
    raise TransientError("the program died here")


DEATHS = {
    "arm, before its audit": ("arm", Chain, "append"),
    "arm, before its warrant": ("arm", WarrantDesk, "put"),
    "end, before its warrant": ("end", WarrantDesk, "put"),
    "end, before its audit": ("end", Chain, "append"),
    "end, before its lists": ("end", MatchLists, "destroy"),
    "purge, before its audit": ("purge", Chain, "append"),
    "purge, before its deletion": ("purge", Erasure, "everything"),
}


@pytest.mark.parametrize("death", DEATHS)
async def test_a_program_that_dies_in_the_middle_finishes_when_it_is_back(site, monkeypatch, death):
    verb, owner, effect = DEATHS[death]
    states = {"arm": "armed", "end": "ended", "purge": "purged"}
    async with site.running():
        await site.draft()
        for before in ("authorise", "arm", "end", "purge"):
            if before == verb:
                break
            await site.do(before)
        with monkeypatch.context() as patch:
            patch.setattr(owner, effect, dead)
            with pytest.raises(TransientError, match="is decided and recorded"):
                await site.do(verb)
    async with site.running():

        async def is_whole():
            record, warrant = await site.on_disk(), await site.warrant()
            events = await site.audit()
            return (
                record.state == states[verb]
                and not record.deleting
                and warrant is not None
                and warrant.state == ("armed" if verb == "arm" else "ended")
                and events[-1] == states[verb]
                and len(events) == len(record.deeds)
                and (verb == "arm" or len(site.destroyed) == 3)
            )

        await until(is_whole)


async def test_a_process_that_is_killed_while_lists_are_destroyed_finishes_when_it_is_back(site, nats_server):
    site.may_destroy.clear()
    async with process(site, nats_server) as killed:
        await present(site)
        await site.to_armed()
        ending = asyncio.create_task(site.do("end"))
        await soon(site.asked.wait())
        assert not await site.is_covered()  # it had stopped before anything else
        killed.kill()
        await killed.wait()
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
    assert (await site.on_disk()).state == "ended"
    site.may_destroy.set()
    async with process(site, nats_server):

        async def is_whole():
            lists = await Records(site.bus, subjects.WATCHLISTS, WatchListRecord).all()
            return {record.state for record in lists.values()} == {"destroyed"} and (await site.audit())[-1] == "ended"

        await until(is_whole)


@asynccontextmanager
async def process(site, nats_server):
    """The program as a process of its own."""
    environment = {**QUIET, **site.crew.environment(), "WATCHLINE_NATS_URL": nats_server.url}
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.govern"), env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def present(site):
    await soon(site.bus.until_present(["govern"]))


async def test_a_key_that_does_not_fit_what_others_are_told_is_one_line(crew, nats_server):
    environment = {**QUIET, **crew.environment(), "WATCHLINE_NATS_URL": nats_server.url}
    environment["WATCHLINE_TRUST_PUBLIC_KEY"] = str(Signer.generate("govern").public)
    starting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.govern"), env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, said = await soon(starting.communicate())
    assert starting.returncode == 2
    assert "does not fit the key of WATCHLINE_GOVERN_KEY" in said.decode()
    assert "Traceback" not in said.decode()


# -- whoever can write to the bus


async def test_a_record_that_somebody_else_writes_arms_nothing(site):
    async with site.running():
        armed = await site.to_armed()
        await site.do("suspend")
    forged = armed.model_copy(update={"record_version": 99})
    for record in (site.crew["d-green"].seal(forged).model_copy(update={"signer": "govern"}), forged):
        await Records(site.bus, subjects.DEPLOYMENTS, type(record)).put(NAME, record)
        async with site.running():
            with pytest.raises(AskError):
                await site.record()
            assert not await site.is_covered()


async def test_an_older_record_that_is_put_back_arms_nothing(site):
    async with site.running():
        await site.to_armed()
        old, _ = await Records(site.bus, subjects.DEPLOYMENTS, Sealed).get(NAME)
        await site.do("suspend")
        await Records(site.bus, subjects.DEPLOYMENTS, Sealed).put(NAME, old)
        with pytest.raises(TransientError, match="version 3 of station-north lies where 4 did"):
            await site.record()
        assert not await site.is_covered()
    site.looks_often()
    async with site.running():
        await site.bus.ask(f"{subjects.DEPLOYMENT}.list", ListRequest(of=""), DeploymentsReply)
        with pytest.raises(
            AskError, match="the audit tells of version 4 of the record of station-north, and version 3"
        ):
            await site.record()
        assert not await site.is_covered()  # the newer warrant stands


async def test_a_name_that_the_audit_knows_is_not_given_anew_when_its_record_has_vanished(site):
    async with site.running():
        await site.to_armed()
        await Records(site.bus, subjects.DEPLOYMENTS, Sealed).delete(NAME)
    async with site.running():
        with pytest.raises(
            AskError, match="the audit tells of version 3 of the record of station-north, and it is gone"
        ):
            await site.draft(purpose="another")
        assert (await site.audit()) == ["drafted", "authorised", "armed"]


def destroyed(act):
    """What match tells the audit of the act of destroying a list."""
    sealed = codec.encode(act)
    signed = codec.decode(Act, act.body)
    said = {"at": signed.at, "origin": signed.origin, "reason": codec.decode(DestroyListRequest, signed.request).reason}
    deed = Deed(who=act.signer, verb="destroy", act=hashlib.sha256(sealed).hexdigest(), **said)
    named = {"id": list_act_id("wanted", 1, deed), "watch_list": "wanted", "record_version": 1}
    return AuditRequest(event="watchlist.destroyed", deed=deed, sealed=sealed, **named)


async def test_nobody_tells_the_audit_from_outside_of_acts_on_deployments(site):
    deed = Deed(who="b-smith", verb="authorise", at=time.time())
    async with site.running():
        forged = AuditRequest(id="deployment.station-north.2", event="deployment.authorised", deed=deed)
        with pytest.raises(AskError) as refused:
            await site.bus.ask(f"{subjects.AUDIT_ASKS}.append", forged, AuditReply)
        assert refused.value.code == "403"
        act = sign(site.crew["l-stone"], DestroyListRequest(watch_list="wanted", reason="over"))
        told = destroyed(act)
        reply = await site.bus.ask(f"{subjects.AUDIT_ASKS}.append", told, AuditReply)
        assert reply.entry.event == "watchlist.destroyed"
