"""The writer of the audit: each act once, in one chain, whoever else writes and whatever the clock says."""

import asyncio
import hashlib

import pytest

from libs import chain
from libs.bus import Conflict, Stored
from libs.errors import PermanentError, TransientError
from libs.seals import Signer
from proto import codec
from proto.audit import AuditHead, Deed
from proto.requests.audit import AuditRequest
from services.govern.audit.details import LONGEST_DETAIL, MOST_DETAILS
from services.govern.audit.ledger import HEAD, TAIL, Chain
from tests.fakes import Shelf

GOVERN = Signer.generate("govern")
NOW = 1_700_000_000.0


class Stream:
    """A stream of one subject; `before_appending` may be set to get in between, once, and `reading` at each reading."""

    def __init__(self):
        self.data = []
        self.looked_at = []
        self.reading = None
        self.before_appending = None
        self.loses_the_answer = False

    async def append(self, _stream, _subject, message, expected_last):
        if self.before_appending is not None:
            intruder, self.before_appending = self.before_appending, None
            await intruder()
        if expected_last != len(self.data):
            raise Conflict
        self.data.append(codec.encode(message))
        if self.loses_the_answer:
            self.loses_the_answer = False
            raise TransientError("the answer was lost")
        return len(self.data)

    async def stored(self, _stream, _subject=">", first=1):
        if self.reading is not None:
            await self.reading()
        for sequence, data in list(enumerate(self.data, start=1))[first - 1 :]:
            yield Stored(sequence, "audit", 0.0, data)

    async def stored_at(self, _stream, sequence):
        self.looked_at.append(sequence)
        return Stored(sequence, "audit", 0.0, self.data[sequence - 1]) if sequence <= len(self.data) else None

    async def last_sequence(self, _stream):
        return len(self.data)


class Heads(Shelf):
    async def all(self):
        return {key: record for key, (record, _) in self.records.items()}

    def opened(self, key=HEAD):
        return GOVERN.public.open(self.records[key][0], AuditHead)


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def heads():
    return Heads()


@pytest.fixture
def writer(stream, heads, log, clock):
    """Makes writers of the same chain: a restarted one, or another beside the first."""

    async def opened(clock=clock):
        made = Chain(stream, heads, GOVERN, log, clock)
        await made.read()
        return made

    return opened


def act(number, **fields):
    deed = Deed(who="b-smith", verb="authorise", at=NOW, origin="desk-1", act="a1" * 32)
    request = AuditRequest(id=f"deployment.d{number}.1", event="deployment.authorised", deed=deed)
    return request.model_copy(update=fields)


def verdict(stream, *heads):
    return chain.verify(enumerate(stream.data, start=1), GOVERN.public, heads)


def ids(stream):
    return [chain.open_entry(data, GOVERN.public).id for data in stream.data]


# -- appending


async def test_entries_follow_each_other_in_one_chain(writer, stream, heads):
    ledger = await writer()
    entries = [await ledger.append(act(number)) for number in range(1, 6)]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert verdict(stream, heads.opened()).whole
    assert heads.opened() == ledger.head == verdict(stream).head
    assert ledger.entries == 5


async def test_an_act_that_came_before_is_the_entry_that_is_there(writer, stream):
    ledger = await writer()
    first = await ledger.append(act(1))
    await ledger.append(act(2))
    assert await ledger.append(act(1)) == first
    assert len(stream.data) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"event": "deployment.ended"},
        {"deployment": "d2"},
        {"watch_list": "wanted"},
        {"alert": "a1b2c3"},
        {"who": "a-jones"},
        {"verb": "end"},
        {"act": "b2" * 32},
    ],
)
async def test_another_act_under_the_same_id_is_refused_each_time_and_logged_once(writer, stream, log, change):
    ledger = await writer()
    await ledger.append(act(1))
    is_of_deed = set(change) <= {"who", "verb", "act"}
    other = {"deed": act(1).deed.model_copy(update=change)} if is_of_deed else change
    for _ in range(2):
        with pytest.raises(PermanentError, match=r"another act under deployment\.d1\.1, at 1"):
            await ledger.append(act(1, **other))
    assert len(stream.data) == 1
    assert [entry["event"] for entry in log.entries].count("audit.contradicted") == 1


async def test_the_audit_knows_the_highest_version_of_each_deployment_and_goes_by_no_strangers(writer, stream):
    ledger = await writer()
    for version in (1, 2, 3):
        await ledger.append(act(1, id=f"deployment.station-north.{version}"))
    forged = chain.following(act(1, id="deployment.station-north.9"), 4, chain.GENESIS, NOW)
    stream.data.append(codec.encode(Signer.generate("govern").seal(forged)))
    for knows in (ledger, await writer()):
        await knows.append(act(2, id=f"deployment.other.{1 + (knows is ledger)}"))
        assert await knows.version_of("station-north") == 3
        assert await knows.version_of("station-south") == 0


