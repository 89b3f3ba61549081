"""The command `watchline`."""

from __future__ import annotations

import sys

from services.cli.app import run as main

if __name__ == "__main__":
    sys.exit(main())
