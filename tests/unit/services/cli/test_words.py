"""Numbers as people read them."""

import pytest

from services.cli.words import percent_of


@pytest.mark.parametrize(
    ("part", "whole", "shown"), [(1, 3, "33 %"), (5, 5, "100 %"), (1, 544, "0.18 %"), (1, 90_000, "under 0.01 %")]
)
def test_shares_are_written_without_exponents(part, whole, shown):
    assert percent_of(part, whole).replace("\N{NO-BREAK SPACE}", " ") == shown
