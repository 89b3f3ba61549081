"""The camera actor: when it decodes, what it sends, and what it does when things go wrong."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
import structlog

from libs.errors import PermanentError, TransientError
from proto.messages import Detections, Sample
from proto.records import CameraRecord, DeploymentRecord
from services.ingest import camera as camera_module
from services.ingest.camera import CameraActor
from services.ingest.reading import Tools
from services.ingest.settings import IngestSettings

FRAMES = 50
FPS = 25


class FakeBus:
    """Answers every ask with one face that walks to the right; keeps what is published."""

    def __init__(self):
        self.asked: list[int] = []
        self.samples: list[Sample] = []
        self.reconnected = asyncio.Event()
        self.in_flight = self.most_in_flight = 0
        self.refuse_next = 0
        self.error: Exception | None = None

    async def ask(self, subject, message, expected, timeout_s=None):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if self.refuse_next > 0:
            self.refuse_next -= 1
            raise self.error
        self.asked.append(message.frame)
        left = 60 + 2 * message.frame
        points = [[left + 20, 70], [left + 55, 70], [left + 38, 90], [left + 23, 110], [left + 53, 110]]
        return Detections(
            camera=message.camera,
            frame=message.frame,
            boxes=np.array([[left, 40, left + 76, 130]], np.float32),
            landmarks=np.array([points], np.float32),
            detect_scores=np.array([0.95], np.float32),
        )

    async def publish(self, message, trace):
        self.samples.append(message)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    rng = np.random.default_rng(7)
    texture = rng.integers(0, 255, (240, 320, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(texture)))
        out.mux(stream.encode(None))
    return str(path)


@pytest.fixture
def statuses() -> list:
    return []


@pytest.fixture
def tools(statuses):
    threads = ThreadPoolExecutor(1)
    yield Tools(FakeBus(), threads, IngestSettings(), structlog.get_logger(), statuses.append, clock=lambda: 1000.0)
    threads.shutdown()


def deployment(**changes) -> DeploymentRecord:
    fields = {
        "deployment": "d", "state": "armed", "purpose": "test", "cameras": ("door",), "watch_lists": ("list",),
        "threshold": 0.5, "floor": 0.4, "cooldown_s": 60, "starts_at": 900, "ends_at": 1100,
    }  # fmt: skip
    return DeploymentRecord(**{**fields, **changes})


def record(location: str, **changes) -> CameraRecord:
    return CameraRecord(**{"camera": "door", "location": location, "realtime": False, **changes})


async def test_a_file_is_asked_about_frame_by_frame_and_ends_with_its_counts(tools, statuses, clip):
    await CameraActor(record(clip), deployment(), tools).run()

    assert tools.bus.asked == list(range(FRAMES))
    last = statuses[-1]
    assert (last.state, last.frames, last.dropped, last.detections, last.tracks) == ("ended", FRAMES, 0, FRAMES, 1)
    assert last.samples == len(tools.bus.samples) >= 1


async def test_never_more_than_two_asks_are_in_flight(tools, clip):
    await CameraActor(record(clip), deployment(), tools).run()

    assert tools.bus.most_in_flight == 2


async def test_samples_of_a_track_are_numbered_from_1_and_name_the_deployment_and_its_version(tools, clip):
    await CameraActor(record(clip), deployment(record_version=3), tools).run()

    samples = tools.bus.samples
    assert [sample.sample for sample in samples] == list(range(1, len(samples) + 1))
    assert {(sample.deployment, sample.record_version, sample.camera) for sample in samples} == {("d", 3, "door")}
    assert len({sample.track for sample in samples}) == 1
    assert samples[0].chip.shape == (112, 112, 3)
    assert samples[0].portrait.startswith(b"\xff\xd8")
    assert samples[0].captured_at == pytest.approx(1000.0 + samples[0].source_time_s)


async def test_the_same_file_gives_the_same_samples(tools, clip):
    for _ in range(2):
        await CameraActor(record(clip), deployment(), tools).run()

    half = len(tools.bus.samples) // 2
    first, second = tools.bus.samples[:half], tools.bus.samples[half:]
    assert [(s.frame, s.box, s.quality) for s in first] == [(s.frame, s.box, s.quality) for s in second]
    assert all((a.chip == b.chip).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "ended"},
        {"starts_at": 1001},
        {"starts_at": 900, "ends_at": 1000},
        {"cameras": ("yard",)},
    ],
    ids=["ended", "not yet", "over", "another camera"],
)
async def test_outside_the_armed_window_no_source_is_even_opened(tools, statuses, clip, changes, monkeypatch):
    opened = []
    monkeypatch.setattr(camera_module, "open_source", lambda *arguments: opened.append(arguments))
    await CameraActor(record(clip), deployment(**changes), tools).run()

    assert opened == []
    assert tools.bus.asked == []
    assert statuses[-1].state == "ended"
    assert "not armed" in statuses[-1].detail


async def test_a_deployment_that_ends_stops_the_camera_at_once(tools, statuses, clip):
    actor = CameraActor(record(clip), deployment(), tools)
    ask = tools.bus.ask

    async def ask_until_10(subject, message, expected, timeout_s=None):
        if message.frame == 10:
            actor.amend(deployment(state="ended"))
        return await ask(subject, message, expected)

    tools.bus.ask = ask_until_10
    await actor.run()

    assert max(tools.bus.asked) <= 12
    assert "not armed" in statuses[-1].detail


async def test_an_unanswered_ask_of_a_file_is_asked_again_until_it_is_answered(tools, statuses, clip):
    tools.bus.refuse_next, tools.bus.error = 7, TransientError("nobody", delay_s=0)
    await CameraActor(record(clip), deployment(), tools).run()

    assert sorted(tools.bus.asked) == list(range(FRAMES))
    assert statuses[-1].dropped == 0


async def test_a_frame_that_detect_refuses_is_counted_as_dropped_and_the_rest_goes_on(tools, statuses, clip):
    tools.bus.refuse_next, tools.bus.error = 1, PermanentError("the JPEG is damaged")
    await CameraActor(record(clip), deployment(), tools).run()

    assert statuses[-1].state == "ended"
    assert (statuses[-1].frames, statuses[-1].dropped) == (FRAMES - 1, 1)


async def test_a_file_that_is_not_there_fails_with_its_name(tools, statuses):
    await CameraActor(record("nowhere.mp4"), deployment(), tools).run()

    assert statuses[-1].state == "failed"
    assert "nowhere.mp4" in statuses[-1].detail


async def test_a_stream_that_cannot_be_reached_is_tried_as_often_as_allowed(tools, statuses, monkeypatch):
    monkeypatch.setattr(camera_module, "RETRY_FIRST_S", 0.001)
    await CameraActor(record("http://127.0.0.1:1/x", retries=2), deployment(), tools).run()

    assert [status.state for status in statuses].count("retrying") == 2
    assert statuses[-1].state == "failed"


async def test_the_last_sample_of_a_living_track_is_sent_again_when_the_bus_comes_back(tools, clip):
    ask = tools.bus.ask

    async def ask_and_lose_the_bus(subject, message, expected, timeout_s=None):
        if message.frame == 20:
            tools.bus.reconnected.set()
            tools.bus.reconnected = asyncio.Event()
        return await ask(subject, message, expected)

    tools.bus.ask = ask_and_lose_the_bus
    await CameraActor(record(clip), deployment(), tools).run()

    ids = [sample.id for sample in tools.bus.samples]
    assert len(ids) == len(set(ids)) + 1
