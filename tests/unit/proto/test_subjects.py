"""Subjects, message ids and keys: the same for the same thing, and safe whatever a subject is called."""

import re

import pytest

from proto import subjects
from tests.examples import EXAMPLES, changed

KEY = re.compile(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*")
"""What a key of a NATS bucket may look like, less the slash."""
HOSTILE = {
    "a wildcard": "*",
    "all wildcards": ">",
    "dots": "..",
    "a path": "../../etc/passwd",
    "a space": "S 1",
    "a line break": "S\r\nPUB x 0",
    "umlauts": "Übeltäter",
    "another alphabet": "被疑者",
    "digits of another alphabet": "٣",
    "nothing but a dash": "-",
    "nothing": "",
    "very much": "x" * 5000,
}


@pytest.mark.parametrize(
    ("kind", "subject", "message_id"),
    [
        ("sample", "watchline.v1.sample.gate-1", "sample.gate-1-0c8f-17.2"),
        ("probe", "watchline.v1.probe.gate-1", "probe.gate-1-0c8f-17.2"),
        ("candidates", "watchline.v1.candidates.gate-1", "candidates.gate-1-0c8f-17.2"),
        ("intervention", "watchline.v1.intervention.station-north.gate-1", "intervention.a1b2c3"),
        ("dead_letter", "watchline.v1.deadletter.match", "dead.match.probe.gate-1-0c8f-17.2"),
    ],
)
def test_a_published_message_has_one_subject_and_one_id(kind, subject, message_id):
    assert subjects.address(EXAMPLES[kind]) == (subject, message_id)


@pytest.mark.parametrize("fields", [{"portrait_sha256": "e5" * 32}, {"score": 0.99}, {"captured_at": 1_700_000_001.0}])
def test_nobody_who_has_not_seen_an_alert_knows_the_id_of_its_message(fields):
    alert = EXAMPLES["alert"]
    subject, message_id = subjects.address(alert)
    assert subject == "watchline.v1.alert.station-north.gate-1"
    assert message_id.startswith("alert.a1b2c3.")
    assert subjects.address(alert.model_copy(update=fields))[1] != message_id
    assert subjects.address(alert.model_copy(update={"raised_at": 1_700_000_009.0}))[1] == message_id


def test_every_published_message_has_a_stream_that_takes_its_subject():
    for kind in ("sample", "probe", "candidates", "alert", "dead_letter"):
        tokens = subjects.address(EXAMPLES[kind])[0].split(".")
        takers = [
            stream.name
            for stream in subjects.STREAMS
            for pattern in stream.subjects
            if len(pattern.split(".")) == len(tokens)
            and all(want in ("*", have) for want, have in zip(pattern.split("."), tokens, strict=True))
        ]
        assert len(takers) == 1, kind


@pytest.mark.parametrize("kind", ["detect_request", "enrol_reply", "deployment_record", "lease"])
def test_what_is_asked_or_stored_is_never_published(kind):
    with pytest.raises(TypeError, match="is not published"):
        subjects.address(EXAMPLES[kind])


def test_two_samples_of_a_track_have_two_ids():
    assert subjects.address(changed("sample", sample=1))[1] != subjects.address(changed("sample", sample=2))[1]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_key_is_one_safe_token_for_a_subject_called(text):
    assert KEY.fullmatch(subjects.token(text))
    assert KEY.fullmatch(subjects.reference_portrait("wanted", text))
    assert subjects.reference_portrait("wanted", text).count(".") == 2


def test_different_subjects_never_share_a_key():
    names = [*HOSTILE.values(), "S-0001", "S_0001", "s-0001", "S-0001 "]
    assert len({subjects.token(name) for name in names}) == len(names)


def test_nobody_can_take_the_key_of_another_by_calling_himself_like_its_hash():
    hashed = subjects.token("S 1")
    assert subjects.token(hashed) != hashed


def test_a_plain_name_stays_readable_in_its_key():
    assert subjects.key("station-north", "gate-1", "S_0001") == "station-north.gate-1.S_0001"


def test_biometrics_of_the_unlisted_live_in_memory_alone():
    in_memory = {stream.name for stream in subjects.STREAMS if stream.storage == "memory"}
    assert {"SAMPLES", "PROBES", "CANDIDATES"} <= in_memory
    assert subjects.TRACKS.storage == "memory"


def test_a_work_queue_refuses_rather_than_forgets():
    for stream in subjects.STREAMS:
        assert (stream.max_messages > 0) == (stream.retention == "workqueue"), stream.name


def test_an_alert_that_is_said_again_late_is_still_recognised():
    """A candidate list may be redelivered as long as its stream keeps it."""
    assert subjects.ALERTS.duplicate_window_s >= subjects.CANDIDATES.max_age_s
