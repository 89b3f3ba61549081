"""Watch lists are made, shortened and destroyed by officers' acts alone, and what is destroyed is gone."""

import pytest

from libs.errors import ConflictError, MissingError, PermanentError, TransientError
from libs.officers import ForbiddenError
from proto import codec
from proto.requests.listing import ListRequest
from proto.requests.watchlists import CreateListRequest, DestroyListRequest, EnrolEntryRequest, EntriesRequest
from proto.sealed import Act, Sealed
from services.govern.audit.desk import Auditing
from tests.examples import changed
from tests.match_desk import (
    DAY_S,
    NOTHING,
    DeadError,
    MatchDesk,
    entry_form,
    list_form,
    picture,
    png,
    sha256,
    with_notice,
)


@pytest.fixture
def desk(crew, log, clock):
    return MatchDesk(crew, log, clock)


async def test_a_list_is_made_with_what_it_is_for_and_the_audit_hears_of_it(desk, clock):
    record = (await desk.create()).record
    assert (record.state, record.record_version, record.created_at) == ("ready", 1, clock())
    assert record.form == list_form(clock)
    assert record.deeds[0].who == "l-stone"
    (told,) = desk.peers.audit
    assert (told.event, told.watch_list) == ("watchlist.created", "wanted")
    assert told.deed == record.deeds[0]
    assert told.id == f"watchlist.wanted.{told.deed.act[:32]}"


@pytest.mark.parametrize("who", ["a-jones", "b-smith", "c-brown", "d-green", "f-black"])
async def test_nobody_makes_or_destroys_a_list_who_is_no_list_manager(desk, who):
    with pytest.raises(ForbiddenError, match="not one of: list_manager"):
        await desk.create(who=who)
    assert desk.lists.records == {}
    await desk.create()
    with pytest.raises(ForbiddenError):
        await desk.destroy(who=who)
    assert desk.list().state == "ready"


async def test_govern_itself_may_destroy_a_list(desk):
    await desk.create()
    assert (await desk.destroy(who="govern")).record.state == "destroyed"


async def test_an_act_that_is_sent_a_second_time_is_refused(desk, clock):
    act = desk.act(CreateListRequest(form=list_form(clock)))
    await desk.watchlists.create(act)
    await desk.destroy()
    with pytest.raises(ForbiddenError, match="a copy"):
        await desk.watchlists.create(act)


async def test_an_old_act_is_refused(desk, clock):
    await desk.create()
    act = desk.act(DestroyListRequest(watch_list="wanted", reason="over"))
    clock.advance(121)
    with pytest.raises(ForbiddenError, match="121 s ago"):
        await desk.watchlists.destroy(act)
    assert desk.list().state == "ready"


async def test_two_lists_cannot_have_one_name(desk):
    await desk.create()
    with pytest.raises(ConflictError, match="choose another name"):
        await desk.create()
    assert desk.list().record_version == 1


async def test_a_list_that_would_have_expired_already_is_not_made(desk, clock):
    with pytest.raises(PermanentError, match="expired already"):
        await desk.create(expires_at=clock())
    assert desk.lists.records == {}
    assert desk.gallery.lists == {}


async def test_a_list_can_only_expire_sooner(desk, clock):
    await desk.create()
    sooner = clock() + DAY_S
    assert (await desk.expire(sooner)).record.form.expires_at == sooner
    with pytest.raises(PermanentError, match="only expire sooner"):
        await desk.expire(sooner + 1)
    assert desk.list().form.expires_at == sooner
    assert desk.peers.events == ["watchlist.created", "watchlist.expired"]


async def test_what_is_not_there_is_said_to_be_missing(desk):
    for call in (desk.destroy(), desk.expire(1.0), desk.watchlists.show(ListRequest(of="wanted"))):
        with pytest.raises(MissingError, match="no watch list wanted"):
            await call
    with pytest.raises(MissingError):
        await desk.watchlists.entries(EntriesRequest(watch_list="wanted"))


