"""What a session prints of values that hold arrays."""

import numpy as np
import pytest

import zeldo
from zeldo.statistics.comparison import FieldComparison


@pytest.fixture(scope="module")
def snapshot():
    (snapshot,) = zeldo.run(box=31.25, n=16, power="eisenstein-hu", engine="zeldovich")
    return snapshot


def test_a_snapshot_says_what_it_is(snapshot):
    text = repr(snapshot)
    assert text.startswith(
        "Snapshot(psi=<float32 (3, 16, 16, 16)>, vel=<float32 (3, 16, 16, 16)>, box=31.25, "
    )
    assert "engine='zeldovich'" in text and "seed=7" in text and "cosmology=Cosmology(" in text
    assert "weights" not in text and "None" not in text


def test_results_print_no_numbers_of_arrays(snapshot):
    comparison = zeldo.compare_snapshots(snapshot, snapshot)
    initial_conditions = zeldo.initial_conditions(box=31.25, n=16, power="eisenstein-hu")
    values = [
        snapshot,
        initial_conditions,
        comparison,
        zeldo.power_spectrum(snapshot),
        zeldo.redshift_space_multipoles(snapshot),
        zeldo.friends_of_friends(snapshot, minimum=2),
        zeldo.halos(snapshot, minimum=2),
        zeldo.measure(snapshot),
        zeldo.reconstruct(snapshot, engine="2lpt", samples=0, effort=0.02),
    ]
    for value in values:
        assert (
            len(repr(value)) < 1500
            and "\n" not in repr(value)
            and "array(" not in repr(value)
            and "tensor(" not in repr(value)
        )
    assert "'density': FieldComparison(k=<float64 (" in repr(comparison)


def test_long_lists_are_counted():
    k = np.linspace(0.1, 1, 5)
    field = FieldComparison(k, k, k, k, k)
    assert repr(field).count("<float64 (5,)>") == 5
    (snapshot,) = zeldo.run(box=31.25, n=16, power="eisenstein-hu", engine="zeldovich")
    errors = {"k": list(range(9)), "density power": [0.5, 0.25]}
    text = repr(
        zeldo.Snapshot(snapshot.psi, None, 31.25, snapshot.cosmology, 0.0, "x", expected_error=errors)
    )
    assert "expected_error={'k': <9 values>, 'density power': [0.5, 0.25]}" in text


def test_particles_say_what_they_hold():
    positions = np.random.default_rng(1).uniform(0, 10, (5, 3))
    particles = zeldo.Particles(zeldo.Header(count=5, box=10.0, redshift=1.0), positions, ids=np.arange(5))
    text = "Particles('particles', count=5, box=10, redshift=1, positions float64, ids int64)"
    assert repr(particles) == text
