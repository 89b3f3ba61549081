"""The recorded bytes of every message version must decode for ever.

Each file in tests/golden is one example as the version in its name wrote it. A new kind, or a new version of one, gets
its file by `pytest tests/unit/proto/test_golden.py --write-golden`; a file that is there is never written again.
"""

from pathlib import Path

import pytest

from proto import codec
from tests.examples import EXAMPLES, kinds

GOLDEN = Path(__file__).parents[2] / "golden"


def golden_file(kind, version):
    return GOLDEN / f"{kind}.v{version}.msgpack"


@pytest.fixture(scope="module", autouse=True)
def _missing_files_are_written_on_demand(request):
    if request.config.getoption("--write-golden"):
        GOLDEN.mkdir(exist_ok=True)
        for kind, example in EXAMPLES.items():
            path = golden_file(kind, example.version)
            if not path.exists():
                path.write_bytes(codec.encode(example))


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_an_example_and_golden_bytes_of_its_version(kind):
    assert kind in EXAMPLES, f"add an example of {kind} to tests/examples.py"
    path = golden_file(kind, EXAMPLES[kind].version)
    assert path.exists(), f"run pytest {__file__} --write-golden, and commit {path.name}"


@pytest.mark.parametrize("kind", kinds())
def test_golden_bytes_of_every_version_decode_to_the_example(kind):
    example = EXAMPLES[kind]
    recorded = sorted(GOLDEN.glob(f"{kind}.v*.msgpack"))
    assert recorded
    for path in recorded:
        assert codec.decode(type(example), path.read_bytes()).model_dump() == example.model_dump(), path.name


def test_there_are_no_golden_bytes_of_a_kind_that_is_gone():
    assert {path.name.split(".")[0] for path in GOLDEN.glob("*.msgpack")} == set(kinds())