async def test_lists_are_told_by_name_and_one_alone_where_it_is_named(desk):
    await desk.create("wanted")
    await desk.create("missing")
    assert [record.id for record in (await desk.watchlists.list(ListRequest(of=""))).records] == ["missing", "wanted"]
    assert [record.id for record in (await desk.watchlists.list(ListRequest(of="wanted"))).records] == ["wanted"]


async def test_the_entries_come_page_by_page_in_order_of_subject(desk):
    await desk.create()
    for number, subject in enumerate(["S-3", "S-1", "S-2"]):
        await desk.enrol(subject, number)
    first = await desk.watchlists.entries(EntriesRequest(watch_list="wanted", count=2))
    rest = await desk.watchlists.entries(EntriesRequest(watch_list="wanted", after="S-2", count=2))
    assert [entry.subject for entry in first.entries] == ["S-1", "S-2"]
    assert [entry.subject for entry in rest.entries] == ["S-3"]


async def with_names(desk):
    """A list with two people, one of whom is known by name, and the same person on another list."""
    await desk.create()
    await desk.create("other")
    await desk.enrol("S-1", 1, name="other")
    await desk.enrol("S-2", 2)
    named = EnrolEntryRequest(
        watch_list="wanted",
        subject="S-1",
        reference="Jane Doe.png",
        image=png(picture(1)),
        entry=entry_form(desk.clock, name="Jane Doe"),
    )
    signed = with_notice(desk.crew["l-stone"], named, desk.clock)
    assert (await desk.membership.enrol(desk.act(signed))).enrolled


async def test_a_destroyed_list_leaves_ids_counts_and_hashes_and_nothing_biometric(desk, clock):
    await with_names(desk)
    before = desk.list()
    record = (await desk.destroy()).record
    assert (record.state, record.destroyed_at) == ("destroyed", clock())
    assert desk.biometrics() == NOTHING
    assert (record.subjects, record.references, record.inputs_sha256) == (2, 2, before.inputs_sha256)
    assert record.inputs_sha256
    entry = desk.entry("S-1")
    assert (entry.form, entry.removed_at) == (None, clock())
    assert [image.sha256 for image in entry.images] == [sha256(png(picture(1)))]
    assert "Jane" not in repr(desk.lists.records) + repr(desk.entries.records) + repr(desk.peers.audit)


async def test_other_lists_keep_theirs(desk):
    await with_names(desk)
    await desk.destroy()
    references, portraits, _ = desk.biometrics("other")
    assert (references, portraits) == (["S-1/1.png"], ["reference.other.S-1"])


async def test_the_audit_hears_what_was_destroyed_by_whom_and_why(desk):
    await with_names(desk)
    record = (await desk.destroy()).record
    told = desk.peers.audit[-1]
    assert (told.event, told.record_version) == ("watchlist.destroyed", record.record_version)
    assert (told.deed.who, told.deed.reason) == ("l-stone", "the deployment is over")
    assert (told.details["subjects"], told.details["references"]) == (2, 2)
    assert told.details["inputs_sha256"] == record.inputs_sha256
    assert "reason" not in told.details


async def test_the_audit_gets_the_officers_seal_with_every_deed_of_an_officer(desk, clock):
    await with_names(desk)
    begun = await desk.step("begin", manifest_sha256="ab" * 32)
    await desk.step("abort", begun.import_id)
    begun = await desk.step("begin", manifest_sha256="ab" * 32)
    await desk.enrol("S-3", 3, begun.import_id)
    await desk.step("complete", begun.import_id)
    await desk.remove("S-1")
    await desk.expire(clock() + DAY_S)
    await desk.destroy()
    assert len({request.event for request in desk.peers.audit}) == 8
    for request in desk.peers.audit:
        assert request.deed.act == sha256(request.sealed), request.event
        assert b"Jane" not in request.sealed
        desk.crew["l-stone"].public.open(codec.decode(Sealed, request.sealed), Act, "l-stone")


