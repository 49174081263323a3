"""What the network behind an engine sees, in units of the lattice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import zeldo
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.card import ModelCard
from zeldo.networks.field import Prediction
from zeldo.networks.losses import paper_loss
from zeldo.networks.modulated import ModulatedVNet
from zeldo.networks.scales import number_by_scale
from zeldo.networks.tasks import make_task
from zeldo.networks.tasks.base import Batch, Fields, Setting
from zeldo.networks.weights import save
from zeldo.store.universe import run_into

Z = 9.0
INPUTS = ("psi", "vel", "linear", "force", "density")


@pytest.fixture(scope="module")
def universe():
    """(setting, fields, their Zel'dovich snapshot) early on, where all inputs are known."""
    ics = initial_conditions(PRESETS["quijote"], 100.0, 16, 3, power="eisenstein-hu")
    (snapshot,) = engine("zeldovich").run(ics, [Z])
    task = make_task("correction", inputs=INPUTS)
    return Setting(ics.cosmology, Z, ics.spacing), task.fields(ics).at(snapshot), ics


def test_inputs_are_one_field_in_linear_theory(universe):
    """Displacement, velocity, linear displacement and force agree, each in its unit."""
    setting, fields, _ = universe
    task = make_task("correction", engine="zeldovich", inputs=INPUTS)
    made = task.encode(fields, setting)
    assert made.dtype == np.float32 and made.shape == (task.in_channels, 16, 16, 16) == (13, 16, 16, 16)
    psi, vel, linear, force = made[:12].reshape(4, 3, 16, 16, 16)
    np.testing.assert_allclose(psi * setting.spacing, fields.psi, rtol=1e-6)
    np.testing.assert_allclose(vel, psi, atol=1e-5 * np.abs(psi).max())
    np.testing.assert_allclose(linear, psi, atol=1e-5 * np.abs(psi).max())
    assert np.corrcoef(force.ravel(), psi.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("dynamics", ["cola", "pm"])
@pytest.mark.parametrize("redshifts", [(0.0,), (1.0, 0.0)])
def test_an_emulator_sees_the_linear_field_that_its_dynamics_begin_with(
    universe, monkeypatch, dynamics, redshifts
):
    """The engine hands over the displacements it has made, or the emulator makes them of the same filtered field."""
    ics = universe[2]
    options = {"steps": 2, "nbody_start": 49.0}
    task = make_task("correction", engine=dynamics, engine_options=options, inputs=INPUTS)
    begun = linear_displacement(ics, engine(dynamics, **options).amplitudes(ics.spacing))
    seen = []

    def predict(net, fields, *_, **__):
        seen.append(fields)
        return Prediction(fields.psi, fields.vel)

    monkeypatch.setattr("zeldo.networks.field.predict", predict)
    emulator = engine("emulator", extrapolate=True)
    net = SimpleNamespace(card=replace(emulator._card, options=task.options()))
    monkeypatch.setattr(type(emulator), "_nets", lambda self: [net])
    monkeypatch.setattr(type(emulator), "_card", property(lambda self: net.card))
    list(emulator.run(ics, redshifts))
    assert len(seen) == len(redshifts)
    for fields in seen:
        assert np.array_equal(fields.psi_lin, begun)


def test_where_cola_takes_no_force_every_run_has_the_same_one_for_the_network(tmp_path, monkeypatch):
    """In memory, with particles on disk, and differentiable; elsewhere it is COLA's own."""
    monkeypatch.setattr("zeldo.networks.inference.native_bfloat16", lambda device="cpu": False)
    monkeypatch.setattr("zeldo.files.universe_zarr.LARGEST_TILE", 8)
    task = make_task("correction", engine="cola", engine_options={"steps": 1}, inputs=("psi", "vel", "force"))
    torch.manual_seed(1)
    arguments = {"channels": 2, "levels": 2, "in_channels": 9, "out_channels": 6, "styles": 4}
    card = ModelCard(
        "modulated vnet", arguments, "correction", task.options(), (0, 9), (1.9, 2.1), (0.1, 0.5)
    )
    path = tmp_path / "net.safetensors"
    save(ModulatedVNet(**arguments), path, card, half=False)
    emulator = parse_engine(path)
    ics = zeldo.initial_conditions(n=16, box=32.0, seed=5, power="eisenstein-hu")
    redshifts = sorted([Z, 5.0], reverse=True)
    on_disk = run_into(tmp_path / "u.zarr", emulator, ics, redshifts, streamed=True)
    for z, whole, made in zip(redshifts, emulator.run(ics, redshifts), on_disk, strict=True):
        f = zeldo.differentiable(emulator, box=ics.box, n=ics.n, redshift=z, power="eisenstein-hu")
        for psi in (made.psi, f.evolve(torch.from_numpy(ics.delta_lin))[0].numpy()):
            np.testing.assert_allclose(psi, whole.psi, atol=2e-5 * np.abs(whole.psi).max())


def test_a_universe_twice_as_large_is_the_same_on_the_lattice(universe):
    """Every input is in units of the lattice spacing."""
    setting, fields, _ = universe
    task = make_task("correction", inputs=INPUTS)
    large = Fields(*(2 * each for each in (fields.psi_lin, fields.psi, fields.vel)))
    twice = task.encode(large, replace(setting, spacing=2 * setting.spacing))
    np.testing.assert_allclose(twice, task.encode(fields, setting), rtol=1e-3, atol=1e-4)


def test_particles_at_rest_on_their_lattice_have_a_density_of_one_and_feel_no_force(universe):
    setting, fields, _ = universe
    still = replace(fields, psi=0 * fields.psi)
    made = make_task("correction", inputs=("psi", "vel", "density", "force")).encode(still, setting)
    np.testing.assert_allclose(
        made[6], np.log(8), rtol=1e-5
    )  # a particle on a mesh point of a mesh twice as fine
    assert np.abs(made[7:]).max() < 1e-5


@pytest.mark.parametrize("redshift", [0.0, 3.0])
def test_the_network_is_told_matter_growth_its_rate_and_the_spacing(redshift):
    """Of an Einstein-de Sitter universe D is a and f is 1."""
    eds = replace(PRESETS["quijote"], omega_m=1.0)
    told = make_task("correction").style(Setting(eds, redshift, 5.0))
    assert told == pytest.approx((3.5, 1 / (1 + redshift) - 1, 0, np.log(2.5)), abs=1e-6)
    usual = make_task("correction").style(Setting(PRESETS["quijote"], redshift, 2.0))
    grown = growth(PRESETS["quijote"])
    d, f = grown.d1(1 / (1 + redshift)), grown.f1(1 / (1 + redshift))
    assert usual == pytest.approx((5 * 0.0175, d - 1, f - 1, 0))


def test_density_is_high_where_particles_have_flowed_together(universe):
    """A wave squeezed to a fifth of its spacing against one stretched by nearly two."""
    setting, fields, _ = universe
    n = fields.psi.shape[-1]
    phase = 2 * np.pi * np.arange(n) / n
    psi = np.zeros_like(fields.psi)
    psi[0] = (0.8 * setting.spacing * n / (2 * np.pi) * np.sin(phase))[:, None, None]
    task = make_task("correction", inputs=("psi", "vel", "density"))
    density = task.encode(replace(fields, psi=psi), setting)[6].mean((1, 2))
    assert density[n // 2] > density[0] + 0.5  # its own mass, the same everywhere, lifts both
    np.testing.assert_allclose(density[1 : n // 2], density[: n // 2 : -1], rtol=1e-4)


def test_what_is_encoded_is_decoded(universe):
    setting, fields, _ = universe
    task = make_task("correction")
    output = torch.from_numpy(task.encode(fields, setting)[:6])[None]
    psi, vel = task.decode(output, [setting])
    np.testing.assert_allclose(psi[0], fields.psi, rtol=1e-6)
    np.testing.assert_allclose(vel[0], fields.vel, rtol=1e-6)


def test_every_term_of_the_loss_vanishes_at_the_truth_alone(universe):
    setting, fields, _ = universe
    fields_by_scale = ("displacement", "velocity", "density", "redshift_space")
    names = ["displacement", "density", "velocity", "momentum", "gradient"]
    names += [f"{field}_decorrelation" for field in fields_by_scale]
    names += [f"{field}_spectrum" for field in fields_by_scale]
    task = make_task("correction", weights=dict.fromkeys(names, 1.0))
    psi, vel = (torch.from_numpy(each)[None] for each in (fields.psi, fields.vel))
    batch = Batch(torch.empty(0), torch.empty(0), (setting,), True, psi, vel)
    truth = torch.from_numpy(task.encode(fields, setting)[:6])[None]
    at, off = (task.loss(truth * scale, batch).parts for scale in (1.0, 1.2))
    assert list(off) == [f"l_{name}" for name in names]
    for name, value in off.items():
        if name.endswith("_spectrum"):
            assert value > 1e-4
            assert at[name] < 1e-6 * value
        elif name in ("l_displacement_decorrelation", "l_velocity_decorrelation"):
            assert value < np.log(1e-4)  # an amplitude is no error of phases
        else:  # logarithms
            assert at[name] < value - 14


def test_the_loss_is_the_weighted_sum_of_its_terms_each_a_mean_over_cells(universe):
    """Momenta of particles on their lattice are velocities; the density's term is that of the paper's loss."""
    setting, fields, _ = universe
    weights = {
        "displacement": 1.0,
        "density": 2.0,
        "velocity": 0.5,
        "momentum": 3.0,
        "velocity_spectrum": 4.0,
    }
    task = make_task("correction", weights=weights)
    truth = torch.from_numpy(task.encode(fields, setting)[:6])[None]
    psi, vel = (torch.from_numpy(each)[None] for each in (fields.psi, fields.vel))
    batch = Batch(torch.empty(0), torch.empty(0), (setting,), True, psi, vel)
    total, parts = task.loss(1.3 * truth, batch)
    assert float(total) == pytest.approx(sum(x * float(parts[f"l_{name}"]) for name, x in weights.items()))
    assert float(parts["l_velocity_spectrum"]) == pytest.approx(np.log(1.3**2) ** 2, rel=1e-4)
    parts = {name: np.exp(float(value)) for name, value in parts.items()}
    paper = paper_loss(1.3 * psi, psi, setting.spacing)
    assert float(parts["l_density"]) == pytest.approx(float(paper.parts["l_delta"]), rel=1e-3)
    scale = setting.spacing**2
    assert float(parts["l_displacement"]) == pytest.approx(float(paper.parts["l_psi"]) / scale, rel=1e-4)
    still = replace(batch, psi=0 * psi)
    off = task.loss(
        1.3 * truth * torch.tensor([0.0, 1.0]).repeat_interleave(3).view(1, 6, 1, 1, 1), still
    ).parts
    off = {name: np.exp(float(value)) for name, value in off.items()}
    error = 0.3**2 * float(truth[:, 3:].square().mean())
    assert float(off["l_velocity"]) == pytest.approx(error, rel=1e-4)
    assert float(off["l_momentum"]) == pytest.approx(error, rel=1e-4)


def test_dynamics_that_are_missing_are_asked_for(universe):
    setting, fields, _ = universe
    with pytest.raises(InputError, match="needs displacement and velocity of its dynamics"):
        make_task("correction").encode(Fields(fields.psi_lin), setting)


def test_a_network_whose_loss_has_terms_of_another_version_can_be_used():
    """Only a training needs the terms of a loss, whose names change between versions."""
    ranges = {"redshift": (0, 1), "spacing": (1, 4), "omega_m": (0.1, 0.5)}
    arguments = {"in_channels": 6, "out_channels": 6, "channels": 8, "styles": 4}
    options = {"engine": "2lpt", "inputs": ["psi", "vel"], "weights": {"density_of_yesterday": 2.0}}
    card = ModelCard("modulated vnet", arguments, "correction", options, **ranges)
    assert card.make_task().engine == "2lpt" and "weights" not in card.options
    with pytest.raises(InputError, match="density_of_yesterday"):
        make_task("correction", **options)


def test_a_card_whose_network_has_other_channels_than_its_task_is_refused():
    arguments = {"channels": 2, "levels": 2, "in_channels": 13, "out_channels": 6, "styles": 4}
    options = {"engine": "cola", "inputs": ("psi", "vel", "linear", "density")}
    with pytest.raises(InputError, match=r"in_channels = 13 cannot have the task 'correction' .* has 10"):
        ModelCard("modulated vnet", arguments, "correction", options, (0, 3), (1, 4), (0.1, 0.5))


QUIJOTE = PRESETS["quijote"]


def test_redshift_space_of_the_loss_is_that_of_the_growth_rate():
    """Velocities are in units of a H f times a spacing: a linear one shifts its particle by f times the displacement."""
    n, generator = 8, torch.Generator().manual_seed(1)
    truth, output = (torch.randn(1, 6, n, n, n, generator=generator) * 0.3 for _ in range(2))
    task = make_task(
        "correction",
        weights={"displacement": 0, "density": 0, "velocity": 0, "redshift_space_decorrelation": 1},
    )
    setting = Setting(QUIJOTE, 0.0, 2.0)
    psi, vel = task.decode(truth, (setting,))
    batch = Batch(output, torch.zeros(1, 4), (setting,), True, psi, vel)
    f = float(growth(QUIJOTE).f1(1.0))
    moved = [torch.cat([x[0, :2], x[0, 2:3] + f * x[0, 5:]]) for x in (output, truth)]
    expected = number_by_scale(*moved, wedges=2).decorrelation
    torch.testing.assert_close(task.loss(output, batch).total, expected, rtol=1e-4, atol=1e-5)
