"""The answering end of asks: decoded, answered, or refused with a code and a reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import Request

from libs.bus.client import TooLargeError
from libs.bus.streams import RETRY_S
from libs.errors import PermanentError, TransientError, UserError
from libs.log import Log, describe_bug
from proto import codec
from proto.messages import DeadLetter, Message

M = TypeVar("M", bound=Message)
Answer = Callable[[M], Awaitable[Message]]
Bury = Callable[[DeadLetter], Awaitable[None]]

ERROR_CODE_HEADER = "Nats-Service-Error-Code"
ERROR_HEADER = "Nats-Service-Error"
"""Both of ADR-32, the NATS services convention."""
MOST_OF_A_REASON = 4000
"""Characters: all that may stand against an arming, with its reasons."""
TOO_LARGE = "413"
TOO_LARGE_REASON = "the answer has {:,} bytes, more than the server takes: ask for less at a time"


@dataclass(frozen=True)
class Endpoint(Generic[M]):
    """What an endpoint of a micro service reads, and how it answers."""

    reads: type[M]
    answer: Answer[M]
    concurrency: int = 8
    """Asks that are answered at a time; more wait."""


class AskError(PermanentError):
    """The asked program refused: with the `code` of a `PermanentError`, or 500 (a bug over there)."""

    def __init__(self, subject: str, code: str, reason: str) -> None:
        super().__init__(f"{subject} refused: {reason}")
        self.code = code
        self.detail = reason


class Desk(Generic[M]):
    """Takes asks for one subject, decodes, answers and refuses them, `concurrency` at a time."""

    def __init__(self, subject: str, endpoint: Endpoint[M], concurrency: int, bury: Bury, log: Log) -> None:
        self._subject = subject
        self._endpoint = endpoint
        self._free = asyncio.Semaphore(concurrency)
        self._in_hand: set[asyncio.Task[None]] = set()
        self._bury = bury
        self._log = log

    async def take(self, ask: Msg) -> None:
        """Starts on an ask; waits while all hands are full: asks then queue in the client, which is bounded."""
        await self._start(self._answer_message(ask))

    async def take_request(self, request: Request) -> None:
        """Starts on an ask that came through the micro service framework, as `take` does."""
        await self._start(self._answer_request(request))

    async def finish(self) -> None:
        """Returns when nothing is in hand."""
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        await self._free.acquire()
        task = asyncio.create_task(work, name=f"answer {self._subject}")
        self._in_hand.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.discard(task)
        self._free.release()

    async def _answer_message(self, ask: Msg) -> None:
        data, headers = await self._reply(ask.data, dict(ask.headers or {}))
        client: Client | None = ask._client
        if ask.reply and client is not None:
            await self._send(partial(client.publish, ask.reply), data, headers)

    async def _answer_request(self, request: Request) -> None:
        data, headers = await self._reply(request.data, dict(request.headers or {}))
        await self._send(request.respond, data, headers)

    async def _send(self, send: Callable[..., Awaitable[None]], data: bytes, headers: dict[str, str]) -> None:
        """Sends an answer; of one that the server does not take, a refusal that says so."""
        with suppress(nats.errors.Error):
            try:
                await send(data, headers=headers)
            except TooLargeError as error:
                self._log.error("ask.answer_too_large", subject=self._subject, bytes=error.size)
                await send(b"", headers=_refusal(TOO_LARGE, TOO_LARGE_REASON.format(error.size)))

    async def _reply(self, data: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        try:
            answer = await self._endpoint.answer(codec.decode(self._endpoint.reads, data, headers))
            return codec.encode(answer), codec.headers(answer, headers.get(codec.TRACE_HEADER, ""))
        except codec.DecodeError as error:
            await self._dead_letter(str(error), headers)
            return b"", _refusal("400", str(error))
        except PermanentError as error:
            return b"", _refusal(error.code, error.reason)
        except UserError as error:
            return b"", _refusal("400", str(error))
        except TransientError as error:
            return b"", _refusal("503", error.reason)
        except Exception as error:  # noqa: BLE001  the desk is a run loop: one bad ask must not stop it
            found = describe_bug(error)
            self._log.error("ask.bug", subject=self._subject, **found)
            return b"", _refusal("500", type(error).__name__)

    async def _dead_letter(self, reason: str, headers: dict[str, str]) -> None:
        letter = dead_letter(self._subject.rpartition(".")[2], self._subject, headers, reason)
        with suppress(TransientError):
            await self._bury(letter)


def dead_letter(
    stage: str, subject: str, headers: dict[str, str], reason: str, deliveries: int = 1, sequence: str = ""
) -> DeadLetter:
    """The dead letter for a message that came with `headers`: its ids and the reason, nothing of its content."""
    return DeadLetter(
        stage=stage,
        subject=subject,
        message_id=headers.get("Nats-Msg-Id", "")[:256] or sequence or codec.new_trace()[3:35],
        message_kind=headers.get(codec.TYPE_HEADER, "")[:64],
        reason=reason,
        deliveries=deliveries,
        at=time.time(),
    )


def _refusal(code: str, reason: str) -> dict[str, str]:
    return {ERROR_CODE_HEADER: code, ERROR_HEADER: reason.replace("\r", " ").replace("\n", " ")[:MOST_OF_A_REASON]}


def raise_refusal(subject: str, reply: Msg) -> None:
    """Raises what a reply says if it is a refusal.

    Raises:
        TransientError: the other side asks to be asked again.
        AskError: it refused.
    """
    headers = reply.headers or {}
    code = headers.get(ERROR_CODE_HEADER)
    if code is None:
        return
    reason = headers.get(ERROR_HEADER, "no reason given")
    if code == "503":
        raise TransientError(reason, RETRY_S, subject)
    raise AskError(subject, code, reason)