class Ledger:
    """The audit of a `govern` that takes what it is told."""

    def __init__(self):
        self.events = []

    async def append(self, request):
        self.events.append(request.event)
        return changed("audit_entry")


async def test_govern_takes_into_the_audit_whatever_match_tells_it(desk, crew, clock):
    await with_names(desk)
    begun = await desk.step("begin", manifest_sha256="ab" * 32)
    await desk.step("abort", begun.import_id)
    begun = await desk.step("begin", manifest_sha256="ab" * 32)
    await desk.step("complete", begun.import_id)
    await desk.seek_duplicates()
    await desk.remove("S-1")
    await desk.expire(clock() + DAY_S)
    clock.advance(20 * DAY_S)
    await desk.sweeper.sweep()
    await desk.destroy(name="other")
    ledger = Ledger()
    auditing = Auditing(ledger, crew.roster(clock))
    for request in desk.peers.audit:
        await auditing.append(request)
    assert ledger.events == desk.peers.events
    assert len(set(ledger.events)) == 9


async def test_the_seal_of_a_destruction_outlives_a_crash_and_is_not_told_before_it_is_done(desk):
    await with_names(desk)
    desk.life.dies_at = 3
    with pytest.raises(DeadError):
        await desk.destroy()
    again = desk.reborn()
    await again.registry.report("wanted")
    assert "watchlist.destroyed" not in desk.peers.events
    await again.sweeper.sweep()
    told = desk.peers.audit[-1]
    assert (told.event, told.deed.act) == ("watchlist.destroyed", sha256(told.sealed))


async def test_a_list_is_destroyed_once(desk):
    await desk.create()
    await desk.destroy()
    with pytest.raises(ConflictError, match="destroyed already"):
        await desk.destroy()


async def test_nobody_is_enrolled_on_a_destroyed_list(desk):
    await desk.create()
    await desk.destroy()
    with pytest.raises(MissingError, match="is destroyed"):
        await desk.enrol("S-1")
    assert desk.biometrics() == NOTHING


async def test_a_name_that_was_used_goes_on_with_its_versions_so_that_each_is_one_act(desk):
    await desk.create()
    await desk.destroy()
    record = (await desk.create()).record
    assert (record.state, record.record_version, record.subjects) == ("ready", 3, 0)
    assert [request.record_version for request in desk.peers.audit] == [1, 2, 3]


async def steps_of_a_destruction(crew, log, clock):
    desk = MatchDesk(crew, log, clock)
    await with_names(desk)
    before = len(desk.life.steps)
    await desk.destroy()
    return len(desk.life.steps) - before


async def test_a_crash_anywhere_in_a_destruction_is_made_good_at_the_next_start(crew, log, clock):
    steps = await steps_of_a_destruction(crew, log, clock)
    assert steps == 10
    for step in range(1, steps):
        desk = MatchDesk(crew, log, clock)
        await with_names(desk)
        desk.life.dies_at = step
        with pytest.raises(DeadError):
            await desk.destroy()
        again = desk.reborn()
        await again.sweeper.sweep()
        assert again.list().state == "destroyed", f"died at step {step}"
        assert again.biometrics() == NOTHING
        assert again.list().subjects == 2
        assert again.list().owed == ()
        assert desk.peers.events.count("watchlist.destroyed") == 1


async def test_a_destruction_that_had_not_begun_did_nothing(desk):
    await with_names(desk)
    before, biometrics = desk.list(), desk.biometrics()
    desk.life.dies_at = 0
    with pytest.raises(DeadError):
        await desk.destroy()
    await desk.reborn().sweeper.sweep()
    assert (desk.list(), desk.biometrics()) == (before, biometrics)


async def test_a_list_under_destruction_takes_nobody(desk):
    await with_names(desk)
    desk.life.dies_at = 2
    with pytest.raises(DeadError):
        await desk.destroy()
    again = desk.reborn()
    assert again.list().state == "destroying"
    with pytest.raises(ConflictError, match="being destroyed"):
        await again.enrol("S-9", 9)


