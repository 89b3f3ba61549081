"""What records are made of: texts of several kinds, hashes, and frozen parts."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
"""A reason or a description, for people."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)]
"""A short text, which may be empty."""
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
"""A short text, which may not."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Value(BaseModel):
    """A part of a record: frozen, and tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
