"""What a person reads of an alert."""

from io import StringIO

from rich.console import Console

from services.cli import console
from tests.examples import EXAMPLES

ALERT = EXAMPLES["alert"]


def plain(markup):
    out = StringIO()
    Console(file=out, width=300).print(markup)
    return out.getvalue().strip()


def test_an_alert_of_an_evaluation_is_stamped_and_another_is_not():
    assert plain(console.alert_line(ALERT.model_copy(update={"stamp": "EVALUATION"}))).startswith("EVALUATION  ALERT")
    assert plain(console.alert_line(ALERT.model_copy(update={"stamp": ""}))).startswith("ALERT")
