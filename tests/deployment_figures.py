"""The figures of a made-up deployment that has everything: false alerts, an open one, seeds, a suspension."""

import math

import numpy as np

from proto.audit import Deed
from proto.cases import Case, Decision, Outcome
from proto.counts import FaceCount, Passage, SearchCount
from proto.deployments import DeploymentRecord, Zone
from proto.requests.deployments import FiguresReply
from proto.watchlists import WatchListForm, WatchListRecord
from tests.governance_examples import DRAFT

START = 1_792_314_000.0  # 2026-10-18 09:00 UTC
HOUR = 3600.0
END = START + 5.5 * HOUR
SUBJECT, SEED = "S-4711-SECRET", "blue-1-SECRET"
HOSTILE = "<script>document.title='obeyed'</script>"
SCORES = (0.71, 0.62, 0.535, 0.505, 0.51, 0.52, 0.54, 0.503)
FACES = {"gate-1": 4_100, "gate-2": 2_900, "concourse-west": 1_600}


def deed(verb, who, at):
    return Deed(who=who, verb=verb, at=at, origin="desk-1", reason="a reason about somebody", act="a1" * 32)


def record(**changes):
    deeds = (
        deed("draft", "a-jones", START - 30 * HOUR),
        deed("authorise", "b-smith", START - 20 * HOUR),
        deed("arm", "c-brown", START - 600),
        deed("suspend", "d-green", START + 2 * HOUR),
        deed("arm", "c-brown", START + 2.5 * HOUR),
        deed("end", "govern", END),
    )
    draft = DRAFT.model_copy(
        update={
            "starts_at": START,
            "ends_at": END,
            "cameras": {name: Zone() for name in FACES},
            "watch_lists": ("wanted", "missing"),
            "location": "Oxford Circus, north side",
        }
    )
    fields = {
        "draft": draft,
        "record_version": 6,
        "state": "ended",
        "deeds": deeds,
        "threshold": 0.5,
        "armed_at": START - 600,
        "ended_at": END,
    }
    return DeploymentRecord(**(fields | changes))


def watch_list(name, references, **changes):
    form = WatchListForm(
        watch_list=name,
        profile="uk-police",
        purpose="people wanted on a warrant for a violent offence",
        owner="custody unit",
        category="wanted on warrant",
        response="red",
        lawful_basis="DPA 2018, part 3",
        criteria="a warrant not older than a year, and a photograph not older than five",
        expires_at=END + 24 * HOUR,
        seed=name == "blue",
    )
    fields = {
        "form": form,
        "record_version": 3,
        "state": "ready",
        "deeds": (),
        "created_at": START - 10 * HOUR,
        "built_at": START - 8 * HOUR,
        "template_version": "sface-2021dec",
        "subjects": references,
        "references": references,
    }
    return WatchListRecord(**(fields | changes))


def case(number, status="open", engagement=None, **changes):
    """Alert `number` of the deployment; decided 20 s after it was raised, where it is."""
    captured = START + (0.4 + 0.6 * number) * HOUR
    raised = captured + 0.2 + 0.05 * number
    verdict = {"confirmed": "confirmed", "rejected": "rejected", "undecided": "no_decision"}.get(status)
    at = raised + 9 * 1.7**number
    decisions = (
        [Decision(officer="d-green", verdict=verdict, reason="about a face", at=at, key_sha256="6b" * 32)]
        if verdict
        else []
    )
    outcome = None
    if engagement:
        outcome = Outcome(officer="e-white", engagement=engagement, reason="about a person", at=at + 300)
    fields = {
        "alert": f"alert-{number}",
        "deployment": "station-north",
        "record_version": 3,
        "camera": list(FACES)[number % 3],
        "watch_list": "wanted",
        "subject": SUBJECT,
        "response": "red",
        "score": SCORES[number % len(SCORES)],
        "threshold": 0.5,
        "searched": 7_292,
        "captured_at": captured,
        "raised_at": raised,
        "status": status,
        "decisions": tuple(decisions),
        "outcome": outcome,
    }
    return Case(**(fields | changes))


def seed_case(number, at, **changes):
    fields = {"seed": True, "subject": SEED, "camera": "gate-1", "watch_list": "blue", "captured_at": at}
    return case(100 + number, **(fields | {"raised_at": at + 0.5, "score": 0.7} | changes))


def passage(at, **changes):
    fields = {"deployment": "station-north", "camera": "gate-1", "subject": SEED, "at": at, "noted_by": "d-green"}
    return Passage(**(fields | changes))


def faces(camera, total, **changes):
    """So many faces of a live camera, more of them at noon than before and after, none while it was suspended."""
    minutes = np.arange(START // 60, END // 60, dtype=int)
    running = (minutes < START // 60 + 120) | (minutes >= START // 60 + 150)
    weights = (1.2 + np.sin((minutes - minutes[0]) / len(minutes) * math.pi)) * running
    counts = np.random.default_rng(total).multinomial(total, weights / weights.sum())
    fields = {
        "deployment": "station-north",
        "camera": camera,
        "reading": f"{camera}-0c8f-",
        "live": True,
        "minutes": {str(minute): int(count) for minute, count in zip(minutes, counts, strict=True) if count},
        "updated_at": END - 0.3,
    }
    return FaceCount(**(fields | changes))


def searches(camera, total):
    scores = np.random.default_rng(total + 1).normal(0.29, 0.045, total)
    edges, counts = np.unique((scores * 50).astype(int) * 2, return_counts=True)
    histogram = {str(edge): int(count) for edge, count in zip(edges, counts, strict=True)}
    histogram |= {"50": 4, "52": 2} if camera == "gate-1" else {}
    return SearchCount(
        deployment="station-north", camera=camera, counter="match-1", least_searched=7_292, most_searched=7_292,
        histogram=histogram, updated_at=END,
    )  # fmt: skip


ALERTS = (
    case(0, "confirmed", "confirmed_true"),
    case(1, "confirmed", "confirmed_false"),
    case(2, "confirmed", "confirmed_false"),
    case(3, "rejected"),
    case(4, "rejected"),
    case(5, "rejected"),
    case(6, "rejected"),
    case(7),
)
PASSED = tuple(START + (1 + number) * 900 for number in range(10))


def figures(**changes):
    """Everything about the deployment."""
    fields = {
        "record": record(),
        "stamp": "",
        "lists": (watch_list("wanted", 7_000), watch_list("missing", 292), watch_list("blue", 3)),
        "cases": (*ALERTS, *(seed_case(number, at + 4) for number, at in enumerate(PASSED[:8]))),
        "passages": tuple(passage(at) for at in PASSED),
        "faces": tuple(faces(camera, total) for camera, total in FACES.items()),
        "searches": tuple(searches(camera, 2 * total) for camera, total in FACES.items()),
        "audit_entries": 214,
        "audit_head": "e5" * 32,
    }
    return FiguresReply(**(fields | changes))
