"""Turns samples into probes, and answers asks for templates (which `match` needs to enrol)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np

from libs import metrics
from libs.actor import Stage
from libs.geometry import Floats, Image
from libs.inference import Batcher
from libs.models import open_session
from libs.service import Host
from libs.settings import InferenceSettings, load
from proto import subjects
from proto.messages import EmbedReply, EmbedRequest, Probe, Sample
from services.embed.settings import EmbedSettings
from services.embed.sface import SFace

CPU_BATCH = 2
"""Chips of one run on the CPU: what waits together is embedded together. Measured with all cores busy, CPU ms a chip:
18.4 for one, 17.5 for two, 18.4 for four, 19.0 for eight, 20.0 for sixteen."""


class Embedder:
    """The handler of samples and of asks; both share the model through one batcher."""

    def __init__(self, batcher: Batcher[Image, Floats], template_version: str) -> None:
        self._batcher = batcher
        self._version = template_version

    async def probe(self, sample: Sample) -> Sequence[Probe]:
        """The sample's probe: its template in place of its chip."""
        template = await self._batcher(sample.chip)
        return [Probe(**sample.seen(), template=template, template_version=self._version, portrait=sample.portrait)]

    async def templates(self, ask: EmbedRequest) -> EmbedReply:
        """The templates of the chips asked for."""
        chips = [*ask.chips, *(ask.chips[:, :, ::-1] if ask.both_ways else ())]
        templates = await asyncio.gather(*(self._batcher(chip) for chip in chips))
        stacked = np.stack(templates) if templates else np.zeros((0, 0), np.float32)
        found = _means(stacked) if ask.both_ways and templates else stacked
        return EmbedReply(templates=found, template_version=self._version)


def _means(templates: Floats) -> Floats:
    """Of templates (2n, d) of faces and then of their mirror images: the mean of each two, of length 1."""
    faces, mirrored = np.split(templates, 2)
    sums = faces + mirrored
    means: Floats = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return means


@asynccontextmanager
async def embed(host: Host) -> AsyncIterator[None]:
    """The program: an actor on the samples, and a desk for asks."""
    inference = load(InferenceSettings)
    session, lanes = open_session(load(EmbedSettings).model, inference, host.log, inference.max_batch)
    model = SFace(session)

    def work(chips: list[Image]) -> Sequence[Floats]:
        metrics.BATCH_SIZE.labels("embed").observe(len(chips))
        return list(model.embed(np.stack(chips)))

    async with Batcher(work, max_batch=max(lanes.batch, CPU_BATCH), workers=lanes.workers) as batcher:
        embedder = Embedder(batcher, model.template_version)
        async with (
            host.actor(Stage("embed", subjects.SAMPLES, Sample, embedder.probe)),
            host.bus.answering(subjects.EMBED, EmbedRequest, embedder.templates, host.settings.concurrency),
        ):
            yield
