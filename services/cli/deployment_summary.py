"""What a deployment came to: counts, both false alert ratios and TPIR, each with its n, and what is not known.

    an alert is           where
    -----------           -----
    confirmed true        an officer engaged, and the person was the one on the list
    confirmed false       an officer engaged, and the person was another
    rejected              an operator saw that it was another person, and nobody was engaged
    unconfirmed           all else: nobody decided, or nothing came of it that would tell

False alerts are those confirmed false or rejected. Unconfirmed alerts may be either, so each ratio is given twice: as
known, and with all unconfirmed alerts counted as false. Silence cannot make a rate look better than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.assets import load_catalogue
from libs.calibration import Calibration, CalibrationError, Rate
from libs.intervals import Ratio, clopper_pearson
from proto.governance import Case, FaceCount, Passage
from proto.requests import FiguresReply

MINUTE_S = 60
PASSAGE_WINDOW_S = 60.0
"""A seed alert within this of a passage, before or after, is that passage's. A passage is noted by a person who looks
at a clock; a seed takes seconds to walk through a zone."""
KINDS = ("confirmed true", "confirmed false", "rejected", "unconfirmed")
RUNNING, STOPPING = frozenset({"arm"}), frozenset({"suspend", "end", "refuse", "refuse_judicial", "lapse", "purge"})
"""The verbs of deeds that start and stop cameras."""


@dataclass(frozen=True)
class Projection:
    """What the calibration of the embedder let expect: N times its false match rate at the threshold."""

    references: int
    fmr: Rate

    @property
    def per_face(self) -> float:
        """False alerts a face to be expected."""
        return self.references * self.fmr.value

    @property
    def per_face_upper(self) -> float:
        """The same by the upper end of the rate's 95 % interval."""
        return self.references * self.fmr.upper


@dataclass(frozen=True)
class Summary:
    """All figures of one deployment. A ratio is `None` where there is nothing to divide by."""

    reply: FiguresReply
    alerts: tuple[Case, ...]
    """Without those for seeds."""
    kinds: Counter[str]
    """How many of them are of each of `KINDS`."""
    periods: tuple[tuple[float, float], ...]
    """When it was armed: starts and ends, Unix seconds."""
    faces: int
    faces_by_camera: dict[str, Counter[int]]
    """Faces seen by camera and minute."""
    histogram: Counter[int]
    """Searches by the lower edge of the bin of their best score, in hundredths."""
    list_size: int
    """N: references on the watch lists, seeds not among them."""
    tpir: Ratio | None
    """Passages of seeds with an alert, of all."""
    projection: Projection | None

    @property
    def duration_s(self) -> float:
        """How long it was armed, without suspensions."""
        return sum(end - start for start, end in self.periods)

    @property
    def false(self) -> int:
        """Alerts known to be false."""
        return self.kinds["confirmed false"] + self.kinds["rejected"]

    @property
    def at_worst_false(self) -> int:
        """The same with every unconfirmed alert."""
        return self.false + self.kinds["unconfirmed"]

    @property
    def per_face(self) -> tuple[Ratio, Ratio] | None:
        """False alerts per face seen, as known and at worst."""
        return self._of(self.faces)

    @property
    def per_alert(self) -> tuple[Ratio, Ratio] | None:
        """False alerts per alert, as known and at worst."""
        return self._of(len(self.alerts))

    def _of(self, trials: int) -> tuple[Ratio, Ratio] | None:
        if trials < max(1, self.at_worst_false):
            return None
        return clopper_pearson(self.false, trials), clopper_pearson(self.at_worst_false, trials)


def summarise(reply: FiguresReply, now: float) -> Summary:
    """The figures of `reply` at `now` (Unix seconds)."""
    alerts = tuple(case for case in reply.cases if not case.seed)
    faces = faces_by_camera(reply.faces)
    size = list_size(reply)
    return Summary(
        reply=reply,
        alerts=alerts,
        kinds=Counter(kind_of(case) for case in alerts),
        periods=armed_periods(reply, now),
        faces=sum(minutes.total() for minutes in faces.values()),
        faces_by_camera=faces,
        histogram=_histogram(reply),
        list_size=size,
        tpir=tpir_of(reply.passages, [case for case in reply.cases if case.seed]),
        projection=_projection(reply, size),
    )


