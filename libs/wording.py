"""What is wrong with a value, in words for the person who wrote it: no pattern, and no term of a library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from libs.errors import UserError
from proto import messages, sealed, values

NOTHING: Mapping[str, str] = MappingProxyType({})
TEXTS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such value",
    "string_type": "it must be words, in quotes",
    "string_unicode": "it must be text in UTF-8",
    "string_too_long": "it is longer than {max_length} characters",
    "too_long": "it has more than {max_length} values",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "finite_number": "it must be a number that is finite",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "greater_than": "it must be over {gt:g}",
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than": "it must be under {lt:g}",
    "less_than_equal": "it must be at most {le:g}",
    "literal_error": "it must be {expected}",
    "path_type": "it must be a path, in quotes",
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), 'it must be a list, like ["one"]'),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "it must be a table of values"),
}
"""What each kind of error is to a person; the names in braces are of the error's own limits."""
TIME = "it must be a time with its offset, like 2026-03-14T09:00:00Z"
DATED = "it must be a time from 1970 on, and before the year 3000"
MOMENT = "_at"
"""What the name of a value ends in that is a time."""
BRANCHES = frozenset({"str", "int", "float", "bool", "none"})
"""What a library calls the alternatives of a value that may be of several kinds."""


def fault(error: ValidationError, written: Mapping[str, str] = NOTHING) -> tuple[str, str]:
    """The first value that is wrong, and what is wrong with it; the value is empty where it is all of them together.

    `written` says how the person wrote a value, where that is not its name: `{"reason": "--reason"}`.
    """
    problems = error.errors(include_url=False)
    first = _place(problems[0]["loc"])
    said = dict.fromkeys(_said(problem, first) for problem in problems if _place(problem["loc"]) == first)
    where = re.sub(r"(, number \d+)\.", r"\1: ", ".".join(first).replace(".number ", ", number "))
    return written.get(where, where), ", or ".join(said).replace(", or it must be", " or")


def user_error(error: ValidationError, of: str, written: Mapping[str, str] = NOTHING) -> UserError:
    """The same as an error; `of` is what the values belong to, for example a file."""
    where, said = fault(error, written)
    return UserError(f"{of}: {where}" if where else f"{of} will not do", said)


def _place(loc: tuple[int | str, ...]) -> list[str]:
    """Where a value stands, as people count: the first of a list is its number 1."""
    parts = [f"number {part + 1}" if isinstance(part, int) else part for part in loc]
    while len(parts) > 1 and (parts[-1] in BRANCHES or "[" in parts[-1] or parts[-1].startswith("constrained-")):
        parts.pop()
    return parts


def _said(problem: Any, place: list[str]) -> str:  # noqa: ANN401  pydantic's type of it is not exported
    kind, limits = str(problem["type"]), problem.get("ctx", {})
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    if kind.startswith(("float_", "datetime_")) and place and place[-1].endswith(MOMENT):
        return TIME
    if kind in {"greater_than_equal", "less_than_equal"} and place and place[-1].endswith(MOMENT):
        return DATED
    if kind in {"string_too_short", "too_short"}:
        return "it is empty" if limits["min_length"] == 1 else f"it has fewer than {limits['min_length']}"
    if kind == "string_pattern_mismatch":
        return _spelt().get(limits["pattern"], "it holds a character that may not stand there")
    text = TEXTS.get(kind, "it will not do")
    return text.format(**limits)


def _spelt() -> dict[str, str]:
    """How the names and ids are written that a pattern checks."""
    kinds = {
        messages.Name: "use letters, digits, - and _, at most 64",
        messages.ListName: "use small letters, digits and -, at most 63, the first no -",
        messages.TrackId: "use letters, digits, - and _, at most 96",
        messages.SubjectId: "leave out line breaks and other control characters",
        sealed.OfficerId: "use small letters, digits, - and ., at most 64",
        values.Sha256: "it must be 64 hexadecimal digits, in small letters",
    }
    return {_pattern(kind): words for kind, words in kinds.items()}


def _pattern(kind: Any) -> str:  # noqa: ANN401  an annotated type
    return next(str(found.pattern) for found in kind.__metadata__ if getattr(found, "pattern", None))
