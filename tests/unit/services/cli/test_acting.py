"""What the commands of officers have in common: who acts is known before anything, and refusals look the same."""

import pytest

from libs.errors import OBSTACLES_APART, UserError
from proto.requests.deployments import AmendRequest, TransitionRequest
from services.cli import acting


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("WATCHLINE_OFFICER", raising=False)
    monkeypatch.setenv("WATCHLINE_KEYS", str(tmp_path))
    monkeypatch.setenv("WATCHLINE_NATS_URL", "nats://127.0.0.1:9")


async def never(_client):
    raise AssertionError("it was begun")


def test_nothing_is_begun_before_it_is_known_who_acts():
    with pytest.raises(UserError, match="nobody is named who acts: give --as OFFICER"):
        acting.act("", never)


def test_an_officer_without_a_key_here_is_told_how_to_get_one():
    with pytest.raises(UserError, match=r"nobody has no key here .*: run `watchline officer new nobody`, or set WATCH"):
        acting.act("nobody", never)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"deployment": "a b"}, "the name of the deployment will not do: use letters, digits, - and _, at most 64"),
        ({"reason": " "}, "--reason will not do: it is empty"),
        ({"target_fpir": 2}, "--target-fpir will not do: it must be under 1"),
    ],
)
def test_a_value_that_will_not_do_is_named_as_the_command_calls_it(fields, said):
    with pytest.raises(UserError) as caught:
        acting.request(AmendRequest, **{"deployment": "north", "record_version": 1, "reason": "fewer", **fields})
    assert str(caught.value) == said


def test_a_request_is_what_was_given():
    asked = acting.request(TransitionRequest, verb="arm", deployment="north", record_version=2)
    assert (asked.verb, asked.record_version) == ("arm", 2)


@pytest.mark.parametrize(
    ("detail", "lines"),
    [
        ("station is draft; arm: not [yet]", ["refused: station is draft; arm: not [yet]"]),
        (
            OBSTACLES_APART.join(["cannot arm: too many; take some off", "no signs: put them up"]),
            ["refused: cannot arm", "• too many; take some off", "• no signs: put them up"],
        ),
    ],
)
def test_a_refusal_is_a_line_an_obstacle_and_no_reason_is_split(capsys, detail, lines):
    acting.print_refusal(detail)
    assert capsys.readouterr().err.splitlines() == lines
