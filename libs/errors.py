"""The outcomes a handler can have other than an answer, and the errors a person is shown.

A handler that returns has succeeded. `TransientError` means "try this message again", `PermanentError` means
"this message can never be handled"; anything else is a bug in the handler. `libs/actor.py` settles each of them.
"""

from __future__ import annotations

OBSTACLES_APART = " | "
"""Between the obstacles in a reason that names several: no obstacle holds it."""


class TransientError(Exception):
    """The message may succeed later; it is handed back and delivered again after `delay_s` seconds.

    `subject` is what was asked on, where the reason is an ask that was not answered.
    """

    def __init__(self, reason: str, delay_s: float = 1.0, subject: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay_s = delay_s
        self.subject = subject


class PermanentError(Exception):
    """The message can never succeed; its ids and the reason go to the dead letters, its content is forgotten.

    `reason` must hold no pixels, templates or names of subjects: it is written to a dead letter and a log line.
    `code` is how an ask is refused with it: 400 (wrong), 403 (not yours to ask), 404 (not there) or 409 (it conflicts).
    """

    code = "400"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissingError(PermanentError):
    """What was asked about is not there."""

    code = "404"


class ConflictError(PermanentError):
    """The ask does not fit the state that something is in now, which may have changed since the asker looked."""

    code = "409"


class UserError(Exception):
    """Something a person must mend. The command line prints `problem` and `remedy` on one line and exits."""

    def __init__(self, problem: str, remedy: str, exit_code: int = 2) -> None:
        super().__init__(f"{problem}: {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy
        self.exit_code = exit_code
