"""Files and pages of measurements hold the numbers that were measured."""

import csv
import json

import numpy as np
import pytest

from zeldo.report.measured import write_measurements
from zeldo.report.measured_page import PLOTS, measured_figure
from zeldo.report.measured_table import halos_json
from zeldo.statistics.catalogue import columns_of
from zeldo.statistics.halos import Halos
from zeldo.statistics.measurement import Measurement
from zeldo.statistics.overdensity import HaloCatalogue, SphericalOverdensity

K = np.array([0.1, 0.2, 0.4])


def measured(redshift, power):
    poles = {"monopole": 2.0 * power, "quadrupole": -3.0 * power, "hexadecapole": 0.1 * power}
    tables = {
        "power": {"k": K, "power": power, "modes": np.array([18, 62, 98])},
        "multipoles": {"k": K, **poles, "modes": np.array([18, 62, 98])},
    }
    return Measurement(f"z{redshift:g}", "test", redshift, 100.0, 512, 0.25, None, tables=tables)


@pytest.fixture
def both():
    return [measured(3.0, np.array([9.0, 8.0, 5.0])), measured(0.0, np.array([90.0, 40.0, 20.0]))]


def plot(statistic, y):
    return next(plot for plot in PLOTS if plot.statistic == statistic and plot.y == y)


def test_each_row_of_a_csv_file_has_the_redshift_of_its_own_snapshot(both, tmp_path):
    path, _ = write_measurements(both, tmp_path / "m.csv")
    with open(path) as stream:
        rows = [(row["file"], float(row["redshift"]), float(row["power"])) for row in csv.DictReader(stream)]
    assert rows == [(m.name, m.redshift, power) for m in both for power in m.tables["power"]["power"]]


def test_the_lower_panel_shows_the_ratio_to_the_first(both):
    panel = measured_figure(both, plot("power", "power")).axes[1]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), 1)
    np.testing.assert_allclose(panel.lines[1].get_ydata(), [10, 5, 4])


def test_multipoles_that_change_their_sign_are_drawn_times_k(both):
    lines = measured_figure(both, plot("multipoles", "quadrupole")).axes[0].lines
    for line, each in zip(lines, both, strict=False):
        np.testing.assert_allclose(line.get_ydata(), K * each.tables["multipoles"]["quadrupole"])


def test_halos_as_json_are_the_columns_of_their_catalogue():
    rng = np.random.default_rng(1)
    one, vector = (lambda: rng.uniform(1, 9, 4)), (lambda: rng.uniform(1, 9, (4, 3)))
    friends = Halos(np.arange(4), one(), vector(), vector(), np.empty(0, int), 10.0, 0.5, 2.0, 20)
    catalogue = HaloCatalogue(friends, SphericalOverdensity(vector(), *(one() for _ in range(6))))
    content = json.loads(halos_json(catalogue))
    assert (content["redshift"], content["box"], content["halos"]) == (0.5, 10.0, 4)
    for name, values in columns_of(catalogue).items():
        np.testing.assert_array_equal(content[name], values)
        assert name in content["units"]
