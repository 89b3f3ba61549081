"""Acts: taken only from an officer of the roster who signed them, here and now, and once."""

import os

import pytest

from libs.errors import UserError
from libs.officers import FRESH_S, SKEW_S, ForbiddenError, Roster, sign
from libs.seals import SealError, Signer
from proto import codec
from proto.codec import DecodeError
from proto.requests.deployments import DeploymentRequest
from proto.requests.listing import ListRequest
from proto.sealed import Act

REQUEST = DeploymentRequest(deployment="station-north")
ROLES = ["commander"]


@pytest.fixture
def roster(crew, clock):
    return crew.roster(clock)


def act(crew, clock, name="c-brown", request=REQUEST):
    return crew.act(name, request, clock)


def test_an_act_of_an_officer_with_the_role_is_taken_with_who_and_when_and_from_where(crew, clock, roster):
    sealed = act(crew, clock)
    signed = roster.check(sealed, DeploymentRequest, ROLES)
    deed = signed.deed("arm", "in position")
    assert signed.request == REQUEST
    assert (deed.who, deed.verb, deed.at, deed.reason) == ("c-brown", "arm", clock.now, "in position")
    assert deed.origin
    assert len(deed.act) == 64


def test_an_officer_without_the_role_is_refused(crew, clock, roster):
    with pytest.raises(ForbiddenError, match="d-green is not one of: authoriser, commander"):
        roster.check(act(crew, clock, "d-green"), DeploymentRequest, ["commander", "authoriser"])


def test_a_request_of_which_some_need_another_role(crew, clock, roster):
    signed = roster.check(act(crew, clock), DeploymentRequest, ["commander", "authoriser"])
    signed.must_be_one_of(["commander"])
    with pytest.raises(ForbiddenError, match="c-brown is not one of: authoriser"):
        signed.must_be_one_of(["authoriser"])


def test_a_stranger_is_refused(crew, clock, roster):
    sealed = sign(Signer.generate("nobody"), REQUEST, clock)
    with pytest.raises(ForbiddenError, match="nobody is not on the roster of officers"):
        roster.check(sealed, DeploymentRequest, ROLES)


def test_an_act_in_the_name_of_another_is_refused(crew, clock, roster):
    stranger = Signer.generate("c-brown")
    with pytest.raises(SealError, match="the signature of the act is not c-brown's"):
        roster.check(sign(stranger, REQUEST, clock), DeploymentRequest, ROLES)
    borrowed = act(crew, clock, "d-green").model_copy(update={"signer": "c-brown"})
    with pytest.raises(SealError):
        roster.check(borrowed, DeploymentRequest, ROLES)


def test_an_act_that_says_it_is_anothers_inside_is_refused(crew, clock, roster):
    inside = Act(officer="c-brown", at=clock.now, nonce=bytes(16), origin="", holds=REQUEST.kind(), request=b"")
    with pytest.raises(ForbiddenError, match="d-green signed another act"):
        roster.check(crew["d-green"].seal(inside), DeploymentRequest, ["operator"])


def test_an_act_for_one_thing_does_not_do_another(crew, clock, roster):
    with pytest.raises(ForbiddenError, match="signed another act"):
        roster.check(act(crew, clock), ListRequest, ROLES)


def test_a_changed_request_is_refused(crew, clock, roster):
    sealed = act(crew, clock)
    body = sealed.body.replace(b"station-north", b"station-south")
    with pytest.raises(SealError):
        roster.check(sealed.model_copy(update={"body": body}), DeploymentRequest, ROLES)


@pytest.mark.parametrize("seconds", [FRESH_S + 1, -FRESH_S - 1])
def test_an_act_of_another_time_is_refused(crew, clock, roster, seconds):
    sealed = act(crew, clock)
    clock.advance(seconds)
    with pytest.raises(ForbiddenError, match="mend the clock"):
        roster.check(sealed, DeploymentRequest, ROLES)


@pytest.mark.parametrize("seconds", [0.0, FRESH_S - 1, 1 - FRESH_S])
def test_a_copy_of_an_act_is_refused_for_as_long_as_it_is_fresh(crew, clock, roster, seconds):
    sealed = act(crew, clock)
    roster.check(sealed, DeploymentRequest, ROLES)
    clock.advance(seconds)
    with pytest.raises(ForbiddenError, match="a copy of it was sent"):
        roster.check(sealed, DeploymentRequest, ROLES)


def test_the_same_request_twice_is_two_acts(crew, clock, roster):
    first, second = (roster.check(act(crew, clock), DeploymentRequest, ROLES) for _ in range(2))
    assert first.sha256 != second.sha256


def test_an_act_that_is_no_such_request_is_refused(crew, clock, roster):
    inside = Act(officer="c-brown", at=clock.now, nonce=bytes(16), origin="", holds=REQUEST.kind(), request=b"\xc1")
    with pytest.raises(DecodeError):
        roster.check(crew["c-brown"].seal(inside), DeploymentRequest, ROLES)


