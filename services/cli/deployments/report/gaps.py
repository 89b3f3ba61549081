"""What the figures of a deployment do not tell: what is incomplete, what was left open, what is never measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from proto.counts import Passage
from services.cli.deployments.report.summary import Summary, calibration_of, empty_searches, recognised, unreadable
from services.cli.times import clock_time
from services.cli.words import counted

SILENT_S = 10.0
"""A camera that has told nothing for as long before the end was not reading any more; it tells twice a second."""
FINAL = ("ended", "purged", "refused")


def incomplete(summary: Summary) -> list[str]:
    """Why the counts fall short of what happened; nothing where they do not."""
    return [
        *summary.reply.missing,
        *_not_over(summary),
        *_unread(summary),
        *_uncounted(summary),
        *_more_alerts_than_faces(summary),
        *_amended(summary),
        *_unlisted(summary),
    ]


def unknown(summary: Summary) -> list[str]:
    """What nobody can say from these figures, however complete they are."""
    return [
        *_open_alerts(summary),
        *_misses(summary),
        *_projection(summary),
        "Whether the error rates differ between women and men, ages or skin tones is not known from this deployment: "
        "no such thing is recorded of anybody.",
        "Faces are counted, not people: whoever leaves the zone of recognition and returns is counted again, and "
        "whoever was not detected is not counted at all.",
    ]


def _not_over(summary: Summary) -> Iterator[str]:
    state = summary.reply.record.state
    if state not in FINAL:
        yield f"The deployment is {state}, not ended: the figures are those of the moment."
    if not summary.periods:
        yield "It has not been armed: nothing was searched."


def _uncounted(summary: Summary) -> Iterator[str]:
    record = summary.reply.record
    cameras = record.draft.cameras if summary.periods else ()
    missing = [name for name in cameras if name not in summary.faces_by_camera]
    if missing:
        yield f"There is no count of the faces at {_named(missing)}: they are in no denominator."
    readings = Counter(count.camera for count in summary.reply.faces if count.live)
    again = [name for name, number in readings.items() if number > 1]
    if again:
        yield (
            f"Reading of {_named(again)} was taken up again, after a suspension or by another program: where a program "
            "died, the faces of its last half second are not counted."
        )
    ended = summary.periods[-1][1] if summary.periods and record.state in FINAL else 0.0
    for name in readings:
        heard = max(count.updated_at for count in summary.reply.faces if count.camera == name)
        if heard < ended - SILENT_S:
            yield f"Camera {name} was last heard of at {clock_time(heard)} UTC, before the end: no face after that."


def _unread(summary: Summary) -> Iterator[str]:
    if ignored := unreadable(summary.reply):
        yield f"{counted(ignored, 'count')} that cannot be read {'is' if ignored == 1 else 'are'} left out."
    if nobody := empty_searches(summary.reply):
        yield (
            f"{nobody:,} searches compared with nobody, because nobody was on the lists: those faces are counted, and "
            "make false alerts per face look lower."
        )


def _more_alerts_than_faces(summary: Summary) -> Iterator[str]:
    if len(summary.alerts) > summary.faces and summary.periods:
        yield "There are more alerts than faces counted, so faces are missing: false alerts per face cannot be given."


def _amended(summary: Summary) -> Iterator[str]:
    deeds = [deed for deed in summary.reply.record.deeds if deed.verb == "amend"]
    while_running = [deed for deed in deeds if summary.periods and deed.at > summary.periods[0][0]]
    if while_running:
        thresholds = sorted({case.threshold for case in summary.alerts} | {summary.reply.record.threshold or 0.0})
        yield (
            f"Threshold or cameras were changed while it ran ({len(while_running)} times; thresholds "
            f"{', '.join(f'{threshold:g}' for threshold in thresholds)}): the ratios are of all versions together."
        )


def _unlisted(summary: Summary) -> Iterator[str]:
    known = {one.id for one in summary.reply.lists}
    missing = [name for name in summary.reply.record.draft.watch_lists if name not in known]
    if missing:
        yield f"There is no record of the watch list {_named(missing)}."


def _open_alerts(summary: Summary) -> Iterator[str]:
    alerts = summary.alerts
    if not alerts:
        yield "There was no alert, so there is no ratio of false alerts to alerts."
        return
    undecided = sum(case.status in ("open", "undecided") for case in alerts)
    silent = sum(case.status == "confirmed" and case.outcome is None for case in alerts)
    nothing = sum(case.outcome is not None and case.outcome.engagement == "no_engagement" for case in alerts)
    parts = [
        f"{undecided} that nobody decided" if undecided else "",
        f"{silent} confirmed by an operator, with nothing noted of what came of it" if silent else "",
        f"{nothing} confirmed by an operator, with nobody engaged" if nothing else "",
    ]
    told = "; ".join(part for part in parts if part)
    if told:
        yield f"Unconfirmed alerts may be true or false: {told}."


def _misses(summary: Summary) -> Iterator[str]:
    passages = summary.reply.passages
    if not passages:
        yield "No seed walked past, so it is not known how many listed people passed unnoticed."
        return
    close = _within(passages, summary.reply.record.draft.cooldown_s)
    if close:
        yield (
            f"{close} of the {len(passages)} passages came within the cool-down after another of the same seed at the "
            "same camera, when no second alert is raised: they count as missed."
        )
    late = sum(
        alert.raised_at < passage.noted_at
        for passage, alert in recognised(passages, [case for case in summary.reply.cases if case.seed])
    )
    if late:
        yield (
            f"{late} of the {len(passages)} passages {'was' if late == 1 else 'were'} noted after their alert was "
            "raised: who noted them can have known that they were recognised."
        )
    yield "TPIR is that of the seeds, who knew of the cameras; people on the lists may do better or worse."


def _projection(summary: Summary) -> Iterator[str]:
    if summary.projection is None and summary.periods:
        yield "There is no calibrated false match rate for this model and threshold, so nothing to compare with."
    calibration = calibration_of(summary.reply)
    if summary.projection is not None and calibration is not None:
        yield f"The projection rests on another sample than the people here: {calibration.limits}"


def _within(passages: tuple[Passage, ...], cooldown_s: float) -> int:
    """How many passages come sooner than the cool-down after the one before of the same seed at the same camera."""
    latest: dict[tuple[str, str], float] = {}
    close = 0
    for passage in sorted(passages, key=lambda passage: passage.at):
        key = passage.subject, passage.camera
        close += key in latest and passage.at - latest[key] < cooldown_s
        latest[key] = passage.at
    return close


def _named(names: list[str]) -> str:
    return ", ".join(sorted(names))
