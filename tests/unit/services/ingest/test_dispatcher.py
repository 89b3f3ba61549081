"""Which program runs a camera: one at a time, whatever dies, lags or is cut off; and what is told of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from libs.bus import Conflict
from libs.errors import TransientError
from proto import subjects
from proto.deployments import Binding, Warrant, location_sha256
from proto.messages import Detections
from proto.records import CameraRecord, CameraStatus, Lease
from services.ingest import camera as camera_module
from services.ingest import dispatcher as dispatcher_module
from services.ingest.dispatcher import BACK_OFF_S, CUT_OFF_S, FORGOTTEN_S, ROUND_S, Books, Dispatcher
from services.ingest.frame import Frame
from services.ingest.reading import Tools
from services.ingest.settings import IngestSettings
from tests.waiting import soon, until

TTL_S = subjects.LEASES.ttl_s


class Bucket:
    """The leases on the server: the revision of each, its text, and when it was written."""

    def __init__(self, clock):
        self.clock = clock
        self.entries = {}
        self.sequence = 0

    def at(self, key):
        lease, revision, written_s = self.entries.get(key, (None, 0, 0.0))
        return (lease, revision) if lease and self.clock() - written_s < TTL_S else None

    def write(self, key, lease, revision):
        if (self.at(key) or (None, 0))[1] != revision:
            raise Conflict(key)
        self.sequence += 1
        self.entries[key] = lease, self.sequence, self.clock()
        return self.sequence


class Line:
    """A program's own connection to the bucket: it may be cut, and lose answers; writes pass the barrier `together`."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.cut = self.loses_answers = False
        self.together = asyncio.Barrier(1)

    async def get(self, key):
        await self._pass()
        return self.bucket.at(key)

    async def replace(self, key, record, revision):
        await self._pass()
        await self.together.wait()
        written = self.bucket.write(key, record, revision)
        if self.loses_answers:
            raise TransientError("no answer")
        return written

    async def delete(self, key, revision):
        await self._pass()
        self.bucket.write(key, None, revision)

    async def _pass(self):
        await asyncio.sleep(0)
        if self.cut:
            raise TransientError("the bus is away")


class Book(dict):
    """A mirror."""

    def all(self):
        return dict(self)

    async def changed(self):
        await asyncio.Event().wait()


class Bus:
    """What a program knows of its connection, and the actors it has started."""

    def __init__(self):
        self.reconnected = asyncio.Event()
        self.actors = []

    def reconnect(self):
        self.reconnected.set()
        self.reconnected = asyncio.Event()


class Actor:
    """Runs until it is cancelled; `last_act` is what it then still waits for."""

    live = False

    def __init__(self, record, deployment, tools):
        self.camera, self.tools = record.camera, tools
        self.status = CameraStatus(deployment=deployment.deployment, camera=record.camera, state="running")
        self.running = False
        self.last_act = None
        self.bug = asyncio.Event()
        tools.bus.actors.append(self)

    async def run(self):
        self.running = True
        try:
            await self.bug.wait()
            raise ZeroDivisionError
        except asyncio.CancelledError:
            if self.last_act is not None:
                await self.last_act()
            raise
        finally:
            self.running = False

    def amend(self, deployment): ...

    def disarm(self, reason):
        self.status = self.status.model_copy(update={"state": "ended", "detail": reason, "disarmed": True})
        self.tools.report(self.status)

    def fail(self, error):
        self.status = self.status.model_copy(update={"state": "failed", "detail": type(error).__name__})
        self.tools.report(self.status)


class Program:
    """One ingest program among several that share records and leases."""

    def __init__(self, place, settings):
        self.line, self.bus, self.place = Line(place.bucket), Bus(), place
        books = Books(place.warrants, place.cameras, place.statuses, self.line)
        tools = Tools(self.bus, place.threads, settings, place.log, place.report, place.count, place.clock)
        self.dispatcher = Dispatcher(books, tools, monotonic=place.clock)

    async def round(self):
        await soon(self.dispatcher.run_round())
        await asyncio.sleep(0)  # the actors start, or are told to stop

    @property
    def running(self):
        return [actor.camera for actor in self.bus.actors if actor.running]