def foreign(number, request):
    """An entry that somebody else has sealed."""
    return codec.encode(Signer.generate("govern").seal(chain.following(request, number, chain.GENESIS, NOW)))


@pytest.mark.parametrize("version", ["3", "03", "0000003"])
async def test_nobody_makes_the_audit_forget_the_version_of_a_record(writer, stream, version):
    """However a foreign entry writes the version, and although nobody looks at the seals of old entries at start."""
    ledger = await writer()
    for known in (1, 2, 3):
        await ledger.append(act(1, id=f"deployment.station-north.{known}"))
    stream.data.append(foreign(4, act(1, id=f"deployment.station-north.{version}")))
    for number in range(TAIL + 5):
        await ledger.append(act(number, id=f"deployment.other{number}.1"))
    assert await (await writer()).version_of("station-north") == 3


async def test_the_version_of_a_record_is_known_after_a_reading_that_an_outage_cut_short(writer, stream):
    ledger = await writer()
    for version in (1, 2, 3):
        await ledger.append(act(1, id=f"deployment.station-north.{version}"))
    whole = list(stream.data)
    del stream.data[2:]

    async def outage():
        stream.reading = None
        raise TransientError("the server is away")

    stream.reading = outage
    with pytest.raises(TransientError):
        await ledger.acts_of("north", "a1b2c3", ())
    stream.data[:] = whole
    assert await ledger.version_of("station-north") == 3


async def test_who_keeps_writing_while_a_broken_chain_is_read_ends_it_in_an_error_and_not_in_a_crash(writer, stream):
    await (await writer()).append(act(1))

    async def intrude():
        stream.data.append(foreign(2, act(9)))
        stream.before_appending = intrude

    await intrude()
    with pytest.raises(TransientError, match="other writers"):
        await writer()


async def test_what_was_found_counts_as_written_only_where_it_still_stands(writer, stream):
    ledger = await writer()
    for _ in range(2):
        await ledger.append(act(1))
    stream.data.clear()
    await ledger.append(act(1))
    assert act(1).id in ids(stream)


async def test_nobody_waits_for_what_is_known_while_much_is_read(writer, stream, monkeypatch):
    ledger = await writer()
    for number in range(3):
        await ledger.append(act(number, id=f"alert.a{number}.raised", event="alert.raised", deployment="north"))
    known = await ledger.find("alert.a0.raised")
    reading, go_on, stored_at = asyncio.Event(), asyncio.Event(), stream.stored_at

    async def slow(*place):
        reading.set()
        await go_on.wait()
        return await stored_at(*place)

    monkeypatch.setattr(stream, "stored_at", slow)
    gathering = asyncio.create_task(ledger.entries_of("alert.raised", "north"))
    await reading.wait()
    assert await asyncio.wait_for(ledger.find("alert.a0.raised"), 5) == known
    go_on.set()
    assert len(await gathering) == 3


async def test_what_another_writer_told_is_found(writer, stream):
    ledger, other = await writer(), await writer()
    told = await other.append(act(1))
    assert await ledger.find(act(1).id) == told


async def test_an_entry_that_was_found_is_not_fetched_again(writer, stream):
    await (await writer()).append(act(1))
    ledger = await writer()
    found = [await ledger.find(act(1).id) for _ in range(5)]
    assert [entry.id for entry in found] == [act(1).id] * 5
    assert stream.looked_at == [1]


async def test_what_happened_in_a_deployment_is_read_without_reading_what_happened_in_others(writer, stream):
    ledger = await writer()
    for number in range(1, TAIL + 10):
        where = {"deployment": "north" if number % 50 == 1 else "south", "event": "alert.raised"}
        await ledger.append(act(number, id=f"alert.a{number}.raised", alert=f"a{number}", **where))
    restarted = await writer()
    stream.looked_at.clear()
    theirs = [f"a{number}" for number in range(1, TAIL + 10, 50)]
    assert [entry.alert for entry in await restarted.entries_of("alert.raised", "north")] == theirs
    assert len(stream.looked_at) == len(theirs)


