"""The reader hands over every frame or the newest one, in time, with its errors, and lets go at once."""

import asyncio
import threading

import numpy as np
import pytest

from services.ingest.frame import Frame
from services.ingest.reader import HaltedError, Policy, Reader, ReaderOptions
from services.ingest.source import SourceError

BLACK = np.zeros((2, 2, 3), np.uint8)


class FakeSource:
    """Frames at the given times; then `error`, if there is one. `taken` counts what was asked for."""

    name, width, height, frame_count, duration_s, damage = "fake", 2, 2, None, None, None

    def __init__(self, times=(), live=False, error=None):
        self.times, self.live, self.error = times, live, error
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self):
        for index, time_s in enumerate(self.times):
            self.taken += 1
            yield Frame.from_rgb(BLACK, index, time_s, captured_at=-1.0)
        if self.error is not None:
            raise self.error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed.set()


class FakeClock:
    """Waiting passes time at once; every wait is kept."""

    def __init__(self, decode_s=0.0):
        self.time_s = 100.0
        self.decode_s = decode_s
        self.waits = []

    def now(self):
        return self.time_s + 1_000_000

    def monotonic(self):
        self.time_s += self.decode_s
        return self.time_s

    def wait(self, event, timeout_s):
        self.waits.append(timeout_s)
        self.time_s += timeout_s
        return event.is_set()


async def all_frames(reader):
    frames = []
    while (frame := await reader.next()) is not None:
        frames.append(frame)
    return frames


async def test_a_source_that_can_wait_loses_no_frame():
    source = FakeSource([i / 25 for i in range(50)])
    async with Reader(lambda: source) as reader:
        frames = await all_frames(reader)
    assert [frame.index for frame in frames] == list(range(50))
    assert (reader.frames, reader.dropped) == (50, 0)


async def test_a_source_that_can_wait_is_read_only_a_little_ahead():
    source = FakeSource([i / 25 for i in range(50)])
    async with Reader(lambda: source, ReaderOptions(prefetch=2)) as reader:
        for _ in range(10):
            await reader.next()
            assert source.taken <= reader.frames + 3  # two waiting, one in the thread's hand


async def test_of_live_frames_the_newest_is_kept_and_the_others_are_counted():
    source = FakeSource([i / 25 for i in range(50)], live=True)
    async with Reader(lambda: source) as reader:
        await asyncio.to_thread(source.closed.wait)
        frames = await all_frames(reader)
    assert [frame.index for frame in frames] == [49]
    assert (reader.frames, reader.dropped) == (1, 49)


async def test_a_live_source_may_be_read_without_loss():
    source = FakeSource([0.0, 1.0, 2.0], live=True)
    async with Reader(lambda: source, ReaderOptions(policy=Policy.LOSSLESS)) as reader:
        assert len(await all_frames(reader)) == 3


async def test_in_real_time_frames_come_when_their_stamps_say():
    clock = FakeClock()
    options = ReaderOptions(realtime=True, policy=Policy.LOSSLESS)
    async with Reader(lambda: FakeSource([0.0, 0.04, 0.08, 3.0]), options, clock) as reader:
        frames = await all_frames(reader)
    assert clock.waits == pytest.approx([0.04, 0.04, 2.92])
    assert [frame.captured_at for frame in frames] == pytest.approx([1_000_100, 1_000_100.04, 1_000_100.08, 1_000_103])


async def test_in_real_time_a_late_frame_is_not_waited_for_and_delays_no_other():
    clock = FakeClock(decode_s=0.03)
    options = ReaderOptions(realtime=True, policy=Policy.LOSSLESS)
    async with Reader(lambda: FakeSource([0.0, 0.01, 0.02, 1.0]), options, clock) as reader:
        await all_frames(reader)
    assert len(clock.waits) == 1
    assert clock.time_s == pytest.approx(101.03)


async def test_in_real_time_frames_are_dropped_like_a_cameras():
    source = FakeSource([0.0, 0.04, 0.08])
    async with Reader(lambda: source, ReaderOptions(realtime=True), FakeClock()) as reader:
        await asyncio.to_thread(source.closed.wait)
        assert [frame.index for frame in await all_frames(reader)] == [2]
    assert reader.dropped == 2


async def test_a_replay_has_the_capture_times_of_its_epoch():
    async with Reader(lambda: FakeSource([0.0, 0.04]), ReaderOptions(epoch_s=5000.0)) as reader:
        assert [frame.captured_at for frame in await all_frames(reader)] == pytest.approx([5000.0, 5000.04])


async def test_frames_come_before_the_error_that_ended_them():
    broken = SourceError("the camera broke off", "check it", transient=True)
    async with Reader(lambda: FakeSource([0.0, 0.04], error=broken)) as reader:
        assert (await reader.next()).index == 0
        assert (await reader.next()).index == 1
        for _ in range(2):  # and every time it is asked again
            with pytest.raises(SourceError, match="broke off"):
                await reader.next()


async def test_an_error_of_opening_is_raised_on_entering():
    def opening():
        raise SourceError("there is no such camera", "check the address")

    with pytest.raises(SourceError, match="no such camera"):
        async with Reader(opening):
            pytest.fail("it cannot be open")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_bug_in_a_source_reaches_the_consumer():
    async with Reader(lambda: FakeSource([0.0], error=ZeroDivisionError("a bug"))) as reader:
        await reader.next()
        with pytest.raises(ZeroDivisionError):
            await reader.next()


async def test_after_the_end_there_is_none_every_time():
    async with Reader(lambda: FakeSource([])) as reader:
        assert await reader.next() is None
        assert await reader.next() is None


async def test_closing_ends_a_reader_that_waits_for_room():
    source = FakeSource([i / 25 for i in range(50)])
    reader = Reader(lambda: source)
    async with reader:
        await reader.next()
    assert source.closed.is_set()
    assert not reader._thread.is_alive()


async def test_closing_ends_a_reader_that_waits_for_its_time():
    source = FakeSource([0.0, 3600.0])
    reader = Reader(lambda: source, ReaderOptions(realtime=True))  # the real clock
    async with asyncio.timeout(10), reader:
        await reader.next()
    assert source.closed.is_set()
    assert not reader._thread.is_alive()


async def test_closing_does_not_wait_for_a_source_that_is_stuck(monkeypatch):
    monkeypatch.setattr("services.ingest.reader.CLOSE_S", 0.05)
    stuck = threading.Event()

    class Stuck(FakeSource):
        def __iter__(self):
            stuck.wait()
            yield from ()

    source = Stuck()
    reader = Reader(lambda: source)
    async with asyncio.timeout(10), reader:
        pass
    assert not source.closed.is_set()
    stuck.set()
    assert await asyncio.to_thread(source.closed.wait, 5)
    reader._thread.join(5)


@pytest.mark.parametrize(
    ("answers", "taken", "handed"),
    [
        ([False], 0, 0),
        ([True, True, False], 1, 1),  # told before the second was decoded
        ([True, False], 1, 0),  # told while the first was waited for
        ([True, True, True, True, True, False], 3, 2),
    ],
)
async def test_once_told_to_go_no_further_no_frame_is_decoded_or_handed_over(answers, taken, handed):
    source, answers = FakeSource([i / 25 for i in range(50)]), iter(answers)
    async with Reader(lambda: source, ReaderOptions(may_go_on=lambda: next(answers))) as reader:
        frames = [await reader.next() for _ in range(handed)]
        with pytest.raises(HaltedError):
            await reader.next()
    assert (source.taken, len(frames)) == (taken, handed)
    assert source.closed.is_set()
