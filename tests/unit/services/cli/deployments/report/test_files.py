"""The files of a report: what stands in them, what never does, and that nothing in them can be obeyed."""

import csv
import io
import json
import re
import stat
from html import unescape

import pytest

from libs.errors import UserError
from proto import subjects
from proto.requests.deployments import DeploymentReply, FiguresReply
from services.cli.deployments.report import files
from services.cli.deployments.report.files import as_csv, as_json, row, write_deployment_report
from services.cli.deployments.report.page import headline, one_in, render, share
from services.cli.deployments.report.summary import summarise
from tests.deployment_figures import (
    END,
    FACES,
    HOSTILE,
    SEED,
    START,
    SUBJECT,
    case,
    faces,
    figures,
    record,
    watch_list,
)

WRITTEN_AT = END + 60


def summary(**changes):
    return summarise(figures(**changes), WRITTEN_AT)


def page(warnings=(), **changes):
    return render(summary(**changes), warnings, WRITTEN_AT)


def words(html):
    """What a person reads, with single spaces."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>|<desc>.*?</desc>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split()).replace(" ,", ",")


def columns(**changes):
    names, figures_of = csv.reader(io.StringIO(as_csv(row(summary(**changes)))))
    return dict(zip(names, figures_of, strict=True))


# -- the page


def test_the_first_sentence_tells_the_false_alerts_before_the_true_ones():
    assert headline(summary()) == "8,600 faces seen, 8 alerts: 6 false, 1 confirmed true, 1 unconfirmed"
    assert headline(summary(cases=())) == "8,600 faces seen, no alert"
    assert headline(summary(cases=(case(0), case(1)))) == "8,600 faces seen, 2 unconfirmed alerts"
    assert headline(summary(record=record(deeds=()))) == "Never armed: nobody was searched for"


def test_every_ratio_is_given_with_its_counts_and_its_interval():
    text = words(page())
    assert "As known: 0.0698 % (1 in 1,433), 6 of 8,600 faces seen; 95 % interval 0.0256 % to 0.152 %" in text
    assert "6 of 8 alerts; 95 % interval 34.9 % to 96.8 %" in text
    assert "8 of 10 passages of seeds recognised; 95 % interval 44.4 % to 97.5 %" in text


def test_each_false_alert_ratio_is_given_with_the_unconfirmed_counted_as_false_too():
    text = words(page())
    assert "False alerts per face seen 0.0698 % to 0.0814 %" in text
    assert "False alerts per alert 75 % to 87.5 %" in text
    assert "If the unconfirmed alert were false: 0.0814 % (1 in 1,229), 7 of 8,600 faces seen" in text
    assert "87.5 %, 7 of 8 alerts" in text
    assert "If all 8 unconfirmed alerts were false" in words(page(cases=tuple(case(n) for n in range(8))))


def test_where_nothing_is_unconfirmed_one_value_is_given():
    text = words(page(cases=figures().cases[:7]))
    assert "False alerts per alert 85.7 %" in text
    assert "counted as false" not in text.partition("Pictures")[0]


def test_which_searches_may_have_been_of_listed_people_is_told():
    assert "are non-mated (of people who are on no list) but those behind 1 alert confirmed true and perhaps" in words(
        page()
    )
    assert "are non-mated (of people who are on no list). An" in words(page(cases=()))


def test_what_was_projected_stands_beside_what_came():
    text = words(page())
    assert "The projection before the deployment was 0.513 % false alerts per face" in text
    assert "For 8,600 faces that is 44 false alerts; 6 are known, and 7 at worst." in text


def test_a_ratio_that_cannot_be_given_is_told_to_be_missing_and_why():
    text = words(page(cases=(), passages=(), faces=()))
    for told in ("no complete count of faces", "There was no alert", "No seed walked past"):
        assert told in text
    assert "These figures are not complete." in text


def test_a_complete_report_says_nothing_of_missing_counts():
    assert "not complete" not in page()


def test_who_did_what_on_which_version_is_told():
    text = words(page())
    for version, act in enumerate(("draft a-jones", "authorise b-smith", "arm c-brown", "suspend d-green"), 1):
        assert f"{version} {act} 2026-10-1" in text
    assert "d-green 3 4 0 0" in text  # confirmed, rejected, no decision, outcomes noted
    assert "e-white 0 0 0 3" in text


def test_documents_lists_and_contacts_are_told():
    text = words(page(warnings=("list_age_hours: its source is weak",)))
    for told in (
        "DPIA-2023-7",
        "complaints@police.example",
        "list_age_hours: its source is weak",
        "a warrant not older than a year",
        "2026-10-18 01:00",
        "seeds, not in N",
    ):
        assert told in text


def test_a_list_that_was_destroyed_is_told_to_be():
    gone = watch_list("wanted", 7_000, state="destroyed", destroyed_at=END + 3600)
    assert "2026-10-18 15:30" in words(page(lists=(gone,)))


@pytest.mark.parametrize("where", ["csv", "html"])
def test_nothing_of_a_listed_person_and_no_reason_about_one_is_published(where):
    text = as_csv(row(summary())) if where == "csv" else page()
    for secret in (SUBJECT, SEED, "about a face", "about a person", "a reason about somebody", "desk-1", "alert-1"):
        assert secret not in text


def test_an_evaluation_says_so_first_and_across_every_sheet():
    stamped = page(stamp="EVALUATION")
    assert words(stamped).startswith("EVALUATION")
    assert '<body class="stamped" data-stamp="EVALUATION">' in stamped
    assert "<title>EVALUATION: Deployment" in stamped
    assert "EVALUATION" not in page()


def test_the_page_loads_nothing_and_runs_nothing():
    html = page()
    assert "default-src 'none'" in html
    assert not re.search(r"<script|<img|<link|<iframe|url\(|@import|\son[a-z]+=|(src|href)=", html)


def test_whatever_is_written_into_a_draft_is_text():
    hostile = record().draft.model_copy(update={"location": HOSTILE, "purpose": HOSTILE, "complaints_contact": HOSTILE})
    html = page(record=record(draft=hostile), lists=(watch_list("wanted", 1),), warnings=(HOSTILE,))
    assert HOSTILE not in html
    assert words(html).count(HOSTILE) >= 4


def test_the_numbers_behind_each_picture_are_there_as_a_table():
    html = page()
    for caption in ("Searches by best score", "Faces seen", "Waiting times"):
        assert f"<caption>{caption}</caption>" in html


def test_a_deployment_without_any_count_still_has_a_report():
    drafted = record(state="draft", deeds=record().deeds[:1], threshold=None, armed_at=0.0, ended_at=0.0)
    nothing = {"cases": (), "passages": (), "faces": (), "searches": (), "lists": (), "audit_entries": 0}
    text = words(page(record=drafted, audit_head="", **nothing))
    assert "Never armed" in text
    assert "No list is recorded." in text


def test_alerts_from_recordings_read_faster_than_they_were_made_have_no_waiting_time():
    early = case(0, captured_at=END, raised_at=START)
    text = words(page(cases=(early,)))
    assert "1 from recordings that were read faster than they were made: no waiting time." in text
    assert "passage to alert 0" in text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0"), (0.75, "75 %"), (0.000813953, "0.0814 %"), (1.67e-8, "17 in a billion"), (3e-6, "3 in a million"),
     (1.0, "100 %"), (0.9996, "99.96 %")],
)  # fmt: skip
def test_a_share_is_legible_however_small(ratio, text):
    assert share(ratio).replace("\N{NO-BREAK SPACE}", " ") == text


def test_one_in_many_is_said_where_it_helps():
    assert (one_in(1 / 1229), one_in(0.8), one_in(0)) == ("1 in 1,229", "", "")


# -- the row


def test_the_row_has_every_column_that_the_head_of_the_file_describes_and_no_other():
    described = re.findall(r"`([a-z_]+)`", files.__doc__.partition("Columns of report.csv")[2])
    named = set(described) - {"_low", "_high", "_at_worst"}
    ratios = {"false_per_face", "false_per_alert", "false_per_face_at_worst", "false_per_alert_at_worst", "tpir"}
    ends = {f"{name}{end}" for name in ratios for end in ("_low", "_high")}
    assert set(columns()) == named | ratios | ends


def test_the_row_says_what_the_page_says():
    found = columns()
    assert found["date"] == "2026-10-18"
    assert found["place"] == "Oxford Circus, north side"
    assert (found["duration_minutes"], found["list_size"], found["faces_seen"]) == ("300.0", "7292", "8600")
    assert found["list_size_smallest"] == "7292"
    counts = [int(found[name]) for name in ("confirmed_true", "confirmed_false", "rejected", "unconfirmed")]
    assert counts == [1, 2, 4, 1]
    assert sum(counts) == int(found["alerts"])
    assert float(found["false_per_face"]) == pytest.approx(6 / 8600, rel=1e-5)
    assert float(found["false_per_alert_at_worst"]) == 0.875
    assert (found["tpir"], found["passages"], found["complete"]) == ("0.8", "10", "yes")


def test_a_list_that_was_shortened_while_it_ran_has_its_smallest_size_beside_its_largest():
    found = columns(cases=(case(0), case(1, searched=7_288)))
    assert (found["list_size"], found["list_size_smallest"]) == ("7292", "7288")


def test_what_cannot_be_given_is_left_empty_and_never_0():
    found = columns(cases=(), passages=(), faces=(faces("gate-1", 0),))
    assert (found["false_per_alert"], found["tpir"], found["false_per_face"]) == ("", "", "")
    assert found["complete"] == "no"


def test_the_size_of_a_list_that_was_not_searched_and_has_no_record_is_left_empty_and_never_0():
    lists = tuple(one for one in figures().lists if one.id != "wanted")
    unknown = {"lists": lists, "searches": (), "cases": ()}
    found = columns(**unknown)
    assert (found["list_size"], found["list_size_smallest"], found["projected_false_per_face"]) == ("", "", "")
    assert "list size N \N{EN DASH}" in words(page(**unknown))


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1+2", "@sum"])
def test_a_place_that_a_spreadsheet_would_take_for_a_formula_is_text(text):
    draft = record().draft.model_copy(update={"location": text})
    assert columns(record=record(draft=draft))["place"] == f"'{text}"


# -- for the force itself


def test_the_json_holds_each_alert_by_its_id_and_nothing_of_the_person():
    text = as_json(summary(), WRITTEN_AT)
    told = json.loads(text)
    assert [alert["alert"] for alert in told["alerts"]][:8] == [f"alert-{number}" for number in range(8)]
    assert told["alerts"][0]["decisions"][0]["officer"] == "d-green"
    assert {alert["is"] for alert in told["alerts"]} >= {"confirmed true", "rejected", "unconfirmed", "seed"}
    assert sum(told["faces_by_minute"]["gate-1"].values()) == FACES["gate-1"]
    for secret in (SUBJECT, SEED, "about a face", "about a person", "a reason about somebody"):
        assert secret not in text


# -- the files


class Govern:
    """Answers for `govern`."""

    def __init__(self):
        self.asked = []

    async def ask(self, subject, request, expected, timeout_s=None):
        self.asked.append((subject, request.deployment))
        reply = figures()
        answers = {FiguresReply: reply, DeploymentReply: DeploymentReply(record=reply.record, warnings=("weak",))}
        return answers[expected]


async def test_three_files_are_written_that_their_owner_alone_can_read(tmp_path):
    govern = Govern()
    paths = await write_deployment_report(govern, "station-north", tmp_path / "out")
    assert [path.name for path in paths] == ["report.html", "report.csv", "report.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600] * 3
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(paths)
    assert {subject for subject, _ in govern.asked} == {
        f"{subjects.DEPLOYMENT}.figures",
        f"{subjects.DEPLOYMENT}.show",
    }
    assert "weak" in paths[0].read_text("utf-8")


async def test_what_any_page_of_the_figures_says_is_missing_stands_in_the_report(tmp_path):
    class Paging(Govern):
        async def ask(self, subject, request, expected, timeout_s=None):
            reply = await super().ask(subject, request, expected)
            if expected is DeploymentReply:
                return reply
            said = ("said twice", "of the second page") if request.after else ("said twice",)
            return reply.model_copy(update={"missing": said, "next": "" if request.after else "x", "cases": ()})

    page, *_ = await write_deployment_report(Paging(), "station-north", tmp_path / "out")
    text = words(page.read_text("utf-8"))
    assert (text.count("said twice"), text.count("of the second page")) == (1, 1)


async def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match=r"the report cannot be written to .*out is a file: name a folder") as told:
        await write_deployment_report(Govern(), "station-north", tmp_path / "out")
    assert told.value.exit_code == 2