class Place:
    """The records and leases, and the time, that all programs share."""

    def __init__(self, clock, log, threads):
        self.clock, self.log, self.threads = clock, log, threads
        self.bucket = Bucket(clock)
        self.warrants, self.cameras, self.statuses = Book(), Book(), Book()
        self.told, self.counted = [], []
        self.programs = []
        self.may_end = asyncio.Event()

    def program(self, **settings):
        self.programs.append(Program(self, IngestSettings(**settings)))
        return self.programs[-1]

    def report(self, status):
        self.told.append(status)
        self.statuses[subjects.key(status.deployment, status.camera)] = status

    def count(self, faces):
        self.counted.append(faces)

    def arm(self, *cameras, state="armed"):
        self.cameras.update({name: CameraRecord(camera=name, location="fake") for name in cameras})
        self.warrants["d"] = Warrant(
            deployment="d", state=state, purpose="test", cameras=cameras, watch_lists=("list",), threshold=0.5,
            floor=0.4, cooldown_s=60, starts_at=self.clock() - 1, ends_at=self.clock() + 3600,
            live_sources=True, binding=Binding(locations={name: location_sha256(name, "fake") for name in cameras}),
        )  # fmt: skip

    def change(self, **changes):
        self.warrants["d"] = self.warrants["d"].model_copy(update=changes)

    async def rounds(self, count, *programs):
        """Lets `count` rounds pass; what each program ran after each."""
        seen = []
        for _ in range(count):
            self.clock.advance(ROUND_S)
            for program in programs:
                await program.round()
                seen.append(tuple(bool(each.running) for each in programs))
        return seen


@pytest.fixture
async def place(clock, log):
    threads = ThreadPoolExecutor(1)
    place = Place(clock, log, threads)
    yield place
    place.may_end.set()
    for program in place.programs:
        await program.dispatcher.close()
    threads.shutdown()


@pytest.fixture
def _fake_actors(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "CameraActor", Actor)


fake_actors = pytest.mark.usefixtures("_fake_actors")


# -- leases


@fake_actors
async def test_of_two_programs_one_runs_the_camera(place):
    place.arm("yard")
    one, other = place.program(), place.program()
    assert set(await place.rounds(8, one, other)) == {(True, False)}


@fake_actors
async def test_a_program_that_lost_its_lease_leaves_the_camera_to_the_other_for_good(place):
    place.arm("yard")
    one, other = place.program(), place.program()
    await one.round()
    one.line.cut = True
    place.clock.advance(TTL_S + 1)
    await other.round()
    one.line.cut = False
    await one.round()

    assert set(await place.rounds(12, one, other)) == {(False, True)}
    assert (len(one.bus.actors), len(other.bus.actors)) == (1, 1)
    assert "camera.lost" in [entry["event"] for entry in place.log.entries]


@fake_actors
async def test_a_camera_that_was_lost_and_came_free_is_not_taken_back_at_once(place):
    place.arm("yard")
    one = place.program()
    await one.round()
    key = subjects.key("d", "yard")
    place.bucket.entries[key] = Lease(holder="another", camera="yard"), 99, place.clock()
    await one.round()
    del place.bucket.entries[key]

    place.clock.advance(BACK_OFF_S - 0.1)
    await one.round()
    assert one.running == []
    place.clock.advance(0.2)
    await one.round()
    assert one.running == ["yard"]


@fake_actors
async def test_letting_a_camera_go_leaves_anothers_lease_alone(place):
    place.arm("yard")
    one = place.program()
    await one.round()
    key = subjects.key("d", "yard")
    stolen = Lease(holder="another", camera="yard"), 99, place.clock()
    place.bucket.entries[key] = stolen
    await one.dispatcher.close()
    assert place.bucket.entries[key] == stolen


@fake_actors
async def test_a_camera_that_is_let_go_is_free_at_once(place):
    place.arm("yard")
    one, other = place.program(), place.program()
    await one.round()
    await one.dispatcher.close()
    await other.round()
    assert other.running == ["yard"]


