"""COLA as an engine; test_pm holds what it shares with the particle mesh."""

import numpy as np
import pytest
from waves import DARK, QUIJOTE, difference, plane_wave, rms, smooth, universe

from zeldo.engines.driver import evolve
from zeldo.engines.leapfrog import Leapfrog
from zeldo.engines.registry import engine
from zeldo.engines.steppers import BullFrog
from zeldo.engines.steppers import Cola as ColaStepper
from zeldo.engines.table import timetable
from zeldo.errors import InputError
from zeldo.mesh.gravity import gravity


def last(name, ics, z=0.0, **options):
    """The snapshot at one redshift."""
    (snapshot,) = engine(name, **options).run(ics, [z])
    return snapshot


# the exact gradient on twice the mesh pushes a wave of sixteen spacings by 1.06 while its amplitude is a part of a cell
@pytest.mark.parametrize(("mesh_factor", "tolerance"), [(1, 0.04), (2, 0.13)])
@pytest.mark.parametrize(("amplitude", "axis", "cosmology"), [(0.3, 0, QUIJOTE), (0.7, 2, DARK)])
def test_a_plane_wave_before_shell_crossing_moves_as_zeldovich_says(
    mesh_factor, tolerance, amplitude, axis, cosmology
):
    ics = plane_wave(amplitude, axis=axis, cosmology=cosmology)
    ours, exact = last("cola", ics, mesh_factor=mesh_factor), last("zeldovich", ics)
    assert difference(ours.psi, exact.psi) < tolerance
    assert difference(ours.vel, exact.vel) < 1.5 * tolerance
    others = [a for a in range(3) if a != axis]
    assert np.abs(ours.psi[others]).max() < 1e-4 * rms(exact.psi)


@pytest.mark.parametrize("z", [8.5, 6.0])
def test_early_times_are_those_of_second_order(z):
    ics = smooth()
    ours, lpt = last("cola", ics, z, steps=2), last("2lpt", ics, z)
    assert difference(ours.psi, lpt.psi) < 5e-3
    assert difference(ours.vel, lpt.vel) < 0.03


def test_the_start_is_second_order_itself():
    """Before the first force acts there is nothing but 2LPT."""
    ics = universe()
    ours = next(engine("cola", steps=3, start_redshift=9.0).run(ics, [8.9999, 0.0]))
    assert difference(ours.psi, last("2lpt", ics, 8.9999).psi) < 1e-5


@pytest.mark.parametrize("make", [smooth, universe])
def test_many_steps_converge_to_the_particle_mesh(make):
    """The same force on the same mesh: what is integrated is the same motion, written relative to 2LPT or not."""
    ics = make()

    def run(stepper, steps, relative):
        table = timetable(
            QUIJOTE, stepper(QUIJOTE), steps=steps, start_redshift=9.0, redshifts=[0.0], moving=relative
        )
        dynamics = Leapfrog(ics, gravity(ics.box, 2 * ics.n), relative)
        (end,) = (view for view in evolve(dynamics, table, lambda *told: None) if view.redshift == 0)
        return end.psi, end.velocity

    best = run(BullFrog, 64, False)
    errors = [
        [difference(x, y) for x, y in zip(run(ColaStepper, k, True), best, strict=True)] for k in (16, 64)
    ]
    for few, many in zip(*errors, strict=True):
        assert many < few / 2.5
        assert many < 6e-3
    assert errors[-1][0] < 3e-3


def test_steps_converge():
    ics = smooth()
    best = last("cola", ics, steps=96)
    runs = [last("cola", ics, steps=k) for k in (4, 8, 16)]
    for field in ("psi", "vel"):
        errors = np.array([difference(getattr(run, field), getattr(best, field)) for run in runs])
        # by at least the first order: the kick that is left out at the start is an error of the size of a step
        assert np.all(errors[:-1] / errors[1:] > 1.6)
        assert errors[-1] < 0.03


def test_ten_steps_are_nearer_to_many_than_second_order_is():
    """What COLA is for."""
    ics = universe()
    many = last("pm", ics, steps=48)
    ours, lpt = last("cola", ics, mesh_factor=2), last("2lpt", ics)
    assert difference(ours.psi, many.psi) < difference(lpt.psi, many.psi) / 3
    assert difference(ours.vel, many.vel) < difference(lpt.vel, many.vel) / 2


@pytest.mark.parametrize(
    ("mesh_factor", "start", "exponent"), [(1, 9.0, -2.5), (2, 10.0, -3.0), (3, 10.0, -3.0)]
)
def test_start_and_exponent_go_with_the_mesh(mesh_factor, start, exponent):
    usual = engine("cola", mesh_factor=mesh_factor)
    assert (usual.start_redshift, usual.exponent) == (start, exponent)
    own = engine("cola", mesh_factor=mesh_factor, start_redshift=19.0, exponent=-2.0)
    assert (own.start_redshift, own.exponent) == (19.0, -2.0)
    ics = universe(8, 16.0)
    settings = last("cola", ics, mesh_factor=mesh_factor, steps=2).settings
    assert (settings["start_redshift"], settings["exponent"]) == (start, exponent)


@pytest.mark.parametrize(
    ("mesh_factor", "box", "exact"), [(1, 40.0, False), (2, 40.0, True), (2, 56.0, False), (3, 40.0, True)]
)
def test_the_exact_gradient_is_for_fine_meshes_on_fine_lattices(mesh_factor, box, exact):
    """The force is that of the mesh with this gradient: on 2.5 Mpc/h the exact one, on 3.5 differences."""
    ics = universe(16, box)
    dynamics = engine("cola", mesh_factor=mesh_factor).dynamics(ics)
    psi = last("zeldovich", ics, 1.0).psi
    kinds = [
        gravity(box, 16 * mesh_factor, gradient=kind, deconvolution=float(mesh_factor == 1))
        for kind in ("difference", "spectral")
    ]
    chosen = dynamics.gravity(psi.copy())
    near = [difference(chosen, kind(psi.copy())) for kind in kinds]
    assert near[exact] < 1e-6 < 1e-3 < near[not exact]


@pytest.mark.parametrize("exponent", [0, 1.0, -20, float("nan"), "-2.5"])
def test_an_exponent_that_no_decay_has_is_refused(exponent):
    with pytest.raises(InputError, match=r"exponent .* give a number from -10 to -0.5"):
        engine("cola", exponent=exponent)
