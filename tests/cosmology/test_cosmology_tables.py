"""Tables of cosmologies as their authors write them."""

import json
import re

import numpy as np
import pytest

from refusals import refusal
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.tables import from_row, read_rows
from zeldo.errors import ZeldoWarning
from zeldo.initial.quijote import latin_hypercube

BASE = PRESETS["planck2018"]


def read(path, text):
    path.write_text(text)
    return [from_row(row, BASE, f"cosmology {number}") for number, row in enumerate(read_rows(path), 1)]


def test_the_file_of_quijotes_latin_hypercube_is_read(tmp_path):
    expected = list(latin_hypercube())[:5]
    values = [list(cosmology.to_dict().values())[:5] for cosmology in expected]
    header = "Omega_m                 Omega_b                  h                        n_s                      sigma_8"
    np.savetxt(tmp_path / "lh.txt", values, header=header, comments="#")
    assert read(tmp_path / "lh.txt", (tmp_path / "lh.txt").read_text()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "omega_m,sigma_8\n0.3,0.8\n0.25,0.9\n",
        "# a comment\nomega_m, sigma_8\n0.3, 0.8\n# another\n\n0.25, 0.9\n",
        "# omega_m,sigma_8\n0.3,0.8\n0.25,0.9\n",
        "# my cosmologies\n# sigma_8\tOMEGA_M\n0.8\t0.3\n0.9\t0.25\n",
        "# columns: sigma_8 omega_m\n0.8 0.3\n0.9 0.25\n",
        "# sigma_8, omega_m\n# in usual units\n# [-] [-]\n0.8 0.3\n0.9 0.25\n",
        "# omega_m sigma_8\n# sigma_8 omega_m\n0.8 0.3\n0.9 0.25\n",
        "# fixed h\n# These are the columns: sigma_8,omega_m\n# of h\n0.8,0.3\n0.9,0.25\n",
        '{"omega_m": 0.3, "sigma_8": 0.8}\n{"omega_m": 0.25, "sigma_8": 0.9}\n',
        json.dumps([{"Omega_m": 0.3, "sigma_8": 0.8}, {"omega_m": 0.25, "SIGMA_8": 0.9}], indent=1),
    ],
    ids=[
        "csv",
        "comments",
        "name in a comment",
        "tabs",
        "columns",
        "units",
        "the nearer of two lines",
        "prose",
        "json lines",
        "json list",
    ],
)
def test_every_way_to_write_a_table_says_the_same(tmp_path, text):
    known = BASE.to_dict()
    expected = [Cosmology(**(known | {"omega_m": m, "sigma_8": s})) for m, s in ((0.3, 0.8), (0.25, 0.9))]
    assert read(tmp_path / "table", text) == expected


def test_columns_without_names_are_the_parameters_in_their_order(tmp_path):
    expected = [Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, -0.9, 0.2)]
    with pytest.warns(
        ZeldoWarning, match="taken as omega_m, omega_b, h, n_s, sigma_8, w0, wa: name them"
    ) as told:
        assert (
            read(tmp_path / "table", "# seven numbers\n0.3 0.05 0.7 0.96 0.8 -0.9 0.2\n" * 2) == 2 * expected
        )
    assert len(told) == 1
    assert read(tmp_path / "table", "") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Om Ob h ns s8\n0.3 0.05 0.7 0.96 0.8\n", "cosmology 1 has 'om': give any of omega_m"),
        ("# Om0 Ob0 ns H0 sigma8\n0.3 0.05 0.96 70 0.8\n", "cosmology 1 has 'om0': .*mean 'omega_m'"),
        (
            "# 1:omega_m 2:omega_b n_s h\n1 2 3 4 5\n",
            "5 columns, and a comment that names omega_m, omega_b, n_s, h w",
        ),
        (
            "# omega_m omega_b ns\n# [-] [-] [-]\n1 2 3 4 5\n",
            "a comment that names omega_m, omega_b, ns without",
        ),
        (
            "# n_s | h | sigma_8\n1 2 3\n",
            "a comment that names n_s, h, sigma_8 without a name for each: give the",
        ),
        ("# sigma_8 = 0.8, as in h/Mpc\n1 2 3 4 5\n", "a comment that names sigma_8 without"),
        ("omega_m\n0.3\n9\n", "cosmology 2: omega_m = 9.0 is not allowed: give a number from"),
        ("omega_m\n0.04\n", "cosmology 1: omega_b = .* is not below"),
        ("0.3 0.05 0.7\n", "3 columns without names: name them in the first line"),
        ("omega_m sigma_8\n0.3\n", "cosmology 1 of .* has 1 cells, and the table has 2 columns"),
        ("omega_m,omega_m\n0.3,0.3\n", "2 columns 'omega_m': keep one"),
        ("omega_m,\n0.3,0.3\n", "a column without a name"),
        (
            "omega_m;sigma_8\n0,3;0,8\n",
            "semicolons between cells: give commas or blanks, and points in numbers",
        ),
        ("omega_m\n0.3x\n", "cosmology 1 has omega_m = '0.3x': give a number"),
        ("omega_m,h\n0.3,\n", "cosmology 1 has h = '': give a number"),
        ('[{"omega_m": 0.3}', "not JSON"),
        ('{"h": 0.7, "H": 0.6}', "cosmology 1 of .* has h and H: keep one"),
        ("[[0.3, 0.05]]", r"cosmology 1 of .* is \[0.3, 0.05\]: give parameters by name"),
    ],
)
def test_a_table_that_will_not_do_is_refused_in_one_line(tmp_path, text, words):

    assert re.search(words, refusal(lambda: read(tmp_path / "table", text)))


@pytest.mark.parametrize("name", ["table.npy", "table.npz", "table.csv"])
def test_a_binary_table_is_called_so(tmp_path, name):
    path, values = tmp_path / name, np.full((3, 5), 0.3)
    np.save(path, values) if path.suffix == ".npy" else np.savez(path, values)
    if path.suffix == ".csv":
        path.write_text("omega_m,\0\n0.3,\0\n")
    assert "are binary, or no text in UTF-8: give a CSV file" in refusal(lambda: read_rows(path))
