"""Starts the service: `watchline run detect`, or `python -m services.detect`."""

from __future__ import annotations

import sys

from libs.service import main
from services.detect.service import detect

if __name__ == "__main__":
    sys.exit(main("detect", detect))
