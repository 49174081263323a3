"""The measurements of a suite as arrays."""

import numpy as np
import pytest
import torch

import zeldo
from refusals import refusal

TINY = {"n": 16, "box": 40, "power": "eisenstein-hu", "engine": "2lpt", "keep": "multipoles"}
TABLE = [{"omega_m": 0.3, "sigma_8": 0.8}, {"omega_m": 0.25, "sigma_8": 0.9}]
MULTIPOLES = ("monopole", "quadrupole", "hexadecapole")


@pytest.fixture
def suite(tmp_path):
    given = {**TINY, "output": tmp_path / "s", "cosmologies": TABLE, "seeds": "3:5", "redshift": [1, 0]}
    return zeldo.run_suite(**given)


def rewrite(suite, name, change):
    """Write the file of a universe again, as changed."""
    path = suite.path / "universes" / name / "measures.npz"
    with np.load(path) as values:
        arrays = dict(values)
    np.savez(path, **change(arrays))


def test_arrays_are_those_of_the_files_in_the_order_of_the_table(suite):
    arrays = suite.arrays()
    rows = suite.rows()
    assert arrays.names == [row["name"] for row in rows] and arrays.seeds.tolist() == [3, 4, 3, 4]
    assert arrays.parameter_names == ("omega_m", "sigma_8")
    np.testing.assert_array_equal(arrays.parameters, [[0.3, 0.8], [0.3, 0.8], [0.25, 0.9], [0.25, 0.9]])
    assert arrays.redshifts.tolist() == [1.0, 0.0] and arrays.k.shape == arrays.modes.shape == (7,)
    for name in ("power", *MULTIPOLES):
        values = getattr(arrays, name)
        assert values.shape == (4, 2, 7) and values.dtype == float
        for i, row in enumerate(rows):
            with np.load(suite.path / row["where"]) as kept:
                np.testing.assert_array_equal(values[i], [kept[f"z1_{name}"], kept[f"z0_{name}"]])
    assert torch.from_numpy(arrays.power).dtype == torch.float64


def test_parameters_may_be_chosen(suite):
    arrays = suite.arrays(["h", "omega_m"])
    assert arrays.parameter_names == ("h", "omega_m")
    np.testing.assert_array_equal(arrays.parameters[[0, 2]], [[0.6711, 0.3], [0.6711, 0.25]])
    assert suite.arrays("w0").parameters.shape == (4, 1)
    assert "did you mean 'omega_m'?" in refusal(lambda: suite.arrays(["Om0"]))


def test_parameters_that_do_not_differ_are_left_out(tmp_path):
    arrays = zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY).arrays()
    assert arrays.parameters.shape == (2, 0) and arrays.parameter_names == ()


def test_universes_that_are_not_finished_are_left_out(suite):
    (suite.path / "rows" / "c00000-s3.json").unlink()
    (suite.path / "rows" / "c00000-s4.json").unlink()
    arrays = zeldo.Suite.open(suite.path).arrays()
    assert arrays.names == ["c00001-s3", "c00001-s4"] and arrays.power.shape == (2, 2, 7)
    assert arrays.parameter_names == ("omega_m", "sigma_8")  # which the suite varies
    for name in arrays.names:
        (suite.path / "rows" / f"{name}.json").unlink()
    line = refusal(lambda: zeldo.Suite.open(suite.path).arrays())
    assert line == f"{suite.path}: none of its 4 universes is finished: give the command of the suite again"


def test_a_suite_of_power_spectra_has_no_multipoles(tmp_path):
    arrays = zeldo.run_suite(output=tmp_path / "s", seeds=[1, 2], **TINY | {"keep": "measure"}).arrays()
    assert arrays.power.shape == (2, 1, 7) and arrays.monopole is None


def test_a_suite_of_particles_has_no_arrays(tmp_path):
    suite = zeldo.run_suite(output=tmp_path / "s", seeds=[1], **TINY | {"keep": "particles"})
    assert "keeps particles and has no spectra: make a suite with --keep measure" in refusal(suite.arrays)


def test_files_that_do_not_fit_together_are_refused(suite):
    rewrite(suite, "c00001-s3", lambda arrays: arrays | {"z0_k": 2 * arrays["z0_k"]})
    assert "k of c00001-s3 is not that of c00000-s3: remove " in refusal(suite.arrays)
    rewrite(suite, "c00001-s3", lambda arrays: {"z0_k": arrays["z0_k"]})
    assert "measures.npz lacks z1_k, z1_power, z1_monopole" in refusal(suite.arrays)
    (suite.path / "universes" / "c00001-s3" / "measures.npz").unlink()
    line = refusal(suite.arrays)
    assert "measures.npz is gone: remove " in line and "c00001-s3.json, and run the suite again" in line
