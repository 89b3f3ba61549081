"""Which detections of successive frames are the same face: a ByteTrack-style tracker fitted to faces.

From ByteTrack (Zhang et al., ECCV 2022): detections with a high score are matched first and may start tracks,
weak ones may only prolong a track that no strong one claimed. Fitted to faces: a small face leaves its own
box from one frame to the next, so tracks are matched not by the overlap of boxes but by the distance of centres,
counted in sides of the boxes, within a gate that widens with the Kalman filter's own uncertainty. All times
are seconds of the source, never frame counts: a live camera drops frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_TRACK: Final = -1
"""The track id of a detection that belongs to no track."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What a tracker takes for the same face. A side is the square root of a box's area.

    The defaults lie on a plateau, measured on a hand-held 1080p street clip and on simulated walkers: at 25
    frames a second, at 1/2, 1/4 and 1/8 of that and with 30 % and 60 % of the frames dropped (docs/tracking.md).
    """

    high_score: float = 0.6
    """Detect score from which a detection may start a track; YuNet's own default is 0.6."""
    low_score: float = 0.3
    """Detect score from which a detection may prolong a track."""
    gate_sides: float = 0.8
    """How far from the predicted centre a face may be when the prediction is certain, in sides."""
    gate_deviations: float = 2.0
    """What the gate gains for each standard deviation of the prediction."""
    low_gate_sides: float = 0.6
    """The whole gate for weak detections."""
    max_size_ratio: float = 1.5
    """Between the sides of one face in two frames; larger is another face."""
    size_weight: float = 2.0
    """Sides of distance that a size ratio of e is worth when a track may choose between detections."""
    acceleration: float = 8.0
    """White acceleration noise, sides / s^1.5: people who walk turn and bob, cameras are held by hands."""
    position_deviation_sides: float = 0.05
    """Jitter of a detector's box centre."""
    first_velocity_deviation: float = 2.0
    """Of a face seen once, sides / s."""
    size_gain: float = 0.5
    """Share of a new box's size that the track takes over."""
    min_hits: int = 2
    """Detections after which a track is confirmed."""
    max_lost_s: float = 1.0
    """How long a confirmed track is remembered without a detection."""
    max_tentative_lost_s: float = 0.3
    """The same before it is confirmed."""


@dataclass(frozen=True, slots=True)
class TrackUpdate:
    """What one frame did: which track each detection belongs to, and which tracks are over."""

    track_ids: Ints
    """(n,) aligned to the detections; `NO_TRACK` where a detection belongs to no track."""
    confirmed: Bools
    """(n,) whether that track has been seen `min_hits` times."""
    ended: tuple[int, ...]
    """Tracks that ended with this frame, ascending; they never come back."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Detections that cannot be a face, by index, and why."""


