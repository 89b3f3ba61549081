"""When a frame happened in its source, and whether it is wanted."""

from __future__ import annotations

REBASE_S = 1.0
"""A step back by less is jitter; by more, the clock of the source has started again (spliced files, cameras
that restart their encoder). A second is far above the reordering of frames, 16 at most in H.264."""
LONGEST_S = 100 * 365 * 24 * 3600.0
"""A century: a stamp that is further from the first is broken, and what is seen would have no date."""


class Timeline:
    """Turns time stamps as they come into seconds from the start that grow with every frame.

    Gaps stay gaps (variable frame rate, recordings on motion). A missing stamp counts one nominal step; so does one
    that is further from the first than any recording goes, and the clock starts again from there.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._first_s: float | None = None
        self._shift_s = 0.0
        self._last_s: float | None = None

    def place(self, stamp_s: float | None) -> float:
        """The time of the next frame, in seconds from the first one."""
        nominal_s = self._last_s + self._step_s if self._last_s is not None else 0.0
        self._last_s = nominal_s if stamp_s is None else self._placed(stamp_s, nominal_s)
        return self._last_s

    def _placed(self, stamp_s: float, nominal_s: float) -> float:
        if self._first_s is not None:
            raw_s = stamp_s - self._first_s
            time_s = self._grown(raw_s, nominal_s)
            if max(abs(raw_s), time_s) < LONGEST_S:
                return time_s
        self._first_s, self._shift_s = stamp_s - nominal_s, 0.0
        return nominal_s

    def _grown(self, raw_s: float, nominal_s: float) -> float:
        last_s = self._last_s or 0.0
        ahead = [raw_s + shift for shift in (self._shift_s, 0.0) if raw_s + shift > last_s]
        if ahead:
            if min(ahead) == raw_s:
                self._shift_s = 0.0  # one broken stamp, or back on the first clock
            return min(ahead)
        if last_s - (raw_s + self._shift_s) > REBASE_S:
            self._shift_s = nominal_s - raw_s
        return nominal_s


class Sampler:
    """Picks frames by their time so that on average no more than `max_fps` a second remain."""

    def __init__(self, max_fps: float | None) -> None:
        self._every_s = 1 / max_fps if max_fps else 0.0
        self._due_s = 0.0

    def wants(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is taken; to be asked once a frame, in order."""
        slack_s = 0.001  # stamps are rounded to milliseconds in Matroska and WebM
        if time_s + slack_s < self._due_s:
            return False
        next_s = self._due_s + self._every_s
        self._due_s = next_s if next_s > time_s else time_s + self._every_s  # after a gap, from here on
        return True
