"""Messages that prove who wrote them: the bytes as they were signed, beside the signature.

The signature covers the bytes themselves, so a program that knows fewer fields than the signer can still check it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from proto.messages import Message
from proto.values import Time

GOVERN = "govern"
"""The signer of warrants and audit entries: the program of that name, not a person."""
OfficerId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
"""Whoever signs: an officer of the roster, or `govern`."""
NONCE_BYTES = 16


class Sealed(Message):
    """A message in `body`, signed by `signer` (Ed25519, RFC 8032)."""

    holds: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")]
    """The kind of the message in `body`."""
    signer: OfficerId
    body: bytes
    """The message, as `proto.codec` encodes it."""
    signature: bytes = Field(min_length=64, max_length=64)

    def signed(self) -> bytes:
        """The bytes that the signature is of: no two of kind, signer and body can be exchanged."""
        return signed_bytes(self.holds, self.signer, self.body)


def signed_bytes(kind: str, signer: str, body: bytes) -> bytes:
    """What is signed of a sealed message. Kind and signer hold no NUL, so the three parts are told apart."""
    return b"watchline seal 1\0" + kind.encode() + b"\0" + signer.encode() + b"\0" + body


class Act(Message):
    """What an officer asks for, and when and from where; sealed by the officer's own key."""

    officer: OfficerId
    at: Time
    """Unix seconds by the officer's clock."""
    nonce: bytes = Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)
    """Random, so that the same request is another act each time, and none can be sent twice."""
    origin: str = Field(max_length=128)
    """The host from which the officer acts."""
    holds: str = Field(max_length=64)
    """The kind of the request."""
    request: bytes
    """The request, as `proto.codec` encodes it."""
