"""What officers are shown before they sign: whom the lists hold, and how often the threshold errs, in words."""

import io

import pytest
from rich.console import Console

from libs.calibration import CalibrationError
from libs.errors import TransientError
from proto.requests.watchlists import EntriesReply
from services.cli.client import Client
from services.cli.deployments.lines import signed_for_table
from services.cli.deployments.signed_for import error_rates, false_alerts, often, read_signed_for
from tests.examples import EXAMPLES, changed

NOW = 1_773_500_000.0
LIST = EXAMPLES["watch_list_record"]
ENTRY = EXAMPLES["entry_record"]


class Match:
    """A bus on which `match` tells of one entry, or does not answer."""

    def __init__(self, *, away=False):
        self.away = away

    async def ask(self, *_):
        if self.away:
            raise TransientError("nobody answered", 60.0)  # longer than anybody insists
        (image,) = ENTRY.images
        old = image.model_copy(update={"enrolled_at": NOW - 7200, "reviewed_at": 0.0})
        return EntriesReply(record=LIST, entries=(ENTRY.model_copy(update={"images": (old,)}),))


def wanted(**fields):
    form = LIST.form.model_copy(update={"expires_at": NOW + 86_400, "criteria": "a warrant for robbery"})
    version = {"template_version": "sface-2021dec", "state": "ready", "built_at": NOW - 60}
    return LIST.model_copy(update={"form": form, **version, "subjects": 1000, "references": 2000, **fields})


def deployment(state="draft", **fields):
    record = changed("deployment_record", state=state)
    changes = {"watch_lists": (LIST.id,), "seed_lists": (), "threshold": 0.5, "target_fpir": None, **fields}
    return record.model_copy(update={"draft": record.draft.model_copy(update=changes)})


async def shown(record, known, match=None):
    found = await read_signed_for(Client(match or Match()), record, known)
    out = io.StringIO()
    Console(file=out, width=200).print(signed_for_table(found, NOW))
    return found, out.getvalue()


async def test_each_list_is_shown_with_whom_it_holds_and_how_old_it_is():
    _, text = await shown(deployment(), {LIST.id: wanted()})
    assert f"watch list {LIST.id}" in text
    assert "who belongs on it: a warrant for robbery" in text
    assert "1,000 people, 2,000 references" in text
    assert f"of the images {LIST.inputs_sha256[:12]}…" in text
    assert "2 h ago" in text  # as old as the image that nobody has put forward since


async def test_the_false_alerts_to_expect_grow_with_the_list_and_are_given_with_their_upper_end():
    small = error_rates(deployment(), [wanted(references=1000)])
    large = error_rates(deployment(), [wanted(references=100_000)])
    assert small.per_face == pytest.approx(7.03337e-7 * 1000, rel=1e-3)
    assert large.per_face == pytest.approx(100 * small.per_face)
    assert small.per_face_upper > small.per_face
    (model,) = small.models
    assert (model.fmr.trials, model.fnmr.value) == (8_530_762, pytest.approx(0.084, rel=0.01))


async def test_the_rates_are_told_in_words():
    _, text = await shown(deployment(), {LIST.id: wanted()})
    assert "threshold 0.50" in text
    assert "a stranger is taken for somebody on a list in 1 in 1,420,000 comparisons (6 of 8,530,762" in text
    assert "somebody on a list is overlooked in 8.4" in text
    assert "each face is compared with 2,000 references: expect a false alert for 1 in 711 faces" in text
    assert "At worst: the upper end" in text


async def test_a_list_that_is_not_there_is_said_to_be_missing_and_no_rate_is_made_up():
    found, text = await shown(deployment(), {})
    assert "is not there: make it with `watchline watchlist create`" in text
    assert "how often it errs" in text
    assert f"not there, not complete or empty: {LIST.id}" in text
    assert found.as_json()["lists"][0]["exists"] is False
    assert found.as_json()["error_rates"] is None


@pytest.mark.parametrize("fields", [{"state": "importing"}, {"references": 0}, {"state": "destroyed"}])
async def test_of_a_list_that_is_not_final_no_rate_is_made_up(fields):
    found, text = await shown(deployment(), {LIST.id: wanted(**fields)})
    assert found.rates is None
    assert "how often it errs" in text
    assert ("nobody is on it any more" in text) == (fields.get("state") == "destroyed")


async def test_where_the_lists_cannot_be_asked_for_that_is_said():
    _, text = await shown(deployment(), None)
    assert "match does not answer" in text
    found, _ = await shown(deployment(), {LIST.id: wanted()}, Match(away=True))
    assert found.lists[0].as_of is None


async def test_a_model_without_a_calibration_promises_nothing():
    with pytest.raises(CalibrationError, match="no calibration is known of other-1"):
        error_rates(deployment(), [wanted(template_version="other-1")])


async def test_a_target_rate_is_shown_with_the_threshold_it_leads_to():
    rates = error_rates(deployment(threshold=None, target_fpir=0.01), [wanted(references=1000)])
    assert rates.per_face_upper <= 0.01


async def test_nothing_is_shown_to_be_signed_of_what_is_over():
    assert await read_signed_for(Client(Match()), deployment("ended"), {LIST.id: wanted()}) is None


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0, "none of the"),
        (7.03e-7, "1 in 1,420,000"),
        (0.001, "1 in 1,000"),
        (0.5, "5 in 10"),
        (0.94, "9.4 in 10"),
        (0.9999, "nearly all"),
        (1.0, "nearly all"),
    ],
)
def test_a_rate_is_told_as_people_say_it(rate, words):
    assert often(rate) == words


@pytest.mark.parametrize(
    ("per_face", "words"),
    [
        (0.0014, "a false alert for 1 in 714 faces"),
        (0.999, "a false alert for nearly all faces"),
        (1.2, "a false alert for nearly all faces"),
        (1.53, "2 false alerts a face"),
        (12_345.6, "12,346 false alerts a face"),
    ],
)
def test_more_than_one_false_alert_a_face_is_told_as_such(per_face, words):
    assert false_alerts(per_face) == words


async def test_over_the_highest_calibrated_threshold_no_miss_rate_is_told_and_the_false_match_rate_is():
    found, text = await shown(deployment(threshold=0.9), {LIST.id: wanted()})
    assert "a stranger is taken for somebody on a list in none of the comparisons" in text
    assert "how often somebody on a list is overlooked is not known" in text
    (model,) = found.as_json()["error_rates"]["models"]
    assert (model["false_non_match_rate"], model["false_match_rate"]["events"]) == (None, 0)
