"""Samples to probes and chips to templates, through one batcher."""

import asyncio

import numpy as np
import pytest

from libs.inference import Batcher
from proto.messages import EmbedRequest, Sighting
from services.embed.service import Embedder
from tests.examples import EXAMPLES, changed
from tests.fakes import template_of

SAMPLE = EXAMPLES["sample"]


@pytest.fixture
async def embedder():
    async with Batcher(lambda chips: list(template_of(np.stack(chips))), max_batch=4) as batcher:
        yield Embedder(batcher, "fake-1")


def chips(count):
    return np.random.default_rng(5).integers(0, 256, size=(count, 112, 112, 3), dtype=np.uint8)


async def test_a_probe_is_its_sample_with_a_template_in_place_of_the_chip(embedder):
    (probe,) = await embedder.probe(SAMPLE)
    assert np.allclose(probe.template, template_of(SAMPLE.chip[None])[0])
    assert probe.template_version == "fake-1"
    assert probe.portrait == SAMPLE.portrait
    for name in Sighting.model_fields:
        assert getattr(probe, name) == getattr(SAMPLE, name)
    assert probe.id == SAMPLE.id
    assert not hasattr(probe, "chip")


async def test_samples_that_wait_together_each_get_their_own_template(embedder):
    faces = chips(10)
    probes = await asyncio.gather(
        *(embedder.probe(changed("sample", chip=face, sample=n + 1)) for n, face in enumerate(faces))
    )
    for number, (probe,) in enumerate(probes):
        assert probe.sample == number + 1
        assert np.allclose(probe.template, template_of(faces[number : number + 1])[0])


async def test_templates_are_answered_in_the_order_of_the_chips(embedder):
    faces = chips(7)
    reply = await embedder.templates(EmbedRequest(chips=faces))
    assert np.allclose(reply.templates, template_of(faces))
    assert reply.template_version == "fake-1"


async def test_no_chips_are_no_templates(embedder):
    assert len((await embedder.templates(EmbedRequest(chips=chips(0)))).templates) == 0


async def test_what_breaks_in_the_model_reaches_the_message_it_broke_for():
    def breaks(_chips):
        raise RuntimeError("the model broke")

    async with Batcher(breaks, max_batch=4) as batcher:
        with pytest.raises(RuntimeError, match="the model broke"):
            await Embedder(batcher, "fake-1").probe(SAMPLE)


async def test_a_reference_is_the_mean_of_a_face_and_its_mirror_image_of_length_one(embedder):
    faces = chips(5)
    reply = await embedder.templates(EmbedRequest(chips=faces, both_ways=True))
    means = template_of(faces) + template_of(faces[:, :, ::-1])
    assert reply.templates.shape == means.shape
    assert reply.templates.dtype == np.float32
    assert np.allclose(reply.templates, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    assert not np.allclose(reply.templates, template_of(faces), atol=1e-3)
