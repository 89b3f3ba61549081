"""The rules of governance as data (`rules.toml`): where each comes from, where it is enforced, and which test fails
without it.

    python -m tests.repo.rules            writes the table of docs/governance.md
    python -m tests.repo.rules --break    takes each rule out in a copy of the sources, and sees its tests fail
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("rules.toml")
PAGE = ROOT / "docs" / "governance.md"
SOURCES = ("proto", "libs", "services", "tests", "docs", "pyproject.toml", "README.md")
PYTEST = ("-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short", "--timeout=30")
BROKEN = ("SyntaxError", "IndentationError", "ImportError", "NameError", "UnboundLocalError")
"""How a test fails where the cut was a bad one: that says nothing of the rule."""
BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


@dataclass(frozen=True)
class Cut:
    """How a rule is taken out: `old`, which stands once in `file`, becomes `new`."""

    file: str
    old: str
    new: str

    @contextmanager
    def made(self, root: Path) -> Iterator[None]:
        """The sources in `root` are without the rule while the block runs."""
        path = root / self.file
        text, stat = path.read_text(), path.stat()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not hold this once: {self.old}")
        path.write_text(text.replace(self.old, self.new))
        try:
            yield
        finally:
            path.write_text(text)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that its compiled form still counts


@dataclass(frozen=True)
class Rule:
    """One rule. `tests` are `path::name`, relative to `tests/`; each must fail when the cut is made."""

    chapter: str
    rule: str
    source: str
    cut: Cut
    tests: tuple[str, ...]

    def is_about(self, words: str) -> bool:
        """Whether chapter and text of the rule hold all of these words."""
        return all(word in f"{self.chapter} {self.rule} {self.cut.file}".lower() for word in words.lower().split())


def load_rules() -> list[Rule]:
    """Every rule, in the order of the file."""
    return [
        Rule(entry["chapter"], entry["rule"], entry["source"], Cut(**entry["cut"]), tuple(entry["tests"]))
        for entry in tomllib.loads(RULES.read_text())["rules"]
    ]


def table(rules: list[Rule]) -> str:
    """The rules as the page shows them, a chapter at a time."""
    lines = []
    for chapter in dict.fromkeys(rule.chapter for rule in rules):
        lines += [f"### {chapter}", "", "| rule | source | enforced in | test |", "|---|---|---|---|"]
        for rule in (rule for rule in rules if rule.chapter == chapter):
            tests = "<br>".join(f"`{test.partition('::')[2]}`" for test in rule.tests)
            lines.append(f"| {rule.rule} | {rule.source} | `{rule.cut.file}` | {tests} |")
        lines.append("")
    return "\n".join(lines)


def with_table(page: str, rules: list[Rule]) -> str:
    """The page with its table made anew."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table(rules)}\n{END}{rest.split(END)[1]}"


def copy_sources(root: Path) -> Path:
    """`root`, which holds a copy of all that tests need."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
    return root


def run_tests(root: Path, tests: Iterable[str]) -> tuple[int, dict[str, str]]:
    """The exit code of these tests in a copy, and what each of those that failed said."""
    command = [sys.executable, *PYTEST, *(f"tests/{test}" for test in tests)]
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "400"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    failed = re.findall(r"^FAILED tests/(\S+?::\w+)(?:\[.*?\])?(?: - (.*))?$", done.stdout, re.MULTILINE)
    if done.returncode and not failed:
        failed = [("", (done.stdout + done.stderr)[-2000:])]
    return done.returncode, dict(reversed(failed))


def survivors(root: Path, rule: Rule) -> dict[str, str]:
    """What each test of the rule said when it was taken out, for those that did not fail for want of it."""
    with rule.cut.made(root):
        _, failed = run_tests(root, rule.tests)
    said = {test: failed.get(test, failed.get("", "it passes")) for test in rule.tests}
    return {test: words for test, words in said.items() if test not in failed or words.startswith(BROKEN)}


def break_all(rules: list[Rule]) -> int:
    """How many rules have a test that does not fail without them; each is told as soon as it is known."""
    with tempfile.TemporaryDirectory(prefix="watchline-rules-") as folder:
        first = copy_sources(Path(folder) / "0")
        code, failed = run_tests(first, dict.fromkeys(test for rule in rules for test in rule.tests))
        if code != 0:
            tell(f"the tests do not pass with all rules in place: {failed}")
            return len(rules)
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(os.cpu_count() or 1):
            copies.put(shutil.copytree(first, first.with_name(f"copy-{number}")))  # with all that is compiled by now

        def take_out(rule: Rule) -> dict[str, str]:
            root = copies.get()
            try:
                return survivors(root, rule)
            finally:
                copies.put(root)

        alive = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for number, (rule, found) in enumerate(zip(rules, pool.map(take_out, rules), strict=True), 1):
                alive += bool(found)
                tell(f"{number:3}/{len(rules)} {'NOT GUARDED' if found else 'guarded'}  {rule.chapter}: {rule.rule}")
                for test, words in found.items():
                    tell(f"    {test}: {words}")
    return alive


def tell(line: str) -> None:
    """Prints a line at once: whoever waits for minutes sees how far it is."""
    print(line, flush=True)  # noqa: T201  the result


def main() -> int:
    """The exit code: 1 when a rule is not guarded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", action="store_true", dest="cut", help="take each rule out and see its tests fail")
    parser.add_argument("-k", default="", help="only rules with these words in their chapter, text or file")
    options = parser.parse_args()
    rules = load_rules()
    if not options.cut:
        PAGE.write_text(with_table(PAGE.read_text(), rules))
        return 0
    chosen = [rule for rule in rules if rule.is_about(options.k)]
    if not chosen:
        parser.error(f"no rule has the words {options.k!r}: look for others in {RULES.name}")
    alive = break_all(chosen)
    tell(f"{len(chosen) - alive} of {len(chosen)} rules are guarded by tests that fail without them")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
