"""Flat rows: written as they are read, one about each thing, and with what a number means nothing without."""

from __future__ import annotations

from datetime import datetime

import pytest

from benchmarks.inputs import PUBLISHED
from benchmarks.record import COLUMNS, COMMITTED, Record, Row, Rows, figure, key, read

FILES = sorted(COMMITTED.glob("*.csv"))


def test_rows_are_read_as_they_were_written(tmp_path):
    record = Record("speed")
    about = {"engine": "cola:mesh_factor=2,steps=20", "ics": "seed=7", "n": 128, "box": 250.0, "z": 0.0}
    record.add("wall_median", 0.25, "s", limit=0.5, aim=0.1, **about)
    record.add("one_minus_r2", 2.0625e-05, field="density", k=0.5, reference="mp-gadget", **about)
    record.save(tmp_path / "speed.csv")
    assert read(tmp_path / "speed.csv") == record.rows
    first = record.rows[0]
    assert first.met is True and first.machine and first.versions.startswith("python=")
    assert datetime.fromisoformat(first.date).utcoffset().total_seconds() == 0


def test_a_bar_is_judged_and_stands_for_the_figure_itself():
    record = Record("vnet")
    record.add("T", 1.5, k=0.5)
    assert record.add("T", 1.5, k=0.5, limit=1.0).met is False
    assert [row.limit for row in record.rows] == [1.0]


def test_a_value_is_that_of_one_row():
    record = Record("vnet")
    record.add("T", 1.5, k=0.5)
    record.add("T", 2.5, k=1.0)
    assert Rows(record.rows).value("T", k=1.0) == 2.5
    with pytest.raises(LookupError, match="2 rows"):
        Rows(record.rows).value("T")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_committed_rows_say_what_where_and_when(path):
    rows = read(path)
    with open(path) as stream:
        assert stream.readline().strip() == ",".join(COLUMNS)
    assert len({key(row) for row in rows}) == len(rows)
    for row in rows:
        assert row.benchmark == path.stem and row.quantity and row.machine
        assert (row.met is None) == (row.limit is None)
        if row.machine != PUBLISHED["machine"]:
            assert row.commit and row.versions
            assert datetime.fromisoformat(row.date).utcoffset().total_seconds() == 0


def test_there_are_committed_rows():
    assert {"accuracy", "cost", "p3m", "pysco", "speed", "vnet"} <= {path.stem for path in FILES}


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("one_minus_r2", "density, 1 - r^2 at k = 0.5"),
        ("P_off_to_k", "density, |P / P_true - 1| for k <= 0.5"),
        ("T_off_over_l-picola_most", "density, |T - 1| over that of L-PICOLA, largest at k = 0.5"),
        ("one_minus_r2_over_zeldovich", "density, 1 - r^2 over that of zeldovich at k = 0.5"),
        ("wall_median", "density, wall median at k = 0.5"),
    ],
)  # fmt: skip
def test_a_figure_is_in_words(quantity, words):
    assert figure(Row(benchmark="b", field="density", quantity=quantity, k=0.5, value=1.0)) == words


def test_a_field_with_its_statistic_is_in_words():
    row = Row(benchmark="b", field="density one_minus_r2", quantity="error_over_dynamics_most", value=1.0)
    assert figure(row) == "density, 1 - r^2, over that of its dynamics, largest"
