"""Data sets whose cosmologies vary: seven columns of a file, or a Latin hypercube of their own."""

import numpy as np
import pytest

from refusals import refusal
from zeldo.configuration import load
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.cosmologies import read_hypercube
from zeldo.datasets.design import make_design
from zeldo.errors import InputError

BASE = PRESETS["quijote"]
RANGES = {"omega_m": [0.1, 0.5], "sigma_8": [0.6, 1.0], "w0": [-1.3, -0.7], "wa": [-0.5, 0.5]}


def design(parts=(20, 4, 4), **changes):
    given = {
        "store": "data/none.zarr",
        "n": 8,
        "cosmologies": {"seed": 3, "ranges": RANGES},
        "cosmology": "planck2018",
    }
    seeds = {"train": 100, "validation": 200, "test": 300}
    for (part, seed), runs in zip(seeds.items(), parts, strict=True):
        given[part] = {"runs": runs, "first_seed": seed}
    return make_design(load(given | changes, DatasetConfig))


def values(runs, part):
    """(runs, parameters) of the cosmologies of a part."""
    return np.array([list(run.universe.cosmology.to_dict().values()) for run in runs if run.part == part])


def test_every_part_is_a_latin_hypercube_of_what_varies():
    runs = design()
    base = Cosmology.preset("planck2018").to_dict()
    for part, count in (("train", 20), ("validation", 4), ("test", 4)):
        points = values(runs, part)
        for column, name in enumerate(Cosmology.names()):
            if name not in RANGES:
                assert (points[:, column] == base[name]).all()
                continue
            low, high = RANGES[name]
            strata = np.floor((points[:, column] - low) / (high - low) * count)
            assert sorted(strata) == list(range(count))  # one point in each of the equal intervals


def test_parts_have_no_cosmology_in_common_and_the_seed_decides_all():
    runs = design()
    assert len({run.universe.cosmology for run in runs}) == len(runs) == 28
    assert design() == runs
    other = design(cosmologies={"seed": 4, "ranges": RANGES})
    assert not {run.universe.cosmology for run in runs} & {run.universe.cosmology for run in other}


def test_a_part_that_grows_moves_no_other():
    small, large = design(), design(parts=(40, 4, 4))
    for part in ("validation", "test"):
        assert np.array_equal(values(small, part), values(large, part))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cosmologies": {"seed": 3, "ranges": {"omega_n": [0.1, 0.5]}}}, "did you mean 'omega_m'"),
        ({"cosmologies": {"seed": 3, "ranges": {"omega_m": [0.5, 0.1]}}}, "must rise between 0.01 and 1"),
        ({"cosmologies": {"seed": 3, "ranges": {"omega_m": [0.1, 7]}}}, "must rise between 0.01 and 1"),
        ({"cosmologies": {"seed": 3, "ranges": {"omega_m": [0.01, 0.03]}}}, "narrow the ranges"),
        ({"cosmologies": {"seed": 3, "ranges": {}}}, "at least 1"),
        ({"latin_hypercube": "lh.txt"}, "leave out one"),
    ],
)
def test_hypercubes_that_will_not_do_are_refused(changes, words):
    assert words in refusal(lambda: design(**changes))


def test_a_file_may_have_dark_energy_in_two_further_columns(tmp_path):
    path = tmp_path / "cosmologies.txt"
    path.write_text("# omega_m omega_b h n_s sigma_8 w0 wa\n0.3 0.05 0.7 0.96 0.8 -0.9 0.2\n")
    assert read_hypercube(path, BASE) == [Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, -0.9, 0.2)]
    path.write_text("0.3 0.05 0.7 0.96 0.8\n")
    assert read_hypercube(path, BASE) == [Cosmology(0.3, 0.05, 0.7, 0.96, 0.8)]
    path.write_text("0.3 0.05 0.7 0.96 0.8 -0.9\n")
    assert "have 6 columns without names" in refusal(lambda: read_hypercube(path, BASE))


def test_boxes_are_taken_in_turn_in_every_part():
    runs = design(box=[125.0, 64.0, 250.0])
    for part, count in (("train", 20), ("validation", 4)):
        boxes = [run.universe.box for run in runs if run.part == part]
        assert boxes == [[125.0, 64.0, 250.0][i % 3] for i in range(count)]
    with pytest.raises(InputError, match="give the side of the box"):
        design(box=[])
