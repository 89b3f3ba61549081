"""What officers do to make cameras run, as short as a test can have it: acts signed with the keys of the crew."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats

from libs import log
from libs.bus import Bus, connect
from libs.settings import LogSettings, NatsSettings
from proto import codec, subjects
from proto.deployments import DeploymentDraft, DeploymentRecord, Document, Zone
from proto.requests.deployments import AmendRequest, DeploymentReply, DeploymentRequest, DraftRequest, TransitionRequest
from proto.requests.watchlists import CreateListRequest, ListReply
from proto.sealed import Sealed
from proto.watchlists import EntryForm, WatchListForm, WatchListRecord
from services.cli.client import Client
from services.cli.machine.cameras import register
from services.cli.machine.stack import Stack, StackOptions, open_stack
from services.cli.watchlists.importing import import_images
from services.cli.watchlists.reference_images import folder_images
from tests.crew import Crew
from tests.nats_server import NatsServer

QUIET = LogSettings(level="error")
WHO = {"authorise": "b-smith", "refuse": "b-smith", "arm": "c-brown", "suspend": "c-brown", "end": "c-brown",
       "purge": "c-brown"}  # fmt: skip


@dataclass
class Officers:
    """The crew at a bus."""

    bus: Bus
    crew: Crew

    def client(self, name: str) -> Client:
        return Client(self.bus, self.crew[name])

    async def list_of(self, name: str, references: Path) -> WatchListRecord:
        """A watch list of everyone in a folder."""
        until = time.time() + 3600
        form = WatchListForm(
            watch_list=name, profile="uk-police", purpose="test", owner="test", category="test", response="amber",
            lawful_basis="test", criteria="everyone in the folder", expires_at=until,
        )  # fmt: skip
        entry = EntryForm(reason="test", requester="test", source="test", lawful_basis="test", expires_at=until)
        client = self.client("l-stone")
        await client.act(f"{subjects.WATCHLIST}.create", CreateListRequest(form=form), ListReply)
        result = await import_images(client, name, folder_images(references, entry), lambda _: None)
        return result.record

    async def armed(self, name: str, cameras: tuple[str, ...], watch_list: str, **changes) -> DeploymentRecord:
        """A deployment under `uk-police` on those cameras, which are recorded; it was drafted, authorised and armed."""
        await self.do(await self.drafted(name, cameras, watch_list, **changes), "authorise")
        return await self.do(await self.show(name), "arm")

    async def drafted(self, name: str, cameras: tuple[str, ...], watch_list: str, **changes) -> DeploymentRecord:
        now = float(int(time.time()))
        document = Document(id="D-1", expires_at=now + 86_400)
        parts = {
            "deployment": name, "profile": "uk-police", "purpose": "test", "legal_basis": "test",
            "strict_necessity": "test", "alternatives": "none", "location": "here",
            "cameras": {camera: Zone() for camera in cameras}, "watch_lists": (watch_list,), "threshold": 0.5,
            "starts_at": now - 1, "ends_at": now + 600, "dpia": document, "policy": document,
            "signage_confirmed": True, "complaints_contact": "complaints@example.org",
        }  # fmt: skip
        ask = DraftRequest(draft=DeploymentDraft.model_validate({**parts, **changes}))
        return (await self.client("a-jones").act(f"{subjects.DEPLOYMENT}.draft", ask, DeploymentReply)).record

    async def do(self, record: DeploymentRecord, verb: str) -> DeploymentRecord:
        ask = TransitionRequest(verb=verb, deployment=record.id, record_version=record.record_version, reason="test")
        subject = f"{subjects.DEPLOYMENT}.transition"
        return (await self.client(WHO[verb]).act(subject, ask, DeploymentReply)).record

    async def amend(self, record: DeploymentRecord, cameras: tuple[str, ...]) -> DeploymentRecord:
        zones = {camera: Zone() for camera in cameras}
        ask = AmendRequest(deployment=record.id, record_version=record.record_version, reason="test", cameras=zones)
        return (await self.client("b-smith").act(f"{subjects.DEPLOYMENT}.amend", ask, DeploymentReply)).record

    async def show(self, name: str) -> DeploymentRecord:
        ask = DeploymentRequest(deployment=name)
        return (await self.client("a-jones").ask(f"{subjects.DEPLOYMENT}.show", ask, DeploymentReply)).record


@asynccontextmanager
async def governed_stack(folder: Path, crew: Crew, cameras=(), **options) -> AsyncIterator[tuple[Stack, Officers]]:
    """A running stack whose roster is the crew's, with `cameras` recorded, and the officers at its bus."""
    stack_options = StackOptions(folder, officers=crew.roster_path, **options)
    async with open_stack(stack_options, log.configure(QUIET, "test")) as stack:
        await register(stack.bus, cameras)
        yield stack, Officers(stack.bus, crew)


@asynccontextmanager
async def officers_at(url: str, crew: Crew) -> AsyncIterator[Officers]:
    """The officers at a bus that somebody else runs."""
    async with connect(NatsSettings(url=url), "officers", log.configure(QUIET, "test")) as bus:
        yield Officers(bus, crew)


async def states_on_disk(data_dir: Path, scratch: Path) -> dict[str, str]:
    """The state of each deployment as recorded in the data directory of a stack that has ended."""
    server = NatsServer(scratch)
    shutil.copytree(data_dir / "nats", server.store)
    server.start()
    try:
        client = await nats.connect(server.url)
        bucket = await client.jetstream().key_value(subjects.DEPLOYMENTS.name)
        sealed = [codec.decode(Sealed, (await bucket.get(key)).value) for key in await bucket.keys()]
        await client.close()
    finally:
        server.kill()
    records = [codec.decode(DeploymentRecord, one.body) for one in sealed]
    return {record.id: record.state for record in records}