@fake_actors
async def test_a_lease_whose_answer_was_lost_is_still_ours(place):
    place.arm("yard")
    one, other = place.program(), place.program()
    one.line.loses_answers = True
    await one.round()  # the lease is written, but nobody says so
    one.line.loses_answers = False
    await one.round()
    one.line.loses_answers = True
    await one.round()
    one.line.loses_answers = False

    assert set(await place.rounds(6, one, other)) == {(True, False)}
    assert len(one.bus.actors) == 1


@fake_actors
async def test_the_leases_of_a_server_that_was_restarted_go_to_those_who_held_them(place):
    place.arm("yard")
    one, other = place.program(), place.program()
    await one.round()
    place.bucket.entries.clear()
    for program in (other, one):
        program.bus.reconnect()

    assert set(await place.rounds(int(2 * FORGOTTEN_S), other, one)) == {(False, True)}
    assert len(one.bus.actors) == 1


# -- nobody waits for another camera


@fake_actors
async def test_cameras_are_taken_and_renewed_all_at_once(place):
    place.arm("gate", "hall", "yard")
    one = place.program()
    one.line.together = asyncio.Barrier(3)  # passes when three wait: one after the other would wait for ever
    for _ in range(2):
        await one.round()
        place.clock.advance(ROUND_S)
    assert sorted(one.running) == ["gate", "hall", "yard"]


@fake_actors
async def test_a_camera_that_takes_its_time_to_end_costs_no_other_its_lease(place):
    place.arm("slow", "yard")
    one, other = place.program(), place.program()
    await one.round()
    slow = one.bus.actors[0]
    slow.last_act = place.may_end.wait
    place.change(cameras=("yard",))
    await place.rounds(12, one, other)
    place.change(cameras=("slow", "yard"))
    await place.rounds(2, one)

    assert slow.running
    assert sorted(one.running) == ["slow", "yard"]
    assert len(one.bus.actors) == 2  # not taken again as long as it has not let go
    place.may_end.set()
    await place.rounds(2, one)
    assert len(one.bus.actors) == 3


@fake_actors
async def test_at_the_end_all_cameras_are_let_go_at_once(place):
    place.arm("gate", "hall", "yard")
    one = place.program()
    await one.round()
    all_told = asyncio.Barrier(3)
    for actor in one.bus.actors:
        actor.last_act = all_told.wait  # passes when three wait
    await soon(one.dispatcher.close())
    assert [place.bucket.at(subjects.key("d", name)) for name in ("gate", "hall", "yard")] == [None] * 3


@fake_actors
async def test_a_program_takes_what_it_has_room_for_of_what_is_free(place):
    names = [f"camera-{number}" for number in range(6)]
    place.arm(*names)
    for name in names[:3]:
        place.bucket.write(subjects.key("d", name), Lease(holder="another", camera=name), 0)
    one = place.program(max_cameras=2)
    await one.round()
    assert one.running == names[3:5]


# -- the bus is away


@fake_actors
async def test_a_file_runs_on_however_long_the_bus_is_away(place):
    place.arm("yard")
    one = place.program()
    await one.round()
    one.line.cut = True
    assert set(await place.rounds(int(4 * CUT_OFF_S), one)) == {(True,)}
    one.line.cut = False
    one.bus.reconnect()
    assert set(await place.rounds(10, one)) == {(True,)}
    assert len(one.bus.actors) == 1


@fake_actors
async def test_a_stream_is_let_go_when_the_bus_is_away_for_long_and_taken_again_when_it_is_back(place, monkeypatch):
    monkeypatch.setattr(Actor, "live", True)
    place.arm("yard")
    one = place.program()
    await one.round()
    one.line.cut = True
    assert set(await place.rounds(int(CUT_OFF_S), one)) == {(True,)}
    assert set(await place.rounds(5, one)) == {(False,)}
    one.line.cut = False
    one.bus.reconnect()
    await place.rounds(int(FORGOTTEN_S) + 1, one)
    assert one.running == ["yard"]


# -- what is told


class Stream:
    """A live source of three frames that then waits until it is told to end."""

    name, width, height, frame_count, duration_s, damage, live = "fake", 64, 48, None, None, None, True
    over = None

    def __iter__(self):
        for index in range(3):
            yield Frame.from_rgb(np.zeros((48, 64, 3), np.uint8), index, index / 25)
            self.asked.acquire(timeout=1)
        self.over.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_): ...


