"""Video through FFmpeg: files and network streams, with their damage and their silences."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import TracebackType
from typing import Self, cast

import av
from av.buffer import Buffer
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from libs.images import MAX_PIXELS
from services.ingest.frame import Frame, Scaler
from services.ingest.orientation import UPRIGHT, Orientation, from_display_matrix, from_rotation
from services.ingest.source import SourceError, SourceOptions, check_size
from services.ingest.timeline import Sampler, Timeline

TEXT_FORMATS = frozenset({"tty"})
"""FFmpeg draws a text file as a video of a terminal; nobody who names one here means that."""
NOMINAL_FPS = Fraction(25)
"""For a stream that states no rate: PAL, and what IP cameras are delivered with."""
SHORT_BY_S = 0.5
"""A file that ends by more before its stated duration is cut off; rounding stays well under it."""
STREAM_OPTIONS = {"rtsp_transport": "tcp", "max_pixels": str(MAX_PIXELS)}
"""TCP: a lost UDP packet smears faces until the next key frame."""
LASTING = (av.error.HTTPClientError, av.error.InvalidDataError, av.error.ProtocolNotFoundError)
"""What will be no better in a minute: no such stream, no right to see it, no video."""


class VideoSource:
    """The first video stream of `location`. Frames are upright and keep their decoded pixel format."""

    def __init__(self, location: str, name: str, options: SourceOptions) -> None:
        self.name = name
        self._options = options
        self._network = not location.startswith("file:")
        self._container = self._open(location)
        try:
            self._stream = self._checked_stream()
        except SourceError:
            self._container.close()
            raise
        self.frame_count = self._stream.frames or None
        self.duration_s = self._duration_s()
        self.live = location.lower().startswith("rtsp") or (self._network and self.duration_s is None)
        self.damage: str | None = None
        self._orientation = UPRIGHT
        self._rotation = 0
        self._scaler = Scaler()
        self._end_s = 0.0
        self._set_threads()
        self.width, self.height = self._stream.codec_context.width, self._stream.codec_context.height

    def __iter__(self) -> Iterator[Frame]:
        timeline = Timeline(1 / float(self._stream.average_rate or NOMINAL_FPS))
        sampler = Sampler(self._options.max_fps)
        index = -1
        for index, picture in enumerate(self._pictures()):
            time_s = timeline.place(picture.time)
            if sampler.wants(time_s):
                yield self._frame(picture, index, time_s)
        if index < 0 and not self.live:
            raise SourceError(f"{self.name} holds no frame that can be decoded", "export or copy the video again")
        self._check_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _open(self, location: str) -> InputContainer:
        timeout = (self._options.open_timeout_s, self._options.read_timeout_s) if self._network else None
        asked_at = time.monotonic()
        try:
            return av.open(location, "r", options=STREAM_OPTIONS, timeout=timeout, metadata_errors="replace")
        except FFmpegError as error:
            late = time.monotonic() - asked_at >= self._options.open_timeout_s
            raise (self._unreached(error, late) if self._network else self._unopened(error)) from error

    def _unreached(self, error: FFmpegError, late: bool) -> SourceError:
        """`late` where the time-out passed: FFmpeg's RTSP then calls the silence it met invalid data."""
        reason = f"no answer in {self._options.open_timeout_s:g} s" if late else _reason(error)
        return SourceError(
            f"{self.name} cannot be opened: {reason}",
            "check the address, the user and password, and that the camera is on",
            transient=late or not isinstance(error, LASTING),
        )

    def _unopened(self, error: FFmpegError) -> SourceError:
        if isinstance(error, PermissionError):
            return SourceError(f"{self.name} may not be read", "give this user the right to read it")
        return self._no_video("it is no video, or its index is missing because it was cut off")

    def _no_video(self, reason: str) -> SourceError:
        return SourceError(f"{self.name} cannot be read as video: {reason}", "check that it plays elsewhere")

    def _checked_stream(self) -> VideoStream:
        if self._container.format.name in TEXT_FORMATS:
            raise self._no_video("it is a text file")
        stream = next((s for s in self._container.streams.video if not _is_cover(s)), None)
        if stream is None:
            raise self._no_video("it holds no video stream")
        if stream.codec_context is None:
            raise self._no_video("no decoder for it is built into FFmpeg")
        check_size(self.name, stream.codec_context.width, stream.codec_context.height)
        return stream

    def _duration_s(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration is not None else None

    def _set_threads(self) -> None:
        """Frame threads for what can wait; slices for what is live, because they hold no frame back."""
        codec = self._stream.codec_context
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        codec.thread_type = "SLICE" if self.live else "AUTO"
        codec.thread_count = self._options.threads

    def _pictures(self) -> Iterator[av.VideoFrame]:
        decoded_at = time.monotonic()
        for packet in self._packets():
            try:
                pictures = packet.decode()
            except FFmpegError as error:
                pictures = []
                self._note_undecodable(error, time.monotonic() - decoded_at)
            for picture in pictures:
                decoded_at = time.monotonic()
                check_size(self.name, picture.width, picture.height)
                yield picture

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        asked_at = time.monotonic()
        try:
            for packet in self._container.demux(self._stream):
                self._check_silence(time.monotonic() - asked_at)
                if packet.is_corrupt:
                    self._note_damage("part of it is damaged")
                if packet.pts is not None:
                    self._end_s = max(self._end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                yield packet
                asked_at = time.monotonic()
        except FFmpegError as error:
            if self._network:
                self._check_silence(time.monotonic() - asked_at)
                raise self._broken(_reason(error)) from error
            self._note_damage(f"it cannot be read further than {self._end_s:.1f} s ({_reason(error)})")

    def _check_silence(self, silence_s: float) -> None:
        """At its time-out FFmpeg first hands out what it had left over, and would then wait as long again."""
        if self._network and silence_s >= self._options.read_timeout_s:
            raise self._broken(f"no answer in {self._options.read_timeout_s:g} s")

    def _broken(self, reason: str) -> SourceError:
        return SourceError(f"{self.name} broke off: {reason}", "check the camera and the network", transient=True)

    def _note_undecodable(self, error: FFmpegError, silence_s: float) -> None:
        """A camera joined in mid-stream sends such packets until its next key frame; a file should never."""
        if not self.live:
            self._note_damage(f"part of it cannot be decoded, first at {self._end_s:.1f} s")
        elif silence_s > self._options.read_timeout_s:
            raise SourceError(
                f"{self.name} sends nothing that can be decoded ({_reason(error)})",
                "check the codec set in the camera; H.264 always works",
                transient=True,
            ) from error

    def _check_end(self) -> None:
        """A camera should not end, and a file not before its time."""
        start_s = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        missing_s = self.duration_s - (self._end_s - start_s) if self.duration_s is not None else 0.0
        if self.live and (self.duration_s is None or missing_s > SHORT_BY_S):
            raise SourceError(f"{self.name} was ended by its sender", "check that the camera is on", transient=True)
        if missing_s > SHORT_BY_S:
            self._note_damage(f"it stops at {self._end_s - start_s:.1f} s of {self.duration_s:.1f} s")

    def _note_damage(self, what: str) -> None:
        if self.damage is None:
            self.damage = f"{self.name}: {what}; all that could be decoded was used; copy or export it again"
            self._options.warn(self.damage)

    def _frame(self, picture: av.VideoFrame, index: int, time_s: float) -> Frame:
        if picture.rotation != self._rotation or index == 0:
            self._rotation = picture.rotation
            self._orientation = _orientation(picture)
        frame = Frame(picture, index, time_s, time.time(), self._orientation, self._scaler)
        self.width, self.height = frame.width, frame.height
        return frame


def _orientation(picture: av.VideoFrame) -> Orientation:
    """The whole display matrix, mirroring included, or where PyAV cannot name all side data, its angle."""
    try:
        return from_display_matrix(bytes(cast(Mapping[str, Buffer], picture.side_data)["DISPLAYMATRIX"]))
    except (KeyError, ValueError):
        return from_rotation(picture.rotation)


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: FFmpegError) -> str:
    """What FFmpeg says, without the address it was asked for: that may hold a password."""
    return (error.strerror or (os.strerror(error.errno) if error.errno else "unknown error")).lower()
