"""The command `watchline`."""

from __future__ import annotations

import gc
import sys

from services.cli import INTERRUPTED


def main() -> int:
    """The exit code of the command line; Ctrl-C while its modules are still being loaded is no error either."""
    code = _loaded_and_run()
    # CPython remembers that Ctrl-C struck within an `exec` (each dataclass is made by one), though it was caught since,
    # and would end `python -m` by the signal instead of with our code. The next `exec` clears that.
    exec("")  # noqa: S102  a fixed text
    return code


def _loaded_and_run() -> int:
    try:
        from services.cli.app import run  # noqa: PLC0415  see above
    except KeyboardInterrupt:
        return INTERRUPTED
    gc.freeze()  # what is loaded by now stays; without it the end takes 0.3 s more
    return run()


if __name__ == "__main__":
    sys.exit(main())