class Tracker:
    """The faces of one camera. Ids count 1, 2, 3, … and are never used twice; equal input gives equal ids."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._next_id = 1
        self._time_s = -math.inf
        self._ids = np.zeros(0, np.int64)
        self._hits = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._faces = np.zeros((0, 3))  # cx px, cy px, log of the side in px: of the latest frame
        self._velocities = np.zeros((0, 2))  # px / s
        self._spreads = np.zeros((0, 3))  # var(position), cov(position, velocity), var(velocity): in sides and s

    def finish(self) -> tuple[int, ...]:
        """The ids of all tracks, which end here: the source is over."""
        return self._end(np.ones(len(self._ids), np.bool_))

    def update(
        self, frame_time_s: float, boxes: NDArray[np.float32], detect_scores: NDArray[np.float32]
    ) -> TrackUpdate:
        """What the detections of one frame mean: `boxes` (n, 4) xyxy px with their scores (n,).

        Times may stand still. A time before the last frame's (a source that was restarted) ends all tracks.

        Raises:
            ValueError: arrays of other shapes, or a time that is not a finite number.
        """
        if detect_scores.ndim != 1 or boxes.shape != (len(detect_scores), 4):
            raise ValueError(f"expected boxes (n, 4) and n scores, found {boxes.shape} and {detect_scores.shape}")
        if not math.isfinite(frame_time_s):
            raise ValueError(f"expected a frame time in seconds, found {frame_time_s}")
        ended = self._pass_time(frame_time_s)
        faces, refused = _faces(boxes)
        scores = np.where(np.isfinite(faces[:, 0]), detect_scores, 0.0)
        owner = self._match(faces, scores)
        self._correct(owner, faces)
        self._start(owner, faces, scores)
        return TrackUpdate(*self._read(owner), ended + self._end_early(), refused)

    def _pass_time(self, time_s: float) -> tuple[int, ...]:
        """Ends the tracks that were lost for too long, or all if time ran backwards; moves the others on."""
        ended = self._end((time_s - self._seen_s > self._settings.max_lost_s) | (time_s < self._time_s))
        elapsed_s, self._time_s = time_s - self._time_s, time_s
        if len(self._ids):
            self._predict(elapsed_s)
        return ended

    def _predict(self, elapsed_s: float) -> None:
        """Constant velocity, white acceleration noise.

        Source: Bar-Shalom et al., Estimation with Applications to Tracking and Navigation, 2001, 6.2.2.
        """
        noise = self._settings.acceleration**2
        place, both, speed = self._spreads.T
        self._faces[:, :2] += self._velocities * elapsed_s
        place += elapsed_s * (2 * both + elapsed_s * speed) + noise * elapsed_s**3 / 3
        both += elapsed_s * speed + noise * elapsed_s**2 / 2
        speed += noise * elapsed_s

    def _match(self, faces: Floats, scores: Floats) -> Ints:
        """(n,) the row of the track that each detection prolongs or `NO_TRACK`; strong ones choose first."""
        settings = self._settings
        owner = np.full(len(faces), NO_TRACK, np.int64)
        if not len(faces) or not len(self._ids):
            return owner
        strong = scores >= settings.high_score
        weak = ~strong & (scores >= settings.low_score)
        distances = _distances(self._faces, faces, settings)
        gates = settings.gate_sides + settings.gate_deviations * np.sqrt(self._spreads[:, :1])
        _pair(distances, (distances < gates) & strong, owner)
        if weak.any():
            free = np.ones(len(self._ids), np.bool_)
            free[owner[owner >= 0]] = False
            _pair(distances, (distances < settings.low_gate_sides) & weak & free[:, None], owner)
        return owner

    def _correct(self, owner: Ints, faces: Floats) -> None:
        """Kalman update of the tracks that were seen, by where they were seen."""
        seen = np.flatnonzero(owner >= 0)
        rows = owner[seen]
        place, both, speed = self._spreads[rows].T
        total = place + self._settings.position_deviation_sides**2
        surprise = faces[seen] - self._faces[rows]
        self._faces[rows, :2] += (place / total)[:, None] * surprise[:, :2]
        self._faces[rows, 2] += self._settings.size_gain * surprise[:, 2]
        self._velocities[rows] += (both / total)[:, None] * surprise[:, :2]
        left = 1 - place / total
        self._spreads[rows] = np.stack([place * left, both * left, speed - both * both / total], axis=1)
        self._hits[rows] += 1
        self._seen_s[rows] = self._time_s

    def _start(self, owner: Ints, faces: Floats, scores: Floats) -> None:
        """New tracks for the strong detections that no track took; writes their rows into `owner`."""
        new = np.flatnonzero((owner == NO_TRACK) & (scores >= self._settings.high_score))
        if not len(new):
            return
        n, settings = len(new), self._settings
        owner[new] = len(self._ids) + np.arange(n)
        spread = [settings.position_deviation_sides**2, 0.0, settings.first_velocity_deviation**2]
        self._ids = np.concatenate([self._ids, self._next_id + np.arange(n)])
        self._hits = np.concatenate([self._hits, np.ones(n, np.int64)])
        self._seen_s = np.concatenate([self._seen_s, np.full(n, self._time_s)])
        self._faces = np.concatenate([self._faces, faces[new]])
        self._velocities = np.concatenate([self._velocities, np.zeros((n, 2))])
        self._spreads = np.concatenate([self._spreads, np.tile(spread, (n, 1))])
        self._next_id += n

    def _read(self, owner: Ints) -> tuple[Ints, Bools]:
        """The ids of the tracks that own the detections, and whether they are confirmed."""
        owned = owner >= 0
        track_ids, confirmed = np.full(len(owner), NO_TRACK, np.int64), np.zeros(len(owner), np.bool_)
        track_ids[owned] = self._ids[owner[owned]]
        confirmed[owned] = self._hits[owner[owned]] >= self._settings.min_hits
        return track_ids, confirmed

    def _end_early(self) -> tuple[int, ...]:
        """Ends the tracks that were not seen now and were never confirmed."""
        lost_s = self._time_s - self._seen_s
        unsure = self._hits < self._settings.min_hits
        return self._end(unsure & (lost_s > self._settings.max_tentative_lost_s))

    def _end(self, gone: Bools) -> tuple[int, ...]:
        """Forgets the rows in `gone`; their ids."""
        if not gone.any():
            return ()
        ended, kept = tuple(self._ids[gone].tolist()), ~gone
        self._ids, self._hits, self._seen_s = self._ids[kept], self._hits[kept], self._seen_s[kept]
        self._faces, self._velocities = self._faces[kept], self._velocities[kept]
        self._spreads = self._spreads[kept]
        return ended


def _faces(boxes: NDArray[np.float32]) -> tuple[Floats, dict[int, str]]:
    """(n, 3) centre in px and log of the side; a box that cannot be one has a row of NaN and a reason."""
    corners = boxes.astype(np.float64)
    areas: Floats = (corners[:, 2:] - corners[:, :2]).clip(min=0).prod(axis=1)
    finite = np.isfinite(areas)
    usable = finite & (areas > 0)
    faces = np.full((len(boxes), 3), np.nan)
    faces[usable, :2] = (corners[usable, :2] + corners[usable, 2:]) / 2
    faces[usable, 2] = np.log(areas[usable]) / 2
    reasons = {i: "no area" if finite[i] else "not finite" for i in np.flatnonzero(~usable).tolist()}
    return faces, reasons


def _distances(tracks: Floats, faces: Floats, settings: TrackerSettings) -> Floats:
    """(tracks, faces) distance of centres in sides, plus that of sizes; inf where sizes cannot fit."""
    apart = tracks[:, None, :] - faces[None, :, :]
    resized = np.abs(apart[:, :, 2])
    side = np.exp((tracks[:, None, 2] + faces[None, :, 2]) / 2)
    distances = np.hypot(apart[:, :, 0], apart[:, :, 1]) / side + settings.size_weight * resized
    return np.where(resized < math.log(settings.max_size_ratio), distances, np.inf)


def _pair(distances: Floats, allowed: Bools, owner: Ints) -> None:
    """Gives detections to tracks, the nearest pair first, each once; writes the rows into `owner`.

    As good as the optimal assignment, measured: 132 against 131 switches over 30 runs (docs/tracking.md).
    """
    rows, columns = np.nonzero(allowed)
    taken: set[int] = set()
    for pair in np.argsort(distances[rows, columns], kind="stable").tolist():
        row, column = int(rows[pair]), int(columns[pair])
        if owner[column] == NO_TRACK and row not in taken:
            owner[column] = row
            taken.add(row)
