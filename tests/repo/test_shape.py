"""The shape of the repository: the files each service has, the targets of the Makefile, and pins that hold."""

import re
import stat
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("ingest", "detect", "embed", "match", "alert", "govern")
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
GOLDEN = re.compile(r"[a-z_]+\.v\d+\.msgpack")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_files(service):
    folder = ROOT / "services" / service
    files = {path.name for path in folder.glob("*.py")}
    assert {"__init__.py", "__main__.py", "service.py", "settings.py"} < files
    assert len((folder / "__main__.py").read_text().splitlines()) <= 25
    assert list((ROOT / "tests" / "unit" / "services" / service).rglob("test_*.py"))


def test_a_service_is_a_folder_and_every_folder_is_one():
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert folders == {*SERVICES, "cli"}


@pytest.mark.parametrize("target", ["help", "demo", "test", "lint", "types", "layers"])
def test_the_makefile_has_the_target(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_a_newcomer_reads_of_the_command(command):
    assert command in (ROOT / "README.md").read_text()


def test_ci_runs_what_the_laptop_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert re.search(r"^make test$", script.read_text(), re.MULTILINE)
    assert "CI=true" in script.read_text()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_pin_is_exact_and_hashed_and_names_no_host(path):
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--(index|extra|find|trusted))", text, re.MULTILINE)
    pins = re.findall(r"^([a-z0-9].*?)(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pins
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin


def test_what_the_project_depends_on_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cpu = (ROOT / "requirements" / "cpu.txt").read_text()
    for dependency in [*project["dependencies"], *project["optional-dependencies"]["cpu"]]:
        name = re.match(r"[A-Za-z0-9._-]+", dependency).group().lower()
        assert re.search(rf"^{re.escape(name)}(\[.*\])?==", cpu, re.MULTILINE), name


def test_golden_bytes_are_named_after_their_kind_and_version():
    names = [path.name for path in (ROOT / "tests" / "golden").iterdir()]
    assert names
    assert not [name for name in names if not GOLDEN.fullmatch(name)]
