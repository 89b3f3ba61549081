"""What is on the wire, what is refused, and that a refusal quotes nothing of what it refused."""

import msgpack
import numpy as np
import pytest

from proto import codec
from proto.arrays import MAX_ARRAY_BYTES
from proto.codec import DecodeError
from proto.counts import FaceCount, SearchCount
from proto.deployments import Warrant
from proto.messages import Alert, Candidates, DeadLetter, Detections, DetectRequest, Probe, Sample
from proto.records import TrackState
from proto.requests.watchlists import EnrolEntryRequest
from proto.watchlists import WatchListRecord
from tests.examples import EXAMPLES, kinds

CONTENT = "nobody-may-read-this"


def wire(kind, **fields):
    """The example's map on the wire with some fields in other words."""
    return msgpack.packb({**EXAMPLES[kind].model_dump(), **fields})


def leaves(value, path=()):
    """Where the numbers and texts in a map of maps and lists are, and what they are."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from leaves(part, (*path, name))
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        yield path, value


def with_leaf(value, path, leaf):
    """The map with another value in one place."""
    if not path:
        return leaf
    copied = value.copy()
    copied[path[0]] = with_leaf(value[path[0]], path[1:], leaf)
    return copied


def array(data=b"\0" * 16, dtype="<f4", shape=(1, 4)):
    return {"dtype": dtype, "shape": list(shape), "data": data}


@pytest.mark.parametrize("kind", kinds())
def test_every_message_comes_back_as_it_was_sent(kind):
    message = EXAMPLES[kind]
    assert codec.decode(type(message), codec.encode(message)).model_dump() == message.model_dump()


@pytest.mark.parametrize("kind", kinds())
def test_a_field_from_the_future_is_ignored(kind):
    data = wire(kind, not_invented_yet={"deep": [1, 2, {"er": None}]})
    assert codec.decode(type(EXAMPLES[kind]), data).model_dump() == EXAMPLES[kind].model_dump()


@pytest.mark.parametrize("kind", kinds())
def test_a_message_without_its_required_fields_is_refused_by_their_names(kind):
    model = type(EXAMPLES[kind])
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    with pytest.raises(DecodeError) as refused:
        codec.decode(model, msgpack.packb({}))
    assert refused.value.kind == kind
    assert required[0] in str(refused.value)


def test_arrays_travel_as_plain_little_endian_bytes_that_anyone_can_read():
    fields = msgpack.unpackb(codec.encode(EXAMPLES["detections"]))
    boxes = fields["boxes"]
    assert (boxes["dtype"], boxes["shape"]) == ("<f4", [2, 4])
    assert np.frombuffer(boxes["data"], "<f4").reshape(2, 4)[0].tolist() == [1.5, 2.5, 30.25, 40.0]


def test_arrays_from_the_wire_cannot_be_written_to():
    found = codec.decode(Detections, codec.encode(EXAMPLES["detections"]))
    with pytest.raises(ValueError, match="read-only"):
        found.boxes[0, 0] = 1


def test_an_array_that_is_not_contiguous_arrives_in_order():
    flipped = EXAMPLES["sample"].chip[:, ::-1]
    message = EXAMPLES["sample"].model_copy(update={"chip": flipped})
    assert np.array_equal(codec.decode(Sample, codec.encode(message)).chip, flipped)


def test_no_detections_are_an_answer():
    nobody = Detections(
        camera="gate-1",
        frame=0,
        boxes=np.zeros((0, 4), np.float32),
        landmarks=np.zeros((0, 5, 2), np.float32),
        detect_scores=np.zeros(0, np.float32),
    )
    assert codec.decode(Detections, codec.encode(nobody)).boxes.shape == (0, 4)


BAD_ARRAYS = {
    "no map": CONTENT,
    "no data": {"dtype": "<f4", "shape": [1, 4]},
    "data as text": array(data=CONTENT),
    "another dtype": array(dtype="<f8", data=b"\0" * 32),
    "an unknown dtype": array(dtype=CONTENT),
    "a dtype that runs code in careless readers": array(dtype="|O"),
    "a list as dtype": array(dtype=[["a", "<f4"]]),
    "a map as dtype": array(dtype={"names": ["a"]}),
    "too few dimensions": array(shape=(4,)),
    "too many dimensions": array(shape=(1, 2, 2)),
    "a hundred dimensions": array(shape=(1,) * 100),
    "another width": array(shape=(2, 2)),
    "a shape that does not fit its data": array(shape=(2, 4)),
    "a negative side": array(shape=(-1, 4)),
    "a side that is no whole number": array(shape=(1.0, 4)),
    "a side that is true": array(shape=(True, 4)),
    "sides whose product overflows": array(shape=(MAX_ARRAY_BYTES, MAX_ARRAY_BYTES, MAX_ARRAY_BYTES, 4)),
    "a shape that is no list": {**array(), "shape": {"0": 4}},
    "bytes that are no whole number of items": array(data=b"\0" * 15),
    "a number that is not one": array(data=np.array([1, 2, np.nan, 4], "<f4").tobytes()),
    "an infinite number": array(data=np.array([1, 2, np.inf, 4], "<f4").tobytes()),
    "more bytes than allowed": array(data=b"\0" * (MAX_ARRAY_BYTES + 16), shape=((MAX_ARRAY_BYTES + 16) // 16, 4)),
}


@pytest.mark.parametrize("boxes", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_an_array_is_refused_that_is(boxes):
    with pytest.raises(DecodeError, match="boxes") as refused:
        codec.decode(Detections, wire("detections", boxes=boxes))
    assert CONTENT not in str(refused.value)


BAD_FIELDS = {
    "a camera that is no token": (Sample, {"camera": f"a.{CONTENT}.>"}),
    "a track that is too long": (Sample, {"track": CONTENT * 10}),
    "a number in words": (Sample, {"frame": CONTENT}),
    "a negative frame": (DetectRequest, {"frame": -1}),
    "a frame with absurd dimensions": (DetectRequest, {"width": 1_000_000}),
    "a frame without height": (DetectRequest, {"height": 0}),
    "a score that is no number": (Alert, {"score": float("nan")}),
    "an infinite time": (Alert, {"captured_at": float("inf")}),
    "a box of three sides": (Sample, {"box": [1.0, 2.0, 3.0]}),
    "a time in milliseconds": (Alert, {"captured_at": 1.7e12}),
    "a time before there was one": (FaceCount, {"updated_at": -1e15}),
    "a minute that has no date": (FaceCount, {"minutes": {"99999999999": 1}}),
    "a minute in other digits": (FaceCount, {"minutes": {"١٢": 1}}),
    "a bin that is no score": (SearchCount, {"histogram": {CONTENT: 1}}),
    "a score that nothing has": (Alert, {"score": 1e300}),
    "more references than there are people": (Candidates, {"searched": 2**53 + 1}),
    "a version after which none comes": (WatchListRecord, {"record_version": 2**64 - 1}),
    "a template version without an end": (Candidates, {"template_version": CONTENT * 100}),
    "a stamp without an end": (Alert, {"stamp": CONTENT * 100}),
    "a map as image": (EnrolEntryRequest, {"image": {CONTENT: CONTENT}}),
    "a subject with a line break": (EnrolEntryRequest, {"subject": f"{CONTENT}\n"}),
    "a subject without a character": (EnrolEntryRequest, {"subject": ""}),
    "a list name with a slash": (EnrolEntryRequest, {"watch_list": f"../{CONTENT}"}),
    "quality in words": (Sample, {"quality": CONTENT}),
    "a share over one": (Sample, {"quality": {**EXAMPLES["sample"].quality.model_dump(), "unified": 1.5}}),
    "a state nobody knows": (Warrant, {"state": CONTENT}),
    "a floor over the threshold": (Warrant, {"floor": 0.9}),
    "an end before the start": (Warrant, {"ends_at": 1.0}),
    "scores in words": (TrackState, {"samples": [{"sample": 1, "scores": {CONTENT: "high"}}]}),
    "a score of a subject that is none": (TrackState, {"samples": [{"sample": 1, "scores": {f"{CONTENT}\0": 0.5}}]}),
}


@pytest.mark.parametrize(("model", "fields"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_message_is_refused_with(model, fields):
    with pytest.raises(DecodeError) as refused:
        codec.decode(model, wire(model.kind(), **fields))
    assert CONTENT not in str(refused.value)
    assert CONTENT not in repr(refused.value.__cause__)


BOUNDLESS = {int: (2**64 - 1, -(2**63)), float: (1e300, -1e300), str: ("x" * 100_000,)}
FREE = {"details", "sealed"}
"""What the audit judges when it is told, and what is as long as somebody has signed it."""


@pytest.mark.parametrize("kind", kinds())
def test_no_number_and_no_text_is_read_that_has_no_end(kind):
    model = type(EXAMPLES[kind])
    whole = msgpack.unpackb(codec.encode(EXAMPLES[kind]))
    for path, value in leaves(whole):
        for boundless in () if FREE.intersection(path) else BOUNDLESS[type(value)]:
            data = msgpack.packb(with_leaf(whole, path, boundless))
            try:
                read = codec.encode(codec.decode(model, data))
            except DecodeError:
                continue
            assert len(read) <= len(data) - 90_000, f"{path} is read as it is, and not cut"


def test_what_a_program_says_at_length_is_cut_and_the_message_is_read():
    letter = codec.decode(DeadLetter, wire("dead_letter", reason="a" * 5000))
    assert letter.reason == "a" * 4000


GARBAGE = {
    "nothing": b"",
    "text": CONTENT.encode(),
    "one byte that means nothing": b"\xc1",
    "a map cut in two": codec.encode(EXAMPLES["probe"])[:200],
    "a map and then some": codec.encode(EXAMPLES["probe"]) + CONTENT.encode(),
    "a list": msgpack.packb([CONTENT]),
    "a number": msgpack.packb(7),
    "a map with maps as keys": b"\x81\x80\x80",
    "a map with numbers as keys": msgpack.packb({1: 2}),
    "text that is not UTF-8": b"\x81\xa1\xff\xa1\xff",
    "a map that claims four thousand million entries": b"\xdf\xff\xff\xff\xff",
    "a string that claims four gigabytes": b"\xdb\xff\xff\xff\xff",
    "lists in lists in lists": b"\x91" * 100_000,
    "maps in maps in maps": b"\x81\xa1a" * 100_000,
    "an extension type": msgpack.packb(msgpack.ExtType(5, CONTENT.encode())),
    "a broken timestamp": b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "JSON": b'{"camera": "nobody-may-read-this"}',
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_such_as(data):
    with pytest.raises(DecodeError) as refused:
        codec.decode(Probe, data)
    assert CONTENT not in str(refused.value)


@pytest.mark.parametrize("kind", kinds())
def test_random_damage_is_either_harmless_or_refused(kind):
    whole, model = codec.encode(EXAMPLES[kind]), type(EXAMPLES[kind])
    random = np.random.default_rng(7)
    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(0, min(len(whole), 400), size=3):
            damaged[position] = random.integers(0, 256)
        try:
            codec.decode(model, bytes(damaged))
        except DecodeError:
            continue


def test_a_message_headed_as_another_is_refused_before_it_is_read():
    message = EXAMPLES["sample"]
    headers = codec.headers(message, "")
    assert codec.decode(Sample, codec.encode(message), headers).id == message.id
    with pytest.raises(DecodeError, match="headed 'sample'"):
        codec.decode(Probe, codec.encode(message), headers)


def test_a_message_without_headers_is_judged_by_its_content():
    assert codec.decode(Sample, codec.encode(EXAMPLES["sample"]), None).camera == "gate-1"


def test_headers_name_the_type_and_the_version_and_carry_the_trace_on():
    trace = codec.new_trace()
    headers = codec.headers(EXAMPLES["detect_request"], trace)
    assert (headers["Watchline-Type"], headers["Watchline-Version"]) == ("detect_request", "1")
    assert headers["traceparent"][:36] == trace[:36]
    assert headers["traceparent"] != trace


@pytest.mark.parametrize("broken", ["", "00-zz", "garbage\r\nInjected: 1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01\n"])
def test_a_trace_that_is_none_is_replaced_and_never_passed_on(broken):
    fresh = codec.next_span(broken)
    assert len(fresh) == 55
    assert fresh.isprintable()


def test_a_message_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        EXAMPLES["alert"].score = 1.0


def test_a_message_from_our_own_hands_is_checked_as_well():
    with pytest.raises(ValueError, match="expected shape"):
        Detections(
            camera="gate-1",
            frame=0,
            boxes=np.zeros((3, 5), np.float32),
            landmarks=np.zeros((3, 5, 2), np.float32),
            detect_scores=np.zeros(3, np.float32),
        )
