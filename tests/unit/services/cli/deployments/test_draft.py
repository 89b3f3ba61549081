"""A draft in a file: the template can be read as it is, and a value that will not do is named."""

import re

import pytest

from libs.errors import UserError
from proto.deployments import Zone
from services.cli.deployments.draft import read_cameras, read_draft, template

NOW = 1_700_000_000.0


@pytest.fixture
def file(tmp_path):
    """`file(…)` is the template with these lines in place of others."""

    def write(**lines):
        text = template(NOW)
        for name, value in lines.items():
            text, found = re.subn(rf"^(?:# )?{name} = .*$", f"{name} = {value}", text, count=1, flags=re.MULTILINE)
            assert found == 1, name
        path = tmp_path / "draft.toml"
        path.write_text(text)
        return path

    return write


def refusal(path):
    with pytest.raises(UserError) as refused:
        read_draft(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_template_is_a_draft_that_starts_at_the_next_full_hour(file):
    draft = read_draft(file())
    assert draft.deployment == "station-north"
    assert draft.starts_at == 1_700_002_800.0
    assert draft.ends_at == draft.starts_at + 5 * 3600
    assert draft.cameras["gate-1"].min_face_px == 40
    assert draft.dpia.expires_at > draft.ends_at


def test_the_template_confirms_nothing_that_a_person_must_confirm(file):
    assert not read_draft(file()).signage_confirmed


def test_the_template_names_every_value_that_a_draft_can_have(file):
    known = set(type(read_draft(file())).model_fields)
    named = set(re.findall(r"^(?:# )?(\w+) = ", template(NOW), re.MULTILINE)) | {"dpia", "policy", "cameras"}
    assert known <= named


def test_times_bear_an_offset(file):
    assert read_draft(file(starts_at="2023-11-14T23:00:00+01:00")).starts_at == 1_699_999_200.0
    assert "starts_at has no offset: write 2023-11-14T23:00:00Z" in refusal(file(starts_at="2023-11-14T23:00:00"))


def test_a_document_that_expires_on_a_day_is_good_until_its_end(file):
    assert read_draft(file(expires_at="2024-01-01")).dpia.expires_at == pytest.approx(1_704_153_600, abs=1)


def test_a_false_alert_rate_takes_the_place_of_a_threshold(file):
    text = file(target_fpir="0.0005").read_text().replace("threshold = 0.60\n", "")
    path = file()
    path.write_text(text)
    assert read_draft(path).target_fpir == 0.0005
    assert "either a threshold or a target_fpir" in refusal(file(target_fpir="0.0005"))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"deployment": '"station north"'}, "draft.toml: deployment: "),
        ({"watch_lists": "[]"}, "draft.toml: watch_lists: "),
        ({"ends_at": "2023-01-01T00:00:00Z"}, "a deployment ends after it starts"),
        ({"threshold": "2.0"}, "draft.toml: threshold: "),
        ({"min_face_px": "-1"}, "draft.toml: cameras.gate-1.min_face_px: "),
        ({"min_face_px": "1e23"}, "draft.toml: cameras.gate-1.min_face_px: "),
        ({"polygon": "[[0, 0], [1, 1]]"}, "at least three corners"),
        ({"purpose": '"  "'}, "draft.toml: purpose: "),
    ],
    ids=str,
)
def test_a_value_that_will_not_do_is_named(file, lines, words):
    assert words in refusal(file(**lines))


def test_a_value_that_is_missing_or_unknown_is_named(file):
    path = file()
    path.write_text(path.read_text().replace("location =", "place ="))
    assert "draft.toml: location: it is missing" in refusal(path)
    path.write_text(path.read_text().replace("place =", 'place = ""\nlocation ='))
    assert "draft.toml: place: there is no such value" in refusal(path)


def test_a_file_that_is_not_there_or_no_toml_is_one_line(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "nothing.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    assert "bad.toml is not TOML" in refusal(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    assert "bad.toml is not UTF-8" in refusal(tmp_path / "bad.toml")


def test_cameras_alone_are_read_of_a_whole_draft_or_of_a_file_with_nothing_else(file, tmp_path):
    assert list(read_cameras(file())) == ["gate-1"]
    alone = tmp_path / "cameras.toml"
    alone.write_text("[cameras.gate-7]\n")
    assert read_cameras(alone) == {"gate-7": Zone()}
    alone.write_text("cameras = {}\n")
    with pytest.raises(UserError, match="cameras"):
        read_cameras(alone)
