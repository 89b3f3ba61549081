"""A `watchline.toml` that will not do is refused in one line that names the setting."""

from pathlib import Path

import pytest

from libs.errors import UserError
from services.cli.machine.config import GROUPS, OURS, load_config

GOOD = """
[[cameras]]
name = "door"
location = "door.mp4"
"""


def load(tmp_path, text):
    path = tmp_path / "watchline.toml"
    (tmp_path / "officers.toml").write_text("")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


def test_the_example_in_the_documentation_will_do(tmp_path):
    example = Path(__file__).parents[5] / "docs" / "watchline.toml"
    config = load(tmp_path, example.read_text())
    assert config.data_dir == tmp_path / ".watchline/up"
    assert config.officers == tmp_path / "officers.toml"
    assert config.cameras[1].location == str(tmp_path / "recordings/monday.mp4")


def test_a_machine_without_a_roster_of_officers_is_told_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match=r"no roster of officers .*who\.toml: .*`watchline officer new`"):
        load(tmp_path, 'officers = "who.toml"\n' + GOOD)


def test_a_folder_of_profiles_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"rules is not a folder"):
        load(tmp_path, 'profiles = "rules"\n' + GOOD)


@pytest.mark.parametrize(
    ("table", "remedy"),
    [
        ('[[watch_lists]]\nname = "wanted"\nreferences = "people"', "watchline watchlist import"),
        ('[deployment]\nname = "trial"', "watchline deployment draft"),
    ],
)
def test_tables_that_armed_cameras_by_themselves_say_what_is_done_instead(tmp_path, table, remedy):
    with pytest.raises(UserError, match=rf"is no setting any more: .*`{remedy}`"):
        load(tmp_path, GOOD + table)


def test_settings_become_variables(tmp_path):
    config = load(tmp_path, GOOD + "[services.detect]\nmin_score = 0.6\n[services.log]\nlevel = 'debug'\n")
    assert config.environment() == {"WATCHLINE_DETECT_MIN_SCORE": "0.6", "WATCHLINE_LOG_LEVEL": "debug"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD + "[services.detect]\nmin_scor = 0.6", r"\[services.detect\] has no setting min_scor: did you mean min"),
        (GOOD + "[services.detct]\nmin_score = 0.6", r"no settings \[services.detct\]: did you mean detect"),
        (GOOD + "[services.detect]\nmin_score = 7", r"\[services.detect\] min_score will not do: it must be at most 1"),
        (GOOD + "[services.nats]\nurl = 'nats://elsewhere'", r"\[services.nats\] has no setting url"),
        (GOOD + "[services.detect.deep]\na = 1", r"services.detect.deep"),
        (GOOD + "[services.govern]\nkey = 'mine.key'", r"\[services.govern\] has no setting key"),
        (GOOD.replace('"door"', '"the door"'), r"cameras, number 1: name: use letters"),
        (GOOD + "[[cameras]]\nname = 'door'\nlocation = 'yard.mp4'", r"two tables are named door"),
        (GOOD.replace("door", "M\xfcller").encode("latin-1"), r"is not UTF-8: save it as UTF-8"),
        ("[[cameras", r"is not TOML"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_named(tmp_path, text, line):
    with pytest.raises(UserError, match=line) as refused:
        load(tmp_path, text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("table", GROUPS)
def test_every_group_of_settings_has_the_variables_of_its_table(table):
    assert GROUPS[table].model_config["env_prefix"] == f"WATCHLINE_{table.upper()}_"
    assert set(OURS.get(table, ())) <= set(GROUPS[table].model_fields)
