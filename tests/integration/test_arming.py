"""The first two locks on a real server, each alone: a warrant that govern sealed opens them, and nothing else does.

No other program runs here: what stands between a camera and its frames, or a probe and the lists, is the lock itself.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest

from libs.actor import Stage
from libs.bus import Mirror, Records
from libs.seals import Signer
from libs.service import Host
from libs.settings import ServiceSettings, TrustSettings
from libs.warrants import open_warrants
from proto import subjects
from proto.counts import FaceCount, SearchCount
from proto.deployments import Warrant, location_sha256
from proto.messages import DeadLetter, Detections, DetectRequest, Probe
from proto.records import CameraRecord, CameraStatus
from proto.sealed import Sealed
from services.ingest import camera as camera_module
from services.ingest.frame import Frame
from services.ingest.service import ingest
from services.match.counting import search_board
from services.match.matcher import Books, Matcher
from services.match.settings import MatchSettings
from tests.examples import changed
from tests.fakes import Gallery
from tests.waiting import soon, until

FRAMES = 25
TEXTURE = np.random.default_rng(7).integers(0, 255, (120, 160, 3), np.uint8)


class Detect:
    """Stands for detect: one face in every frame, and what was asked."""

    def __init__(self):
        self.asked = []

    async def answer(self, ask):
        self.asked.append(ask.camera)
        points = [[50, 35], [70, 35], [60, 45], [52, 55], [68, 55]]
        return Detections(
            camera=ask.camera,
            frame=ask.frame,
            boxes=np.array([[40, 20, 80, 70]], np.float32),
            landmarks=np.array([points], np.float32),
            detect_scores=np.array([0.95], np.float32),
        )


@pytest.fixture
def detect():
    return Detect()


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "door.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(FRAMES):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(TEXTURE)))
        out.mux(stream.encode(None))
    return str(path)


@asynccontextmanager
async def hosted(bus, log, program=None):
    """A program as its process has it, and its own tasks."""
    async with asyncio.TaskGroup() as tasks:
        host = Host("program", bus, log, ServiceSettings(), tasks)
        if program is None:
            yield host
        else:
            async with program(host):
                yield host


@pytest.fixture
async def ingesting(bus, log, crew, detect, monkeypatch):
    """The program ingest, which trusts the govern of the crew."""
    for name, value in crew.environment().items():
        monkeypatch.setenv(name, value)
    async with bus.answering(subjects.DETECT, DetectRequest, detect.answer, 8), hosted(bus, log, ingest):
        yield


def warrant(**changes):
    now = time.time()
    fields = {
        "deployment": "trial", "state": "armed", "purpose": "test", "cameras": ("door",), "watch_lists": ("wanted",),
        "threshold": 0.5, "floor": 0.4, "cooldown_s": 60, "starts_at": now - 1, "ends_at": now + 600,
    }  # fmt: skip
    return Warrant(**(fields | changes))


async def bound(bus, issued):
    """The warrant, bound to where its cameras are now."""
    cameras = await Records(bus, subjects.CAMERAS, CameraRecord).all()
    locations = {camera.camera: location_sha256(camera.camera, camera.location) for camera in cameras.values()}
    return issued.model_copy(update={"binding": issued.binding.model_copy(update={"locations": locations})})


async def issue(bus, signer, issued):
    """Puts a warrant into the bucket, sealed by `signer`."""
    issued = await bound(bus, issued)
    await Records(bus, subjects.WARRANTS, Sealed).put(subjects.key(issued.deployment), signer.seal(issued))


async def set_up(bus, location, camera="door", **changes):
    record = CameraRecord(camera=camera, location=location, **({"realtime": False} | changes))
    await Records(bus, subjects.CAMERAS, CameraRecord).put(subjects.key(camera), record)


def has_ended(bus, deployment="trial", disarmed=False):
    statuses = Records(bus, subjects.STATUS, CameraStatus)

    async def ended():
        found = await statuses.get(subjects.key(deployment, "door"))
        return found is not None and found[0].state == "ended" and found[0].disarmed == disarmed

    return ended


async def faces_of(bus, deployment="trial"):
    """Faces counted by reading."""
    async with Mirror.open(bus, subjects.FACES, FaceCount) as mirror:
        counts = [count for count in mirror.all().values() if count.deployment == deployment]
    return {count.reading: sum(count.minutes.values()) for count in counts}


def counted(bus, *deployments):
    async def are_counted():
        return all([list((await faces_of(bus, name)).values()) == [1] for name in deployments])

    return are_counted


# -- ingest


@pytest.mark.usefixtures("ingesting")
async def test_a_warrant_that_govern_sealed_runs_its_camera_and_the_faces_are_counted(bus, crew, clip, detect):
    await set_up(bus, clip)
    await issue(bus, crew.govern, warrant())
    await until(has_ended(bus))
    await until(counted(bus, "trial"))
    assert detect.asked == ["door"] * FRAMES


@pytest.mark.usefixtures("ingesting")
async def test_two_deployments_at_one_camera_count_its_faces_each_for_itself(bus, crew, clip):
    await set_up(bus, clip)
    await issue(bus, crew.govern, warrant())
    await issue(bus, crew.govern, warrant(deployment="another"))
    await until(counted(bus, "trial", "another"))


@pytest.mark.usefixtures("ingesting")
async def test_what_govern_did_not_seal_runs_nothing(bus, crew, clip, detect, log):
    await set_up(bus, clip)
    await issue(bus, Signer.generate("govern"), warrant())
    await issue(bus, crew["c-brown"], warrant(deployment="by-an-officer"))
    await Records(bus, subjects.WARRANTS, Warrant).put("bare", warrant(deployment="bare"))
    sealed_for_another = crew.govern.seal(warrant(deployment="real", cameras=()))
    await Records(bus, subjects.WARRANTS, Sealed).put("put-elsewhere", sealed_for_another)
    await set_up(bus, clip, "gate")
    await issue(bus, crew.govern, warrant(deployment="last", cameras=("gate",)))  # by when this ran, those did not

    async def the_last_has_run():
        return detect.asked.count("gate") == FRAMES

    await until(the_last_has_run)
    assert "door" not in detect.asked
    refused = {entry["deployment"] for entry in log.entries if entry["event"] == "warrant.refused"}
    assert refused == {"trial", "by-an-officer", "put-elsewhere"}


@pytest.mark.usefixtures("ingesting")
@pytest.mark.parametrize("state", ["suspended", "ended"])
async def test_a_deployment_that_is_stopped_reads_no_further_even_if_its_old_warrant_is_put_back(
    bus, crew, clip, detect, state
):
    old = warrant(record_version=3, live_sources=True)
    await set_up(bus, clip, realtime=True)
    await issue(bus, crew.govern, old)

    async def is_running():
        return bool(detect.asked)

    await until(is_running)
    await issue(bus, crew.govern, old.model_copy(update={"state": state, "record_version": 4}))
    await until(has_ended(bus, disarmed=True))
    asked = len(detect.asked)
    await issue(bus, crew.govern, old)
    await set_up(bus, clip, "gate")
    await issue(bus, crew.govern, warrant(deployment="last", cameras=("gate",)))

    async def the_last_has_run():
        return detect.asked.count("gate") == FRAMES

    await until(the_last_has_run)
    assert detect.asked.count("door") == asked < FRAMES


class Stream:
    """A live source that never ends, and when each of its frames was taken."""

    name, width, height, frame_count, duration_s, damage, live = "fake", 160, 120, None, None, None, True

    def __init__(self):
        self.taken, self.closed = [], asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __iter__(self):
        for index in range(10_000):
            self.taken.append(time.time())
            yield Frame.from_rgb(TEXTURE, index, index / 100)
            time.sleep(0.01)  # a camera's own pace

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self.closed.set)


@pytest.mark.usefixtures("ingesting")
async def test_at_its_end_time_a_camera_stops_with_the_server_and_everything_else_down(
    bus, crew, detect, nats_server, monkeypatch
):
    stream = Stream()
    monkeypatch.setattr(camera_module, "open_source", lambda *_: stream)
    ends_at = time.time() + 3.0
    await set_up(bus, "rtsp://camera", realtime=True)
    await issue(bus, crew.govern, warrant(live_sources=True, ends_at=ends_at))

    async def is_running():
        return bool(detect.asked)

    await until(is_running)
    nats_server.kill()
    try:
        await soon(stream.closed.wait())
        assert len(stream.taken) > 10
        assert sum(at >= ends_at for at in stream.taken) <= 1  # the one that was waited for as it ended
    finally:
        nats_server.start()


@pytest.mark.usefixtures("ingesting")
async def test_where_recordings_alone_may_be_read_a_stream_fails_and_says_why(bus, crew, detect):
    await set_up(bus, "rtsp://127.0.0.1:1/x", realtime=True)
    await issue(bus, crew.govern, warrant(live_sources=False))
    statuses = Records(bus, subjects.STATUS, CameraStatus)

    async def has_failed():
        found = await statuses.get(subjects.key("trial", "door"))
        return found is not None and (found[0].state, detect.asked) == ("failed", [])

    await until(has_failed)
    status, _ = await statuses.get(subjects.key("trial", "door"))
    assert "may read recordings alone" in status.detail


# -- match


class EverybodyHolds:
    """Lists without expiry, each the one that was armed."""

    def was_created_at(self, _watch_list, _created_at):
        return True

    def is_searchable(self, _watch_list, _now):
        return True

    def is_current(self, _watch_list, _subject, _now):
        return True


@pytest.fixture
async def matching(bus, log, crew):
    """The matcher as an actor, and the gallery it searches."""
    gallery = Gallery(("S-1", 0.9))
    trust = TrustSettings(public_key=str(crew.govern.public))
    async with hosted(bus, log) as host, open_warrants(bus, trust, log) as warrants, search_board(host) as counts:
        matcher = Matcher(gallery, Books(warrants, EverybodyHolds()), counts, MatchSettings())
        async with host.actor(Stage("match", subjects.PROBES, Probe, matcher.search)):
            yield gallery


def a_probe(**changes):
    return changed("probe", deployment="trial", camera="door", template_version="sface-2021dec", **changes)


async def test_a_probe_under_a_good_warrant_is_searched_and_the_search_is_counted(bus, crew, matching):
    await issue(bus, crew.govern, warrant())
    await bus.publish(a_probe(), "")

    async def is_counted():
        async with Mirror.open(bus, subjects.SEARCHES, SearchCount) as mirror:
            return [count.histogram for count in mirror.all().values()] == [{"90": 1}]

    await until(is_counted)
    assert len(matching.searches) == 1


@pytest.mark.parametrize(
    "changes",
    [{"state": "suspended"}, {"state": "ended"}, {"cameras": ("gate",)}, {"starts_at": 1.0, "ends_at": 2.0}],
    ids=["suspended", "ended", "another camera", "over"],
)
async def test_a_probe_that_no_warrant_covers_now_is_refused_unsearched(bus, crew, matching, changes):
    await issue(bus, crew.govern, warrant(**changes))
    await refused(bus, matching)


@pytest.mark.parametrize("forger", ["nobody", "another"])
async def test_a_probe_under_a_warrant_that_govern_did_not_seal_is_refused_unsearched(bus, crew, matching, forger):
    if forger == "another":
        await issue(bus, Signer.generate("govern"), warrant())
    await refused(bus, matching)


async def refused(bus, gallery):
    await bus.publish(a_probe(), "")
    letters = bus.follow(subjects.DEADLETTERS, subjects.DEADLETTERS.subjects[0], DeadLetter)
    letter = await soon(anext(letters))
    await letters.aclose()
    assert "no armed deployment trial covers camera door" in letter.reason
    assert gallery.searches == []
    assert await bus.last_sequence(subjects.CANDIDATES) == 0
