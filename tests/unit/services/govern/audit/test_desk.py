"""What other programs may tell the audit: acts on watch lists that their officers have signed, and sweeps of match."""

import hashlib

import pytest

from libs import chain
from libs.officers import ForbiddenError
from proto import codec
from proto.audit import Deed
from proto.requests.audit import AuditRequest
from proto.requests.watchlists import CreateListRequest, DestroyListRequest, RemoveEntryRequest
from services.govern.audit.desk import Auditing
from tests.examples import changed

DESTROY = DestroyListRequest(watch_list="wanted", reason="it is over")


class Ledger:
    def __init__(self):
        self.entries = []

    async def append(self, request):
        self.entries.append(chain.following(request, len(self.entries) + 1, chain.GENESIS, 1.0))
        return self.entries[-1]


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def desk(crew, clock, ledger):
    return Auditing(ledger, crew.roster(clock))


def told(crew, clock, who="l-stone", request=DESTROY, verb="destroy", event="watchlist.destroyed", **fields):
    sealed = codec.encode(crew.act(who, request, clock))
    deed = Deed(who=who, verb=verb, at=clock.now, act=hashlib.sha256(sealed).hexdigest())
    named = {"id": "watchlist.wanted.7", "watch_list": "wanted", "record_version": 7}
    return AuditRequest(**{**named, "event": event, "deed": deed, "sealed": sealed, **fields})


async def test_an_act_is_told_with_the_seal_of_its_officer_however_late(crew, clock, desk, ledger):
    ask = told(crew, clock)
    clock.advance(24 * 3600)
    await desk.append(ask)
    assert [entry.deed.who for entry in ledger.entries] == ["l-stone"]


async def test_govern_itself_signs_too(crew, clock, desk, ledger):
    await desk.append(told(crew, clock, "govern"))
    assert len(ledger.entries) == 1


async def test_creating_a_list_names_it_in_its_form(crew, clock, desk, ledger):
    request = changed("create_list_request")
    name = request.form.watch_list
    named = {"id": f"watchlist.{name}.1", "watch_list": name, "record_version": 1}
    assert isinstance(request, CreateListRequest)
    await desk.append(told(crew, clock, request=request, verb="create", event="watchlist.created", **named))
    assert len(ledger.entries) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"sealed": b""},
        {"sealed": b"x"},
        {"deed": Deed(who="b-smith", verb="destroy", at=1.0, act="ab" * 32)},
        {"deed": Deed(who="l-stone", verb="destroy", at=1.0, act="ab" * 32)},
        {"deed": Deed(who="govern", verb="destroy", at=1.0)},
        {"deed": Deed(who="match", verb="enrol", at=1.0)},
        {"event": "watchlist.enrolled"},
        {"event": "deployment.armed"},
        {"watch_list": "missing", "id": "watchlist.missing.7"},
        {"id": "deployment.station-north.2"},
        {"id": "watchlist.wanted.8"},
    ],
    ids=str,
)
async def test_what_its_officer_has_not_signed_is_refused(crew, clock, desk, ledger, wrong):
    with pytest.raises(ForbiddenError):
        await desk.append(told(crew, clock, **wrong))
    assert ledger.entries == []


async def test_another_act_of_the_officer_is_no_proof(crew, clock, desk, ledger):
    request = RemoveEntryRequest(watch_list="wanted", subject="S-1", reason="found")
    with pytest.raises(ForbiddenError, match="l-stone has"):
        await desk.append(told(crew, clock, request=request))
    assert ledger.entries == []


@pytest.mark.parametrize("verb", ["remove", "destroy", "recount"])
async def test_what_match_does_by_the_clock_nobody_signs(crew, clock, desk, ledger, verb):
    event = {"remove": "watchlist.removed", "destroy": "watchlist.destroyed", "recount": "watchlist.recounted"}[verb]
    deed = Deed(who="match", verb=verb, at=clock.now)
    await desk.append(told(crew, clock, event=event, deed=deed, sealed=b""))
    assert [entry.deed.who for entry in ledger.entries] == ["match"]
