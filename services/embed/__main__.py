"""Starts the service: `watchline run embed`, or `python -m services.embed`."""

from __future__ import annotations

import sys

from libs.service import main
from services.embed.service import embed

if __name__ == "__main__":
    sys.exit(main("embed", embed))
