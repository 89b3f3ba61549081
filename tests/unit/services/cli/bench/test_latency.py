import json
from datetime import UTC, datetime

import pytest

from services.cli.bench.latency import STAGES, Latency, published_at, stages_ms
from tests.examples import EXAMPLES

T0 = 1_700_000_000.0


def line(stage_id, at_s, **changes):
    entry = {
        "event": "message",
        "id": stage_id,
        "outcome": "done",
        "seconds": 0.02,
        "waited_s": 0.005,
        "timestamp": datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z"),
    }
    return json.dumps({**entry, **changes})


@pytest.fixture
def alert():
    return EXAMPLES["alert"].model_copy(
        update={"track": "gate-1-a-7", "samples": 2, "captured_at": T0, "raised_at": T0 + 0.1}
    )


def test_a_stage_has_a_message_from_when_it_came_onto_the_bus():
    found = published_at({"embed": [line("sample.gate-1-a-7.2", T0 + 0.065)]})

    assert found["embed"]["gate-1-a-7.2"] == pytest.approx(T0 + 0.04, abs=1e-5)


def test_lines_that_are_no_handled_message_are_passed_over():
    lines = ["not JSON", json.dumps({"event": "ready"}), line("sample.a.1", T0, outcome="retry")]

    assert published_at({"embed": lines}) == {"embed": {}}


def test_the_stages_add_up_to_the_whole_way_of_the_alert(alert):
    published = {
        "embed": {"gate-1-a-7.2": T0 + 0.04},
        "match": {"gate-1-a-7.2": T0 + 0.07},
        "alert": {"gate-1-a-7.2": T0 + 0.08},
    }

    found = stages_ms(alert, T0 + 0.105, published)

    assert list(found) == list(STAGES)
    assert list(found.values()) == pytest.approx([40, 30, 10, 20, 5], abs=0.01)


def test_without_an_alert_there_is_no_latency_to_state():
    nothing = Latency([], {name: [] for name in STAGES}, frames=100, dropped=0, cameras=1, fps=25, visits=3)

    assert nothing.percentile_ms(99) is None
    assert set(nothing.mean_stages_ms.values()) == {0.0}
