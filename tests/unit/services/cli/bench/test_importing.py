"""The figures of a bench of imports: how much of the limit an import reaches, by the clock and by CPU time."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from services.cli.bench.importing import ImportFigures, ImportTurn, print_import_figures


def turn(limit_per_s, import_per_s):
    return ImportTurn(
        photos=100,
        limit_per_s=limit_per_s,
        import_per_s=import_per_s,
        enrolled=90,
        refused=10,
        limit_cpu_s=0.018,
        import_cpu_s={"embed": 0.015, "match": 0.005},
    )


FIGURES = ImportFigures(Path("photos"), 100, (turn(100.0, 70.0), turn(100.0, 90.0), turn(50.0, 44.0)))


def test_the_ratio_is_the_median_of_the_turns_each_against_its_own_limit():
    assert [one.ratio for one in FIGURES.turns] == pytest.approx([0.7, 0.9, 0.88])
    assert FIGURES.ratio == pytest.approx(0.88)
    assert FIGURES.turns[0].cpu_ratio == pytest.approx(0.9)
    told = FIGURES.as_json()
    assert (told["photos"], told["ratio"], told["cpu_ratio"]) == (100, 0.88, 0.9)


def test_all_turns_together_are_as_long_as_they_took():
    assert FIGURES.overall == pytest.approx((1 + 1 + 2) / (1 / 0.7 + 1 / 0.9 + 2 / 0.88))


def test_a_person_reads_each_turn_and_where_the_time_went():
    out = io.StringIO()
    print_import_figures(FIGURES, Console(file=out, width=160))
    text = out.getvalue()
    assert (
        "the import reaches 0.88 of the limit (median of the turns; by CPU time 0.90; all turns together 0.83)" in text
    )
    assert "limit 18.0; import: embed 15.0, match 5.0" in text
    assert "0.70" in text
