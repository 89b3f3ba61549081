"""Every rule of governance has a place where it is enforced and a test; `make rules` shows that the test guards it."""

import re

import pytest

from tests.repo.rules import PAGE, ROOT, load_rules, with_table

RULES = load_rules()


def test_there_are_rules_and_none_stands_twice():
    texts = [rule.rule for rule in RULES]
    assert len(texts) > 40
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule[:60])
def test_the_code_that_enforces_the_rule_stands_where_the_list_says(rule):
    source = (ROOT / rule.cut.file).read_text()
    assert source.count(rule.cut.old) == 1
    assert rule.cut.new != rule.cut.old


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule[:60])
def test_the_tests_of_the_rule_exist(rule):
    assert rule.tests
    for test in rule.tests:
        path, _, name = test.partition("::")
        source = (ROOT / "tests" / path).read_text()
        assert re.search(rf"def {re.escape(name.partition('[')[0])}\(", source), test


def test_the_page_shows_the_rules_as_they_are():
    page = PAGE.read_text()
    assert with_table(page, RULES) == page, "run `python -m tests.repo.rules`"
