"""What the network behind an engine sees, in units of the lattice."""

import numpy as np
import pytest
import torch

from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import displacements
from zeldo.networks.tasks import make_task
from zeldo.networks.tasks.base import Batch, Fields, Setting

Z = 9.0
INPUTS = ("psi", "vel", "linear", "second_order", "force", "density")


@pytest.fixture(scope="module")
def universe():
    """(setting, fields, their Zel'dovich snapshot) early on, where all inputs are known."""
    ics = initial_conditions(PRESETS["quijote"], 100.0, 16, 3, power="eisenstein-hu")
    (snapshot,) = engine("zeldovich").run(ics, [Z])
    task = make_task("correction", inputs=INPUTS)
    return Setting(ics.cosmology, Z, ics.spacing), task.fields(ics).at(snapshot), ics


def test_inputs_are_one_field_in_linear_theory(universe):
    """Displacement, velocity, linear displacement and force agree, each in its unit; 2LPT's term is its own."""
    setting, fields, ics = universe
    task = make_task("correction", engine="zeldovich", inputs=INPUTS)
    made = task.encode(fields, setting)
    assert made.dtype == np.float32 and made.shape == (task.in_channels, 16, 16, 16) == (16, 16, 16, 16)
    psi, vel, linear, second, force = made[:15].reshape(5, 3, 16, 16, 16)
    np.testing.assert_allclose(psi * setting.spacing, fields.psi, rtol=1e-6)
    np.testing.assert_allclose(vel, psi, atol=1e-5 * np.abs(psi).max())
    np.testing.assert_allclose(linear, psi, atol=1e-5 * np.abs(psi).max())
    d2 = float(growth(ics.cosmology).d2(1 / (1 + Z)))
    np.testing.assert_allclose(second * setting.spacing, d2 * displacements(ics)[1], rtol=1e-4, atol=1e-7)
    assert np.corrcoef(force.ravel(), psi.ravel())[0, 1] > 0.9


def test_density_is_high_where_particles_flow_together(universe):
    setting, fields, _ = universe
    density = make_task("correction", inputs=("psi", "vel", "density")).encode(fields, setting)[6]
    flow = sum(np.roll(f, -1, a) - np.roll(f, 1, a) for a, f in enumerate(fields.psi))
    assert np.corrcoef(density.ravel(), -flow.ravel())[0, 1] > 0.5


def test_what_is_encoded_is_decoded(universe):
    setting, fields, _ = universe
    task = make_task("correction")
    output = torch.from_numpy(task.encode(fields, setting)[:6])[None]
    psi, vel = task.decode(output, [setting])
    np.testing.assert_allclose(psi[0], fields.psi, rtol=1e-6)
    np.testing.assert_allclose(vel[0], fields.vel, rtol=1e-6)


def test_every_term_of_the_loss_vanishes_at_the_truth_alone(universe):
    setting, fields, _ = universe
    names = ("displacement", "density", "velocity", "momentum", "gradient", "spectrum")
    task = make_task("correction", weights=dict.fromkeys(names, 1.0))
    psi, vel = (torch.from_numpy(each)[None] for each in (fields.psi, fields.vel))
    batch = Batch(torch.empty(0), torch.empty(0), (setting,), True, psi, vel)
    truth = torch.from_numpy(task.encode(fields, setting)[:6])[None]
    at, off = (task.loss(truth * scale, batch).parts for scale in (1.0, 1.2))
    assert list(off) == [f"l_{name}" for name in names]
    for name, value in off.items():
        assert value > 1e-4
        assert at[name] < 1e-6 * value


def test_dynamics_that_are_missing_are_asked_for(universe):
    setting, fields, _ = universe
    with pytest.raises(InputError, match="needs displacement and velocity of its dynamics"):
        make_task("correction").encode(Fields(fields.psi_lin), setting)
