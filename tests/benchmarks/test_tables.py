"""The tables of README and docs are those of the record."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.record import Rows
from benchmarks.tables import ROOT, TABLES, filled, markdown, names, pages


@pytest.fixture(scope="module")
def committed() -> Rows:
    return Rows.committed()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_what_the_record_says(page, committed):
    text = page.read_text(encoding="utf-8")
    assert filled(text, committed) == text, "run `make tables`"


def test_every_table_is_shown_once():
    shown = [name for page in pages() for name in names(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_follows_the_record(name, committed):
    """No figure is written by hand: with every value ten times as large, the table is another one."""
    larger = Rows([replace(row, value=10 * row.value + 1) for row in committed.rows])
    assert markdown(TABLES[name](larger)) != markdown(TABLES[name](committed))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_at_a_glance(name, committed):
    """A cell holds one figure, without brackets and arrows behind it; a table has some 45 lines at most."""
    _header, *lines = TABLES[name](committed)
    assert len(lines) <= 45
    for cells in lines:
        assert not [cell for cell in cells if re.search(r"→|\d[ %]*\([\d.]", cell)]


@pytest.mark.parametrize("name", TABLES)
def test_every_line_of_a_table_has_the_cells_of_its_header(name, committed):
    """Also where a cell holds a bar, as in |T - 1|."""
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown(TABLES[name](committed)).splitlines()}
    assert len(counts) == 1


def test_a_table_that_the_record_cannot_fill_is_an_error():
    with pytest.raises(LookupError, match="0 rows of the record have quantity"):
        filled("<!-- table: vnet -->\n<!-- end -->", Rows([]))
    with pytest.raises(LookupError, match="'vnett' is not known"):
        filled("<!-- table: vnett -->\n<!-- end -->", Rows([]))
    with pytest.raises(LookupError, match="no <!-- end -->"):
        filled("<!-- table: vnet -->\n| a |\n", Rows([]))


def test_a_ratio_of_times_is_not_read_as_that_of_two_medians(committed):
    """It is the median over pairs: on a busy machine 7.2 s beside 3.7 s may be 1.53 times as long."""
    cells = [value for name, value in TABLES["more"](committed) if "emulator" in name]
    assert len(cells) == 2 and all("in the median pair" in cell for cell in cells)
