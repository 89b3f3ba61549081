"""What a deployment came to: what counts as false, which faces count, and what TPIR is made of."""

import pytest

from services.cli.deployments.report.summary import PASSAGE_WINDOW_S, armed_periods, kind_of, summarise
from tests.deployment_figures import ALERTS, END, HOUR, START, case, deed, faces, figures, passage, record, seed_case


def summary(**changes):
    return summarise(figures(**changes), END + 60)


# -- alerts


@pytest.mark.parametrize(
    ("status", "engagement", "kind"),
    [
        ("confirmed", "confirmed_true", "confirmed true"),
        ("confirmed", "confirmed_false", "confirmed false"),
        ("rejected", None, "rejected"),
        ("open", None, "unconfirmed"),
        ("undecided", None, "unconfirmed"),
        ("confirmed", None, "unconfirmed"),
        ("confirmed", "no_engagement", "unconfirmed"),
    ],
)
def test_an_alert_is(status, engagement, kind):
    assert kind_of(case(0, status, engagement)) == kind


def test_false_alerts_are_those_confirmed_false_and_those_rejected():
    found = summary()
    assert (len(found.alerts), found.false, found.kinds["confirmed true"]) == (8, 6, 1)


def test_both_ratios_have_their_own_denominator():
    found = summary()
    assert (found.per_face[0].events, found.per_face[0].trials) == (6, 8_600)
    assert (found.per_alert[0].events, found.per_alert[0].trials) == (6, 8)


def test_silence_cannot_flatter_a_rate():
    silent = summary(cases=tuple(case(number) for number in range(8)))
    assert (silent.per_face[0].events, silent.per_alert[0].events) == (0, 0)
    assert (silent.per_face[1].events, silent.per_alert[1].events) == (8, 8)
    decided = summary(cases=tuple(case(number, "rejected") for number in range(8)))
    assert silent.per_alert[1] == decided.per_alert[0]


def test_without_an_alert_there_is_no_ratio_of_false_alerts_to_alerts():
    none = summary(cases=())
    assert none.per_alert is None
    assert (none.per_face[0].events, none.per_face[0].high > 0) == (0, True)


def test_without_enough_faces_counted_no_ratio_to_faces_is_made_up():
    assert summary(faces=()).per_face is None
    assert summary(faces=(faces("gate-1", 3),)).per_face is None


def test_alerts_for_seeds_are_no_alerts():
    seeds = tuple(seed_case(number, START + number * 100) for number in range(5))
    assert summary(cases=(*ALERTS, *seeds)).per_alert == summary(cases=ALERTS).per_alert


def test_a_half_confirmed_alert_that_was_deleted_is_unconfirmed_and_never_true():
    by_one = case(0, "confirmed").decisions
    found = summary(cases=(case(0, decisions=by_one, confirmations_needed=2, deleted_at=END),))
    assert (found.kinds["unconfirmed"], found.kinds["confirmed true"]) == (1, 0)
    assert (found.per_alert[0].events, found.per_alert[1].events) == (0, 1)


# -- faces


def test_of_a_live_camera_all_readings_count_and_of_a_recording_the_last():
    live = [faces("gate-1", 30), faces("gate-1", 12, reading="gate-1-2-")]
    files = [
        faces("gate-2", 500, reading="gate-2-2-", live=False, updated_at=200.0),
        faces("gate-2", 90, reading="gate-2-1-", live=False, updated_at=100.0),
    ]
    found = summary(faces=(*live, *files))
    assert {name: minutes.total() for name, minutes in found.faces_by_camera.items()} == {"gate-1": 42, "gate-2": 500}
    assert found.faces == 542


# -- TPIR


def tpir(passages, alerts):
    return summary(passages=tuple(passages), cases=tuple(alerts)).tpir


def test_tpir_is_the_share_of_passages_with_an_alert_of_their_own():
    found = summary().tpir
    assert (found.events, found.trials) == (8, 10)


@pytest.mark.parametrize("seconds", [-PASSAGE_WINDOW_S, 0, PASSAGE_WINDOW_S])
def test_an_alert_within_the_window_is_the_passages(seconds):
    assert tpir([passage(START)], [seed_case(0, START + seconds)]).events == 1


@pytest.mark.parametrize(
    "alert",
    [
        seed_case(0, START + PASSAGE_WINDOW_S + 1),
        seed_case(0, START - PASSAGE_WINDOW_S - 1),
        seed_case(0, START, camera="gate-2"),
        seed_case(0, START, subject="blue-2"),
        seed_case(0, START, seed=False),
    ],
    ids=["later", "earlier", "another camera", "another seed", "no seed"],
)
def test_a_passage_is_missed_by_an_alert_that_is(alert):
    assert tpir([passage(START)], [alert]).events == 0


def test_one_alert_is_of_one_passage_only():
    assert tpir([passage(START), passage(START + 30)], [seed_case(0, START + 10)]).events == 1
    two = [seed_case(0, START + 55), seed_case(1, START + 70)]
    assert tpir([passage(START), passage(START + 30)], two).events == 2


def test_where_nobody_walked_past_there_is_no_tpir():
    assert tpir([], [seed_case(0, START)]) is None


# -- times, lists, projection


def test_it_was_armed_from_each_arming_to_what_stopped_it():
    assert armed_periods(figures(), END) == ((START, START + 2 * HOUR), (START + 2.5 * HOUR, END))
    assert summary().duration_s == 5 * HOUR


def test_what_is_armed_still_has_been_so_until_now_and_never_beyond_its_end():
    running = record(state="armed", ended_at=0.0, deeds=(deed("arm", "c-brown", START + 60),))
    assert armed_periods(figures(record=running), START + 100) == ((START + 60, START + 100),)
    assert armed_periods(figures(record=running), END + 9 * HOUR) == ((START + 60, END),)


def test_what_was_never_armed_has_no_time():
    drafted = record(state="draft", armed_at=0.0, ended_at=0.0, deeds=(deed("draft", "a-jones", START),))
    assert armed_periods(figures(record=drafted), START + 100) == ()


def test_n_is_the_most_that_was_searched_and_else_what_is_on_the_lists_without_seeds():
    assert (summary().list_size, summary().list_sizes) == (7_292, "7,292")
    assert summary(searches=(), cases=()).list_size == 7_000 + 292
    fewer = tuple(one.model_copy(update={"least_searched": 12}) for one in figures().searches)
    shrunk = summary(searches=fewer, cases=())
    assert (shrunk.list_size, shrunk.list_sizes) == (7_292, "12 to 7,292")
    assert shrunk.projection.references == 7_292
    lost = tuple(one.model_copy(update={"most_searched": 12}) for one in fewer)
    assert summary(searches=lost).list_size == 7_292  # as its alerts say


def test_a_count_of_no_minute_is_none():
    odd = {"soon": 5, "28": -3, "9" * 40: 7, "": 1, "29": 2}
    found = summary(faces=(faces("gate-1", 3).model_copy(update={"minutes": odd}),))
    assert found.faces == 2


def test_the_projection_is_n_times_the_calibrated_false_match_rate():
    projection = summary().projection
    assert projection.fmr.trials > 1_000_000
    assert projection.per_face == 7_292 * projection.fmr.value
    assert projection.per_face_upper > projection.per_face


def test_without_a_calibration_for_its_threshold_there_is_no_projection():
    assert summary(record=record(threshold=0.0)).projection is None
    assert summary(lists=()).projection is None
