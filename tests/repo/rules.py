"""The rules of governance as data (`rules.toml`): where each comes from, where it is enforced, and which test fails
without it.

    python -m tests.repo.rules            writes the table of docs/governance.md
    python -m tests.repo.rules --break    takes each rule out in a copy of the sources, and sees its tests fail
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RULES = Path(__file__).with_name("rules.toml")
PAGE = ROOT / "docs" / "governance.md"
SOURCES = ("proto", "libs", "services", "tests", "docs", "pyproject.toml", "README.md")
PYTEST = ("-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider")
BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


@dataclass(frozen=True)
class Cut:
    """How a rule is taken out: `old`, which stands once in `file`, becomes `new`."""

    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.old, self.new))


@dataclass(frozen=True)
class Rule:
    """One rule. `tests` are `path::name`, relative to `tests/`; each must fail when the cut is made."""

    chapter: str
    rule: str
    source: str
    cut: Cut
    tests: tuple[str, ...]

    @property
    def where(self) -> str:
        return self.cut.file


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
            lines.append(f"| {rule.rule} | {rule.source} | `{rule.where}` | {tests} |")
        lines.append("")
    return "\n".join(lines)


def with_table(page: str, rules: list[Rule]) -> str:
    """The page with its table made anew."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table(rules)}\n{END}{rest.split(END)[1]}"


def survives(rule: Rule) -> str:
    """Why the rule is not guarded: which of its tests pass though it was taken out. Empty when all is well."""
    with tempfile.TemporaryDirectory(prefix="watchline-rules-") as folder:
        copy = Path(folder)
        for name in SOURCES:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        rule.cut.apply(copy)
        alive = [test for test in rule.tests if _passes(copy, test)]
    return f"{rule.rule}: passes without the rule: {', '.join(alive)}" if alive else ""


def _passes(copy: Path, test: str) -> bool:
    """Whether the test passes in the copy; one that is not found or collected counts as passing: it shows nothing."""
    command = [sys.executable, *PYTEST, f"tests/{test}"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return done.returncode != 1


def main() -> int:
    """The exit code: 1 when a rule is not guarded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", action="store_true", dest="cut", help="take each rule out and see its tests fail")
    parser.add_argument("-k", default="", help="only rules with these words in them")
    options = parser.parse_args()
    rules = [rule for rule in load_rules() if options.k.lower() in rule.rule.lower()]
    if not options.cut:
        PAGE.write_text(with_table(PAGE.read_text(), load_rules()))
        return 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(survives, rules)
        alive = []
        for number, (rule, survivor) in enumerate(zip(rules, found, strict=True), 1):
            print(f"{number:3}/{len(rules)} {'NOT GUARDED' if survivor else 'guarded'}  {rule.rule}", flush=True)  # noqa: T201  the result
            alive += [survivor] if survivor else []
    print("\n".join(alive) or f"all {len(rules)} rules are guarded by tests that fail without them")  # noqa: T201  the result
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
