"""The operator's desk: alerts by the beginning of their ids, two pictures to compare, times as people write them."""

import stat
from types import SimpleNamespace

import pytest

from libs.errors import UserError
from proto import subjects
from proto.requests.alerts import CaseReply, CasesReply
from services.cli.alerts.desk import cases_of, find_case, write_portraits
from services.cli.client import Client
from tests.examples import changed


class Bus:
    """Answers for the cases it knows, and keeps pictures."""

    def __init__(self, *ids):
        self.cases = {alert: changed("case", alert=alert) for alert in sorted(ids)}
        self.pictures = {}
        self.portraits = SimpleNamespace(get=self._picture)

    async def ask(self, subject, message, expected, _timeout_s=None):
        if subject == f"{subjects.CASES}.list":
            case = next(case for key, case in self.cases.items() if key > message.after)
            return CasesReply(cases=(case,), next=case.alert if case.alert != max(self.cases) else "")
        return CaseReply(case=self.cases[message.alert])

    async def _picture(self, key):
        return self.pictures.get(key)


async def test_the_beginning_of_an_id_is_enough_where_it_fits_one():
    client = Client(Bus("3f2a77", "3f9b01", "a1"))
    assert (await find_case(client, "3f2")).alert == "3f2a77"


async def test_all_alerts_are_listed_over_all_pages_the_oldest_first():
    bus = Bus("a", "b", "c")
    bus.cases["b"] = bus.cases["b"].model_copy(update={"raised_at": 0.0})
    assert [case.alert for case in await cases_of(Client(bus))] == ["b", "a", "c"]


async def test_a_whole_id_counts_although_another_begins_with_it():
    assert (await find_case(Client(Bus("3f", "3f9b01")), "3f")).alert == "3f"


@pytest.mark.parametrize(
    ("prefix", "said"), [("3f", "2 alerts .* begin with '3f': give more of one: 3f2a77, 3f9b01"), ("b", "no alert")]
)
async def test_a_beginning_that_fits_several_or_none_is_refused(prefix, said):
    with pytest.raises(UserError, match=said):
        await find_case(Client(Bus("3f2a77", "3f9b01")), prefix)


async def test_nothing_is_not_the_beginning_of_an_id():
    with pytest.raises(UserError, match="no alert"):
        await find_case(Client(Bus("3f2a77")), "")


async def test_both_pictures_are_written_for_their_owner_alone(tmp_path):
    bus = Bus("a1")
    bus.pictures = {"alert.a1": b"\xff\xd8 seen", "reference.wanted.S-0001": b"\xff\xd8 reference"}
    written, missing = await write_portraits(Client(bus), bus.cases["a1"], tmp_path / "compare")
    assert [path.name for path in written] == ["a1-seen.jpg", "a1-reference.jpg"]
    assert [path.read_bytes() for path in written] == [b"\xff\xd8 seen", b"\xff\xd8 reference"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert missing == []


async def test_a_picture_that_was_deleted_is_named_as_missing(tmp_path):
    bus = Bus("a1")
    bus.pictures = {"reference.wanted.S-0001": b"\xff\xd8 reference"}
    written, missing = await write_portraits(Client(bus), bus.cases["a1"], tmp_path)
    assert [path.name for path in written] == ["a1-reference.jpg"]
    assert missing == ["the face that was seen"]
