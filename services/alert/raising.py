"""The alert itself: its id, its place in the cool-downs, and all that a person needs to decide about it."""

from __future__ import annotations

import hashlib

from proto import subjects
from proto.deployments import Warrant
from proto.messages import Alert, Candidates
from proto.records import Raised, TrackState


def cooldown_key(seen: Candidates, subject: str, seed: bool) -> str:
    """Where the recent alerts for a subject at a camera are noted: those of seeds elsewhere."""
    return subjects.key(*(["seed"] if seed else []), seen.deployment, seen.camera, subject)


def alert_message(seen: Candidates, state: TrackState, raised: Raised, warrant: Warrant, now: float) -> Alert:
    """The alert that a sample tipped: which record, list, score, threshold and N it rests on, and until when.

    One for a seed has no pictures: it is counted, and nobody compares anything.
    """
    return Alert(
        id=raised.alert,
        deployment=seen.deployment,
        record_version=warrant.record_version,
        camera=seen.camera,
        track=seen.track,
        watch_list=raised.watch_list,
        subject=raised.subject,
        score=raised.score,
        threshold=warrant.threshold,
        searched=seen.searched,
        samples=[scores.sample for scores in state.samples].index(raised.sample) + 1,
        template_version=seen.template_version,
        captured_at=seen.captured_at,
        source_time_s=seen.source_time_s,
        raised_at=now,
        frame=seen.frame,
        box=seen.box,
        quality=seen.quality,
        portrait="" if raised.seed else subjects.alert_portrait(raised.alert),
        reference_portrait="" if raised.seed else subjects.reference_portrait(raised.watch_list, raised.subject),
        portrait_sha256="" if raised.seed else hashlib.sha256(seen.portrait).hexdigest(),
        seed=raised.seed,
        stamp=warrant.stamp,
        expires_at=now + warrant.alerts_kept_s,
    )
