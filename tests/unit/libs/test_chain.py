"""The audit as a hash chain: whatever is done to one is named, and so is the entry it was done to."""

import random

import pytest

from libs.chain import GENESIS, Verifier, digest, following, head, open_entry, verify
from libs.seals import SealError, Signer
from proto import codec
from proto.audit import AuditEntry, Deed
from proto.requests.audit import AuditRequest

NOW = 1_700_000_000.0
GOVERN = Signer.generate("govern")
OTHER = Signer.generate("govern")
"""Says it is govern, and has another key."""


def request(number):
    deed = Deed(who="b-smith", verb="authorise", at=NOW, origin="desk-1", reason="as agreed", act="a1" * 32)
    return AuditRequest(id=f"deployment.d{number}.1", event="deployment.authorised", deed=deed, details={"n": number})


def grown(chain, count, *, signer=GOVERN, clock=lambda number: NOW + number, first=1):
    """The chain with that many more entries, as they lie in a stream: places and bytes."""
    chain = list(chain)
    for number in range(first, first + count):
        previous = digest(chain[-1][1]) if chain else GENESIS
        entry = following(request(number), len(chain) + 1, previous, clock(number))
        chain.append((len(chain) + 1, codec.encode(signer.seal(entry))))
    return chain


CHAIN = grown([], 12)
HEAD = head(12, CHAIN[-1][1], NOW + 12)


def placed(entries):
    """The entries at the places 1, 2, 3, …, as a stream that was written anew has them."""
    return [(place, data) for place, (_, data) in enumerate(entries, start=1)]


def without(*sequences):
    return [(place, data) for place, data in CHAIN if place not in sequences]


def said(entries, heads=(HEAD,), key=GOVERN):
    """The kinds of all breaks and the entries they name."""
    return [(found.kind, found.sequence) for found in verify(entries, key.public, heads).breaks]


