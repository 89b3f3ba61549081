"""What a replay has come to so far, and in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proto.messages import Alert, DeadLetter
from services.cli.watchlists.importing import ImportResult
from services.cli.watchlists.reference_images import Refusal

CUT_SHORT = "its deployment ended before its source did: see govern.log"
"""For example because `govern` died: an evaluation ends when it starts again."""


@dataclass(frozen=True)
class CameraCount:
    """What one camera came to."""

    frames: int = 0
    dropped: int = 0
    detections: int = 0
    tracks: int = 0
    samples: int = 0
    candidates: int = 0
    alerts: int = 0
    frame_count: int | None = None
    state: str = "waiting"
    """As in `CameraStatus`, or `stopped` where a person ended the replay before its source did."""
    detail: str = ""


@dataclass
class Progress:
    """How far a replay is; given to `on_progress` at every change."""

    references: ImportResult = field(default_factory=ImportResult)
    cameras: dict[str, CameraCount] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    """Of samples of this replay, or of what became of them."""


@dataclass(frozen=True)
class Outcome:
    """What a replay came to. The portraits are JPEGs by key, for the report alone."""

    cameras: Mapping[str, CameraCount]
    alerts: Sequence[Alert]
    refused: Sequence[Refusal]
    lost: int
    """Samples that never came through: dead-lettered, or given up after `STALL_S`."""
    seconds: float
    references: int
    threshold: float
    portraits: Mapping[str, bytes]
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why samples were lost, as the dead letters say, and how many for each reason."""
    interrupted: bool = False
    """Whether a person ended it before its sources did."""
    left_behind: Sequence[str] = ()
    """What could not be cleaned up, and what becomes of it."""
    deployment: str = ""
    stamp: str = ""
    """`EVALUATION` where it was one."""

    def is_whole(self) -> bool:
        """Whether every camera came to the end of its source, and nothing was lost."""
        return not self.lost and all(camera.state == "ended" for camera in self.cameras.values())

    def troubles(self) -> dict[str, str]:
        """By camera: what a person must know of how it was read."""
        found = {name: camera.detail for name, camera in self.cameras.items() if camera.state != "stopped"}
        if not self.interrupted:
            found |= {name: CUT_SHORT for name, camera in self.cameras.items() if camera.state == "stopped"}
        return {name: detail for name, detail in found.items() if detail}

    def as_json(self) -> dict[str, object]:
        """The outcome as `--json` writes it."""
        return {
            "cameras": {name: _camera_json(count) for name, count in self.cameras.items()},
            "alerts": [_alert_json(alert) for alert in self.alerts],
            "references": self.references,
            "refused": [{"subject": r.subject, "image": r.image.name, "reason": r.reason} for r in self.refused],
            "lost": self.lost,
            "reasons": dict(self.reasons),
            "interrupted": self.interrupted,
            "left_behind": list(self.left_behind),
            "stamp": self.stamp,
            "seconds": round(self.seconds, 3),
        }


def _camera_json(count: CameraCount) -> dict[str, object]:
    keys = ("frames", "dropped", "tracks", "samples", "candidates", "alerts", "state", "detail")
    return {key: getattr(count, key) for key in keys}


def _alert_json(alert: Alert) -> dict[str, object]:
    return {
        "camera": alert.camera,
        "subject": alert.subject,
        "score": round(alert.score, 4),
        "threshold": alert.threshold,
        "time_s": round(alert.source_time_s, 3),
        "box": [round(side, 1) for side in alert.box],
        "track": alert.track,
        "frame": alert.frame,
    }
