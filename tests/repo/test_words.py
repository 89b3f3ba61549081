"""What the source may not say, and what it may say in one place only."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("proto", "libs", "services") for path in (ROOT / folder).rglob("*.py"))
RUN_LOOPS = {"libs/actor.py", "libs/bus/desk.py", "libs/surviving.py"}
"""Where one bad message must not stop the rest; nor one bad record the looks at what must end and what must go."""
GRAPHS = {"libs/rewrites.py"}
"""Names the nodes of a network after what they are."""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def tokens(path, kind):
    with path.open("rb") as source:
        return [token.string for token in tokenize.tokenize(source.readline) if token.type == kind]


def test_there_is_source_to_look_at():
    assert len(SOURCES) > 40


def test_subjects_are_spelled_in_one_place():
    spelled = [name_of(path) for path in SOURCES if "watchline.v1" in path.read_text()]
    assert spelled == ["proto/subjects.py"]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_score_is_never_called_what_it_is_not_in(path):
    if name_of(path) in GRAPHS:
        return
    names = tokens(path, tokenize.NAME) + [text for text in tokens(path, tokenize.STRING) if '"""' not in text]
    assert not [name for name in names if re.search(r"confiden|probabilit|similarity_percent", name, re.IGNORECASE)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_left_to_do_in(path):
    assert not [text for text in tokens(path, tokenize.COMMENT) if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_is_named_after_one_thing(path):
    assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def test_everything_is_caught_in_the_run_loops_alone():
    blind = {name_of(path) for path in SOURCES if re.search(r"except (Exception|:)", path.read_text())}
    assert blind <= RUN_LOOPS


def test_every_lint_that_is_silenced_has_its_reason():
    bare = [
        f"{name_of(path)}: {text}"
        for path in SOURCES
        for text in tokens(path, tokenize.COMMENT)
        if re.fullmatch(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z-]+\])\s*", text)
    ]
    assert not bare
