"""Starts the service: `watchline run match`, or `python -m services.match`."""

from __future__ import annotations

import sys

from libs.service import main
from services.match.service import match

if __name__ == "__main__":
    sys.exit(main("match", match))
