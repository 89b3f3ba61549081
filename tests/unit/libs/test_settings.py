"""Settings come from the environment, once, and a bad one is one line that names its variable."""

import os

import pytest
from pydantic import ValidationError

from libs.errors import UserError
from libs.settings import (
    DataSettings,
    HealthSettings,
    InferenceSettings,
    LogSettings,
    NatsSettings,
    ServiceSettings,
    load,
)
from services.alert.settings import AlertSettings
from services.detect.settings import DetectSettings
from services.embed.settings import EmbedSettings
from services.ingest.settings import IngestSettings
from services.match.settings import EnrolmentSettings, MatchSettings, QdrantSettings

GROUPS = (
    AlertSettings,
    DataSettings,
    DetectSettings,
    EmbedSettings,
    EnrolmentSettings,
    HealthSettings,
    InferenceSettings,
    IngestSettings,
    LogSettings,
    MatchSettings,
    NatsSettings,
    QdrantSettings,
    ServiceSettings,
)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("WATCHLINE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_works_without_any_setting(group):
    load(group)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_the_prefix_of_watchline_and_cannot_be_changed(group):
    assert group.model_config["env_prefix"].startswith("WATCHLINE_")
    settings = load(group)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, next(iter(group.model_fields)), None)


def test_no_two_groups_share_a_variable():
    variables = [f"{group.model_config['env_prefix']}{name}".upper() for group in GROUPS for name in group.model_fields]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("variable", "value", "group", "field", "read"),
    [
        ("WATCHLINE_NATS_URL", "nats://bus:4222", NatsSettings, "url", "nats://bus:4222"),
        ("WATCHLINE_NATS_REPLICAS", "3", NatsSettings, "replicas", 3),
        ("WATCHLINE_HEALTH_PORT", "8080", HealthSettings, "port", 8080),
        ("WATCHLINE_ALERT_HOLD_S", "1.5", AlertSettings, "hold_s", 1.5),
        ("WATCHLINE_SERVICE_CONCURRENCY", "4", ServiceSettings, "concurrency", 4),
    ],
)
def test_a_setting_is_read_from_its_variable(monkeypatch, variable, value, group, field, read):
    monkeypatch.setenv(variable, value)
    assert getattr(load(group), field) == read


def test_the_data_directory_has_the_shortest_name(monkeypatch, tmp_path):
    monkeypatch.setenv("WATCHLINE_DATA_DIR", str(tmp_path))
    assert load(DataSettings).data_dir == tmp_path


@pytest.mark.parametrize(
    ("variable", "value", "group", "words"),
    [
        ("WATCHLINE_NATS_REPLICAS", "many", NatsSettings, "integer"),
        ("WATCHLINE_NATS_REPLICAS", "6", NatsSettings, "less than or equal to 5"),
        ("WATCHLINE_HEALTH_PORT", "70000", HealthSettings, "65535"),
        ("WATCHLINE_LOG_LEVEL", "verbose", LogSettings, "'debug'"),
        ("WATCHLINE_INFERENCE_PROVIDER", "tpu", InferenceSettings, "'cuda'"),
        ("WATCHLINE_SERVICE_ACK_WAIT_S", "-1\nnext line", ServiceSettings, "number"),
    ],
)
def test_a_bad_setting_is_one_line_with_its_variable_its_value_and_what_it_must_be(
    monkeypatch, variable, value, group, words
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as refused:
        load(group)
    line = str(refused.value)
    assert line.startswith(f"{variable}={value!r} will not do: ")
    assert words in line
    assert "\n" not in line
    assert refused.value.exit_code == 2


def test_a_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("WATCHLINE_QDRANT_API_KEY", "hush")
    assert "hush" not in repr(load(QdrantSettings))
