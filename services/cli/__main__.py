"""The command `watchline`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType

from services.cli import INTERRUPTED


def main() -> int:
    """The exit code of the command line; Ctrl-C while its modules are still being loaded is no error either."""
    heeds_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # it does not after `nohup` or `&`
    if heeds_ctrl_c:
        signal.signal(signal.SIGINT, _end_at_once)
    from services.cli.app import run  # noqa: PLC0415  see above

    if heeds_ctrl_c:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()  # what is loaded by now stays; without it the end takes 0.3 s more
    try:
        code = run()
    except KeyboardInterrupt:  # once more, while the first was being told
        code = INTERRUPTED
    # CPython remembers that Ctrl-C struck within an `exec` (each dataclass is made by one), though it was caught since,
    # and would end `python -m` by the signal instead of with our code. The next `exec` clears that.
    exec("")  # noqa: S102  a fixed text
    return code


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Ends the process: nothing has been begun.

    An exception would be lost where Ctrl-C strikes within a callback of the import system, which ignores what it meets.
    """
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
