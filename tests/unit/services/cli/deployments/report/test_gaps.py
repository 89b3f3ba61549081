"""What the figures do not tell, told."""

import pytest

from services.cli.deployments.report.gaps import incomplete, unknown
from services.cli.deployments.report.summary import summarise
from tests.deployment_figures import (
    ALERTS,
    END,
    HOUR,
    START,
    case,
    deed,
    faces,
    figures,
    passage,
    record,
    seed_case,
    watch_list,
)


def gaps(what=incomplete, **changes):
    return "\n".join(what(summarise(figures(**changes), END + 60)))


def test_a_deployment_that_ended_with_all_its_counts_is_complete():
    assert gaps() == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"record": record(state="armed", ended_at=0.0)}, "The deployment is armed, not ended"),
        ({"record": record(deeds=())}, "It has not been armed"),
        ({"faces": (faces("gate-1", 9_000), faces("gate-2", 5))}, "no count of the faces at concourse-west"),
        (
            {"faces": (*figures().faces, faces("gate-2", 5, reading="gate-2-2-"))},
            "Reading of gate-2 was taken up again",
        ),
        (
            {"faces": (*figures().faces[1:], faces("gate-1", 9_000, updated_at=END - HOUR))},
            "Camera gate-1 was last heard of at 13:30:00 UTC, before the end",
        ),
        ({"faces": tuple(faces(name, 1) for name in ("gate-1", "gate-2", "concourse-west"))}, "more alerts than faces"),
        (
            {
                "record": record(
                    deeds=(*record().deeds[:3], deed("amend", "b-smith", START + HOUR), *record().deeds[3:])
                )
            },
            "Threshold or cameras were changed while it ran (1 times; thresholds 0.5)",
        ),
        ({"lists": (watch_list("wanted", 10),)}, "no record of the watch list missing"),
        ({"missing": ("1 alert has no record.",)}, "1 alert has no record."),
        (
            {"faces": (*figures().faces, faces("gate-1", 1).model_copy(update={"minutes": {"soon": 1}}))},
            "1 count that cannot be read is left out",
        ),
        (
            {"searches": (figures().searches[0].model_copy(update={"histogram": {"-100": 1_200, "38": 4}}),)},
            "1,200 searches compared with nobody, because nobody was on the lists",
        ),
    ],
    ids=[
        "running",
        "never armed",
        "camera",
        "again",
        "silent",
        "few faces",
        "amended",
        "list",
        "unsigned",
        "unread",
        "nobody",
    ],
)
def test_it_is_told_where_counts_are_incomplete(changes, told):
    assert told in gaps(**changes)


def test_a_recording_that_was_over_before_the_deployment_is_complete():
    files = tuple(faces(name, 9_000, live=False, updated_at=START + 60) for name in ("gate-1", "gate-2"))
    rest = faces("concourse-west", 9_000)
    assert gaps(faces=(*files, rest)) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cases": ()}, "There was no alert, so there is no ratio"),
        ({"cases": (case(0), case(1, "undecided"))}, "2 that nobody decided"),
        ({"cases": (case(0, "confirmed"),)}, "1 confirmed by an operator, with nothing noted of what came of it"),
        ({"cases": (case(0, "confirmed", "no_engagement"),)}, "1 confirmed by an operator, with nobody engaged"),
        ({"passages": ()}, "not known how many listed people passed unnoticed"),
        ({"passages": (passage(START), passage(START + 20))}, "1 of the 2 passages came within the cool-down"),
        (
            {
                "passages": (passage(START, noted_at=START + 90), passage(START + HOUR, noted_at=START + HOUR)),
                "cases": (seed_case(0, START), seed_case(1, START + HOUR)),
            },
            "1 of the 2 passages was noted after their alert was raised",
        ),
        ({"record": record(threshold=0.0)}, "no calibrated false match rate"),
        ({}, "The projection rests on another sample"),
        ({}, "women and men, ages or skin tones is not known"),
        ({}, "Faces are counted, not people"),
    ],
)
def test_it_is_told_what_nobody_can_know(changes, told):
    assert told in gaps(unknown, **changes)


def test_where_every_alert_was_settled_nothing_is_said_of_open_ones():
    assert "Unconfirmed" not in gaps(unknown, cases=ALERTS[:7])