@pytest.fixture
def stream(monkeypatch):
    stream = Stream()
    stream.over, stream.asked = threading.Event(), threading.Semaphore(0)
    monkeypatch.setattr(camera_module, "open_source", lambda *_: stream)
    monkeypatch.setattr("services.ingest.reader.CLOSE_S", 0.05)
    yield stream
    stream.over.set()


@pytest.fixture
async def watching(place, stream):
    """A program with a real actor that has looked at three frames."""

    async def nobody(_subject, message, _expected, timeout_s=None):
        stream.asked.release()
        none = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
        return Detections(
            camera=message.camera, frame=message.frame, boxes=none[0], landmarks=none[1], detect_scores=none[2]
        )

    program = place.program(status_every_s=0.01)
    program.bus.ask = nobody
    place.arm("yard")
    await program.round()

    async def has_seen_three():
        return bool(place.told) and place.told[-1].frames == 3

    await until(has_seen_three)
    return program


@pytest.mark.parametrize("how", ["suspended", "ended", "over", "another camera", "removed"])
async def test_a_camera_that_is_not_wanted_any_more_is_told_to_have_ended_with_its_counts(place, watching, how):
    if how == "removed":
        place.cameras.clear()
    else:
        now = place.clock()
        changes = {"over": {"ends_at": now}, "another camera": {"cameras": ()}}
        place.change(**changes.get(how, {"state": how}))
    await watching.round()

    last = place.told[-1]
    assert (last.state, last.frames, last.disarmed) == ("ended", 3, True)
    assert ("record of the camera was removed" if how == "removed" else "not armed any more") in last.detail
    await watching.dispatcher.close()  # the source is slow to end, and the reporter has five times the time it needs
    assert place.told[-1] is last


async def test_a_camera_that_is_moved_is_let_go_until_its_location_is_armed(place, watching):
    place.cameras["yard"] = CameraRecord(camera="yard", location="rtsp://another")
    await watching.round()
    last = place.told[-1]
    assert (last.state, last.frames, last.disarmed) == ("ended", 3, True)
    assert "not the one that was armed" in last.detail
    await watching.round()
    assert place.told[-1] is last


@fake_actors
async def test_a_camera_that_is_elsewhere_than_was_armed_is_never_taken_and_that_is_told_once(place):
    place.arm("yard", "gate")
    place.cameras["yard"] = CameraRecord(camera="yard", location="rtsp://another")
    one = place.program()
    await place.rounds(3, one)
    assert one.running == ["gate"]
    (told,) = (status for status in place.told if status.camera == "yard")
    assert (told.state, told.disarmed, "not the one that was armed" in told.detail) == ("ended", True, True)
    locations = {"yard": location_sha256("yard", "rtsp://another"), "gate": location_sha256("gate", "fake")}
    place.change(binding=Binding(locations=locations), record_version=2)
    await place.rounds(1, one)
    assert one.running == ["gate", "yard"]


async def test_a_camera_whose_deployment_is_armed_again_runs_again(place, watching, stream):
    place.change(state="suspended")
    await watching.round()
    await watching.dispatcher.close()
    stream.over.set()
    place.change(state="armed")
    await watching.round()

    async def has_ended():
        return place.told[-1].state == "ended" and not place.told[-1].disarmed

    await until(has_ended)


async def test_a_camera_whose_source_ended_does_not_run_again(place, watching, stream):
    stream.over.set()

    async def has_ended():
        return place.told[-1].state == "ended"

    await until(has_ended)
    told = len(place.told)
    await place.rounds(3, watching, place.program())
    assert len(place.told) == told


@fake_actors
async def test_an_actor_that_dies_of_a_bug_is_told_and_takes_no_other_with_it(place):
    place.arm("gate", "yard")
    one = place.program()
    await one.round()
    one.bus.actors[0].bug.set()
    await asyncio.sleep(0)
    await place.rounds(2, one)

    assert one.running == ["yard"]
    assert (place.told[-1].camera, place.told[-1].state) == ("gate", "failed")
