"""Manifests: what cannot be read is refused with the right columns named, and a bad row is reported by its line."""

import json

import pytest

from libs.errors import UserError
from services.cli.watchlists.manifest import MAX_LETTERS, read_manifest

NOW = 1_700_000_000.0
HEADER = "subject,image,reason,requester,source,lawful_basis,expires"
ROW = "S-1,a.jpg,warrant 17/2023,Insp. 4711,custody,PACE s. 64A,30d"
ALL = {"reason": "r", "requester": "q", "source": "s", "lawful_basis": "b", "expires": "10d"}


def manifest(tmp_path, *lines, name="list.csv", defaults=None, encoding="utf-8"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return read_manifest(path, tmp_path / "photos", defaults or {}, NOW)


def test_a_row_is_an_image_with_whose_it_is_and_why_they_are_listed(tmp_path):
    read = manifest(tmp_path, HEADER, ROW)
    (image,) = read.images
    assert (image.subject, image.name, image.path) == ("S-1", "a.jpg", (tmp_path / "photos" / "a.jpg").resolve())
    entry = image.entry
    assert (entry.reason, entry.requester, entry.source, entry.lawful_basis) == (
        "warrant 17/2023",
        "Insp. 4711",
        "custody",
        "PACE s. 64A",
    )
    assert entry.expires_at == NOW + 30 * 86_400
    assert read.bad == []
    assert (image.line, image.given) == (2, "a.jpg")


def test_all_that_can_be_said_of_an_image_is_read(tmp_path):
    header = HEADER + ",reference,image_date,under_18,under_18_rationale,name"
    read = manifest(tmp_path, header, ROW + ',front,2023-05-01,yes,"missing, in danger",Jane Doe')
    (image,) = read.images
    assert image.name == "front"
    entry = image.entry
    assert (entry.image_date, entry.under_18, entry.under_18_rationale, entry.name) == (
        "2023-05-01",
        True,
        "missing, in danger",
        "Jane Doe",
    )


def test_json_lines_say_the_same(tmp_path):
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    read = manifest(
        tmp_path, json.dumps({**row, "under_18": False}), "", json.dumps(row | {"subject": 17}), name="l.jsonl"
    )
    assert [image.subject for image in read.images] == ["S-1", "17"]
    assert read.images[0].entry == manifest(tmp_path, HEADER, ROW).images[0].entry


def test_what_is_the_same_for_all_need_not_be_in_the_manifest(tmp_path):
    read = manifest(tmp_path, "subject,image,reason", "S-1,a.jpg,", "S-2,b.jpg,own reason", defaults=ALL)
    assert [image.entry.reason for image in read.images] == ["r", "own reason"]
    assert read.images[0].entry.expires_at == NOW + 10 * 86_400


def test_a_spreadsheets_mark_at_the_start_and_spaces_do_no_harm(tmp_path):
    read = manifest(tmp_path, "subject , image", " S-1 , a.jpg ", defaults=ALL, encoding="utf-8-sig")
    assert [(image.subject, image.path.name) for image in read.images] == [("S-1", "a.jpg")]


BAD_ROWS = {
    "no subject": (",a.jpg,r,q,s,b,30d", "subject is empty"),
    "no image": ("S-1,,r,q,s,b,30d", "image is empty"),
    "no reason": ("S-1,a.jpg,,q,s,b,30d", "reason is empty"),
    "no end": ("S-1,a.jpg,r,q,s,b,", "expires is empty"),
    "a bad end": ("S-1,a.jpg,r,q,s,b,soon", "expires 'soon' is no time"),
    "an end that is past": ("S-1,a.jpg,r,q,s,b,2020-01-01", "is past"),
    "too many values": ("S-1,a.jpg,r,q,s,b,30d,more", "more values than there are columns"),
    "too many values and an empty one": ("S-1,a.jpg,r,q,s,b,30d,more,", "more values than there are columns"),
    "an image elsewhere": ("S-1,../../etc/passwd,r,q,s,b,30d", "outside of the folder"),
    "an absolute image": ("S-1,/etc/passwd,r,q,s,b,30d", "outside of the folder"),
    "no path": ("S-1,a\0.jpg,r,q,s,b,30d", "a path that leads nowhere"),
    "links in a circle": ("S-1,circle/a.jpg,r,q,s,b,30d", "a path that leads nowhere"),
    "a value without end": (f"S-1,{'a' * 5000},r,q,s,b,30d", "image has 5,000 letters"),
    "a value without any end": (f"S-1,{'a' * 200_000},r,q,s,b,30d", "image has 200,000 letters"),
    "a reason without end": (f"S-1,a.jpg,{'r' * 600},q,s,b,30d", "reason: "),
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_it_is_reported_by_its_line_and_the_others_are_taken(tmp_path, row, reason):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "circle").symlink_to("circle")
    read = manifest(tmp_path, HEADER, ROW, row, ROW.replace("S-1", "S-2"))
    assert [image.subject for image in read.images] == ["S-1", "S-2"]
    (bad,) = read.bad
    assert bad.line == 3
    assert reason in bad.reason
    assert bad.remedy


def test_a_row_after_one_of_several_lines_is_reported_by_its_own_line(tmp_path):
    read = manifest(tmp_path, HEADER, 'S-1,a.jpg,"two\nlines",q,s,b,30d', ",b.jpg,r,q,s,b,30d")
    assert [bad.line for bad in read.bad] == [4]


def test_a_row_after_an_empty_line_is_reported_by_its_own_line_and_empty_cells_at_its_end_do_no_harm(tmp_path):
    read = manifest(tmp_path, HEADER + ",,", "", ",,,,,,,, ", ",b.jpg,r,q,s,b,30d", "", ROW + ", ,\t")
    assert [bad.line for bad in read.bad] == [4]
    assert [image.line for image in read.images] == [6]


def test_numbers_in_json_stay_as_they_are_written(tmp_path):
    row = ', "image": "a.jpg", "reason": "r", "requester": "q", "source": "s", "lawful_basis": "b", "expires": "30d"}'
    read = manifest(tmp_path, *('{"subject": ' + one + row for one in ("17.0", "1e999", "9" * 5000)), name="l.jsonl")
    assert [image.subject for image in read.images] == ["17.0", "1e999"]
    assert [bad.reason for bad in read.bad] == ["subject has 5,000 letters"]


def test_a_minor_needs_a_rationale(tmp_path):
    read = manifest(tmp_path, HEADER + ",under_18,under_18_rationale", ROW + ",yes,", ROW + ",maybe,x")
    assert [bad.reason for bad in read.bad] == [
        "a person under 18 needs under_18_rationale",
        "under_18 is 'maybe'",
    ]


def test_an_image_that_comes_twice_for_a_subject_is_taken_once(tmp_path):
    read = manifest(tmp_path, HEADER, ROW, ROW, ROW.replace("S-1", "S-2"))
    assert len(read.images) == 2
    assert [(bad.line, bad.reason) for bad in read.bad] == [(3, "the image comes twice for the subject")]


def test_images_of_one_name_in_two_folders_are_two(tmp_path):
    read = manifest(tmp_path, HEADER, ROW.replace("a.jpg", "2023/a.jpg"), ROW.replace("a.jpg", "2024/a.jpg"))
    assert [image.given for image in read.images] == ["2023/a.jpg", "2024/a.jpg"]


def test_what_only_looks_like_the_end_of_a_line_tears_no_value(tmp_path):
    reason = "warrant\u2028of 2023\x0b\x1c\x85"
    (image,) = manifest(tmp_path, HEADER, ROW.replace("warrant 17/2023", f"a{reason}b")).images
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {"reason": f"a{reason}b"}
    read = manifest(tmp_path, json.dumps(row, ensure_ascii=False), name="l.jsonl")
    assert [one.line for one in [*read.bad, *read.images]] == [1]
    assert image.line == 2


def test_semicolons_as_spreadsheets_of_many_countries_write_them_and_capitals_do_no_harm(tmp_path):
    read = manifest(tmp_path, HEADER.replace(",", ";").title(), ROW.replace(",", ";"))
    assert read.images == manifest(tmp_path, HEADER, ROW).images


def test_half_a_letter_is_reported_and_can_be_shown(tmp_path):
    rows = [dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {"subject": one} for one in ("S-1", "S-\ud800")]
    read = manifest(tmp_path, *map(json.dumps, rows), name="l.jsonl")
    assert len(read.images) == 1
    assert [(bad.line, bad.subject, bad.reason) for bad in read.bad] == [(2, "S-?", "subject holds half a letter")]


def test_an_unknown_column_is_refused_with_the_right_ones_named(tmp_path):
    with pytest.raises(UserError, match="a column 'nominal', which is not one of ours: the columns are subject, image"):
        manifest(tmp_path, HEADER.replace("subject", "nominal"), ROW)


def test_a_missing_column_is_refused_with_the_option_that_could_stand_for_it(tmp_path):
    with pytest.raises(UserError, match=r"no column 'requester': .* or give --requester, --expires for all"):
        manifest(tmp_path, "subject,image,reason,source,lawful_basis", "S-1,a.jpg,r,s,b")
    with pytest.raises(UserError, match="no column 'subject'"):
        manifest(tmp_path, "image", "a.jpg", defaults=ALL)


def test_a_column_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="a column twice"):
        manifest(tmp_path, HEADER + ",reason", ROW + ",x")


