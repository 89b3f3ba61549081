"""A deployment that runs on lists which are not searched, or have nobody on them, is shown with a warning."""

import pytest

from libs.errors import TransientError
from proto.deployments import Binding
from proto.requests.deployments import DeploymentReply
from proto.requests.watchlists import ListsReply
from services.cli.client import Client
from services.cli.deployments.lists import lists_by_name, with_list_warnings
from tests.examples import EXAMPLES, changed

NOW = 1_773_500_000.0
LIST = EXAMPLES["watch_list_record"]


class Match:
    """A bus on which `match` tells of these lists, or does not answer."""

    def __init__(self, *lists):
        self.lists = lists

    async def ask(self, *_):
        if not self.lists:
            raise TransientError("nobody answered")
        return ListsReply(records=self.lists)


async def shown(match, state="armed", lists=None):
    record = changed("deployment_record", state=state, binding=Binding(lists=lists or {}))
    draft = record.draft.model_copy(update={"watch_lists": (LIST.id,), "seed_lists": ()})
    reply = DeploymentReply(record=record.model_copy(update={"draft": draft}), warnings=("a weak value",))
    *found, last = with_list_warnings(reply, await lists_by_name(Client(match)), NOW).warnings
    assert last == "a weak value"
    return found


def wanted(expires_at=NOW + 60, **fields):
    form = LIST.form.model_copy(update={"expires_at": expires_at})
    return LIST.model_copy(update={"form": form, "state": "ready", "references": 3, **fields})


async def test_a_list_that_is_searched_is_no_warning():
    assert await shown(Match(wanted()), lists={LIST.id: LIST.created_at}) == []


async def test_another_list_of_the_name_is_told_with_its_remedy():
    (warning,) = await shown(Match(wanted()), lists={LIST.id: LIST.created_at - 60})
    assert warning.startswith(f"watch list {LIST.id} is not the one that was armed, nor searched: end")


@pytest.mark.parametrize(
    ("watch_list", "words"),
    [
        (wanted(state="importing"), "is being imported and not searched: complete"),
        (wanted(state="aborting"), "is not searched while its import is being taken back"),
        (wanted(state="destroyed"), "is destroyed and not searched: end"),
        (wanted(expires_at=NOW), "has expired and is not searched: end"),
        (wanted(subjects=0, references=0), "is empty: import those"),
    ],
)
@pytest.mark.parametrize("state", ["armed", "suspended"])
async def test_a_list_on_which_nobody_is_found_is_told_with_its_remedy(watch_list, words, state):
    (warning,) = await shown(Match(watch_list), state)
    assert warning.startswith(f"watch list {LIST.id} {words}")


async def test_it_is_told_that_nothing_is_known():
    (warning,) = await shown(Match())
    assert "match does not answer" in warning


async def test_what_does_not_run_needs_no_list():
    assert await shown(Match(wanted(state="destroyed")), "ended") == []
