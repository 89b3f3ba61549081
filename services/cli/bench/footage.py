"""Footage for a measurement: the same video several times over, and faces that come and go."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream

from libs.errors import UserError

GREY = 110
"""Luminance of a frame in which nobody is."""


@dataclass(frozen=True)
class Footage:
    """A video file as it decodes."""

    path: Path
    frames: int
    width: int
    height: int
    fps: float


def inspect(path: Path) -> Footage:
    """What the first video stream of `path` holds, by decoding all of it.

    Raises:
        UserError: it is no video file.
    """
    try:
        with av.open(str(path)) as container:
            stream = _video(container.streams.video, path)
            stream.codec_context.thread_type = "AUTO"
            frames = sum(1 for _ in container.decode(stream))
            codec = stream.codec_context
            return Footage(path, frames, codec.width, codec.height, float(stream.average_rate or 25))
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} cannot be read as video ({error.strerror})", "give --source a video file") from None


def loop(source: Footage, times: int, target: Path) -> Footage:
    """`source` `times` over in the file `target`, copied packet by packet: nothing is encoded again.

    The time stamps go on from one pass to the next as if it were one recording.
    """
    with av.open(str(target), "w", format="mp4") as out:
        copy, offset = None, 0
        for _ in range(times):
            with av.open(str(source.path)) as container:
                stream = container.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                end = offset
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.stream = copy
                    out.mux(packet)
                offset = end
    return Footage(target, source.frames * times, source.width, source.height, source.fps)


@dataclass(frozen=True)
class Visits:
    """How a face comes and goes: `times` over it is there for `seen_s` and away for `away_s`."""

    times: int
    seen_s: float = 0.8
    away_s: float = 1.4
    """Longer than the tracker remembers a lost track (1 s), so that every visit is a new track."""


def visits(source: Footage, wanted: Visits, fps: int, target: Path) -> Footage:
    """The beginning of `source` again and again with grey frames between, at `fps`, encoded once to `target`.

    A camera whose every visit raises an alert of its own, while the work of decoding and detecting never pauses.
    """
    seen = _first_frames(source, round(wanted.seen_s * fps))
    grey = np.full((source.height, source.width, 3), GREY, np.uint8)
    away = [av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p")] * round(wanted.away_s * fps)
    with av.open(str(target), "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        stream.bit_rate = 8_000_000  # no visible loss at the demo's 640 x 360
        frames = (away + seen) * wanted.times + away
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, fps)
            frame.pict_type = av.video.frame.PictureType.NONE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return Footage(target, len(frames), source.width, source.height, float(fps))


def _first_frames(source: Footage, count: int) -> list[av.VideoFrame]:
    with av.open(str(source.path)) as container:
        return [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]


def _video(streams: tuple[VideoStream, ...], path: Path) -> VideoStream:
    if not streams:
        raise UserError(f"{path} holds no video", "give --source a video file")
    return streams[0]
