"""What is counted so that error rates can be told: passages of seeds, faces, searches. Counted, never stored."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from proto.messages import Message, Name, SubjectId
from proto.sealed import OfficerId
from proto.values import Count, Id, Time

Minute = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
"""A minute of the Unix epoch, in decimal: every one has a date."""
Bin = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,3}$")]
"""The lower edge of a bin of scores, in hundredths."""


class Passage(Message):
    """A seed who walked through the zone of a camera, bucket `passages`: what TPIR is measured against."""

    deployment: Name
    camera: Name
    subject: SubjectId
    at: Time
    noted_by: OfficerId
    noted_at: Time = 0.0
    """By the clock of `govern`: who notes a passage late may know already what came of it."""


class FaceCount(Message):
    """Faces that one reading of a camera has seen, bucket `faces`: numbers alone, by minute."""

    deployment: Name
    camera: Name
    reading: Id
    live: bool
    """A live source goes on under a new reading; a file starts over, and only its last reading counts."""
    minutes: dict[Minute, Count]
    """Tracks that entered the zone, by minute (Unix seconds of capture // 60)."""
    updated_at: Time = 0.0


class SearchCount(Message):
    """Best scores of the searches of one `match`, bucket `searches`: a histogram, no score by itself."""

    deployment: Name
    camera: Name
    counter: Id
    """Which program counted."""
    least_searched: Count
    """The smallest N that it searched: less than the largest where people were taken off a list that was armed."""
    most_searched: Count
    """The largest N that it searched."""
    histogram: dict[Bin, Count]
    """Searches by the lower edge of the bin of their best score, in hundredths (`"38"`: 0.38 to 0.40)."""
    updated_at: Time = 0.0
