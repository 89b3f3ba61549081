"""When a track publishes a sample: the first good shot at once, clearly better ones later, at most a few a track.

The protocol of a camera has two steps, because a chip costs more than all else that is done for a face. Per frame:

    for each tracked detection:
        if shots.wants_chip(track, time, geometry.quality[i]):      # an upper bound, no pixels touched
            cut the chip, measure it; publish what shots.offer(track, time, quality.unified, shot) returns
    for track in update.ended: publish what shots.finish(track) returns

All decisions follow from source times and qualities, so a replay gives the same samples. Of each live track one shot
at most is held; of an ended one nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

Shot = TypeVar("Shot")


@dataclass(frozen=True, slots=True)
class BestShotSettings:
    """When a shot is worth a sample. Qualities are unified qualities, 0..1; times are seconds of the source."""

    min_quality: float = 0.3
    """Below, a shot is never published; measured: 85 % of such shots score under 0.40 against their own subject."""
    good_quality: float = 0.6
    """From here a track's first shot is published at once; measured: 51 % of the shots below and 9 % of those above
    score under 0.40 against their own subject."""
    patience_s: float = 0.6
    """How long a track waits for a good first shot before its best so far is published: two alert budgets of 300 ms."""
    min_gain: float = 0.2
    """How much of what the last sample lacked of 1 a later one must make good; measured on a street clip: 1.7 samples
    a track, every track within 0.1 of its best quality (at 0.5: 1.0 samples, 71 % of the tracks)."""
    min_spacing_s: float = 0.5
    """Between two samples of a track; a face needs that long to turn into another view. No effect from 0.25 to 1 s."""
    max_samples: int = 3
    """Of one track (DESIGN: K = 3); the last of several is kept for the track's end."""
    recut_s: float = 0.2
    """Between two chips of a track, once it has published or its patience is over; measured on the clip: 1.2 chips a
    frame of 6.3 faces, 86 % of the tracks within 0.05 of their best (every frame: 3.4 chips, 93 %)."""


@dataclass(slots=True)
class _Track(Generic[Shot]):
    """What is remembered of one live track; `kept` is the shot that would be published next."""

    first_s: float
    cut_s: float = -math.inf
    sent: int = 0
    sent_s: float = -math.inf
    sent_quality: float = 0.0
    kept: Shot | None = None
    kept_quality: float = 0.0


class BestShot(Generic[Shot]):
    """The best shots of the live tracks of one camera; `Shot` is whatever the camera needs to publish a sample."""

    def __init__(self, settings: BestShotSettings) -> None:
        self._settings = settings
        self._tracks: dict[int, _Track[Shot]] = {}

    def __len__(self) -> int:
        """How many tracks are remembered."""
        return len(self._tracks)

    def wants_chip(self, track_id: int, frame_time_s: float, bound: float) -> bool:
        """Whether a shot whose unified quality cannot exceed `bound` might become a sample of the track."""
        track = self._tracks.setdefault(track_id, _Track(frame_time_s))
        if self._is_due(track, frame_time_s):
            return True
        if track.sent >= self._settings.max_samples or bound < self._wanted(track):
            return False
        waiting = track.sent == 0 and not self._impatient(track, frame_time_s)
        return waiting or frame_time_s - track.cut_s >= self._settings.recut_s

    def offer(self, track_id: int, frame_time_s: float, quality: float, shot: Shot) -> Shot | None:
        """The shot to publish now, this one or a better one that was kept; `None` if none is due."""
        track = self._tracks.setdefault(track_id, _Track(frame_time_s))
        track.cut_s = frame_time_s
        if track.sent < self._settings.max_samples and quality >= self._wanted(track):
            track.kept, track.kept_quality = shot, quality
        if not self._is_due(track, frame_time_s):
            return None
        due = track.kept
        track.sent, track.sent_s, track.sent_quality = track.sent + 1, frame_time_s, track.kept_quality
        track.kept, track.kept_quality = None, 0.0
        return due

    def finish(self, track_id: int) -> Shot | None:
        """The last sample of a track that ended, if a shot worth it was kept; the track is forgotten."""
        track = self._tracks.pop(track_id, None)
        return track.kept if track else None

    def _wanted(self, track: _Track[Shot]) -> float:
        """The least quality that would be kept."""
        last = track.sent_quality
        better = last + self._settings.min_gain * (1 - last) if track.sent else self._settings.min_quality
        return max(better, math.nextafter(track.kept_quality, math.inf))

    def _is_due(self, track: _Track[Shot], time_s: float) -> bool:
        """Whether the kept shot may go now: the first when good or late, later ones when spaced, the last never."""
        if track.kept is None:
            return False
        if track.sent == 0:
            return track.kept_quality >= self._settings.good_quality or self._impatient(track, time_s)
        return track.sent < self._settings.max_samples - 1 and time_s - track.sent_s >= self._settings.min_spacing_s

    def _impatient(self, track: _Track[Shot], time_s: float) -> bool:
        return time_s - track.first_s >= self._settings.patience_s
