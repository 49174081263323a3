"""Tables of cosmologies as their authors write them."""

import json
import re

import numpy as np
import pytest

from refusals import refusal
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.tables import from_row, read_rows
from zeldo.initial.quijote import latin_hypercube

BASE = PRESETS["quijote"]


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
        '{"omega_m": 0.3, "sigma_8": 0.8}\n{"omega_m": 0.25, "sigma_8": 0.9}\n',
        json.dumps([{"omega_m": 0.3, "sigma_8": 0.8}, {"omega_m": 0.25, "sigma_8": 0.9}], indent=1),
    ],
    ids=["csv", "comments", "name in a comment", "tabs", "json lines", "json list"],
)
def test_every_way_to_write_a_table_says_the_same(tmp_path, text):
    known = BASE.to_dict()
    expected = [Cosmology(**(known | {"omega_m": m, "sigma_8": s})) for m, s in ((0.3, 0.8), (0.25, 0.9))]
    assert read(tmp_path / "table", text) == expected


def test_columns_without_names_are_the_parameters_in_their_order(tmp_path):
    expected = [Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, -0.9, 0.2)]
    assert read(tmp_path / "table", "# seven numbers\n0.3 0.05 0.7 0.96 0.8 -0.9 0.2\n") == expected
    assert read(tmp_path / "table", "") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Om Ob h ns s8\n0.3 0.05 0.7 0.96 0.8\n", "cosmology 1 has 'om': give any of omega_m"),
        ("0.3 0.05 0.7\n", "3 columns without names: name them in the first line"),
        ("omega_m sigma_8\n0.3\n", "cosmology 1 of .* has 1 cells, and the table has 2 columns"),
        ("omega_m,omega_m\n0.3,0.3\n", "2 columns 'omega_m': keep one"),
        ("omega_m,\n0.3,0.3\n", "a column without a name"),
        ("omega_m\n0.3x\n", "cosmology 1 has omega_m = '0.3x': give a number"),
        ("omega_m,h\n0.3,\n", "cosmology 1 has h = '': give a number"),
        ('[{"omega_m": 0.3}', "not JSON"),
        ("[[0.3, 0.05]]", r"cosmology 1 of .* is \[0.3, 0.05\]: give parameters by name"),
    ],
)
def test_a_table_that_will_not_do_is_refused_in_one_line(tmp_path, text, words):

    assert re.search(words, refusal(lambda: read(tmp_path / "table", text)))
