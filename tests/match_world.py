"""A running `match` with peers that need no models: detect and embed that answer for any picture, and an audit."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np

from libs.bus import Endpoint, connect, flushed
from libs.service import Host
from libs.settings import NatsSettings, ServiceSettings
from proto import subjects
from proto.audit import AuditEntry
from proto.messages import DetectImagesReply, DetectImagesRequest, EmbedReply, EmbedRequest
from proto.requests.audit import AuditReply, AuditRequest
from services.match.service import match
from tests.match_desk import VERSION, face_at, faces


def template_of(chip):
    """A unit vector that only this chip has."""
    seed = int(np.sort(chip.reshape(-1)).astype(np.int64) @ np.arange(chip.size)) % 2**32
    row = np.random.default_rng(seed).normal(size=128)
    return (row / np.linalg.norm(row)).astype(np.float32)


class Peers:
    """detect, embed and the audit of govern, answering on the bus; `portraits` and `templates` are what they saw."""

    def __init__(self):
        self.audit = []
        self.templates = []
        self.held = asyncio.Event()
        self.held.set()
        self.asked = asyncio.Event()

    async def detect(self, ask: DetectImagesRequest) -> DetectImagesReply:
        self.asked.set()
        await self.held.wait()
        return faces(face_at())(ask)

    async def embed(self, ask: EmbedRequest) -> EmbedReply:
        templates = np.stack([template_of(chip) for chip in ask.chips])
        self.templates += list(templates)
        return EmbedReply(templates=templates, template_version=VERSION)

    async def append(self, ask: AuditRequest) -> AuditReply:
        if ask.id not in [request.id for request in self.audit]:
            self.audit.append(ask)
        told = {name: getattr(ask, name) for name in AuditRequest.model_fields}
        return AuditReply(entry=AuditEntry(sequence=1, previous=bytes(32), at=1.0, **told))


@asynccontextmanager
async def running_match(nats_server, log):
    async with (
        connect(NatsSettings(url=nats_server.url), "match", log) as bus,
        asyncio.TaskGroup() as tasks,
        match(Host("match", bus, log, ServiceSettings(), tasks)),
    ):
        await flushed(bus.client)  # the server knows now that it answers
        yield


@asynccontextmanager
async def answering_peers(nats_server, log):
    """The peers, answering on the bus while the block runs."""
    peers = Peers()
    async with (
        connect(NatsSettings(url=nats_server.url), "peers", log) as bus,
        bus.answering(subjects.DETECT_IMAGES, DetectImagesRequest, peers.detect, 8),
        bus.answering(subjects.EMBED, EmbedRequest, peers.embed, 8),
        bus.micro_service("auditing", subjects.AUDIT_ASKS, {"append": Endpoint(AuditRequest, peers.append)}),
    ):
        yield peers
