"""What the programs of one machine are told: whom they trust, who signs, and where each serves its health."""

import pytest

from libs.seals import Signer
from services.cli.machine.keys import govern_key_path
from services.cli.machine.stack import SERVICES, StackOptions, _service, _trust

KEY = Signer.generate("govern").public


def environment(name, options, trust=None):
    return _service(name, "nats://127.0.0.1:1", options, trust or {}).environment


@pytest.mark.parametrize("name", SERVICES)
def test_the_key_that_arms_is_handed_to_govern_alone(tmp_path, name):
    told = environment(name, StackOptions(tmp_path))
    assert told.get("WATCHLINE_GOVERN_KEY") == (str(govern_key_path(tmp_path)) if name == "govern" else None)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_knows_the_public_key_and_the_roster(tmp_path, name):
    options = StackOptions(tmp_path, officers=tmp_path / "officers.toml")
    told = environment(name, options, _trust(options, KEY, tmp_path / "nobody.toml"))
    assert told["WATCHLINE_TRUST_PUBLIC_KEY"] == str(KEY)
    assert told["WATCHLINE_TRUST_OFFICERS"] == str(tmp_path / "officers.toml")


def test_without_a_roster_nobody_may_act(tmp_path):
    told = _trust(StackOptions(tmp_path), KEY, tmp_path / "nobody.toml")
    assert told["WATCHLINE_TRUST_OFFICERS"] == str(tmp_path / "nobody.toml")
    assert (tmp_path / "nobody.toml").read_text() == ""


def test_the_profiles_of_the_site_are_for_govern(tmp_path):
    options = StackOptions(tmp_path, profiles=tmp_path / "profiles")
    assert environment("govern", options)["WATCHLINE_GOVERN_PROFILES"] == str(tmp_path / "profiles")
    assert "WATCHLINE_GOVERN_PROFILES" not in environment("govern", StackOptions(tmp_path))


def test_each_service_has_a_port_of_its_own_for_its_health_from_govern_on(tmp_path):
    options = StackOptions(tmp_path, environment={"WATCHLINE_HEALTH_PORT": "9100"})
    ports = [environment(name, options)["WATCHLINE_HEALTH_PORT"] for name in SERVICES]
    assert ports == ["9100", "9101", "9102", "9103", "9104", "9105"]
    assert SERVICES == ("govern", "detect", "embed", "match", "alert", "ingest")  # as docs/watchline.toml says
