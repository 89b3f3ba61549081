"""A `watchline.toml` that will not do is refused in one line that names the setting."""

from pathlib import Path

import pytest

from libs.errors import UserError
from services.cli.config import GROUPS, OURS, load_config

GOOD = """
[[cameras]]
name = "door"
location = "door.mp4"
[[watch_lists]]
name = "wanted"
references = "people"
[deployment]
name = "trial"
purpose = "test"
threshold = 0.5
floor = 0.4
hours = 1
"""


def load(tmp_path, text):
    path = tmp_path / "watchline.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


def test_the_example_in_the_documentation_will_do():
    example = Path(__file__).parents[4] / "docs" / "watchline.toml"
    config = load_config(example)
    assert config.data_dir == example.resolve().parent / ".watchline/up"


def test_settings_become_variables(tmp_path):
    config = load(tmp_path, GOOD + "[services.detect]\nmin_score = 0.6\n[services.log]\nlevel = 'debug'\n")
    assert config.environment() == {"WATCHLINE_DETECT_MIN_SCORE": "0.6", "WATCHLINE_LOG_LEVEL": "debug"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD + "[services.detect]\nmin_scor = 0.6", r"\[services.detect\] has no setting min_scor: did you mean min"),
        (GOOD + "[services.detct]\nmin_score = 0.6", r"no settings \[services.detct\]: did you mean detect"),
        (GOOD + "[services.detect]\nmin_score = 7", r"\[services.detect\] min_score will not do: input should be less"),
        (GOOD + "[services.nats]\nurl = 'nats://elsewhere'", r"\[services.nats\] has no setting url"),
        (GOOD + "[services.detect.deep]\na = 1", r"services.detect.deep"),
        (GOOD.replace("0.4", "0.6"), r"deployment: the floor 0.6 is over the threshold 0.5"),
        (GOOD.replace('"wanted"', '"wanted-"'), r"watch_lists.0.name: 'wanted-' cannot name a watch list"),
        (GOOD.replace('"wanted"', '"Wanted"'), r"watch_lists.0.name"),
        (GOOD + "[[cameras]]\nname = 'door'\nlocation = 'yard.mp4'", r"two tables are named door"),
        (GOOD.replace("hours = 1", "hours = 48"), r"deployment.hours"),
        (GOOD.replace("test", "M\xfcller").encode("latin-1"), r"is not UTF-8: save it as UTF-8"),
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