async def test_a_flood_of_foreign_entries_about_an_alert_is_looked_at_once(writer, stream):
    stranger = Signer.generate("govern")
    await (await writer()).append(act(1, id="alert.a1b2c3.raised", deployment="north", alert="a1b2c3"))
    for number in range(2, TAIL + 12):
        forged = act(1, id=f"alert.a1b2c3.forged{number}", deployment="north", alert="a1b2c3")
        stream.data.append(codec.encode(stranger.seal(chain.following(forged, number, chain.GENESIS, NOW))))
    ledger = await writer()
    stream.looked_at.clear()
    for _ in range(3):
        assert await ledger.acts_of("north", "a1b2c3", ()) == ["alert.a1b2c3.raised"]
    assert sorted(set(stream.looked_at)) == sorted(stream.looked_at)


async def test_what_is_there_is_found_while_the_chain_is_read_again(writer, stream):
    ledger = await writer()
    for number in (1, 2, 3):
        await ledger.append(act(number))
    del stream.data[2:]
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def wait():
        reading.set()
        await go_on.wait()

    stream.reading = wait
    appending = asyncio.create_task(ledger.append(act(4)))
    await reading.wait()
    finding = asyncio.create_task(ledger.find(act(2).id))
    await asyncio.sleep(0)
    go_on.set()
    found, _ = await asyncio.gather(finding, appending)
    assert found.id == act(2).id


async def test_a_chain_that_was_cut_is_told_of_even_if_an_outage_cuts_the_reading_short(writer, stream, heads, log):
    ledger = await writer()
    for number in range(1, 6):
        await ledger.append(act(number))
    stream.data.clear()
    heads.records.clear()

    async def outage():
        stream.reading = None
        raise TransientError("the server is away")

    stream.reading = outage
    with pytest.raises(TransientError):
        await ledger.append(act(6))
    await ledger.append(act(7))
    assert ids(stream) == ["audit.broken.cut.1", "deployment.d7.1"]
    assert "audit.broken" in [entry["event"] for entry in log.entries]


async def test_a_chain_that_is_exchanged_for_another_as_long_is_found_out_at_the_next_act(writer, stream, heads):
    ledger = await writer()
    for number in range(1, 4):
        await ledger.append(act(number))
    stream.data.clear()
    heads.records.clear()
    other = await writer()
    for number in range(11, 16):
        await other.append(act(number))
    heads.records.clear()
    await ledger.append(act(4))
    assert "audit.broken.rewritten.3" in ids(stream)


@pytest.mark.parametrize(
    "wrong",
    [{"reason": "z" * 200}, {"origin": "z" * 200}, {"details": {"input": "z" * 200}}],
)
async def test_a_template_does_not_get_into_the_audit_by_the_deed_either(writer, wrong):
    ledger = await writer()
    entry = await ledger.append(act(1, deed=act(1).deed.model_copy(update=wrong)))
    assert "200 characters, sha256" in str(entry.deed)
    assert "z" * 200 not in str(entry)


@pytest.mark.parametrize("wrong", [{"details": {"portrait": "x"}}, {"verb": "Ed Miles"}, {"act": "x" * 64}])
async def test_a_deed_that_holds_what_an_audit_may_not_is_refused(writer, stream, wrong):
    ledger = await writer()
    with pytest.raises(PermanentError):
        await ledger.append(act(1, deed=act(1).deed.model_copy(update=wrong)))
    assert stream.data == []


async def test_a_chain_that_is_shorter_than_this_program_has_seen_says_so_even_without_a_head(
    writer, stream, heads, log
):
    ledger = await writer()
    for number in range(1, 5):
        await ledger.append(act(number))
    stream.data.clear()
    heads.records.clear()
    await ledger.append(act(5))
    assert ids(stream) == ["audit.broken.cut.1", "deployment.d5.1"]
    assert "audit.broken" in [entry["event"] for entry in log.entries]


async def test_an_act_that_came_before_a_restart_is_the_entry_that_is_there(writer, stream, clock):
    first = await (await writer()).append(act(1))
    clock.advance(3600)
    restarted = await writer()
    assert await restarted.append(act(1)) == first
    assert (await restarted.append(act(2))).sequence == 2
    assert verdict(stream).whole


async def test_an_act_whose_answer_was_lost_is_written_once(writer, stream):
    ledger = await writer()
    stream.loses_the_answer = True
    with pytest.raises(TransientError):
        await ledger.append(act(1))
    assert (await ledger.append(act(1))).sequence == 1
    assert ids(stream) == ["deployment.d1.1"]


async def test_an_act_whose_answer_was_lost_and_is_never_asked_for_again_leaves_the_chain_whole(writer, stream):
    ledger = await writer()
    stream.loses_the_answer = True
    with pytest.raises(TransientError):
        await ledger.append(act(1))
    await ledger.append(act(2))
    assert ids(stream) == ["deployment.d1.1", "deployment.d2.1"]
    assert verdict(stream).whole


