"""Starts the service: `watchline run ingest`, or `python -m services.ingest`."""

from __future__ import annotations

import sys

from libs.service import main
from services.ingest.service import ingest

if __name__ == "__main__":
    sys.exit(main("ingest", ingest))
