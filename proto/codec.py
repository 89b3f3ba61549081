"""Messages to bytes and back, and the headers that say what the bytes are."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, get_args

import msgpack
from pydantic import BaseModel, ValidationError

from proto.messages import Message

TYPE_HEADER = "Watchline-Type"
VERSION_HEADER = "Watchline-Version"
TRACE_HEADER = "traceparent"
"""W3C Trace Context: https://www.w3.org/TR/trace-context/."""

M = TypeVar("M", bound=Message)
_ids = random.Random()  # noqa: S311  ids of traces tell messages apart and keep no secret; asking the system takes longer


class DecodeError(ValueError):
    """Bytes that are not the message they should be. Says what was expected and where it broke, never the content."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"not a {kind}: {problem}")
        self.kind = kind
        self.problem = problem


def encode(message: Message) -> bytes:
    """`message` as one MessagePack map."""
    packed: bytes = msgpack.packb(message.model_dump())
    return packed


def decode(expected: type[M], data: bytes, headers: Mapping[str, str] | None = None) -> M:
    """The message of type `expected` in `data`.

    Raises:
        DecodeError: the headers name another type, or the bytes do not hold such a message.
    """
    kind = expected.kind()
    named = (headers or {}).get(TYPE_HEADER, kind)
    if named != kind:
        raise DecodeError(kind, f"it is headed {named[:64]!r}")
    try:
        fields = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise DecodeError(kind, f"not MessagePack ({type(error).__name__})") from None
    try:
        return expected.model_validate(fields)
    except ValidationError as error:
        raise DecodeError(kind, _where(error, set(_field_names(expected)))) from None


def headers(message: Message, trace: str) -> dict[str, str]:
    """The headers `message` travels with; `trace` is the trace context of what caused it."""
    return {
        TYPE_HEADER: message.kind(),
        VERSION_HEADER: str(message.version),
        TRACE_HEADER: next_span(trace),
    }


def new_trace() -> str:
    """A new trace context."""
    return f"00-{_ids.getrandbits(128):032x}-{_ids.getrandbits(64):016x}-01"


def next_span(trace: str) -> str:
    """The context of a further step in `trace`, or a new trace where that is none."""
    if not re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", trace):
        return new_trace()
    return f"{trace[:36]}{_ids.getrandbits(64):016x}-01"


def _where(error: ValidationError, declared: set[str]) -> str:
    """The fields that failed and why; no values, and no names but the `declared`: the key of a map is content too."""
    problems = [
        ".".join(str(part) for part in problem["loc"] if isinstance(part, int) or part in declared)
        + ": "
        + problem["msg"]
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(problems[:3])


def _field_names(annotation: object) -> Iterator[str]:
    """The names of the fields of a model and of the models in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield name
            yield from _field_names(field.annotation)
    for part in get_args(annotation):
        yield from _field_names(part)