# -- two writers


async def test_two_writers_make_one_chain(writer, stream):
    one, two = await writer(), await writer()
    acts = [(ledger, act(number)) for number, ledger in enumerate([one, two, two, one, two, one, one, two])]
    await asyncio.gather(*(ledger.append(request) for ledger, request in acts))
    assert len(stream.data) == 8
    assert verdict(stream).whole


async def test_two_writers_write_the_same_act_once(writer, stream):
    one, two = await writer(), await writer()
    first = await one.append(act(1))
    assert await two.append(act(1)) == first
    stream.before_appending = lambda: two.append(act(2))
    assert (await one.append(act(2))).sequence == 2
    assert ids(stream) == ["deployment.d1.1", "deployment.d2.1"]


async def test_many_at_once_in_one_writer_are_all_written(writer, stream):
    ledger = await writer()
    await asyncio.gather(*(ledger.append(act(number % 10)) for number in range(40)))
    assert sorted(ids(stream)) == [f"deployment.d{number}.1" for number in range(10)]
    assert verdict(stream).whole


async def test_a_writer_that_never_comes_first_says_so_in_the_end(writer, stream):
    ledger = await writer()

    async def append(*_):
        raise Conflict

    stream.append = append
    with pytest.raises(TransientError, match="came first"):
        await ledger.append(act(1))


# -- the clock


async def test_time_in_the_chain_never_runs_back(writer, stream, clock, log):
    ledger = await writer()
    first = await ledger.append(act(1))
    clock.advance(-600)
    second = await ledger.append(act(2))
    assert second.at == first.at
    assert second.details == {"clock_said": clock.now}
    assert "audit.clock_behind" in [entry["event"] for entry in log.entries]
    clock.advance(601)
    third = await ledger.append(act(3))
    assert (third.at, third.details) == (clock.now, {})
    assert verdict(stream).warnings == ()


async def test_time_in_the_chain_does_not_run_back_over_a_restart(writer, clock):
    first = await (await writer()).append(act(1))
    clock.advance(-86_400)
    assert (await (await writer()).append(act(2))).at == first.at


# -- what others did to the stream


async def test_what_another_wrote_is_reported_and_the_chain_goes_on_behind_it(writer, stream, log):
    ledger = await writer()
    await ledger.append(act(1))
    stream.data.append(b"garbage")
    entry = await ledger.append(act(2))
    assert entry.sequence == 3
    assert [(found.kind, found.sequence) for found in verdict(stream).breaks] == [("foreign", 2)]
    assert "audit.foreign" in [line["event"] for line in log.entries]


async def test_an_act_that_another_wrote_in_our_name_does_not_keep_it_from_being_written(writer, stream):
    forged = chain.following(act(7), 1, chain.GENESIS, NOW)
    stream.data.append(codec.encode(Signer.generate("govern").seal(forged)))
    ledger = await writer()
    entry = await ledger.append(act(7))
    assert entry.sequence > 1
    assert await ledger.append(act(7)) == entry


async def test_a_chain_that_was_cut_short_is_noticed_at_start_and_never_forgotten(writer, stream, heads, log):
    ledger = await writer()
    for number in range(1, 9):
        await ledger.append(act(number))
    old = heads.opened()
    del stream.data[5:]
    restarted = await writer()
    assert ("audit.broken", "cut", 6) in [(e["event"], e.get("kind"), e.get("sequence")) for e in log.entries]
    notice = chain.open_entry(stream.data[5], GOVERN.public)
    assert (notice.event, notice.deed.who, notice.details) == ("audit.broken", "govern", {"kind": "cut", "sequence": 6})
    for number in range(20, 30):
        await restarted.append(act(number))
    (kept,) = [key for key in heads.records if key != HEAD]
    assert heads.opened(kept) == old
    assert [found.kind for found in verdict(stream, heads.opened(), heads.opened(kept)).breaks] == ["rewritten"]


async def test_a_change_in_the_tail_is_noticed_at_start_once(writer, stream):
    ledger = await writer()
    for number in range(1, 5):
        await ledger.append(act(number))
    changed = stream.data[1]
    stream.data[1] = changed[:-1] + bytes([changed[-1] ^ 1])
    await writer()
    await writer()
    assert ids_that_open(stream).count("audit.broken.changed.2") == 1


def ids_that_open(stream):
    verifier = chain.Verifier(GOVERN.public)
    entries = [verifier.take(place, data) for place, data in enumerate(stream.data, start=1)]
    return [entry.id for entry in entries if entry is not None]


