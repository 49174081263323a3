"""What engines are compared with: which files, directories and snapshots are references, and of which universe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from zeldo.comparing import compare
from zeldo.errors import InputError
from zeldo.measuring import memory

TINY = {"n": 16, "box": 31.25, "power": "eisenstein-hu"}


def test_a_redshift_that_is_not_quite_round_is_found(tmp_path):
    (truth,) = zeldo.run(engine="2lpt", redshift=1.0000004, output=tmp_path / "g.npz", **TINY)
    (found,) = compare(engine="zeldovich", reference=tmp_path / "g.npz", redshift=1, **TINY).comparisons
    assert found.redshift == truth.redshift
    with pytest.raises(InputError, match=r"no redshift 1.1: choose among 1"):
        compare(engine="zeldovich", reference=tmp_path / "g.npz", redshift=1.1, **TINY)


def test_a_reference_in_single_precision_is_of_the_same_universe():
    (truth,) = zeldo.run(engine="2lpt", **{**TINY, "box": 31.3})
    cosmology = replace(truth.cosmology, omega_m=float(np.float32(truth.cosmology.omega_m)))
    rounded = replace(truth, box=float(np.float32(truth.box)), cosmology=cosmology)
    assert rounded.box != truth.box and rounded.cosmology != truth.cosmology
    (compared,) = compare(engine="2lpt", reference=rounded, **{**TINY, "box": 31.3}).comparisons
    assert compared.fields["density"].one_minus_r2.max() < 1e-6
    for other in ({"box": 31.31}, {"cosmology": replace(cosmology, omega_m=0.3176)}):
        with pytest.raises(InputError, match=f"the reference has {next(iter(other))} = "):
            compare(engine="2lpt", reference=replace(truth, **other), **{**TINY, "box": 31.3})


def test_a_seed_of_zero_is_asked_for_as_any_other(monkeypatch):
    """The reference brings its own initial conditions, where nothing else is asked for."""

    def made(**given):
        raise InputError(f"asked for seed {given['seed']}")

    monkeypatch.setattr("zeldo.references.initial_conditions", made)
    with pytest.raises(InputError, match="asked for seed 0"):
        compare(engine="zeldovich", reference="small", seed=0)


@pytest.mark.parametrize("suffix", [".bigfile", ".zarr"])
def test_a_reference_may_be_a_directory(tmp_path, suffix):
    path = tmp_path / f"truth{suffix}"
    zeldo.run(engine="2lpt", output=path, **TINY)
    result = compare(engine="2lpt", reference=path, **TINY)
    assert result.comparisons[0].fields["displacement"].one_minus_r2.max() < 1e-6


def test_a_reference_may_be_the_beginning_of_the_names_of_a_set(tmp_path):
    (truth,) = zeldo.run(engine="2lpt", **TINY)
    zeldo.write(truth, tmp_path / "snap.hdf5", files=2)
    (compared,) = compare(engine="2lpt", reference=tmp_path / "snap", **TINY).comparisons
    assert compared.fields["displacement"].one_minus_r2.max() < 1e-6


def test_a_simulation_of_quijote_is_that_of_its_seed(tmp_path):
    named = {"n": 8, "power": "eisenstein-hu", "phases": "quijote:h_p/3"}
    equal = {**named, "phases": "ngenic", "seed": 35, "box": 1000.0, "h": 0.6911}
    zeldo.run(engine="2lpt", output=tmp_path / "named.npz", **named)
    for universe in (named, equal):
        result = compare(engine="zeldovich", reference=tmp_path / "named.npz", **universe)
        assert result.comparisons[0].fields["displacement"].one_minus_r2[0] < 1e-3
    for change in ({"seed": 36}, {"phases": "native"}, {"fixed": True}, {"flip": True}):
        with pytest.raises(InputError, match="mode by mode"):
            compare(engine="zeldovich", reference=tmp_path / "named.npz", **equal | change)


def test_a_file_that_does_not_fit_is_no_reference(tmp_path, monkeypatch):
    (made,) = zeldo.run(engine="2lpt", **TINY)
    path = zeldo.write(made, tmp_path / "truth.npz")
    monkeypatch.setattr(memory, "resident", lambda: 0.3e9)
    monkeypatch.setattr(zeldo.Particles, "read", lambda *rows: pytest.fail("particles were read"))
    with pytest.raises(InputError, match=r"truth\.npz: 4096 particles need .* or a universe in \.zarr"):
        compare(engine="zeldovich", reference=path, memory="300.09MB", **TINY)
    with pytest.raises(pytest.fail.Exception, match="particles were read"):
        compare(engine="zeldovich", reference=path, memory="300.1MB", **TINY)
