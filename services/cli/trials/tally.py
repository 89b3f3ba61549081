"""Counts what the programs tell of one replay: how far it is, whether it is over, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from proto.messages import Alert, DeadLetter
from proto.records import CameraStatus, TrackState
from services.cli.trials.outcome import CameraCount, Progress
from services.cli.watchlists.importing import ImportResult

LINKS = ("sample", "probe", "candidates")
"""The first part of the id of what a sample becomes on its way to `alert`."""
OVER = frozenset({"ended", "stopped", "failed"})
"""The states of a camera that does nothing more."""


class Tally:
    """The count of one deployment's cameras. A camera that is read again from the start counts by its last reading."""

    def __init__(self, deployment: str, cameras: Iterable[str]) -> None:
        self.progress = Progress(cameras={name: CameraCount() for name in cameras})
        self._deployment = deployment
        self._statuses: dict[str, CameraStatus] = {}
        self._tracks: dict[str, TrackState] = {}

    def take_import(self, result: ImportResult) -> None:
        """Takes how far the import of the references is."""
        self.progress.references = result

    def take_alert(self, alert: Alert) -> None:
        """Takes an alert."""
        self.progress.alerts.append(alert)

    def take_letter(self, letter: DeadLetter) -> bool:
        """Whether the dead letter is of a sample of a camera of ours; it is then taken."""
        is_ours = letter.message_id.partition(".")[0] in LINKS and _camera_of(letter) in self.progress.cameras
        if is_ours:
            self.progress.dead.append(letter)
        return is_ours

    def update(self, statuses: Iterable[CameraStatus], tracks: Mapping[str, TrackState]) -> bool:
        """Whether there is anything new in what is known of the cameras and tracks now."""
        before = (dict(self.progress.cameras), self._answered_samples())
        self._remember(tracks)
        for status in statuses:
            if status.deployment == self._deployment:
                self._statuses[status.camera] = status
                self.progress.cameras[status.camera] = _count(
                    status, self._tracks_of(status.camera), self._raised(status.camera)
                )
        return (self.progress.cameras, self._answered_samples()) != before

    def is_over(self) -> bool:
        """Whether every camera has ended, every sample is answered or dead, and every alert has come."""
        if not self.have_ended():
            return False
        raised = {raised.alert for track in self._tracks.values() for raised in track.raised}
        return self._unsettled() == 0 and raised <= {alert.id for alert in self.progress.alerts}

    def have_ended(self) -> bool:
        """Whether every camera has ended."""
        return all(camera.state in OVER for camera in self.progress.cameras.values())

    def lost(self) -> int:
        """How many samples were not answered, so far."""
        return sum(self._missing(name, set()) for name in self.progress.cameras)

    def reasons(self) -> dict[str, int]:
        """Why samples died, and how many for each reason."""
        return dict(Counter(self._dead().values()))

    def _unsettled(self) -> int:
        return sum(self._missing(name, set(self._dead())) for name in self.progress.cameras)

    def _missing(self, camera: str, dead: set[tuple[str, str]]) -> int:
        settled = len(self._answered(camera)) + sum(name == camera for name, _ in dead)
        return max(0, self.progress.cameras[camera].samples - settled)

    def _dead(self) -> dict[tuple[str, str], str]:
        """By camera and sample: why it died. A sample that was answered all the same is alive."""
        answered = {name: self._answered(name) for name in self.progress.cameras}
        letters = [(_camera_of(letter), letter) for letter in self.progress.dead]
        dead = {(name, letter.message_id.partition(".")[2]): letter.reason for name, letter in letters}
        return {
            (name, sample): reason
            for (name, sample), reason in dead.items()
            if sample.startswith(self._reading(name)) and sample not in answered[name]
        }

    def _answered(self, camera: str) -> set[str]:
        return {f"{track.track}.{sample.sample}" for track in self._tracks_of(camera) for sample in track.samples}

    def _answered_samples(self) -> int:
        return sum(len(track.samples) for track in self._tracks.values())

    def _tracks_of(self, camera: str) -> list[TrackState]:
        """The tracks of the camera's last reading."""
        of_camera = [track for track in self._tracks.values() if track.camera == camera]
        return [track for track in of_camera if track.track.startswith(self._reading(camera))]

    def _raised(self, camera: str) -> int:
        """The alerts of all readings of a camera: one that is read again from the start raises none a second time."""
        return sum(len(track.raised) for track in self._tracks.values() if track.camera == camera)

    def _reading(self, camera: str) -> str:
        """What the ids of the tracks of the camera's last reading start with."""
        return self._statuses[camera].reading if camera in self._statuses else ""

    def _remember(self, tracks: Mapping[str, TrackState]) -> None:
        """Keeps the fullest state of each track: the bucket forgets when its server restarts."""
        for key, track in tracks.items():
            known = self._tracks.get(key)
            if track.deployment == self._deployment and (known is None or len(track.samples) >= len(known.samples)):
                self._tracks[key] = track


def _camera_of(letter: DeadLetter) -> str:
    return letter.subject.rpartition(".")[2]


def _count(status: CameraStatus, tracks: Iterable[TrackState], alerts: int) -> CameraCount:
    seen = list(tracks)
    return CameraCount(
        frames=status.frames,
        dropped=status.dropped,
        detections=status.detections,
        tracks=status.tracks,
        samples=status.samples,
        candidates=sum(len(sample.scores) for track in seen for sample in track.samples),
        alerts=alerts,
        frame_count=status.frame_count,
        state="stopped" if status.disarmed else status.state,
        detail=status.detail,
    )
