"""A blocking source read by its own thread, awaited frame by frame on the event loop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from threading import Condition, Event, Thread
from typing import Protocol, Self

from services.ingest.frame import Frame
from services.ingest.source import Source, SourceError

CLOSE_S = 2.0
"""How long `close` waits for the thread. A read from a silent network ends at its own time-out; the thread is a
daemon and lets go of everything then, so that a stop is never held up by a dead camera."""


class HaltedError(Exception):
    """The reader was told to read no further."""


class Policy(Enum):
    """What happens to a frame for which nobody is ready."""

    LOSSLESS = "it waits, and the source with it"
    LIVE = "the next one takes its place, and it is counted as dropped"


class Clock(Protocol):
    """Time as the reader sees it; tests bring their own."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Whether `event` came within `timeout_s`."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wait(self, event: Event, timeout_s: float) -> bool:
        """Whether `event` came within `timeout_s`."""
        return event.wait(timeout_s)


@dataclass(frozen=True)
class ReaderOptions:
    """How a source is read.

    Attributes:
        policy: None is LIVE for a live source and for a file in real time, LOSSLESS for everything else.
        realtime: a file's frames come when its time stamps say, as if it were a camera.
        prefetch: frames decoded ahead under LOSSLESS; two keep the decoder busy while one is handled.
        epoch_s: unix seconds of source time 0, for `captured_at` of what is neither live nor in real time; without
            it, the wall clock tells. Cameras give the start of their deployment, so that every pass is the same.
        may_go_on: asked on the reader's thread before and after each frame is decoded; at the first no, none is decoded
            any more, and none handed over.
        guard: passes the frames on, or raises `SourceError` where the source may be read no further.
    """

    policy: Policy | None = None
    realtime: bool = False
    prefetch: int = 2
    epoch_s: float | None = None
    may_go_on: Callable[[], bool] = lambda: True
    guard: Callable[[Iterator[Frame]], Iterator[Frame]] = lambda frames: frames


class Reader:
    """Frames of one source for one consumer: `async with Reader(...) as reader: frame = await reader.next()`.

    `opening` runs on the reader's thread, which also reads and closes the source. Entering waits until it is
    open and raises what opening raised. Attributes: `frames` handed out, `dropped` replaced by newer ones.
    """

    def __init__(
        self, opening: Callable[[], Source], options: ReaderOptions | None = None, clock: Clock | None = None
    ) -> None:
        self.frames = 0
        self.dropped = 0
        self._opening = opening
        self._options = options or ReaderOptions()
        self._clock = clock or SystemClock()
        self._source: Source | None = None
        self._policy = Policy.LOSSLESS
        self._waiting: deque[Frame] = deque()
        self._room = Condition()
        self._stop = Event()
        self._awaited = False
        self._ended = False
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._thread = Thread(target=self._run, name="reader", daemon=True)

    @property
    def live(self) -> bool:
        """Whether frames for which nobody is ready are replaced by newer ones."""
        return self._policy is Policy.LIVE

    @property
    def source(self) -> Source:
        """The open source: its name, size, duration, and its `damage` after the last frame."""
        if self._source is None:
            raise RuntimeError("the reader has not been entered")
        return self._source

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        try:
            while self._source is None and not self._ended:
                await self._next_news()
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._source is None and self._failure is not None:
            await self.close()
            raise self._failure
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def next(self) -> Frame | None:
        """The next frame; None after the last. Frames that were read come before the error that ended them.

        Raises:
            SourceError: the source broke; `transient` where opening it again may help.
            HaltedError: it may not be read any further.
        """
        while True:
            with self._room:
                if self._waiting:
                    self._room.notify()
                    self.frames += 1
                    return self._waiting.popleft()
                if self._ended:
                    break
                self._awaited = True
            await self._next_news()
        if self._failure is not None:
            raise self._failure
        return None

    async def close(self) -> None:
        """Stops reading; back within `CLOSE_S` even if the source is silent. May be called again."""
        self._stop.set()
        with self._room:
            self._waiting.clear()
            self._room.notify_all()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), CLOSE_S)
            self._thread.join(CLOSE_S)  # it has nothing left to do but return

    async def _next_news(self) -> None:
        await self._news.wait()
        self._news.clear()

    def _run(self) -> None:
        try:
            with self._opening() as source:
                self._read(source)
        except (SourceError, HaltedError) as error:
            self._failure = error
        finally:
            self._failure = self._failure or sys.exc_info()[1]  # a bug: the consumer has to see it too
            self._ended = True
            self._tell(self._news, self._closed)

    def _read(self, source: Source) -> None:
        live = source.live or self._options.realtime
        self._policy = self._options.policy or (Policy.LIVE if live else Policy.LOSSLESS)
        self._source = source
        self._tell(self._news)
        epoch_s, start_s = None if source.live else self._options.epoch_s, None
        paced = self._options.realtime and not source.live  # what is live comes at its own pace, by its own clock
        frames = self._options.guard(iter(source))
        while (frame := self._decoded(frames)) is not None:
            if paced:
                if start_s is None:
                    start_s = self._clock.monotonic() - frame.source_time_s
                    epoch_s = self._clock.now() - frame.source_time_s
                self._wait_until(start_s + frame.source_time_s)
            if self._stop.is_set():
                return
            if epoch_s is not None:
                frame.captured_at = epoch_s + frame.source_time_s
            self._offer(frame)

    def _decoded(self, frames: Iterator[Frame]) -> Frame | None:
        """The next frame of the source, decoded now; `None` after its last.

        One that a camera sent only after the end, when it was waited for already, goes nowhere.

        Raises:
            HaltedError: no frame may be decoded any more.
        """
        if not self._options.may_go_on():
            raise HaltedError
        frame = next(frames, None)
        if frame is not None and not self._options.may_go_on():
            raise HaltedError
        return frame

    def _wait_until(self, due_s: float) -> None:
        early_s = due_s - self._clock.monotonic()
        if early_s > 0:
            self._clock.wait(self._stop, early_s)

    def _offer(self, frame: Frame) -> None:
        with self._room:
            if self._policy is Policy.LIVE:
                self.dropped += len(self._waiting)
                self._waiting.clear()
            while len(self._waiting) >= self._options.prefetch and not self._stop.is_set():
                self._room.wait()
            if self._stop.is_set():
                return
            self._waiting.append(frame)
            awaited, self._awaited = self._awaited, False
        if awaited:  # waking the loop costs more than the rest of the handover
            self._tell(self._news)

    def _tell(self, *events: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop was closed under a thread that was given up
            for event in events:
                self._loop.call_soon_threadsafe(event.set)
