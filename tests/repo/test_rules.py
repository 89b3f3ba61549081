"""Every rule of governance has a place where it is enforced and a test; `make rules` shows that the test guards it."""

import re
from functools import cache

from tests.repo.rules import PAGE, ROOT, load_rules, with_table

RULES = load_rules()


@cache
def text_of(name):
    path = ROOT / name
    return path.read_text() if path.is_file() else ""


def test_there_are_rules_and_none_stands_twice():
    texts = [(rule.chapter, rule.rule) for rule in RULES]
    assert len(texts) > 200
    assert len(set(texts)) == len(texts)


def test_every_rule_has_a_source_of_its_own():
    assert [rule.rule for rule in RULES if not rule.source] == []


def test_the_code_that_enforces_each_rule_stands_where_the_list_says():
    stray = [f"{rule.cut.file}: {rule.rule}" for rule in RULES if text_of(rule.cut.file).count(rule.cut.old) != 1]
    assert stray == []
    assert [rule.rule for rule in RULES if rule.cut.new == rule.cut.old] == []


def test_the_tests_of_each_rule_exist():
    named = [(test.partition("::"), rule.rule) for rule in RULES for test in rule.tests]
    missing = [
        f"{path}::{name}"
        for (path, _, name), _ in named
        if not re.search(rf"def {re.escape(name)}\(", text_of(f"tests/{path}"))
    ]
    assert missing == []
    assert [rule.rule for rule in RULES if not rule.tests] == []


def test_the_page_shows_the_rules_as_they_are():
    page = PAGE.read_text()
    assert with_table(page, RULES) == page, "run `python -m tests.repo.rules`"
