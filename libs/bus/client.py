"""The NATS client, which sends nothing that the server would hang up on."""

from __future__ import annotations

import nats.aio.client
import nats.errors

FIRST_LINE = "NATS/1.0"
"""Of headers: https://docs.nats.io/reference/reference-protocols/nats-protocol#hpub."""


class TooLargeError(nats.errors.MaxPayloadError):
    """A message with its headers is larger than the server takes."""

    def __init__(self, subject: str, size: int, most: int) -> None:
        super().__init__()
        self.subject = subject
        self.size = size
        self.most = most

    def __str__(self) -> str:
        sizes = f"{self.size:,} bytes with its headers, over {self.most:,}"
        return f"{self.subject} is larger than the server takes: {sizes}"


class Client(nats.aio.client.Client):
    """A client that counts the headers too, as the server does, which ends the connection for good at a larger message.

    nats-py counts the payload alone.
    """

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publishes a message, as every ask, answer and record is sent too. Raises `TooLargeError`."""
        size = len(payload) + _size(headers)
        if size > self.max_payload:
            raise TooLargeError(subject, size, self.max_payload)
        await super().publish(subject, payload, reply, headers)


def _size(headers: dict[str, str] | None) -> int:
    """Bytes of the headers on the wire; none where there are none."""
    if headers is None:
        return 0
    lines = (f"{key.strip()}: {value.strip()}" for key, value in headers.items())
    return sum(len(line.encode()) + len("\r\n") for line in (FIRST_LINE, *lines, ""))
