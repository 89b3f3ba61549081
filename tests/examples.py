"""One example of every message and record, and what tests change in them.

The golden files hold these examples as they were written by the version they are named after. A field that is added
later must have a default, and its value here must be that default.
"""

import numpy as np

from proto import messages, records
from proto.messages import Message
from proto.quality import Quality
from tests.governance_examples import GOVERNANCE_EXAMPLES

ABSTRACT = {"sighting"}
"""Kinds that only others are made of."""

QUALITY = Quality(
    unified=0.75,
    inter_eye_distance_px=48.5,
    sharpness=0.0625,
    head_pose_yaw_deg=-12.5,
    head_pose_pitch_deg=4.25,
    head_pose_roll_deg=1.5,
    under_exposure=0.125,
    over_exposure=0.0,
    dynamic_range=6.5,
    detect_score=0.875,
)
CHIP = np.arange(112 * 112 * 3, dtype=np.uint8).reshape(112, 112, 3)
TEMPLATE = np.array([0.6, -0.8, 0.0, 0.0], np.float32)
SIGHTING = {
    "deployment": "station-north",
    "record_version": 3,
    "camera": "gate-1",
    "track": "gate-1-0c8f-17",
    "sample": 2,
    "frame": 1234,
    "captured_at": 1_700_000_000.25,
    "source_time_s": 49.36,
    "box": (100.5, 50.25, 180.0, 160.75),
    "detect_score": 0.875,
    "quality": QUALITY,
}
DETECT_REQUEST = messages.DetectRequest(
    camera="gate-1", frame=1234, width=1920, height=1080, jpeg=b"\xff\xd8 a frame \xff\xd9"
)
DETECTIONS = messages.Detections(
    camera="gate-1",
    frame=1234,
    boxes=np.array([[1.5, 2.5, 30.25, 40.0], [100, 50, 180, 160]], np.float32),
    landmarks=np.arange(20, dtype=np.float32).reshape(2, 5, 2),
    detect_scores=np.array([0.875, 0.75], np.float32),
)
LIST_AND_SUBJECT = {"watch_list": "wanted", "subject": "S-0001"}
CANDIDATE = messages.Candidate(**LIST_AND_SUBJECT, score=0.625)
RAISED = records.Raised(alert="a1b2c3", **LIST_AND_SUBJECT, score=0.5625, sample=2)

_EXAMPLES = (
    DETECT_REQUEST,
    DETECTIONS,
    messages.DetectImagesRequest(images=(DETECT_REQUEST,)),
    messages.DetectImagesReply(found=(DETECTIONS, None), reasons=("", "not a JPEG that can be read")),
    messages.Sample(**SIGHTING, chip=CHIP, portrait=b"\xff\xd8 a portrait \xff\xd9"),
    messages.Probe(
        **SIGHTING, template=TEMPLATE, template_version="sface-2021dec", portrait=b"\xff\xd8 a portrait \xff\xd9"
    ),
    messages.Candidates(
        **SIGHTING,
        candidates=(CANDIDATE,),
        searched=10_000,
        template_version="sface-2021dec",
        portrait=b"\xff\xd8 a portrait \xff\xd9",
    ),
    messages.Alert(
        id="a1b2c3",
        deployment="station-north",
        record_version=3,
        camera="gate-1",
        track="gate-1-0c8f-17",
        **LIST_AND_SUBJECT,
        score=0.5625,
        threshold=0.5,
        searched=10_000,
        samples=2,
        template_version="sface-2021dec",
        captured_at=1_700_000_000.25,
        source_time_s=49.36,
        raised_at=1_700_000_000.5,
        frame=1234,
        box=(100.5, 50.25, 180.0, 160.75),
        quality=QUALITY,
        portrait="alert.a1b2c3",
        reference_portrait="reference.wanted.S-0001",
    ),
    messages.DeadLetter(
        stage="match",
        subject="watchline.v1.probe.gate-1",
        message_id="probe.gate-1-0c8f-17.2",
        message_kind="probe",
        reason="no armed deployment covers the camera",
        deliveries=1,
        at=1_700_000_000.75,
    ),
    messages.EmbedRequest(chips=CHIP[None]),
    messages.EmbedReply(templates=TEMPLATE[None], template_version="sface-2021dec"),
    messages.EnrolReply(
        **LIST_AND_SUBJECT,
        reference="front",
        enrolled=False,
        reason="the face is too small",
        component="inter_eye_distance_px",
        measured=12.5,
        required=24.0,
        quality=QUALITY,
    ),
    records.CameraRecord(camera="gate-1", location="rtsp://camera.example/1", realtime=False),
    records.CameraStatus(
        deployment="station-north",
        camera="gate-1",
        state="running",
        frames=1234,
        dropped=5,
        detections=99,
        tracks=7,
        samples=12,
        frame_count=9000,
        detail="",
        updated_at=1_700_000_001.0,
    ),
    records.SampleScores(sample=2, scores={"S-0001": 0.625}),
    RAISED,
    records.TrackState(
        deployment="station-north",
        camera="gate-1",
        track="gate-1-0c8f-17",
        samples=(
            records.SampleScores(sample=1, scores={"S-0001": 0.5}),
            records.SampleScores(sample=2, scores={"S-0001": 0.625}),
        ),
        raised=(RAISED,),
    ),
    records.RecentAlert(alert="a1b2c3", captured_at=1_700_000_000.25),
    records.RecentAlerts(alerts=(records.RecentAlert(alert="a1b2c3", captured_at=1_700_000_000.25),)),
    records.Attempt(stage="match", sequence=17),
    records.Lease(holder="ingest-7f", camera="gate-1"),
)
EXAMPLES = {type(example).kind(): example for example in (*_EXAMPLES, *GOVERNANCE_EXAMPLES)}


def kinds():
    """Every kind of message and record there is."""
    return sorted(kind for kind in _kinds_under(Message) if kind not in ABSTRACT)


def _kinds_under(model):
    for child in model.__subclasses__():
        if child.__module__.startswith("proto."):
            yield child.kind()
            yield from _kinds_under(child)


def changed(kind, **fields):
    """The example of a kind with other values in some fields, checked like a new one."""
    example = EXAMPLES[kind]
    values = {name: getattr(example, name) for name in type(example).model_fields}
    return type(example).model_validate({**values, **fields})


def an_alert(**fields):
    """The example of an alert with other values in some fields; under its own id, where a test gives it no other."""
    alert = changed("alert", **fields)
    return alert if "id" in fields else alert.model_copy(update={"id": alert.own_id})


ALERT = an_alert().id
"""The alert that is raised where a test says nothing else."""
