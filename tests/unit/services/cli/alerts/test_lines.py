"""How alerts read: as a likeness that a person must judge, never as more than that."""

import re

import pytest

from proto.cases import Decision
from services.cli.alerts.lines import (
    adjudication_line,
    alert_line,
    case_lines,
    case_table,
    intervention_line,
    is_open,
    next_step,
    standing,
)
from tests.examples import changed

NOW = 1_700_000_600.0
CASE = changed("case", status="open", decisions=(), outcome=None, response="", expires_at=NOW + 3600)
CLAIMS = re.compile(r"\bmatch|identif|confiden|probab|\bis S-0001|%", re.IGNORECASE)
"""What an alert is not."""


def confirmed_by(*officers, **fields):
    said = {"verdict": "confirmed", "reason": "same scar", "at": NOW - 60, "key_sha256": "6b" * 32}
    decisions = tuple(Decision(officer=who, **said) for who in officers)
    return CASE.model_copy(update={"decisions": decisions, **fields})


def text(case):
    return "\n".join(line.plain for line in case_lines(case, NOW))


def test_an_alert_reads_as_a_likeness_with_its_score_threshold_and_n():
    line = alert_line(changed("alert")).plain
    assert line == (
        "22:13:20 alert a1b2c3 station-north, camera gate-1: resembles S-0001 of list wanted, comparison score 0.562 "
        "(threshold 0.50, N = 10000): a person must decide"
    )


def test_a_stamp_is_seen_on_the_alert_and_the_case_and_the_intervention():
    stamp = {"stamp": "EVALUATION"}
    assert "EVALUATION" in alert_line(changed("alert", **stamp)).plain
    assert "EVALUATION" in text(CASE.model_copy(update=stamp))
    assert "EVALUATION" in intervention_line(changed("intervention", **stamp)).plain


def test_a_seed_reads_as_one():
    line = alert_line(changed("alert", seed=True)).plain
    assert "seed" in line
    assert "a person must decide" not in line


@pytest.mark.parametrize(
    "line",
    [alert_line(changed("alert")).plain, text(CASE), text(confirmed_by("d-green", status="confirmed"))],
    ids=["alert", "open case", "confirmed case"],
)
def test_nothing_claims_more_than_a_likeness(line):
    assert not CLAIMS.search(line)


def test_a_subject_that_looks_like_markup_is_written_as_it_is():
    assert "[red]S[/red]" in alert_line(changed("alert", subject="[red]S[/red]")).plain


def test_an_open_case_says_what_to_do():
    assert "watchline alerts show a1b2c3 --portraits DIR" in next_step(CASE, NOW)
    assert "then adjudicate" in next_step(CASE, NOW)


def test_a_half_confirmed_case_says_that_another_person_must():
    case = confirmed_by("d-green", confirmations_needed=2)
    assert "1 of 2 confirmed" in text(case)
    assert next_step(case, NOW).startswith("1 more must confirm")


def test_what_is_deleted_waits_for_nobody():
    assert is_open(CASE, NOW)
    assert not is_open(confirmed_by("d-green", status="confirmed"), NOW)
    assert not is_open(CASE.model_copy(update={"seed": True}), NOW)
    assert not is_open(CASE.model_copy(update={"deleted_at": NOW}), NOW)
    assert not is_open(confirmed_by("d-green", confirmations_needed=2, deleted_at=NOW), NOW)


def test_what_is_past_its_time_waits_for_nobody_though_no_sweep_has_come_yet():
    late = CASE.model_copy(update={"expires_at": NOW})
    assert not is_open(late, NOW)
    assert standing(late, NOW).plain == "not decided, data past its time"
    assert next_step(late, NOW).startswith("nothing: its data is deleted")


def test_what_is_deleted_says_so_and_asks_nobody_to_compare_pictures():
    untouched = CASE.model_copy(update={"deleted_at": NOW, "escalated_at": NOW - 60})
    half = confirmed_by("d-green", confirmations_needed=2, deleted_at=NOW)
    assert standing(untouched, NOW).plain == "not decided, data deleted"
    assert standing(half, NOW).plain == "not decided, 1 of 2 confirmed, data deleted"
    for case in (untouched, half, CASE.model_copy(update={"deleted_at": NOW, "status": "undecided"})):
        assert next_step(case, NOW).startswith("nothing: its data is deleted")
        assert next_step(case, NOW).endswith("it counts as unconfirmed")


def test_what_was_decided_before_it_was_deleted_stands():
    confirmed = confirmed_by("d-green", status="confirmed", deleted_at=NOW)
    assert standing(confirmed, NOW).plain == "confirmed, data deleted"
    assert "until the deployment is purged, what came of it can be noted" in next_step(confirmed, NOW)
    rejected = CASE.model_copy(update={"status": "rejected", "deleted_at": NOW})
    assert next_step(rejected, NOW) == "nothing: its data is deleted"


def test_an_open_case_does_not_say_how_to_respond():
    for response in ("red", "amber", "green"):
        assert not re.search(rf"\b{response}\b", text(confirmed_by("e-white", confirmations_needed=2)))
    assert "response     red" in text(confirmed_by("e-white", status="confirmed", response="red"))


def test_a_case_says_who_decided_what_when_and_why():
    assert "confirmed    by d-green, 2023-11-14T22:22:20Z: same scar" in text(confirmed_by("d-green"))


def test_a_case_says_until_when_its_pictures_are_kept():
    assert "until 2023-11-14T23:23:20Z (in 1 h)" in text(CASE)
    assert "were deleted at" in text(CASE.model_copy(update={"deleted_at": NOW}))


def test_an_intervention_names_who_confirmed_and_leaves_the_judgement_to_officers():
    line = intervention_line(changed("intervention", confirmed_by=("d-green", "e-white"))).plain
    assert "confirmed by d-green, e-white" in line
    assert "Officers assess for themselves." in line


def test_what_people_decide_reads_as_a_line():
    assert adjudication_line(changed("adjudication")).plain.endswith("d-green has decided: now confirmed")
    escalated = changed("adjudication", event="escalation", officer="", status="open")
    assert adjudication_line(escalated).plain.endswith("nobody has decided in time")


def test_a_table_has_a_row_for_each_alert():
    assert case_table([CASE, CASE], NOW).row_count == 2
