"""What a person reads of lists and imports says one person and two people."""

import json
import os
from dataclasses import replace
from pathlib import Path

from proto.messages import EnrolReply
from proto.watchlists import EntryRecord, OwedEntry
from services.cli.watchlists.acts import record_json
from services.cli.watchlists.import_command import as_json
from services.cli.watchlists.importing import ImportResult
from services.cli.watchlists.manifest import BadRow
from services.cli.watchlists.reference_images import ImageFile, Refusal, refused
from services.cli.watchlists.tables import enrolled_line, entries_table, import_lines, record_lines, refusals_table
from tests.governance_examples import ENTRY_FORM, WATCH_LIST

ONE = WATCH_LIST.model_copy(update={"subjects": 1, "references": 1})
TWO = WATCH_LIST.model_copy(update={"subjects": 2, "references": 2})
REFUSAL = Refusal("S-1", Path("/photos/a.jpg"), "no face", line=7, given="north/a.jpg")


def imported(record, images):
    refused = [REFUSAL] * images
    notes = {"the entry keeps the reason it has": images}
    result = ImportResult(images, images, images, refused, notes, record)
    return "\n".join(import_lines(result, images, 1.0))


def test_one_of_a_kind_is_one():
    assert "1 person, 1 reference" in next(iter(record_lines(ONE, 0.0)))
    text = imported(ONE, 1)
    for words in (
        "1 image enrolled", "1 was on", "1 image was refused, and 1 row of", "(1 image)",
        "1 person with 1 reference now",
    ):  # fmt: skip
        assert words in text


def test_several_are_many():
    assert "2 people, 2 references" in next(iter(record_lines(TWO, 0.0)))
    text = imported(TWO, 2)
    for words in (
        "2 images enrolled", "2 were on", "2 images were refused, and 2 rows of", "(2 images)",
        "2 people with 2 references now",
    ):  # fmt: skip
        assert words in text


def test_what_was_refused_is_named_by_its_line_and_path_in_the_manifest_or_by_its_file():
    bad = BadRow(9, "", "x.jpg", "subject is empty", "fill in subject")
    table = refusals_table([REFUSAL, replace(REFUSAL, line=0)], [bad])
    assert list(table.columns[0].cells) == ["line 9", "line 7: north/a.jpg", "a.jpg"]


def test_a_name_that_is_no_utf_8_can_be_told_in_the_table_and_to_other_software():
    image = ImageFile("S-1", Path(os.fsdecode(b"/photos/caf\xe9.jpg")), ENTRY_FORM)
    told = refused(image, "no face")
    assert list(refusals_table([told], []).columns[0].cells) == ["caf?.jpg"]
    assert as_json(ImportResult(refused=[told]), [], None, 1.0)["refused"][0]["image"] == "/photos/caf?.jpg"


def test_what_was_not_taken_of_one_who_is_enrolled_is_said():
    note = "the entry keeps the name it has"
    reply = EnrolReply(watch_list="wanted", subject="S-1", reference="a.jpg", enrolled=True, reason=note)
    assert enrolled_line(reply) == f"S-1 is on wanted; {note}"


def test_what_was_not_taken_is_told_to_other_software_too():
    notes = {"the entry keeps the name it has": 2}
    assert as_json(ImportResult(notes=notes), [], None, 1.0)["notes"] == notes


def test_a_list_that_owes_the_audit_an_act_is_told_to_other_software_without_the_act_itself():
    owed = OwedEntry(record_version=1, event="watchlist.created", deed=ONE.deeds[0], sealed=b"\xff\xfe")
    told = json.dumps(record_json(ONE.model_copy(update={"owed": (owed,)})))
    assert [one["event"] for one in json.loads(told)["owed"]] == ["watchlist.created"]
    assert "sealed" not in told


def test_who_is_being_taken_off_is_not_shown_as_if_they_stayed():
    entry = EntryRecord(watch_list="wanted", subject="S-1", images=(), form=ENTRY_FORM)
    (expires,) = list(entries_table([entry], {}, {"S-1"}, 0.0).columns[-1].cells)
    assert expires == "being taken off now"
    lines = list(record_lines(ONE.model_copy(update={"removing": ("S-1",)}), 0.0))
    assert any("1 person is being taken off" in line for line in lines)


def test_of_an_import_that_is_being_taken_back_nobody_is_told_to_complete_it():
    lines = record_lines(ONE.model_copy(update={"state": "aborting", "import_id": "ab-1"}), 0.0)
    assert not any("under way" in line for line in lines)
