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

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from libs.assets import load_catalogue
from libs.calibration import Calibration, CalibrationError, Rate
from libs.intervals import Ratio, clopper_pearson
from proto.cases import Case
from proto.counts import FaceCount, Passage
from proto.requests.deployments import FiguresReply

MINUTE_S = 60
PASSAGE_WINDOW_S = 60.0
"""A seed alert within this of a passage, before or after, is that passage's. A passage is noted by a person who looks
at a clock; a seed takes seconds to walk through a zone."""
COUNTED = re.compile(r"-?[0-9]{1,12}")
MINUTES = range(10**9)
"""Minutes since 1970 that are of a time at all: the year 3871 is far enough."""
HUNDREDTHS = range(-100, 101)
NOBODY = -100
"""The bin of searches that compared with nobody."""
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
    sizes: tuple[int, int] | None
    """The smallest and the largest N that is known: references on the watch lists that were searched, seeds not among
    them. Every alert tells its own N; of the other searches of a camera by one `match` the last alone does."""
    tpir: Ratio | None
    """Passages of seeds with an alert, of all."""
    projection: Projection | None

    @property
    def list_size(self) -> int | None:
        """The largest N that was searched: what the projection must answer for."""
        return self.sizes[1] if self.sizes else None

    @property
    def list_sizes(self) -> str | None:
        """N as a page shows it: `7,292`, or `7,000 to 7,292` where it changed."""
        if self.sizes is None:
            return None
        low, high = self.sizes
        return f"{high:,}" if low == high else f"{low:,} to {high:,}"

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
    sizes = list_sizes(reply)
    return Summary(
        reply=reply,
        alerts=alerts,
        kinds=Counter(kind_of(case) for case in alerts),
        periods=armed_periods(reply, now),
        faces=sum(minutes.total() for minutes in faces.values()),
        faces_by_camera=faces,
        histogram=_histogram(reply),
        sizes=sizes,
        tpir=tpir_of(reply.passages, [case for case in reply.cases if case.seed]),
        projection=_projection(reply, sizes[1]) if sizes else None,
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


def list_sizes(reply: FiguresReply) -> tuple[int, int] | None:
    """The smallest and the largest N that was searched; or where nothing was, what is on the watch lists.

    `None` where one of them has no record either.
    """
    searched = [n for count in reply.searches for n in (count.least_searched, count.most_searched)]
    searched += [case.searched for case in reply.cases if not case.seed]
    if not searched:
        references = {one.id: one.references for one in reply.lists}
        names = reply.record.draft.watch_lists
        searched = [sum(references[name] for name in names)] if references.keys() >= set(names) else []
    return (min(searched), max(searched)) if searched else None


def tpir_of(passages: Sequence[Passage], alerts: Sequence[Case]) -> Ratio | None:
    """Passages of seeds that have an alert of their own, of all; `None` where nobody passed."""
    return clopper_pearson(len(recognised(passages, alerts)), len(passages)) if passages else None


def recognised(passages: Sequence[Passage], alerts: Sequence[Case]) -> list[tuple[Passage, Case]]:
    """The passages of seeds that have an alert of their own, with it.

    Each alert is of one passage only: for windows of one length, the earliest that it fits.
    """
    free = sorted(alerts, key=lambda case: case.captured_at)
    found = []
    for passage in sorted(passages, key=lambda passage: passage.at):
        own = next((case for case in free if _is_of(case, passage)), None)
        if own is not None:
            free.remove(own)
            found.append((passage, own))
    return found


def unreadable(reply: FiguresReply) -> int:
    """How many counts are not of a minute or bin, or no counts at all: they are ignored."""
    said = [(key, number, MINUTES) for count in reply.faces for key, number in count.minutes.items()]
    said += [(key, number, HUNDREDTHS) for count in reply.searches for key, number in count.histogram.items()]
    return sum(not _is_count(key, number, within) for key, number, within in said)


def empty_searches(reply: FiguresReply) -> int:
    """How many searches compared with nobody, because nobody was on the lists."""
    bins = (_read(count.histogram, HUNDREDTHS) for count in reply.searches)
    return sum(number for read in bins for edge, number in read.items() if edge <= NOBODY)


def _is_count(key: str, number: int, within: range) -> bool:
    return COUNTED.fullmatch(key) is not None and int(key) in within and number >= 0


def _read(counts: Mapping[str, int], within: range) -> dict[int, int]:
    """The counts by what they are of, without those that are of nothing."""
    return {int(key): number for key, number in counts.items() if _is_count(key, number, within)}


def _is_of(case: Case, passage: Passage) -> bool:
    same = (case.subject, case.camera) == (passage.subject, passage.camera)
    return same and abs(case.captured_at - passage.at) <= PASSAGE_WINDOW_S


def _minutes(count: FaceCount) -> dict[int, int]:
    return _read(count.minutes, MINUTES)


def _histogram(reply: FiguresReply) -> Counter[int]:
    """All searches that compared with somebody."""
    bins: Counter[int] = Counter()
    for count in reply.searches:
        read = _read(count.histogram, HUNDREDTHS)
        bins.update({edge: number for edge, number in read.items() if edge > NOBODY})
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
