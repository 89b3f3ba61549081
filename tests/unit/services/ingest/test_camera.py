"""The camera actor: when it decodes, what it sends, and what it does when things go wrong."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
import structlog

from libs.errors import PermanentError, TransientError
from libs.waiting import end
from proto.counts import FaceCount
from proto.deployments import Binding, Warrant, Zone, location_sha256
from proto.messages import Detections, Sample
from proto.records import CameraRecord
from services.ingest import camera as camera_module
from services.ingest import finished as finished_module
from services.ingest.best_shot import BestShotSettings
from services.ingest.camera import CameraActor
from services.ingest.frame import Frame
from services.ingest.reading import Tools
from services.ingest.settings import IngestSettings
from services.ingest.source import SourceError
from tests.waiting import soon

FRAMES = 50
FPS = 25
TEXTURE = np.random.default_rng(7).integers(0, 255, (240, 320, 3), np.uint8)
ONLY_AT_THE_END = BestShotSettings(good_quality=1.0, patience_s=1e6)
"""A track sends its sample when it ends, not before."""


class FakeBus:
    """Answers every ask with one face that walks to the right; keeps what is published."""

    def __init__(self):
        self.asked: list[int] = []
        self.samples: list[Sample] = []
        self.reconnected = asyncio.Event()
        self.in_flight = self.most_in_flight = 0
        self.refuse_next = 0
        self.error: Exception | None = None
        self.strays = 0
        self.answered = threading.Semaphore(0)
        """One for each ask: a live source that waits for it drops nothing."""

    async def ask(self, subject, message, expected, timeout_s=None):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.answered.release()
        if self.refuse_next > 0:
            self.refuse_next -= 1
            raise self.error
        self.asked.append(message.frame)
        left = 60 + 2 * message.frame
        points = [[left + 20, 70], [left + 55, 70], [left + 38, 90], [left + 23, 110], [left + 53, 110]]
        away = np.array([0, *[message.width] * self.strays], np.float32)
        return Detections(
            camera=message.camera,
            frame=message.frame,
            boxes=np.array([left, 40, left + 76, 130], np.float32) + away[:, None] * np.float32([1, 0, 1, 0]),
            landmarks=np.array(points, np.float32) + away[:, None, None] * np.float32([1, 0]),
            detect_scores=np.full(len(away), 0.95, np.float32),
        )

    async def publish(self, message, trace):
        self.samples.append(message)


class FakeSource:
    """Some frames, then `error` if there is one. A live one waits for each frame to be asked about."""

    name, width, height, frame_count, duration_s, damage = "fake", 320, 240, None, None, None

    def __init__(self, bus, live=False, error=None, frames=10):
        self.bus, self.live, self.error, self.frames = bus, live, error, frames

    def __iter__(self):
        for index in range(self.frames):
            yield Frame.from_rgb(TEXTURE, index, index / FPS, captured_at=5000.0)
            if self.live:
                self.bus.answered.acquire(timeout=0.3)
        if self.error is not None:
            raise self.error

    def __enter__(self):
        return self

    def __exit__(self, *_): ...


@pytest.fixture
def sources(monkeypatch):
    """What is opened, in this order."""
    waiting = []
    monkeypatch.setattr(camera_module, "open_source", lambda *_: waiting.pop(0))
    monkeypatch.setattr(camera_module, "RETRY_FIRST_S", 0.001)
    return waiting


def fail_at(bus, *frames, error=ZeroDivisionError):
    """The answer to each of these asks, by their number over all, is a bug."""
    ask, asks = bus.ask, []

    async def ask_with_bugs(subject, message, expected, timeout_s=None):
        asks.append(message.frame)
        if len(asks) - 1 in frames:
            bus.answered.release()
            raise error("the message may quote a face")
        return await ask(subject, message, expected)

    bus.ask = ask_with_bugs


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(TEXTURE)))
        out.mux(stream.encode(None))
    return str(path)


@pytest.fixture
def statuses() -> list:
    return []


@pytest.fixture
def counts() -> list:
    return []


@pytest.fixture
def tools(statuses, counts):
    threads = ThreadPoolExecutor(1)
    yield Tools(
        FakeBus(),
        threads,
        IngestSettings(asks_in_flight_lossless=2),
        structlog.get_logger(),
        statuses.append,
        counts.append,
        clock=lambda: 1000.0,
    )
    threads.shutdown()


def warrant(**changes) -> Warrant:
    fields = {
        "deployment": "d", "state": "armed", "purpose": "test", "cameras": ("door",), "watch_lists": ("list",),
        "threshold": 0.5, "floor": 0.4, "cooldown_s": 60, "starts_at": 900, "ends_at": 1100,
        "live_sources": True,
    }  # fmt: skip
    return Warrant(**{**fields, **changes})


class Armed(CameraActor):
    """An actor whose warrants are bound to the location in its record."""

    def __init__(self, record, warrant, tools):
        super().__init__(record, bound(warrant, record), tools)
        self.camera_record = record

    def amend(self, warrant):
        super().amend(bound(warrant, self.camera_record))


def bound(warrant, record):
    locations = {record.camera: location_sha256(record.camera, record.location)}
    return warrant.model_copy(update={"binding": Binding(locations=locations)})


def record(location: str, **changes) -> CameraRecord:
    return CameraRecord(**{"camera": "door", "location": location, "realtime": False, **changes})


async def test_a_file_is_asked_about_frame_by_frame_and_ends_with_its_counts(tools, statuses, clip):
    await Armed(record(clip), warrant(), tools).run()

    assert tools.bus.asked == list(range(FRAMES))
    last = statuses[-1]
    assert (last.state, last.frames, last.dropped, last.detections, last.tracks) == ("ended", FRAMES, 0, FRAMES, 1)
    assert last.samples == len(tools.bus.samples) >= 1


async def test_never_more_asks_are_in_flight_than_the_setting_says(tools, clip):
    await Armed(record(clip), warrant(), tools).run()

    assert tools.bus.most_in_flight == tools.settings.asks_in_flight_lossless == 2


async def test_samples_of_a_track_are_numbered_from_1_and_name_the_deployment_and_its_version(tools, clip):
    await Armed(record(clip), warrant(record_version=3), tools).run()

    samples = tools.bus.samples
    assert [sample.sample for sample in samples] == list(range(1, len(samples) + 1))
    assert {(sample.deployment, sample.record_version, sample.camera) for sample in samples} == {("d", 3, "door")}
    assert len({sample.track for sample in samples}) == 1
    assert samples[0].chip.shape == (112, 112, 3)
    assert samples[0].portrait.startswith(b"\xff\xd8")


async def test_the_same_file_gives_the_same_samples(tools, clip):
    for _ in range(2):
        await Armed(record(clip), warrant(), tools).run()

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
    await Armed(record(clip, retries=0), warrant(**changes), tools).run()

    assert opened == []
    assert tools.bus.asked == []
    assert statuses[-1].state == "ended"
    assert "not armed" in statuses[-1].detail


async def test_a_deployment_that_ends_stops_the_camera_at_once(tools, statuses, clip):
    actor = Armed(record(clip), warrant(), tools)
    ask = tools.bus.ask

    async def ask_until_10(subject, message, expected, timeout_s=None):
        if message.frame == 10:
            actor.amend(warrant(state="ended"))
        return await ask(subject, message, expected)

    tools.bus.ask = ask_until_10
    await actor.run()

    assert max(tools.bus.asked) <= 12
    assert "not armed" in statuses[-1].detail


async def test_an_unanswered_ask_of_a_file_is_asked_again_until_it_is_answered(tools, statuses, clip):
    tools.bus.refuse_next, tools.bus.error = 7, TransientError("nobody", delay_s=0)
    await Armed(record(clip), warrant(), tools).run()

    assert sorted(tools.bus.asked) == list(range(FRAMES))
    assert statuses[-1].dropped == 0


async def test_a_frame_that_detect_refuses_is_counted_as_dropped_and_the_rest_goes_on(tools, statuses, clip):
    tools.bus.refuse_next, tools.bus.error = 1, PermanentError("the JPEG is damaged")
    await Armed(record(clip), warrant(), tools).run()

    assert statuses[-1].state == "ended"
    assert (statuses[-1].frames, statuses[-1].dropped) == (FRAMES - 1, 1)


async def test_a_file_that_is_not_there_fails_with_its_name(tools, statuses):
    await Armed(record("nowhere.mp4"), warrant(), tools).run()

    assert statuses[-1].state == "failed"
    assert "nowhere.mp4" in statuses[-1].detail


async def test_a_stream_that_cannot_be_reached_is_tried_as_often_as_allowed(tools, statuses, monkeypatch):
    monkeypatch.setattr(camera_module, "RETRY_FIRST_S", 0.001)
    await Armed(record("http://127.0.0.1:1/x", retries=2), warrant(), tools).run()

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
    await Armed(record(clip), warrant(), tools).run()

    ids = [sample.id for sample in tools.bus.samples]
    assert len(ids) == len(set(ids)) + 1


async def test_a_frame_of_a_file_was_captured_at_the_same_time_in_every_pass(tools, clip):
    for now in (1000.0, 1050.0):
        await Armed(record(clip), warrant(starts_at=900), replace(tools, clock=lambda now=now: now)).run()

    half = len(tools.bus.samples) // 2
    times = [sample.captured_at for sample in tools.bus.samples]
    assert times[:half] == times[half:]
    assert times[0] == pytest.approx(900 + tools.bus.samples[0].source_time_s)


async def test_a_frame_of_a_live_source_was_captured_when_it_came(tools, sources):
    sources.append(FakeSource(tools.bus, live=True))
    await Armed(record("rtsp://camera", realtime=True), warrant(), tools).run()

    assert {sample.captured_at for sample in tools.bus.samples} == {5000.0}


@pytest.mark.parametrize("live", [False, True])
async def test_a_source_that_breaks_gives_its_last_frames_and_its_unfinished_tracks(tools, statuses, sources, live):
    tools = replace(tools, best_shot=ONLY_AT_THE_END)
    sources.append(FakeSource(tools.bus, live, SourceError("it broke off", "check it", transient=True)))
    await Armed(record("fake", retries=0), warrant(), tools).run()

    assert tools.bus.asked == list(range(10))
    assert len(tools.bus.samples) == 1
    last = statuses[-1]
    assert (last.state, last.frames, last.samples) == ("failed", 10, 1)
    assert "it broke off" in last.detail


async def test_a_deployment_that_ends_as_the_source_breaks_sends_nothing_more(tools, statuses, sources):
    tools = replace(tools, best_shot=ONLY_AT_THE_END)
    sources.append(FakeSource(tools.bus, error=SourceError("it broke off", "check it", transient=True)))
    actor = Armed(record("fake"), warrant(), tools)
    ask = tools.bus.ask

    async def ask_until_9(subject, message, expected, timeout_s=None):
        if message.frame == 9:
            actor.amend(warrant(state="ended"))
        return await ask(subject, message, expected)

    tools.bus.ask = ask_until_9
    await actor.run()

    assert tools.bus.samples == []
    assert (statuses[-1].state, statuses[-1].disarmed) == ("ended", True)


async def test_a_bug_on_one_frame_of_a_live_camera_costs_no_more_than_a_moment(tools, statuses, sources):
    sources += [FakeSource(tools.bus, live=True), FakeSource(tools.bus, live=True)]
    fail_at(tools.bus, 5)
    await Armed(record("rtsp://camera", realtime=True), warrant(), tools).run()

    retrying = next(status for status in statuses if status.state == "retrying")
    assert "ZeroDivisionError" in retrying.detail
    assert "quote" not in retrying.detail
    assert (statuses[-1].state, statuses[-1].detail) == ("ended", "")
    assert statuses[-1].frames > 10
    assert all(after.frames >= before.frames for before, after in pairwise(statuses))


async def test_a_camera_that_bugs_stop_again_and_again_fails_with_its_counts(tools, statuses, sources):
    sources += [FakeSource(tools.bus) for _ in range(3)]
    fail_at(tools.bus, 5, 11, 17)
    await Armed(record("fake", retries=2), warrant(), tools).run()

    assert sources == []
    assert [status.state for status in statuses].count("retrying") == 2
    assert statuses[-1].state == "failed"
    assert statuses[-1].frames >= 3


async def test_a_file_that_starts_over_gains_no_tries_by_getting_further(tools, statuses, sources):
    broken = SourceError("it broke off", "check it", transient=True)
    sources += [FakeSource(tools.bus, error=broken, frames=frames) for frames in (3, 5, 7, 9)]
    await Armed(record("fake", retries=2), warrant(), tools).run()

    assert len(sources) == 1
    assert (statuses[-1].state, statuses[-1].frames) == ("failed", 7)


async def test_what_starts_over_is_counted_anew_under_another_reading(tools, statuses, sources):
    sources += [FakeSource(tools.bus), FakeSource(tools.bus)]
    fail_at(tools.bus, 5)
    await Armed(record("fake", retries=2), warrant(), tools).run()

    broken, last = [next(s for s in reversed(statuses) if s.state == state) for state in ("retrying", "ended")]
    assert broken.reading != last.reading
    assert last.frames == 10
    counted = [sample for sample in tools.bus.samples if sample.track.startswith(last.reading)]
    assert len(counted) == last.samples < len(tools.bus.samples)


async def test_a_live_camera_counts_on_when_it_comes_back(tools, statuses, sources):
    broken = SourceError("it broke off", "check it", transient=True)
    sources += [FakeSource(tools.bus, live=True, error=broken), FakeSource(tools.bus, live=True)]
    await Armed(record("rtsp://camera"), warrant(), tools).run()

    last = statuses[-1]
    assert {status.reading for status in statuses} == {last.reading}
    assert (last.frames, last.tracks) == (20, 2)
    tracks = {sample.track for sample in tools.bus.samples}
    assert len(tracks) == 2
    assert all(track.startswith(last.reading) for track in tracks)


async def test_a_face_wholly_outside_of_the_frame_is_passed_over(tools, statuses, clip):
    tools.bus.strays = 1
    await Armed(record(clip), warrant(), tools).run()

    assert (statuses[-1].state, statuses[-1].frames) == ("ended", FRAMES)
    assert len({sample.track for sample in tools.bus.samples}) == 1
    assert all(sample.box[0] < 320 for sample in tools.bus.samples)


async def test_two_deployments_that_start_a_camera_in_one_moment_share_no_sample(tools, statuses, clip):
    name = "n" * 64
    for which in ("d1", "d2"):
        record_of = warrant(deployment=which, cameras=(name,))
        await Armed(record(clip, camera=name), record_of, tools).run()

    ids = [sample.id for sample in tools.bus.samples]  # names of 64 letters leave room enough for the rest of an id
    assert len(ids) == len(set(ids)) == 2 * statuses[-1].samples


async def test_no_more_frames_a_second_are_looked_at_than_the_settings_say(tools, clip):
    await Armed(record(clip), warrant(), replace(tools, settings=IngestSettings(max_fps=5))).run()

    assert tools.bus.asked == list(range(0, FRAMES, 5))


async def test_images_of_a_folder_come_at_the_rate_of_the_settings(tools, tmp_path):
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index}.png"), TEXTURE)
    await Armed(record(str(tmp_path)), warrant(), replace(tools, settings=IngestSettings(image_fps=20))).run()

    sample = tools.bus.samples[0]
    assert sample.source_time_s == pytest.approx(sample.frame / 20)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/cgi/user=guard&password=hunter2&channel=1/live",
        "http://127.0.0.1:1/user%3Dguard%26password%3Dhunter2",
        "http://guard:hunter2@127.0.0.1:1/live?password=hunter2",
        "http://guard:hunter2/x@127.0.0.1:1/live",
        "ftp://127.0.0.1:1/user=guard&password=hunter2",
    ],
)
async def test_no_part_of_an_address_that_may_be_a_password_is_told(tools, statuses, location):
    await Armed(record(location, retries=0), warrant(), tools).run()

    assert statuses[-1].state == "failed"
    assert "hunter2" not in statuses[-1].detail
    assert "guard" not in statuses[-1].detail


async def test_the_plain_part_of_an_address_is_told(tools, statuses):
    location = "http://127.0.0.1:1/cgi/user=guard&password=hunter2/live"
    await Armed(record(location, retries=0), warrant(), tools).run()

    assert "http://127.0.0.1:1/cgi/…/live" in statuses[-1].detail


# -- the zone of recognition. The face of `FakeBus` is 76 px wide, its centre at x = 98 + 2 px a frame, of 320.


RIGHT_OF_THE_MIDDLE = Zone(polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
FIRST_FRAME_RIGHT = 31
"""The first whose centre is at 160 px or more."""


async def test_a_face_outside_the_zone_is_tracked_but_neither_counted_nor_cut(tools, statuses, counts, clip):
    far_right = Zone(polygon=((0.9, 0), (1, 0), (1, 1), (0.9, 1)))
    await Armed(record(clip), warrant(zones={"door": far_right}), tools).run()

    assert (statuses[-1].detections, statuses[-1].tracks, statuses[-1].samples) == (FRAMES, 0, 0)
    assert tools.bus.samples == []
    assert counts[-1].minutes == {}


async def test_a_face_that_walks_into_the_zone_counts_from_then(tools, statuses, clip):
    await Armed(record(clip), warrant(zones={"door": RIGHT_OF_THE_MIDDLE}), tools).run()

    assert statuses[-1].tracks == 1
    assert tools.bus.samples
    assert min(sample.frame for sample in tools.bus.samples) >= FIRST_FRAME_RIGHT


async def test_the_zone_of_another_camera_is_not_this_ones(tools, statuses, clip):
    await Armed(record(clip), warrant(zones={"yard": RIGHT_OF_THE_MIDDLE}), tools).run()

    assert min(sample.frame for sample in tools.bus.samples) < FIRST_FRAME_RIGHT


@pytest.mark.parametrize(("least_px", "tracks"), [(76, 1), (77, 0)])
async def test_a_face_narrower_than_the_zone_asks_for_is_left_alone(tools, statuses, clip, least_px, tracks):
    await Armed(record(clip), warrant(zones={"door": Zone(min_face_px=least_px)}), tools).run()

    assert statuses[-1].tracks == tracks
    assert bool(tools.bus.samples) == bool(tracks)


async def test_an_amended_zone_holds_from_the_next_frame_on(tools, statuses, clip):
    actor = Armed(record(clip), warrant(zones={"door": Zone(min_face_px=300)}), tools)
    ask = tools.bus.ask

    async def ask_until_20(subject, message, expected, timeout_s=None):
        if message.frame == 20:
            actor.amend(warrant(record_version=2))
        return await ask(subject, message, expected)

    tools.bus.ask = ask_until_20
    await actor.run()

    assert statuses[-1].tracks == 1
    assert {sample.record_version for sample in tools.bus.samples} == {2}
    assert min(sample.frame for sample in tools.bus.samples) >= 18  # the answers of two frames were under way


# -- faces seen


async def test_faces_seen_are_counted_by_the_minute_of_their_capture(tools, statuses, counts, clip):
    tools.bus.strays = 1  # outside of the frame: not in the zone
    await Armed(record(clip), warrant(starts_at=600 - 1 / FPS), tools).run()

    last = counts[-1]
    assert last.minutes == {"10": 1}  # confirmed by its second frame, which was captured at 600 s
    assert (last.deployment, last.camera, last.reading, last.live) == ("d", "door", statuses[-1].reading, False)


async def test_what_starts_over_counts_its_faces_anew_and_what_goes_on_goes_on_counting(tools, counts, sources):
    broken = SourceError("it broke off", "check it", transient=True)
    sources += [FakeSource(tools.bus, error=broken), FakeSource(tools.bus)]
    await Armed(record("fake", retries=1), warrant(), tools).run()
    by_reading = {count.reading: count for count in counts}
    assert [sum(count.minutes.values()) for count in by_reading.values()] == [1, 1]

    counts.clear()
    tools.bus.answered = threading.Semaphore(0)
    sources += [FakeSource(tools.bus, live=True, error=broken), FakeSource(tools.bus, live=True)]
    await Armed(record("rtsp://camera"), warrant(), tools).run()
    assert len({count.reading for count in counts}) == 1
    assert (counts[-1].live, sum(counts[-1].minutes.values())) == (True, 2)


async def test_a_camera_that_is_stopped_tells_the_faces_it_has_seen_by_then(tools, counts, sources):
    sources.append(FakeSource(tools.bus))
    seen, ask = asyncio.Event(), tools.bus.ask

    async def ask_and_stay(subject, message, expected, timeout_s=None):
        if message.frame == 8:
            seen.set()
            await asyncio.Event().wait()
        return await ask(subject, message, expected)

    tools.bus.ask = ask_and_stay
    running = asyncio.create_task(Armed(record("fake"), warrant(), tools).run())
    await seen.wait()
    await end(running)

    assert sum(counts[-1].minutes.values()) == 1


async def test_what_is_told_of_faces_seen_is_numbers_alone(tools, counts, clip):
    await Armed(record(clip), warrant(), tools).run()

    assert set(FaceCount.model_fields) == {"deployment", "camera", "reading", "live", "minutes", "updated_at"}
    assert all(isinstance(faces, int) for count in counts for faces in count.minutes.values())


async def test_of_a_source_that_never_opened_no_count_is_told(tools, counts):
    await Armed(record("nowhere.mp4"), warrant(), tools).run()

    assert counts == []


# -- another location than was armed


@pytest.mark.parametrize("bound_to", [None, "rtsp://another"])
async def test_a_camera_that_is_elsewhere_than_was_armed_is_not_opened(tools, statuses, clip, monkeypatch, bound_to):
    opened = []
    monkeypatch.setattr(camera_module, "open_source", lambda *arguments: opened.append(arguments))
    armed = bound(warrant(), record(bound_to)) if bound_to else warrant()
    await CameraActor(record(clip), armed, tools).run()

    assert opened == tools.bus.asked == []
    assert (statuses[-1].state, statuses[-1].disarmed) == ("ended", True)
    assert "not the one that was armed" in statuses[-1].detail


# -- recordings alone


def written(path, at):
    os.utime(path, (at, at))


async def test_where_recordings_alone_may_be_read_a_finished_one_is_read_to_its_end(tools, statuses, clip):
    written(clip, 900.0)
    await Armed(record(clip), warrant(live_sources=False, first_armed=950.0), tools).run()
    assert (statuses[-1].state, statuses[-1].frames) == ("ended", FRAMES)


async def test_a_recording_that_was_written_to_after_the_arming_is_not_opened(tools, statuses, clip, monkeypatch):
    opened = []
    monkeypatch.setattr(camera_module, "open_source", lambda *arguments: opened.append(arguments))
    written(clip, 955.0)
    await Armed(record(clip, retries=0), warrant(live_sources=False, first_armed=950.0), tools).run()

    assert opened == tools.bus.asked == []
    assert statuses[-1].state == "failed"
    assert statuses[-1].detail.startswith("the source was written to after the deployment was armed")


async def test_a_folder_into_which_pictures_come_after_the_arming_is_not_opened(tools, statuses, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(camera_module, "open_source", lambda *arguments: opened.append(arguments))
    for name, at in (("1.png", 900.0), ("2.png", 955.0)):
        cv2.imwrite(str(tmp_path / name), TEXTURE)
        written(tmp_path / name, at)
    await Armed(record(str(tmp_path), retries=0), warrant(live_sources=False, first_armed=950.0), tools).run()
    assert (statuses[-1].state, opened) == ("failed", [])
    assert "written to after the deployment was armed" in statuses[-1].detail


@pytest.mark.parametrize("look_s", [0.0, 1e6])  # while it is read, or at its end
async def test_a_recording_that_grows_while_it_is_read_is_given_up(tools, statuses, clip, monkeypatch, look_s):
    monkeypatch.setattr(finished_module, "LOOK_S", look_s)
    written(clip, 900.0)
    answer = tools.bus.ask

    async def write_to_it(*arguments, **named):
        written(clip, 960.0)
        return await answer(*arguments, **named)

    monkeypatch.setattr(tools.bus, "ask", write_to_it)
    await Armed(record(clip), warrant(live_sources=False, first_armed=950.0), tools).run()

    assert statuses[-1].state == "failed"
    assert "written to after the deployment was armed" in statuses[-1].detail
    assert (statuses[-1].frames < FRAMES) is (look_s == 0)


@pytest.mark.parametrize("location", ["rtsp://camera/1", "RTSPS://camera/1"])
async def test_where_recordings_alone_may_be_read_a_stream_is_not_even_opened(tools, statuses, monkeypatch, location):
    opened = []
    monkeypatch.setattr(camera_module, "open_source", lambda *arguments: opened.append(arguments))
    await Armed(record(location), warrant(live_sources=False), tools).run()

    assert opened == []
    assert [status.state for status in statuses] == ["failed"]
    assert "may read recordings alone" in statuses[-1].detail


async def test_where_recordings_alone_may_be_read_what_turns_out_to_be_live_is_closed_unread(
    tools, statuses, counts, sources
):
    source = FakeSource(tools.bus, live=True)
    closed = []
    source.__class__ = type("Watched", (FakeSource,), {"__exit__": lambda *_: closed.append(True)})
    sources += [source, FakeSource(tools.bus)]
    await Armed(record("http://camera/1"), warrant(live_sources=False), tools).run()

    assert (tools.bus.asked, tools.bus.samples, counts) == ([], [], [])
    assert [status.state for status in statuses] == ["failed"]  # and it is not tried again
    assert closed == [True]
    assert len(sources) == 1


# -- the last frame


class Silent(FakeBus):
    """Nobody answers an ask, ever."""

    async def ask(self, subject, message, expected, timeout_s=None):
        self.asked.append(message.frame)
        await asyncio.Event().wait()


async def test_no_frame_is_decoded_after_the_end_though_nobody_answers_for_those_before(tools, statuses, sources):
    clock = [1000.0]
    decoded = []

    class Endless(FakeSource):
        def __iter__(self):
            for index in range(10_000):
                decoded.append(clock[0])
                clock[0] += 1.0
                yield Frame.from_rgb(TEXTURE, index, index / FPS, captured_at=5000.0)

    tools = replace(tools, bus=Silent(), clock=lambda: clock[0])
    source = Endless(tools.bus, live=True)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    source.__class__ = type("Closing", (Endless,), {"__exit__": lambda *_: loop.call_soon_threadsafe(closed.set)})
    sources.append(source)
    running = asyncio.create_task(Armed(record("rtsp://camera"), warrant(ends_at=1020.0), tools).run())
    await soon(closed.wait())
    await end(running)

    assert decoded == [1000.0 + second for second in range(20)]


async def test_a_frame_that_came_after_the_end_is_handed_to_nobody(tools, sources):
    clock = [1000.0]

    class Late(FakeSource):
        def __iter__(self):
            for index in range(3):
                clock[0] = 1010.0 * (index + 1)  # while it was waited for
                yield Frame.from_rgb(TEXTURE, index, index / FPS, captured_at=5000.0)

    tools = replace(tools, clock=lambda: clock[0])
    sources.append(Late(tools.bus))
    await Armed(record("fake"), warrant(ends_at=1020.0), tools).run()

    assert set(tools.bus.asked) <= {0}


async def test_a_recording_that_becomes_a_stream_is_given_up_though_it_was_read_before(tools, statuses, sources):
    broken = SourceError("it broke off", "check it", transient=True)
    sources += [FakeSource(tools.bus, error=broken), FakeSource(tools.bus, live=True), FakeSource(tools.bus)]
    await Armed(record("http://camera/1"), warrant(live_sources=False), tools).run()

    assert statuses[-1].state == "failed"
    assert "may read recordings alone" in statuses[-1].detail
    assert len(sources) == 1