async def test_a_stream_that_is_made_anew_under_a_running_writer_gets_a_new_chain_that_says_so(writer, stream, heads):
    ledger = await writer()
    for number in range(1, 5):
        await ledger.append(act(number))
    old = heads.opened()
    stream.data.clear()
    entry = await ledger.append(act(5))
    assert ids(stream) == ["audit.broken.cut.1", "deployment.d5.1"]
    assert entry.sequence == 2
    assert (await ledger.append(act(1))).sequence == 3  # whose entry is lost
    assert verdict(stream).whole
    assert [found.kind for found in verdict(stream, old).breaks] == ["cut"]


async def test_an_act_counts_as_written_only_where_its_own_entry_still_stands(writer, stream):
    ledger = await writer()
    await ledger.append(act(1))
    await ledger.append(act(2))
    stream.data[0] = codec.encode(GOVERN.seal(chain.following(act(9), 1, chain.GENESIS, NOW)))
    assert (await ledger.append(act(1))).sequence == 3


async def test_a_head_that_another_wrote_counts_for_nothing(writer, heads, stream, log):
    forged = AuditHead(sequence=1000, sha256="ab" * 32, at=NOW)
    await heads.put(HEAD, Signer.generate("govern").seal(forged))
    ledger = await writer()
    await ledger.append(act(1))
    assert not [line for line in log.entries if line["event"] == "audit.broken"]
    assert len(stream.data) == 1


async def test_an_act_far_back_in_a_long_chain_is_not_written_again(writer, stream):
    ledger = await writer()
    for number in range(TAIL + 20):
        await ledger.append(act(number))
    restarted = await writer()
    assert (await restarted.append(act(3))).sequence == 4
    assert len(stream.data) == TAIL + 20


async def test_a_head_that_cannot_be_kept_is_no_reason_to_say_the_act_was_not_written(writer, stream, heads, log):
    ledger = await writer()

    async def put(*_):
        raise TransientError("away")

    heads.put = put
    assert (await ledger.append(act(1))).sequence == 1
    assert "audit.head_not_kept" in [line["event"] for line in log.entries]


# -- what may stand in it


@pytest.mark.parametrize(
    "details",
    [
        {"name": "Rumpelstilzchen"},
        {"portrait": "x"},
        {"Name": "x"},
        {"a key": 1},
        {"": 1},
        {"template": "0.1"},
        {"number": float("inf")},
        {"number": 2**63},
        {f"key{number}": number for number in range(MOST_DETAILS + 1)},
    ],
)
async def test_details_that_could_hold_a_person_are_refused(writer, stream, details):
    with pytest.raises(PermanentError) as refused:
        await (await writer()).append(act(1, details=details))
    assert "Rumpelstilzchen" not in refused.value.reason
    assert stream.data == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * (LONGEST_DETAIL + 1),
        "Q" * 171,  # a template of 128 bytes in base64
        " ".join(["0.5"] * 150),  # one of 128 numbers
    ],
)
async def test_a_text_that_could_hold_a_template_is_held_as_its_hash_and_keeps_no_act_out(writer, stream, text):
    entry = await (await writer()).append(act(1, details={"values": text}))
    assert entry.details == {"values": f"{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()}"}
    assert text.encode() not in stream.data[0]


async def test_a_text_of_several_lines_is_on_one(writer):
    entry = await (await writer()).append(act(1, details={"text": "two\nlines\x00"}))
    assert entry.details == {"text": "two lines "}


async def test_ids_counts_and_hashes_are_taken(writer):
    details = {
        "threshold": 0.5,
        "references": 3,
        "signage": True,
        "inputs_sha256": "ab" * 32,
        "cameras": " ".join(f"gate-{number:02}" for number in range(60)),
    }
    assert (await (await writer()).append(act(1, details=details))).details == details


@pytest.mark.parametrize("field", ["deployment", "watch_list", "alert"])
async def test_a_field_that_is_no_id_is_refused(writer, field):
    with pytest.raises(PermanentError, match=field):
        await (await writer()).append(act(1, **{field: "x" * 1000}))


async def test_what_another_writer_told_of_an_alert_is_known_before_anything_follows_from_it(writer):
    one, other = await writer(), await writer()
    named = {"event": "alert.decided", "deployment": "north", "alert": "a1"}
    for number, officer in enumerate(("d-green", "e-white"), 1):
        await one.append(act(number, id=f"alert.a1.decided.{officer}", **named))
    await one.append(act(3, id="alert.a2.decided.d-green", **{**named, "alert": "a2"}))
    assert await other.acts_of("north", "a1", {"alert.a1.decided.d-green"}) == ["alert.a1.decided.e-white"]
    assert await other.acts_of("south", "a1", set()) == []