@pytest.mark.parametrize(
    ("before", "comma", "end"),
    [
        ("sep=;", ";", "\n"),
        ("SEP=;", ";", "\n"),
        ('"sep=;"', ";", "\n"),
        ("sep=;;;;", ";", "\n"),
        ("sep=\t", "\t", "\n"),
        ("sep=|", "|", "\r\n"),
        ("\n  ", ",", "\n"),
        ("", ";", "\r"),
    ],
)
def test_what_spreadsheets_write_before_the_header_and_at_the_end_of_lines_does_no_harm(tmp_path, before, comma, end):
    lines = [*([before] if before else []), HEADER.replace(",", comma), ROW.replace(",", comma), "S-2" + comma]
    read = manifest(tmp_path, end.join(lines))
    plain = manifest(tmp_path, HEADER, ROW)
    assert [image.entry for image in read.images] == [image.entry for image in plain.images]
    assert [bad.line for bad in read.bad] == [end.join(lines).count(end) + 1]


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no column 'subject'"):
        manifest(tmp_path, "")


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("l.jsonl", ["not json"], "line 1 of .* is no JSON"),
        ("l.jsonl", ["[" * 100_000], "line 1 of .* is no JSON"),
        ("l.jsonl", ['{"subject": NaN}'], "line 1 of .* is no JSON .NaN is no number"),
        ("l.jsonl", ['{"subject": "S-1", "subject": "S-2"}'], "line 1 of .* is no JSON .a name comes twice in it"),
        ("l.json", ['{"subject": "S-1", "image": "a.jpg"}'], "is no CSV .* JSON lines are in a file named .jsonl"),
        ("l.jsonl", ['["a list"]'], "line 1 of .* is no JSON object"),
        ("l.jsonl", ['{"who": "S-1"}'], "a column 'who'"),
        ("l.csv", [HEADER, ROW, 'S-1,"never closed', ROW], "line 3 of .* is no CSV"),
    ],
)
def test_what_is_no_manifest_is_refused_by_its_line(tmp_path, name, lines, message):
    with pytest.raises(UserError, match=message):
        manifest(tmp_path, *lines, name=name)


def test_a_value_that_is_no_text_is_a_bad_row(tmp_path):
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    minor = {"under_18": True, "under_18_rationale": "seen armed"}
    rows = ({**row, "reason": {"a": 1}}, {**row, "subject": True}, {**row, **minor})
    read = manifest(tmp_path, *map(json.dumps, rows), name="l.jsonl")
    assert [bad.reason for bad in read.bad] == ["reason is no text", "subject is no text"]
    assert [image.entry.under_18 for image in read.images] == [True]


def test_a_bad_row_names_its_subject_and_image_as_short_as_a_table_can_hold(tmp_path):
    read = manifest(tmp_path, HEADER, f"{'S' * 5000},{'a' * 5000},r,q,s,b,30d")
    assert (len(read.bad[0].subject), len(read.bad[0].image)) == (MAX_LETTERS, MAX_LETTERS)


def test_a_file_that_is_not_there_or_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(tmp_path / "nothing.csv", tmp_path, {}, NOW)
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"\nS-1,caf\xe9.jpg\n")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_manifest(tmp_path / "latin.csv", tmp_path, {}, NOW)
