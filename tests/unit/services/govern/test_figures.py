"""What the report is made of: all that belongs to a deployment, and nothing of another."""

from types import SimpleNamespace

import pytest

from libs.errors import MissingError
from proto import subjects
from proto.governance import AuditHead
from proto.requests import DeploymentRequest
from services.govern.figures import Counts, Figures
from tests.fakes import Shelf
from tests.governance_examples import CASE, DEPLOYMENT, FACES, NOW, PASSAGE, SEARCHES, WATCH_LIST

ASK = DeploymentRequest(deployment="station-north")
HEADS = {"audit": AuditHead(sequence=7, sha256="a7" * 32, at=NOW)}


class Book(dict):
    def all(self):
        return dict(self)


def book(*records):
    return Book({str(number): record for number, record in enumerate(records)})


@pytest.fixture
async def office():
    """The part of the office that figures need, with the deployment of the examples."""
    lists = Book({"wanted": WATCH_LIST, "elsewhere": WATCH_LIST})
    profiles = {"uk-police": SimpleNamespace(stamp="")}
    office = SimpleNamespace(deployments=Shelf(), all_lists=lists, all_cases=book(CASE), profiles=profiles)
    await office.deployments.put(subjects.key("station-north"), DEPLOYMENT)
    return office


def figures_of(office, **books):
    kinds = {"passages": book(), "faces": book(), "searches": book(), "heads": Book(HEADS)}
    return Figures(office, Counts(**kinds | books))


async def test_everything_counted_for_the_deployment_is_there_oldest_first(office):
    later = FACES.model_copy(update={"reading": "gate-1-ffff-", "updated_at": FACES.updated_at + 1})
    books = {"passages": book(PASSAGE), "faces": book(later, FACES), "searches": book(SEARCHES)}
    reply = await figures_of(office, **books).figures(ASK)

    assert reply.record == DEPLOYMENT
    assert reply.cases == (CASE,)
    assert reply.passages == (PASSAGE,)
    assert reply.faces == (FACES, later)
    assert reply.searches == (SEARCHES,)
    assert (reply.audit_entries, reply.audit_head) == (7, "a7" * 32)


async def test_nothing_of_another_deployment_is_counted(office):
    others = [record.model_copy(update={"deployment": "elsewhere"}) for record in (CASE, PASSAGE, FACES, SEARCHES)]
    office.all_cases = book(others[0])
    books = {"passages": book(others[1]), "faces": book(others[2]), "searches": book(others[3])}
    reply = await figures_of(office, **books).figures(ASK)
    assert (reply.cases, reply.passages, reply.faces, reply.searches) == ((), (), (), ())


async def test_the_lists_are_those_of_the_draft_as_far_as_there_is_a_record_of_them(office):
    reply = await figures_of(office).figures(ASK)
    assert reply.lists == (WATCH_LIST,)  # of missing and blue there is none


async def test_the_stamp_is_that_of_the_profile(office):
    office.profiles["uk-police"].stamp = "EVALUATION"
    assert (await figures_of(office).figures(ASK)).stamp == "EVALUATION"


async def test_without_its_profile_nobody_is_told_that_it_was_no_evaluation(office):
    office.profiles.clear()
    with pytest.raises(MissingError, match="profile uk-police is not there any more: put its file back"):
        await figures_of(office).figures(ASK)


async def test_a_deployment_that_is_not_there_is_missing(office):
    with pytest.raises(MissingError, match="no deployment station-south"):
        await figures_of(office).figures(DeploymentRequest(deployment="station-south"))


async def test_before_the_first_entry_of_the_audit_there_is_no_head(office):
    reply = await figures_of(office, heads=book()).figures(ASK)
    assert (reply.audit_entries, reply.audit_head) == (0, "")
