"""What messages and records are made of: texts of several kinds, hashes, times, numbers, and frozen parts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LONGEST_TEXT = 4000
"""Characters of a text for people."""
LATEST = 32_503_680_000
"""The year 3000, in Unix seconds."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)]
"""A reason or a description, for people."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)]
"""A short text, which may be empty."""
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
"""A short text, which may not."""
Explanation = Annotated[str, AfterValidator(lambda text: text[:LONGEST_TEXT])]
"""What a program says of something that went wrong. What is longer is cut: what it is part of is read all the same."""
Id = Annotated[str, StringConstraints(max_length=256)]
"""A name that a program gave, which may be empty."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OptionalSha256 = Sha256 | Literal[""]

Time = Annotated[float, Field(ge=0, le=LATEST)]
"""Unix seconds before the year 3000: milliseconds by mistake are refused, and every time of a record has a date."""
Seconds = Annotated[float, Field(ge=0, le=LATEST)]
"""A length of time."""
Measure = Annotated[float, Field(ge=-1e9, le=1e9)]
"""What was measured of a picture, whatever its unit: far beyond every picture, and short when it is written out."""
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A number of things, or the place of one: what every reader can hold, also one whose numbers are all floats."""
Version = Annotated[int, Field(ge=1, le=2**53)]
"""Of a record: grows by one with every act."""
Score = Annotated[float, Field(ge=-1.01, le=1.01)]
"""A comparison score, from -1 to 1 but for what rounding adds."""


class Value(BaseModel):
    """A part of a record: frozen, and tolerant of fields from the future."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
