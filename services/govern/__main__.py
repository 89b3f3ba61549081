"""Starts the service: `watchline run govern`, or `python -m services.govern`."""

from __future__ import annotations

import sys

from libs.service import main
from services.govern.service import govern

if __name__ == "__main__":
    sys.exit(main("govern", govern))