def test_what_is_no_act_at_all_is_refused(crew, clock, roster):
    with pytest.raises(SealError):
        roster.check(crew["c-brown"].seal(REQUEST), DeploymentRequest, ROLES)


def test_the_system_itself_may_with_its_own_key_alone(crew, clock, roster):
    signed = roster.check(act(crew, clock, "govern"), DeploymentRequest, ROLES)
    signed.must_be_one_of(["authoriser"])
    signed.must_act_under("uk-police")
    assert (signed.who, signed.officer) == ("govern", None)
    with pytest.raises(SealError):
        roster.check(sign(Signer.generate("govern"), REQUEST, clock), DeploymentRequest, ROLES)


def test_an_officer_who_is_bound_to_a_profile_acts_under_no_other(crew, clock, roster):
    crew.write_roster(c_brown='profiles = ["evaluation"]\n')
    signed = roster.check(act(crew, clock), DeploymentRequest, ROLES)
    signed.must_act_under("evaluation")
    with pytest.raises(ForbiddenError, match="c-brown may not act under the profile uk-police"):
        signed.must_act_under("uk-police")


# -- the roster


def test_a_roster_that_changes_is_read_again(crew, clock, roster):
    roster.check(act(crew, clock), DeploymentRequest, ROLES)
    text = crew.roster_path.read_text()
    crew.roster_path.write_text(text.replace("officers.c-brown", "officers.c-browne"))
    os.utime(crew.roster_path, (1, 1))
    with pytest.raises(ForbiddenError, match="is not on the roster"):
        roster.check(act(crew, clock), DeploymentRequest, ROLES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("officers = ", "is not TOML"),
        ('[officers.a]\npublic_key = "12"\nroles = ["operator"]\n', "public_key: "),
        ('[officers.a]\npublic_key = "KEY"\nroles = []\n', "roles: "),
        ('[officers.a]\npublic_key = "KEY"\nroles = ["chief"]\n', "roles"),
        ('[officers.a]\npublic_key = "KEY"\nroles = ["operator"]\nadmin = true\n', "admin: "),
        ('[officers."A B"]\npublic_key = "KEY"\nroles = ["operator"]\n', "officers.A B"),
    ],
)
def test_a_roster_that_will_not_do_is_one_line_and_nobody_is_let_in_by_it(crew, clock, roster, text, words):
    crew.roster_path.write_text(text.replace("KEY", str(crew["a-jones"].public)))
    with pytest.raises(UserError) as refused:
        roster.officers()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ForbiddenError, match="nobody can act now: the roster of officers"):
        roster.check(act(crew, clock), DeploymentRequest, ROLES)


def test_a_roster_that_is_gone_lets_nobody_in(crew, clock, roster):
    crew.roster_path.unlink()
    with pytest.raises(ForbiddenError, match="cannot be read"):
        roster.check(act(crew, clock), DeploymentRequest, ROLES)


@pytest.mark.parametrize("broken", ["[officers.x\n", None])
def test_while_the_roster_is_half_written_the_officers_are_those_it_named_last(crew, clock, log, broken):
    roster = Roster(crew.roster_path, crew.govern.public, clock, log)
    known, text = roster.officers(), crew.roster_path.read_text()
    crew.roster_path.write_text(broken) if broken else crew.roster_path.unlink()
    for _ in range(3):
        assert roster.check(act(crew, clock), DeploymentRequest, ROLES).who == "c-brown"
        assert roster.officers() == known
    assert [entry["event"] for entry in log.entries] == ["roster.kept"]  # once
    crew.roster_path.write_text(text.replace("officers.c-brown", "officers.c-browne"))
    with pytest.raises(ForbiddenError, match="is not on the roster"):
        roster.check(act(crew, clock), DeploymentRequest, ROLES)


def test_an_act_from_before_the_program_started_is_refused_for_it_may_have_been_done(crew, clock, roster):
    sealed = act(crew, clock)
    roster.check(sealed, DeploymentRequest, ROLES)
    clock.advance(SKEW_S)
    crew.roster(clock).check(act(crew, clock), DeploymentRequest, ROLES)
    clock.advance(0.1)
    with pytest.raises(ForbiddenError, match=r"before this program started.*repeat it"):
        crew.roster(clock).check(sealed, DeploymentRequest, ROLES)


def test_an_act_can_be_shown_to_be_an_officers_however_old_it_is(crew, clock, roster):
    sealed = act(crew, clock)
    clock.advance(30 * 24 * 3600)
    assert roster.open(sealed).officer == "c-brown"
    with pytest.raises(SealError):
        roster.open(sealed.model_copy(update={"signer": "d-green"}))


def test_an_act_bears_no_secret(crew, clock):
    encoded = codec.encode(act(crew, clock))
    assert (crew.keys / "c-brown.key").read_text().strip().encode() not in encoded