async def test_an_act_is_done_while_the_audit_is_away_and_told_once_it_is_back(desk):
    desk.peers.audit_away = True
    record = (await desk.create()).record
    assert [owed.event for owed in record.owed] == ["watchlist.created"]
    await desk.enrol("S-1")
    desk.peers.audit_away = False
    again = desk.reborn()
    await again.sweeper.sweep()
    assert again.list().owed == ()
    assert desk.peers.events == ["watchlist.created", "watchlist.enrolled"]
    assert [request.record_version for request in desk.peers.audit] == [1, 2]


async def test_what_the_audit_has_written_before_a_crash_is_not_written_twice(desk):
    await desk.create()
    paid = desk.life.steps.count("lists.put")
    assert paid == 2  # the record, and that nothing is owed
    other = MatchDesk(desk.crew, desk.log, desk.clock)
    other.life.dies_at = 2  # the collection, the record, and dead before it is noted that the audit has it
    with pytest.raises(DeadError):
        await other.create()
    again = other.reborn()
    await again.sweeper.sweep()
    assert again.list().owed == ()
    assert other.peers.events == ["watchlist.created"]


# -- what the audit refuses


async def test_an_entry_that_the_audit_refuses_stays_owed_and_holds_up_none_after_it(desk):
    desk.peers.refused = (2,)
    await desk.create()
    await desk.enrol("S-1")
    await desk.remove("S-1")
    assert [request.record_version for request in desk.peers.audit] == [1, 3]
    assert [owed.record_version for owed in desk.list().owed] == [2]


async def test_a_refusal_by_the_audit_is_logged_once_with_ids_alone(desk):
    desk.peers.refused = (1,)
    await desk.create()
    await desk.sweeper.sweep()
    (logged,) = [entry for entry in desk.log.entries if entry["event"] == "audit.refused"]
    (owed,) = desk.list().owed
    assert (logged["log_level"], logged["entry"]) == ("error", f"watchlist.wanted.{owed.deed.act[:32]}")
    assert logged["reason"].endswith("auditing.append refused: l-stone is not on the roster of officers")


async def test_an_entry_that_was_refused_is_told_when_the_audit_takes_it(desk):
    desk.peers.refused = (1,)
    await desk.create()
    await desk.enrol("S-1")
    desk.peers.refused = ()
    await desk.sweeper.sweep()
    assert [request.record_version for request in desk.peers.audit] == [2, 1]
    assert desk.list().owed == ()


async def test_a_list_whose_entry_was_refused_can_be_destroyed_and_the_audit_hears_of_that(desk):
    desk.peers.refused = (1,)
    await desk.create()
    await desk.destroy()
    assert desk.peers.events == ["watchlist.destroyed"]
    assert [owed.event for owed in desk.list().owed] == ["watchlist.created"]


async def test_while_govern_is_away_nothing_is_asked_for_the_entries_after_the_first(desk):
    desk.peers.audit_away = True
    await desk.create()
    await desk.enrol("S-1")
    before = len(desk.peers.asks)
    await desk.sweeper.sweep()
    assert len(desk.peers.asks) == before + 1


async def test_the_proof_of_a_destruction_is_its_own_though_an_entry_expired_while_it_was_under_way(
    desk, clock, monkeypatch
):
    await desk.create()
    await desk.enrol("S-1", 1)
    await desk.enrol("S-2", 2, expires_at=clock.now + 10)
    clock.advance(11)
    before = desk.list()

    async def away(*_):
        raise TransientError("the gallery is away")

    with monkeypatch.context() as broken:
        broken.setattr(desk.gallery, "drop", away)
        with pytest.raises(TransientError):
            await desk.destroy()
        await desk.sweeper._look_after(before)  # as it had read the list before that
    await desk.sweeper.sweep()
    told = {request.event: request.details for request in desk.peers.audit}
    assert told["watchlist.destroyed"]["people_erased"] >= 1
    assert "people_erased" not in told["watchlist.removed"]
