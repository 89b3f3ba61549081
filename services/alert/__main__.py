"""Starts the service: `watchline run alert`, or `python -m services.alert`."""

from __future__ import annotations

import sys

from libs.service import main
from services.alert.service import alert

if __name__ == "__main__":
    sys.exit(main("alert", alert))
