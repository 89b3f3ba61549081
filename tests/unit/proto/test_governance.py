"""What a draft, a list and an entry must say before anybody is searched for: nothing stands in for what is left out."""

import pytest
from pydantic import ValidationError

from tests.governance_examples import DRAFT, ENTRY_FORM, LIST_FORM


def with_changes(example, **changes):
    """The example with other values; `None` leaves one out."""
    values = {**example.model_dump(), **changes}
    return type(example).model_validate({name: value for name, value in values.items() if value is not None})


def must_say(example, name, *empty):
    """Each of `empty`, and nothing at all, is refused by the name of the value."""
    for value in (None, *empty):
        with pytest.raises(ValidationError, match=name):
            with_changes(example, **{name: value})


@pytest.mark.parametrize("name", ["purpose", "legal_basis", "strict_necessity", "alternatives"])
def test_a_draft_says_in_words_why_it_is_lawful_and_necessary(name):
    must_say(DRAFT, name, "", "  ")


@pytest.mark.parametrize(
    ("name", "empty"),
    [("location", " "), ("cameras", {}), ("watch_lists", ()), ("starts_at", "soon"), ("ends_at", "late")],
)
def test_a_draft_names_place_cameras_lists_start_and_end(name, empty):
    must_say(DRAFT, name, empty)


@pytest.mark.parametrize("name", ["purpose", "owner", "category", "lawful_basis", "criteria"])
def test_a_list_names_what_it_is_for(name):
    must_say(LIST_FORM, name, "", "  ")


def test_a_list_says_how_to_respond_and_when_it_expires():
    must_say(LIST_FORM, "response", "purple")
    must_say(LIST_FORM, "expires_at", "never")


@pytest.mark.parametrize("name", ["reason", "requester", "source", "lawful_basis", "expires_at"])
def test_an_entry_names_why_for_whom_and_from_where(name):
    must_say(ENTRY_FORM, name)


@pytest.mark.parametrize("name", ["reason", "requester", "source", "lawful_basis"])
def test_nobody_is_listed_with_empty_words(name):
    must_say(ENTRY_FORM, name, "  ")


def test_a_person_under_18_is_listed_with_a_rationale_alone():
    with pytest.raises(ValidationError, match="under_18_rationale"):
        with_changes(ENTRY_FORM, under_18=True, under_18_rationale="")
    with pytest.raises(ValidationError, match="under_18_rationale"):
        with_changes(ENTRY_FORM, under_18=True, under_18_rationale="  ")
    assert with_changes(ENTRY_FORM, under_18=True, under_18_rationale="a missing child").under_18


def test_a_deployment_ends_after_it_starts_and_has_one_threshold():
    with pytest.raises(ValidationError, match="ends after it starts"):
        with_changes(DRAFT, ends_at=DRAFT.starts_at)
    with pytest.raises(ValidationError, match="either a threshold or a target_fpir"):
        with_changes(DRAFT, threshold=None)
    with pytest.raises(ValidationError, match="either a threshold or a target_fpir"):
        with_changes(DRAFT, target_fpir=0.001)
