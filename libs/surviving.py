"""How the looks at all records go on past one of them, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from libs.errors import PermanentError, TransientError
from libs.log import Log, describe_bug


@contextmanager
def surviving(log: Log, event: str, **ids: str) -> Iterator[None]:
    """Logs, as `event`, why what is done in the block could not be; the next look tries again.

    Somebody else may have written the record: whatever it does to the code here, deployments must end and data must go.
    """
    try:
        yield
    except (TransientError, PermanentError) as error:
        log.warning(event, **ids, reason=error.reason)
    except Exception as error:  # noqa: BLE001  part of a run loop: one record must not end it
        log.error(event, **ids, **describe_bug(error))  # noqa: TRY400  a traceback may quote what was handled
