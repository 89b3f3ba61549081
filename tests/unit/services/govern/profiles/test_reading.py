"""Policy profiles: each value is there, with its source, and what is missing, unknown or misspelt is refused."""

import re
import tomllib

import pytest

from libs.errors import UserError
from services.govern.profiles.reading import SHIPPED, Profile, load_profiles

FILES = sorted(SHIPPED.glob("*.toml"))
POLICE = (SHIPPED / "uk-police.toml").read_text()


@pytest.fixture
def site(tmp_path):
    """`site(text)` is a folder with that profile in `county.toml`."""

    def write(text, name="county"):
        folder = tmp_path / "profiles"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.toml").write_text(text)
        return folder

    return write


def county(**changes):
    """The police's profile as the county derives it: these lines replaced."""
    text = POLICE
    for name, line in {"name": 'name = "county"', **changes}.items():
        text, found = re.subn(rf"^{name} = (?:\[.*?^\]|.*?$)", line, text, flags=re.MULTILINE | re.DOTALL)
        assert found == 1, name
    return text


def refusal(folder):
    with pytest.raises(UserError) as refused:
        load_profiles(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# -- those that ship


def test_three_ship_with_the_product():
    assert sorted(load_profiles()) == ["eu-ai-act", "evaluation", "uk-police"]


def test_the_police_of_the_united_kingdom():
    profile = load_profiles()["uk-police"]
    assert (profile.list_age_hours, profile.list_size, profile.list_destroyed_after_hours) == (24, 2000, 0)
    assert (profile.alerts_kept_hours, profile.confirmations, profile.false_alerts_per_face) == (24, 1, 0.001)
    assert profile.documents == ("dpia", "policy")
    assert (profile.signage, profile.complaints_contact, profile.stamp) == (True, True, "")
    assert {"authoriser_ranks", "list_age_hours"} <= set(profile.weak)


def test_the_ai_act():
    profile = load_profiles()["eu-ai-act"]
    assert (profile.judicial_authorisation, profile.urgency_hours, profile.confirmations) == (True, 24, 2)
    assert {"fria", "registration"} <= set(profile.documents)
    assert profile.logs_kept_days >= 183


def test_an_evaluation():
    profile = load_profiles()["evaluation"]
    assert (profile.stamp, profile.live_sources, profile.ends_with_restart) == ("EVALUATION", False, True)
    assert 2922 <= profile.list_size <= 3000
    assert profile.longest_hours <= 24


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_has_its_source_in_a_comment_above_it(path):
    block = ""
    for line in path.read_text().splitlines():
        if not line.strip():
            block = ""
        elif line.startswith("#"):
            block += line
        elif (value := re.match(r"(\w+) = ", line)) and value[1] not in ("name", "title", "weak", "stamp"):
            is_told = len(block) > 20 or value[1] in ("live_sources", "ends_with_restart")
            assert is_told, f"{value[1]} of {path.name} has no source"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_value_whose_comment_says_that_its_source_is_weak_is_named_as_weak_and_no_other(path):
    marked, block = set(), ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            block += line
        elif not line.strip():
            block = ""
        elif (value := re.match(r"(\w+) = ", line)) and "WEAK" in block:
            marked.add(value[1])
    assert marked == set(tomllib.loads(path.read_text())["weak"])


def test_weak_values_are_shown_to_people():
    (line,) = [line for line in load_profiles()["uk-police"].weaknesses() if "list_age_hours" in line]
    assert line == "list_age_hours = 24: its source is weak or was not found"


# -- a site's own


def test_a_site_adds_its_own(site):
    profiles = load_profiles(site(county(list_size="list_size = 500")))
    assert profiles["county"].list_size == 500
    assert profiles["uk-police"].list_size == 2000


def test_a_limit_that_is_not_set_says_so(site):
    assert load_profiles(site(county(list_size='list_size = "unlimited"')))["county"].list_size == "unlimited"


@pytest.mark.parametrize("name", [name for name in Profile.model_fields if name != "name"])
def test_a_value_that_is_missing_is_refused_never_guessed(site, name):
    said = refusal(site(county(**{name: ""})))
    assert f"county.toml: {name}: it is missing" in said


def test_a_value_that_no_profile_has_is_refused(site):
    assert "county.toml: list_sise: there is no such value" in refusal(site(county() + "\nlist_sise = 5\n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("list_size", '"unlimitted"'),
        ("list_size", "-1"),
        ("list_size", "20.5"),
        ("list_age_hours", '"24"'),
        ("list_age_hours", "-1"),
        ("list_age_hours", "inf"),
        ("alerts_kept_hours", "nan"),
        ("alerts_kept_hours", "0"),
        ("alerts_kept_hours", "745"),
        ("confirmations", "0"),
        ("confirmations", "true"),
        ("live_sources", '"yes"'),
        ("live_sources", "1"),
        ("signage", '"true"'),
        ("judicial_authorisation", "0"),
        ("false_alerts_per_face", "1"),
        ("false_alerts_per_face", "0"),
        ("documents", '["dpai"]'),
        ("stamp", '"EVALUATIONS"'),
        ("backlog", '"none"'),
        ("title", '""'),
    ],
)
def test_a_value_that_will_not_do_is_refused_with_its_file_and_name(site, name, value):
    assert f"county.toml: {name}" in refusal(site(county(**{name: f"{name} = {value}"})))


def test_a_weak_value_that_is_misspelt_is_refused(site):
    assert "weak names no value of a profile: list_aeg_hours" in refusal(site(county(weak='weak = ["list_aeg_hours"]')))


def test_an_evaluation_with_live_sources_is_refused(site):
    assert "live_sources is false" in refusal(site(county(stamp='stamp = "EVALUATION"')))


def test_urgency_without_a_judge_to_wait_for_is_refused(site):
    assert "urgency_hours is 0" in refusal(site(county(urgency_hours="urgency_hours = 24")))


def test_none_takes_the_place_of_a_shipped_one(site):
    assert "has the name of a profile that ships" in refusal(site(POLICE, name="uk-police"))
    assert "must be that of the file" in refusal(site(POLICE, name="county"))


def test_what_is_no_toml_and_what_is_no_folder_are_refused(site, tmp_path):
    assert "county.toml is not TOML" in refusal(site("list_size = ="))
    assert "is no folder" in refusal(tmp_path / "nowhere")


def test_ranks_are_compared_without_regard_to_capitals():
    profile = load_profiles()["uk-police"]
    assert profile.permits_rank("Superintendent")
    assert not profile.permits_rank("inspector")
    assert not profile.permits_rank("")
    assert load_profiles()["eu-ai-act"].permits_rank("")
