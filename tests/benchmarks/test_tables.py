"""The tables of README and docs are those of the record."""

from __future__ import annotations

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


def test_a_table_that_the_record_cannot_fill_is_an_error():
    with pytest.raises(LookupError, match="0 rows of the record have quantity"):
        filled("<!-- table: vnet -->\n<!-- end -->", Rows([]))
    with pytest.raises(LookupError, match="'vnett' is not known"):
        filled("<!-- table: vnett -->\n<!-- end -->", Rows([]))
    with pytest.raises(LookupError, match="no <!-- end -->"):
        filled("<!-- table: vnet -->\n| a |\n", Rows([]))
