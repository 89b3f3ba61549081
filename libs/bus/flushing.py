"""Waits until the server has taken what a client has sent."""

from __future__ import annotations

from nats.aio.client import Client


async def flushed(client: Client) -> None:
    """Returns when the server has taken all that was sent before, such as a subscription.

    The ping of nats-py's `flush` goes to the socket at once, past what its flusher has yet to write (2.16, seen to lose
    a message under load); a second ping follows that.

    Raises:
        nats.errors.Error: the server is away, or slow.
    """
    await client.flush()
    await client.flush()
