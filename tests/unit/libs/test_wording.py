"""What is wrong with a value is said in words for the person who wrote it."""

import re

import pytest
from pydantic import ValidationError

from libs.wording import DATED, fault, user_error
from proto.deployments import DeploymentDraft
from proto.requests.deployments import AmendRequest, DeploymentRequest
from services.govern.profiles.reading import SHIPPED, Profile, load_profile
from tests.examples import EXAMPLES

DRAFT = EXAMPLES["deployment_record"].draft.model_dump()
AMENDMENT = {"deployment": "north", "record_version": 1, "reason": "fewer alerts"}


def refused(kind, fields):
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(fields)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (DeploymentRequest, {"deployment": "a b"}, ("deployment", "use letters, digits, - and _, at most 64")),
        (AmendRequest, {**AMENDMENT, "reason": ""}, ("reason", "it is empty")),
        (AmendRequest, {**AMENDMENT, "threshold": 3}, ("threshold", "it must be at most 1")),
        (DeploymentDraft, {**DRAFT, "watch_lists": []}, ("watch_lists", "it is empty")),
        (DeploymentDraft, {**DRAFT, "colour": 1}, ("colour", "there is no such value")),
        (DeploymentDraft, {**DRAFT, "dpia": 3}, ("dpia", "it must be a table of values")),
        (DeploymentDraft, {**DRAFT, "purpose": 4}, ("purpose", "it must be words, in quotes")),
        (
            DeploymentDraft,
            {**DRAFT, "watch_lists": ["Wanted"]},
            ("watch_lists, number 1", "use small letters, digits and -, at most 63, the first no -"),
        ),
        (
            DeploymentDraft,
            {**DRAFT, "starts_at": "soon"},
            ("starts_at", "it must be a time with its offset, like 2026-03-14T09:00:00Z"),
        ),
        (DeploymentDraft, {**DRAFT, "starts_at": 1.8e12}, ("starts_at", DATED)),
        (DeploymentDraft, {**DRAFT, "starts_at": -1.0}, ("starts_at", DATED)),
        (DeploymentRequest, {"deployment": "\udcff"}, ("deployment", "it must be text in UTF-8")),
    ],
)
def test_the_value_is_named_as_it_was_written_and_what_is_wrong_in_words(kind, fields, said):
    assert fault(refused(kind, fields)) == said


def test_a_table_that_is_missing_is_named_as_it_is_written():
    error = refused(DeploymentDraft, {name: value for name, value in DRAFT.items() if name != "cameras"})
    told = str(user_error(error, "north.toml", {"cameras": "the table [cameras.NAME]"}))
    assert told == "north.toml: the table [cameras.NAME]: it is missing"


def test_the_reason_that_a_rule_gives_keeps_its_capitals():
    error = refused(DeploymentDraft, {**DRAFT, "watch_lists": ["wanted", "wanted"]})
    assert str(user_error(error, "North.toml")) == "North.toml will not do: a watch list is named twice"


def test_all_kinds_that_a_value_may_be_of_are_told():
    profile = load_profile(SHIPPED / "evaluation.toml").model_dump()
    error = refused(Profile, {**profile, "list_age_hours": "forever"})
    assert fault(error) == ("list_age_hours", "it must be a number or 'unlimited'")


@pytest.mark.parametrize("value", [None, 3, "", "A b", [], [None], {}, {"a b": 3}, -1e9, float("nan")])
def test_no_pattern_and_no_term_of_the_library_is_ever_shown(value):
    for name in DeploymentDraft.model_fields:
        try:
            DeploymentDraft.model_validate({**DRAFT, name: value})
        except ValidationError as error:
            where, said = fault(error)
            assert not re.search(r"[\^\\$]|[Ii]nput|should|constrained|\[key\]", where + said), (name, where, said)