def with_byte_changed(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def sealed(number, sequence, previous, signer=GOVERN):
    return codec.encode(signer.seal(following(request(number), sequence, previous, NOW + number)))


# -- a whole chain


def test_a_chain_as_it_was_written_is_whole_and_its_head_is_known():
    verdict = verify(CHAIN, GOVERN.public, [HEAD])
    assert verdict.whole
    assert (verdict.entries, verdict.head, verdict.breaks, verdict.warnings) == (12, HEAD, (), ())


def test_no_entries_are_a_whole_chain_without_a_head():
    verdict = verify([], GOVERN.public)
    assert verdict.whole
    assert verdict.head is None


def test_a_chain_that_has_grown_since_its_head_was_noted_is_whole():
    assert said(grown(CHAIN, 3, first=13)) == []


def test_a_part_of_a_chain_can_be_looked_at():
    verifier = Verifier(GOVERN.public, first=7)
    for place, data in CHAIN[6:]:
        verifier.take(place, data)
    assert verifier.verdict([HEAD]).whole


def test_an_entry_opens_and_nothing_else_does():
    assert open_entry(CHAIN[3][1], GOVERN.public).sequence == 4
    for data in (b"", b"garbage", codec.encode(request(1)), codec.encode(GOVERN.seal(request(1)))):
        with pytest.raises(SealError):
            open_entry(data, GOVERN.public)


# -- changed


@pytest.mark.parametrize("sequence", [1, 2, 7, 11, 12])
def test_one_changed_byte_is_found_and_its_entry_named(sequence):
    place, data = CHAIN[sequence - 1]
    for at in random.Random(sequence).sample(range(len(data)), 40):
        changed = [*CHAIN[: sequence - 1], (place, with_byte_changed(data, at)), *CHAIN[sequence:]]
        assert said(changed) == [("changed", sequence)], at


def test_an_entry_that_was_replaced_by_one_of_another_key_is_named():
    forged = sealed(99, 5, digest(CHAIN[3][1]), signer=OTHER)
    assert said([*CHAIN[:4], (5, forged), *CHAIN[5:]]) == [("changed", 5)]


def test_two_changed_entries_side_by_side_are_both_named():
    changed = [(place, with_byte_changed(data, 60) if place in (5, 6) else data) for place, data in CHAIN]
    assert said(changed) == [("changed", 5), ("changed", 6)]


def test_an_entry_that_govern_signed_for_another_place_in_history_is_named():
    other_history = sealed(99, 5, digest(CHAIN[3][1]))
    assert said([*CHAIN[:4], (5, other_history), *CHAIN[5:]]) == [("exchanged", 6)]


# -- dropped


@pytest.mark.parametrize("renumbered", [False, True])
@pytest.mark.parametrize("sequence", [1, 2, 7, 11])
def test_a_dropped_entry_is_named(sequence, renumbered):
    left = without(sequence)
    assert said(placed(left) if renumbered else left) == [("missing", sequence)]


def test_a_dropped_run_is_one_gap_and_two_are_two():
    verdict = verify(without(3, 4, 5, 9), GOVERN.public)
    assert [found.says for found in verdict.breaks] == ["entries 3 to 5 are missing", "entry 9 is missing"]


def test_a_tail_that_was_cut_off_is_named_by_the_head():
    assert said(CHAIN[:10]) == [("cut", 11)]
    assert "entries 11 to 12 are missing at the end" in verify(CHAIN[:10], GOVERN.public, [HEAD]).breaks[0].says


def test_a_tail_that_was_cut_off_cannot_be_seen_without_a_head():
    assert said(CHAIN[:10], heads=()) == []


def test_a_chain_that_is_gone_altogether_is_named_by_the_head():
    assert said([]) == [("cut", 1)]


def test_a_tail_that_was_written_anew_is_named_by_the_head():
    assert said(grown(CHAIN[:10], 5, first=90)) == [("rewritten", 12)]


def test_a_chain_that_was_written_anew_is_named_by_the_head_of_the_old_one():
    assert said(grown([], 12, first=50)) == [("rewritten", 12)]
    assert said(grown([], 5, first=50)) == [("cut", 6)]


# -- moved, repeated, inserted


@pytest.mark.parametrize("renumbered", [False, True])
def test_two_entries_that_changed_places_are_named(renumbered):
    swapped = [*CHAIN[:4], CHAIN[5], CHAIN[4], *CHAIN[6:]]
    found = said(placed(swapped) if renumbered else swapped)
    assert found in ([("moved", 5)], [("moved", 6)])


def test_entries_that_changed_places_over_a_distance_are_both_named():
    swapped = [*CHAIN[:3], CHAIN[8], *CHAIN[4:8], CHAIN[3], *CHAIN[9:]]
    assert said(swapped) == [("moved", 4), ("moved", 9)]


def test_an_entry_that_was_played_again_is_named():
    assert said([*CHAIN, (13, CHAIN[4][1])]) == [("repeated", 5)]
    assert said(placed([*CHAIN[:8], CHAIN[2], *CHAIN[8:]])) == [("repeated", 3)]


def test_an_entry_of_another_key_in_between_is_named_by_its_place():
    forged = sealed(99, 7, digest(CHAIN[5][1]), signer=OTHER)
    verdict = verify(placed([*CHAIN[:6], (0, forged), *CHAIN[6:]]), GOVERN.public, [HEAD])
    assert [(found.kind, found.sequence) for found in verdict.breaks] == [("foreign", 7)]
    assert "at place 7 of the stream, after entry 6," in verdict.breaks[0].says


def test_garbage_at_the_end_is_named():
    assert said([*CHAIN, (13, b"garbage"), (14, b"")]) == [("foreign", 13), ("foreign", 14)]


def test_what_another_wrote_before_the_chain_went_on_is_named_and_what_followed_is_not():
    grown_over = [*CHAIN, (13, b"garbage")]
    grown_over = grown(grown_over, 4, first=13)
    assert said(grown_over) == [("foreign", 13)]


def test_an_entry_of_a_chain_with_another_key_is_no_entry_at_all():
    assert {kind for kind, _ in said(CHAIN, key=OTHER)} == {"changed"}


def test_the_same_act_twice_is_named():
    twice = [*CHAIN, (13, sealed(4, 13, digest(CHAIN[-1][1])))]
    assert said(twice) == [("twice", 13)]


# -- several at once


def test_several_changes_are_each_named():
    tampered = [(place, with_byte_changed(data, 80) if place == 3 else data) for place, data in without(6)]
    tampered[8:8] = [(9, b"garbage")]
    tampered.append((13, CHAIN[0][1]))
    assert said(tampered[:-3]) == [("changed", 3), ("missing", 6), ("foreign", 9), ("cut", 11)]
    assert set(said(tampered)) == {("repeated", 1), ("changed", 3), ("missing", 6), ("foreign", 9)}


@pytest.mark.parametrize("seed", range(60))
def test_no_change_goes_unseen(seed):
    dice = random.Random(seed)
    entries = list(CHAIN)
    match dice.choice(["change", "drop", "swap", "repeat", "insert"]):
        case "change":
            at = dice.randrange(12)
            data = entries[at][1]
            entries[at] = (at + 1, with_byte_changed(data, dice.randrange(len(data))))
        case "drop":
            del entries[dice.randrange(12)]
        case "swap":
            one, two = dice.sample(range(12), 2)
            entries[one], entries[two] = entries[two], entries[one]
        case "repeat":
            entries.insert(dice.randrange(13), dice.choice(CHAIN))
        case "insert":
            previous = digest(entries[dice.randrange(12)][1])
            entries.insert(dice.randrange(13), (0, sealed(77, dice.randrange(1, 14), previous, signer=OTHER)))
    assert said(entries)
    assert said(placed(entries))


# -- warnings


def test_a_clock_that_went_back_is_a_warning_that_names_the_entry():
    verdict = verify(grown([], 5, clock=lambda number: NOW - (10 if number == 3 else 0)), GOVERN.public)
    assert verdict.whole
    assert verdict.warnings == ("the clock went back 10.000 s before entry 3",)


def test_a_whole_chain_at_other_places_is_a_warning():
    verdict = verify([(place + 100, data) for place, data in CHAIN], GOVERN.public, [HEAD])
    assert verdict.whole
    assert "12 entries lie at other places" in verdict.warnings[0]


def test_what_is_said_of_a_break_quotes_nothing_of_the_entry():
    verdict = verify([*CHAIN[:4], (5, b"Rumpelstilzchen"), *CHAIN[5:]], GOVERN.public)
    assert "Rumpelstilzchen" not in verdict.breaks[0].says


def test_an_entry_holds_what_was_asked_for_and_where_it_stands():
    entry = following(request(3), 5, digest(b"x"), NOW)
    assert isinstance(entry, AuditEntry)
    assert (entry.sequence, entry.previous, entry.at, entry.id) == (5, digest(b"x"), NOW, "deployment.d3.1")
    assert (entry.event, entry.deed.who, entry.details) == ("deployment.authorised", "b-smith", {"n": 3})
