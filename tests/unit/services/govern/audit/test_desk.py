"""What other programs may tell the audit: acts on watch lists that their officers have signed, and sweeps of match."""

import hashlib

import pytest

from libs import chain
from libs.errors import PermanentError
from libs.officers import ForbiddenError
from proto import codec
from proto.audit import Deed, list_act_id
from proto.requests.audit import AuditRequest
from proto.requests.watchlists import CreateListRequest, DestroyListRequest, ImportRequest, RemoveEntryRequest
from proto.sealed import Act, Sealed
from services.govern.audit.desk import Auditing
from tests.examples import changed

DESTROY = DestroyListRequest(watch_list="wanted", reason="it is over")
BEGIN = ImportRequest(watch_list="wanted", step="begin")


class Ledger:
    """The entries of the audit; two of one id it does not hold."""

    def __init__(self):
        self.entries = []

    async def append(self, request):
        if request.id in [entry.id for entry in self.entries]:
            raise PermanentError("the audit holds another act under that id")
        self.entries.append(chain.following(request, len(self.entries) + 1, chain.GENESIS, 1.0))
        return self.entries[-1]


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def desk(crew, clock, ledger):
    return Auditing(ledger, crew.roster(clock))


def told(crew, clock, who="l-stone", request=DESTROY, verb="destroy", event="watchlist.destroyed", said=None, **fields):
    """What match tells of an act; `said` is in the deed instead of what the officer has signed."""
    sealed = codec.encode(crew.act(who, request, clock))
    act = codec.decode(Act, codec.decode(Sealed, sealed).body)
    reason = getattr(request, "reason", "")
    signed = {"who": who, "verb": verb, "at": act.at, "origin": act.origin, "reason": reason}
    deed = Deed(**{**signed, "act": hashlib.sha256(sealed).hexdigest(), **(said or {})})
    named = {"watch_list": "wanted", "record_version": 7, "event": event, "deed": deed, "sealed": sealed, **fields}
    act_id = list_act_id(named["watch_list"], named["record_version"], named["deed"])
    return AuditRequest(**{"id": act_id, **named})


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
    named = {"watch_list": name, "record_version": 1}
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
        {"watch_list": "missing"},
        {"id": "deployment.station-north.2"},
        {"said": {"at": 5.0}},
        {"said": {"origin": "elsewhere"}},
        {"said": {"reason": "another"}},
        {"said": {"details": {"subjects": 0}}},
        {"request": BEGIN, "verb": "abort_import", "event": "watchlist.import_aborted"},
        {"request": BEGIN, "verb": "begin_import", "event": "watchlist.imported"},
        {"id": "watchlist.wanted.7"},
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


async def test_what_nobody_signed_does_not_take_the_place_of_an_act_that_an_officer_signed(crew, clock, desk, ledger):
    unsigned = Deed(who="match", verb="destroy", at=clock.now)
    await desk.append(told(crew, clock, event="watchlist.destroyed", deed=unsigned, sealed=b""))
    await desk.append(told(crew, clock))
    assert [(entry.record_version, entry.deed.who) for entry in ledger.entries] == [(7, "match"), (7, "l-stone")]


@pytest.mark.parametrize(
    ("step", "verb", "event"),
    [
        ("begin", "begin_import", "watchlist.import_begun"),
        ("complete", "import", "watchlist.imported"),
        ("abort", "abort_import", "watchlist.import_aborted"),
    ],
)
async def test_each_step_of_an_import_is_told_as_what_it_is(crew, clock, desk, ledger, step, verb, event):
    request = ImportRequest(watch_list="wanted", step=step, import_id="" if step == "begin" else "f00d")
    await desk.append(told(crew, clock, request=request, verb=verb, event=event))
    assert [entry.deed.verb for entry in ledger.entries] == [verb]


async def test_a_blank_after_where_an_act_was_signed_keeps_it_out_of_no_audit(crew, clock, desk, ledger):
    """What match tells of it has none: it is trimmed like every short text."""
    act = codec.decode(Act, crew.act("l-stone", DESTROY, clock).body).model_copy(update={"origin": "desk-1 "})
    sealed = codec.encode(crew["l-stone"].seal(act))
    said = {"act": hashlib.sha256(sealed).hexdigest(), "origin": "desk-1", "at": act.at}
    await desk.append(told(crew, clock, sealed=sealed, said=said))
    assert [entry.deed.origin for entry in ledger.entries] == ["desk-1"]


async def test_one_act_is_one_entry_whatever_version_it_is_told_of(crew, clock, desk, ledger):
    ask = told(crew, clock)
    await desk.append(ask)
    again = ask.model_copy(update={"record_version": 8, "id": list_act_id("wanted", 8, ask.deed)})
    with pytest.raises(PermanentError, match="under that id"):
        await desk.append(again)
    assert len(ledger.entries) == 1


async def test_one_kind_of_sweep_takes_no_place_of_another(crew, clock, desk, ledger):
    for verb, event in (("remove", "watchlist.removed"), ("destroy", "watchlist.destroyed")):
        await desk.append(told(crew, clock, event=event, deed=Deed(who="match", verb=verb, at=clock.now), sealed=b""))
    assert [entry.deed.verb for entry in ledger.entries] == ["remove", "destroy"]


@pytest.mark.parametrize("verb", ["remove", "destroy", "recount"])
async def test_what_match_does_by_the_clock_nobody_signs(crew, clock, desk, ledger, verb):
    event = {"remove": "watchlist.removed", "destroy": "watchlist.destroyed", "recount": "watchlist.recounted"}[verb]
    deed = Deed(who="match", verb=verb, at=clock.now)
    await desk.append(told(crew, clock, event=event, deed=deed, sealed=b""))
    assert [entry.deed.who for entry in ledger.entries] == ["match"]
