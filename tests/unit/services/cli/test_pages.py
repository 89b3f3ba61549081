"""The reports look alike: their style is written down once, and each page has it in itself."""

from pathlib import Path

import pytest

from services.cli import pages

CLI = Path(pages.__file__).parent
SHARED = (CLI / "page.css").read_text("utf-8")
PAGES = sorted(path for path in CLI.rglob("*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_takes_the_shared_style_and_repeats_none_of_it(path):
    text = path.read_text("utf-8")
    own = text[text.index("<style>") : text.index("</style>")]
    assert own.count('{% include "page.css" %}') == 1
    rules = {line.strip() for line in SHARED.splitlines() if line.strip().endswith("; }")}
    assert not [line for line in own.splitlines() if line.strip() in rules]
    assert "--paper: #fbfaf8" not in own


def test_what_a_page_includes_is_in_it_word_for_word(tmp_path):
    (tmp_path / "page.html").write_text('<style>\n{% include "page.css" %}\n</style>')
    assert SHARED.strip() in pages.reading_pages(tmp_path).get_template("page.html").render()


def test_there_are_pages_to_look_at():
    assert len(PAGES) == 2
