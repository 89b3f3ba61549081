"""What records are made of: texts of several kinds, hashes, and frozen parts."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
"""A reason or a description, for people."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)]
"""A short text, which may be empty."""
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
"""A short text, which may not."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Time = Annotated[float, Field(ge=0, le=32_503_680_000)]
"""Unix seconds before the year 3000: milliseconds by mistake are refused, and every time of a record has a date."""


class Value(BaseModel):
    """A part of a record: frozen, and tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