def kind_of(case: Case) -> str:
    """Which of `KINDS` an alert is."""
    if case.outcome is not None and case.outcome.engagement != "no_engagement":
        return "confirmed true" if case.outcome.engagement == "confirmed_true" else "confirmed false"
    return "rejected" if case.status == "rejected" else "unconfirmed"


def decided_at(case: Case) -> float | None:
    """When the decision fell that settled an alert; `None` where none did."""
    return case.decisions[-1].at if case.status in ("confirmed", "rejected") and case.decisions else None


def armed_periods(reply: FiguresReply, now: float) -> tuple[tuple[float, float], ...]:
    """When the deployment was armed, by its deeds, and never outside its own start and end."""
    draft = reply.record.draft
    last = min(draft.ends_at, reply.record.ended_at or now)
    changes = [(deed.at, deed.verb in RUNNING) for deed in reply.record.deeds if deed.verb in RUNNING | STOPPING]
    periods: list[tuple[float, float]] = []
    since: float | None = None
    for at, starts in [*changes, (last, False)]:
        if starts and since is None:
            since = max(at, draft.starts_at)
        elif not starts and since is not None:
            periods += [(since, min(at, last))] if min(at, last) > since else []
            since = None
    return tuple(periods)


def faces_by_camera(counts: Iterable[FaceCount]) -> dict[str, Counter[int]]:
    """Faces seen by camera and minute.

    A live source goes on where it is, so all its readings count. A recording starts over, so only its last one does.
    """
    by_camera: dict[str, Counter[int]] = {}
    last: dict[str, FaceCount] = {}
    for count in counts:
        minutes = by_camera.setdefault(count.camera, Counter())
        if count.live:
            minutes.update(_minutes(count))
        elif count.camera not in last or count.updated_at >= last[count.camera].updated_at:
            last[count.camera] = count
    for camera, count in last.items():
        by_camera[camera].update(_minutes(count))
    return by_camera


def list_size(reply: FiguresReply) -> int:
    """N: what was searched last, or where nothing was, what is on the watch lists."""
    if reply.searches:
        return max(reply.searches, key=lambda count: count.updated_at).searched
    return sum(one.references for one in reply.lists if one.id in reply.record.draft.watch_lists)


def tpir_of(passages: Sequence[Passage], alerts: Sequence[Case]) -> Ratio | None:
    """Passages of seeds that have an alert of their own, of all; `None` where nobody passed.

    Each alert is of one passage only: for windows of one length, the earliest that it fits.
    """
    free = sorted(alerts, key=lambda case: case.captured_at)
    found = 0
    for passage in sorted(passages, key=lambda passage: passage.at):
        own = next((case for case in free if _is_of(case, passage)), None)
        if own is not None:
            free.remove(own)
            found += 1
    return clopper_pearson(found, len(passages)) if passages else None


def _is_of(case: Case, passage: Passage) -> bool:
    same = (case.subject, case.camera) == (passage.subject, passage.camera)
    return same and abs(case.captured_at - passage.at) <= PASSAGE_WINDOW_S


def _minutes(count: FaceCount) -> dict[int, int]:
    return {int(minute): faces for minute, faces in count.minutes.items()}


def _histogram(reply: FiguresReply) -> Counter[int]:
    """All searches that compared with somebody."""
    bins: Counter[int] = Counter()
    for count in reply.searches:
        bins.update({int(edge): number for edge, number in count.histogram.items() if int(edge) > -100})
    return bins


def _projection(reply: FiguresReply, size: int) -> Projection | None:
    calibration, threshold = calibration_of(reply), reply.record.threshold
    if calibration is None or threshold is None:
        return None
    try:
        return Projection(size, calibration.fmr(threshold))
    except CalibrationError:
        return None


def calibration_of(reply: FiguresReply) -> Calibration | None:
    """The error rates of the embedder whose templates were searched; `None` where the catalogue has none."""
    versions = {one.template_version for one in reply.lists if one.id in reply.record.draft.watch_lists}
    asset = load_catalogue().assets.get(versions.pop()) if len(versions) == 1 else None
    return asset.calibration if asset else None
