"""What may stand in the audit, which is never deleted: ids, counts and hashes, and nothing of a person."""

from __future__ import annotations

import hashlib
import math
import re

from libs.errors import PermanentError
from proto.audit import Details
from proto.requests.audit import AuditRequest

MOST_DETAILS = 32
LONGEST_DETAIL = 512
LONGEST_WORD = 128
"""Characters of a detail, and of a word in it. A hash has 64, the longest subject id 128; a template of 128 numbers has
170 in one word as bytes of base64, and 640 as numbers of two digits."""
NEVER = frozenset({"name", "names", "template", "templates", "portrait", "portraits", "image", "images_data", "chip"})
"""Keys of details that nobody has a reason to use."""


def fit(request: AuditRequest) -> AuditRequest:
    """The act as it may stand in the audit: with ids, counts and hashes, and never a name, a picture or a template.

    A text that is longer than any of those is held as its hash, so that no text keeps an act from being audited.

    Raises:
        PermanentError: there are details under other than plain keys, or numbers that are none.
    """
    deed = request.deed
    if not re.fullmatch(r"[a-z_]{1,64}", deed.verb) or not re.fullmatch(r"([0-9a-f]{64})?", deed.act):
        raise PermanentError("the deed of an audit entry has a plain verb, and the hash of an act")
    ids = {"deployment": request.deployment, "watch_list": request.watch_list, "alert": request.alert}
    long = next((key for key, value in ids.items() if value != _plain(value)), None)
    if long is not None:
        raise PermanentError(f"{long} of an audit entry is no id")
    said = {"origin": _plain(deed.origin), "reason": _told(deed.reason), "details": _fit(deed.details)}
    return request.model_copy(
        update={"id": _plain(request.id), "details": _fit(request.details), "deed": deed.model_copy(update=said)}
    )


def _fit(details: Details) -> Details:
    """Details as they may stand there. Raises `PermanentError`."""
    if len(details) > MOST_DETAILS:
        raise PermanentError(f"an audit entry has at most {MOST_DETAILS} details")
    for key, value in details.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", key) or key in NEVER:
            raise PermanentError("an audit entry has details by plain keys, never names, pictures or templates")
        if not isinstance(value, str) and not (math.isfinite(value) and abs(value) < 2**63):
            raise PermanentError(f"{key} of an audit entry is no number that can be written down")
    return {key: _plain(value) if isinstance(value, str) else value for key, value in details.items()}


def _told(reason: str) -> str:
    """A reason in somebody's words, as long as it may be and over lines; or its hash where it is no words."""
    return reason if all(len(word) <= LONGEST_WORD for word in reason.split()) else _hashed(reason)


def _plain(text: str) -> str:
    """A text on one line, or its hash where it is no list of ids."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    if len(line) <= LONGEST_DETAIL and all(len(word) <= LONGEST_WORD for word in line.split()):
        return line
    return _hashed(text)


def _hashed(text: str) -> str:
    return f"{len(text)} characters, sha256 {hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
