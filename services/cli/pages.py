"""Pages of reports: HTML that loads nothing and runs nothing, each with the shared style in it (`page.css`)."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def reading_pages(folder: Path) -> Environment:
    """What reads the pages in `folder`; `{% include "page.css" %}` there is the style that they share."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
