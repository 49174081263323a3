"""The growth of waves of particles that sit near their lattice, against forces and runs of the engines themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.p3m.cells import CellList
from zeldo.engines.p3m.force_split import ForceSplit
from zeldo.engines.p3m.mesh_force import MeshForce
from zeldo.engines.p3m.pair_force import PairForce
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lattice import POINTS, amplitudes, lattice_response, mesh_response, times_table
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import displacements, linear_displacement
from zeldo.mesh.gravity import gravity
from zeldo.mesh.numba_kernels import apply_table
from zeldo.statistics import Reference

N = 16
BOX = 32.0  # Mpc/h
QUIJOTE = PRESETS["quijote"]
WAVES = [(2, 0, 0), (7, 0, 0), (4, 4, 0), (7, 7, 0), (3, 3, 3), (7, 7, 7), (7, 4, 1), (5, 1, 3)]


def phase(wave, n=N):
    """k . x on the lattice."""
    return sum(2 * np.pi * w * x / n for w, x in zip(wave, np.indices((n, n, n)), strict=True))


def longitudinal(wave, amplitude):
    """psi along k, Mpc/h."""
    along = np.array(wave) / np.linalg.norm(wave)
    return (amplitude * along[:, None, None, None] * np.sin(phase(wave))).astype(np.float32)


def response_of(force, psi):
    return float(np.vdot(force, psi) / np.vdot(psi, psi))


def at(table, wave):
    """A table at a wave of an N^3 lattice."""
    axis = np.linspace(0, N / 2, POINTS)
    return float(RegularGridInterpolator(3 * [axis], table)(np.abs(wave)).item())


@pytest.mark.parametrize("wave", WAVES)
def test_the_response_of_a_lattice_is_that_of_pair_and_mesh_forces(wave):
    psi = longitudinal(wave, 0.02)
    split = ForceSplit(3.0 * BOX / N, 4, BOX / N / 40)
    listed = CellList(N, BOX, split.radius)
    listed.sort(psi)
    force = PairForce(split, listed)(np.empty_like(psi)) + MeshForce(split, 4 * N, listed)(np.empty_like(psi))
    assert response_of(force, psi) == pytest.approx(at(lattice_response(), wave), abs=0.004)


@pytest.mark.parametrize(
    ("factor", "gradient", "deconvolution"),
    [(1, "difference", 1.0), (2, "difference", 0.0), (3, "spectral", 0.0)],
)
def test_the_response_of_a_mesh_is_the_mean_over_its_places(factor, gradient, deconvolution):
    """Whole displacements of the lattice by parts of a mesh cell, drawn evenly in each direction."""
    mesh = gravity(BOX, factor * N, gradient=gradient, deconvolution=deconvolution)
    table, steps = mesh_response(factor, gradient, deconvolution), (np.arange(4) + 0.5) / 4
    for wave in WAVES:
        psi = longitudinal(wave, 0.02)
        found = []
        for shift in np.stack(np.meshgrid(*3 * [steps]), axis=-1).reshape(-1, 3):
            moved = psi + (shift * BOX / (factor * N)).astype(np.float32)[:, None, None, None]
            found.append(response_of(mesh(moved), psi))
        # four places in each direction leave aliases of the fourth order
        assert np.mean(found) == pytest.approx(at(table, wave), abs=0.03)


def test_a_lattice_has_fast_and_slow_directions():
    """Waves along an axis grow faster than in a fluid, those along diagonals more slowly; all axes are alike."""
    table = lattice_response()
    assert table[0, 0, 0] == 1 and table[-1, 0, 0] > 1.1 > 1 > table[-1, -1, 0] > table[-1, -1, -1] > 0.3
    assert np.allclose(table, table.transpose(1, 0, 2)) and np.allclose(table, table.transpose(2, 1, 0))


@pytest.mark.parametrize("wave", [(7, 7, 7), (7, 0, 0), (5, 5, 0)])
@pytest.mark.parametrize(
    ("name", "redshift", "tolerance"),
    [
        ("pm:start_redshift=16,spacing=graded", 5.0, 0.12),
        ("cola:mesh_factor=2", 5.0, 0.12),
        ("cola", 3.0, 0.3),  # its forces hold waves back for longer
    ],
)
def test_waves_reach_the_amplitude_of_the_n_body_run(name, redshift, tolerance, wave):
    """Where the amplitudes are to agree; without the filter, the diagonal wave is twice as high."""
    delta = 0.3 * np.cos(phase(wave)).astype(np.float32)
    ics = InitialConditions(BOX, N, QUIJOTE, delta)
    (truth,) = engine("p3m").run(ics, [redshift])

    def share(engine_name):
        (made,) = parse_engine(engine_name).run(ics, [redshift])
        return response_of(made.psi, truth.psi)

    filtered, plain = share(f"{name}{',' if ':' in name else ':'}nbody_start=49"), share(name)
    assert filtered == pytest.approx(1, abs=tolerance)
    right_already = name == "cola:mesh_factor=2" and wave == (7, 0, 0) and abs(plain - 1) < 0.06
    assert right_already or abs(plain - 1) > 1.7 * abs(filtered - 1)
    assert wave != (7, 7, 7) or plain > 1.8


@given(st.floats(5, 1000), st.sampled_from([9.0, 16.0, 50.0]))
def test_long_waves_are_left_alone(start, engine_start):
    for response in (None, mesh_response(2, "difference", 0.0)):
        table = amplitudes(start, engine_start, response)
        assert table[0, 0, 0] == pytest.approx(1, abs=1e-12) and np.isfinite(table).all()
        assert np.abs(table[:2, :2, :2] - 1).max() < 0.03 and table.min() > 0.1


def test_a_run_that_starts_as_early_as_the_n_body_run_in_its_forces_changes_nothing():
    assert np.allclose(amplitudes(49.0, 49.0, lattice_response()), 1)
    # an engine that starts when its mesh holds waves back no more has those of a fluid
    assert np.allclose(
        amplitudes(49.0, 1.0, mesh_response(1, "difference", 1.0), 0.25), amplitudes(49.0, 1.0)
    )
    assert engine("pm").amplitudes(2.0) is None and engine("cola").amplitudes(2.0) is None


@given(st.integers(0, 2**32 - 1), st.sampled_from([6, 16, 34]))
def test_a_table_is_linear_between_its_nodes(seed, n):
    rng = np.random.default_rng(seed)
    table = rng.uniform(0.5, 1.5, 3 * (5,))
    modes = (rng.standard_normal((n, n, n // 2 + 1)) + 1j).astype(np.complex64)
    k = np.abs(np.fft.fftfreq(n))
    axis = np.linspace(0, 0.5, 5)
    grid = np.stack(np.meshgrid(k, k, k[: n // 2 + 1], indexing="ij"), axis=-1)
    expected = modes * RegularGridInterpolator(3 * [axis], table)(np.minimum(grid, 0.5))
    apply_table(modes, table)
    assert np.allclose(modes, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["pm:sharpening=2,start_redshift=16,spacing=graded", "cola:sharpening=1.5"])
def test_runs_are_nearer_to_the_n_body_run(name, small):
    """In correlations, and in amplitudes no farther away."""
    ics, truth = small
    reference = Reference(truth[1.0])
    errors, amplitude_errors = [], []
    for options in (name, f"{name},nbody_start=49"):
        (made,) = parse_engine(options).run(ics, [1.0])
        density = reference.compare(made).fields["density"]
        at_k = [density.nearest(k) for k in (0.3, 0.5, 1.0)]
        errors.append(np.array(density.one_minus_r2)[at_k])
        amplitude_errors.append(np.abs(np.array(density.transfer)[at_k] - 1))
    assert (errors[1] < 0.8 * errors[0]).all(), errors
    assert (amplitude_errors[1] < amplitude_errors[0] + 0.005).all(), amplitude_errors


@pytest.mark.parametrize("value", [4.0, -1, 2000, "49", True, float("nan")])
@pytest.mark.parametrize("name", ["pm", "cola"])
def test_other_starts_are_refused(name, value):
    with pytest.raises(
        InputError, match=r"nbody_start = .* is not allowed: give a number from 5 to 1000, where"
    ):
        engine(name, nbody_start=value)


def test_numbers_of_numpy_count():
    assert engine("pm", nbody_start=np.float32(49)).amplitudes(2.0) is not None


@pytest.mark.parametrize(
    ("name", "factor", "deconvolution", "until"),
    [("pm", 2, 0.0, 1 / 6), ("cola", 1, 1.0, 0.25), ("cola", 2, None, 0.25)],  # the last one as a fluid's
)
def test_amplitudes_are_those_of_the_start_that_was_asked_for(name, factor, deconvolution, until):
    made = engine(name, mesh_factor=factor, nbody_start=99.0, start_redshift=19.0).amplitudes(2.0)
    response = None if deconvolution is None else mesh_response(factor, "difference", deconvolution)
    np.testing.assert_array_equal(made, amplitudes(99.0, 19.0, response, until))


def test_the_engine_hands_over_what_it_begins_with():
    ics = InitialConditions(BOX, N, QUIJOTE, 0.1 * np.cos(phase((7, 7, 7))).astype(np.float32))
    assert engine("pm").linear_field(ics) is ics
    changed = engine("cola", nbody_start=49.0).linear_field(ics)
    expected = amplitudes(49.0, 9.0, mesh_response(1, "difference", 1.0), 0.25)
    assert np.allclose(changed.delta_lin, at(expected, (7, 7, 7)) * ics.delta_lin, atol=1e-5)


def test_displacements_by_a_table_are_those_of_the_field_times_the_table():
    ics = initial_conditions(QUIJOTE, BOX, N, 7, power="eisenstein-hu")
    table = engine("pm", nbody_start=49.0).amplitudes(ics.spacing)
    filtered = displacements(times_table(ics, table))
    for made, expected in zip(displacements(ics, table), filtered, strict=True):
        np.testing.assert_allclose(made, expected, atol=1e-5 * expected.std())
    np.testing.assert_array_equal(linear_displacement(ics, table), displacements(ics, table)[0])
    assert np.abs(filtered[0] - linear_displacement(ics)).std() > 1e-3 * filtered[0].std()
