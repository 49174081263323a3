"""From psi_lin to the prediction: normalisations, styles, growth and the range of the card."""

import dataclasses

import numpy as np
import pytest
import torch
from plain_networks import draw, shapes_a, shapes_b
from scipy.integrate import quad

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.networks import field
from zeldo.networks.card import ModelCard, public_card
from zeldo.networks.styled import StyledVNet, displacement_and_rate
from zeldo.networks.tasks import make_task, units
from zeldo.networks.tasks.base import Setting
from zeldo.networks.vnet import VNet

COSMOLOGY = Cosmology(omega_m=0.25, omega_b=0.04, h=0.7, n_s=0.96, sigma_8=0.8)
SPACING = 1000 / 512
ARGUMENTS = {"channels": 2, "levels": 3, "in_channels": 3, "out_channels": 3}


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """What is checked here to rounding: bfloat16, where the processor has it, is less."""
    monkeypatch.setattr(field.inference, "native_bfloat16", lambda device: False)


def psi_lin(n=8):
    return 5 * np.random.default_rng(1).normal(size=(3, n, n, n)).astype(np.float32)


def identity(styles=0, quantity=None):
    """A network whose last block adds nothing: what goes in comes out."""
    net = VNet(2) if not styles else StyledVNet(2, styles=styles)
    net.load_state_dict(draw(shapes_a(2) if not styles else shapes_b(2, styles)))
    with torch.no_grad():
        for parameter in net.get_submodule(net.layout.layers[-1].name).parameters():
            parameter.zero_()
    architecture = "styled vnet" if styles else "vnet"
    net.card = public_card(architecture, {"styles": styles} if styles else ARGUMENTS, quantity)
    return net.eval()


def predict(net, redshift=0.0, **options):
    return field.predict(net, psi_lin(), COSMOLOGY, redshift, spacing=SPACING, **options)


def test_growth_is_that_of_matter_and_lambda():
    """Heath's integral, f against a difference of ln D, and the unit that the styled networks were published with."""
    for omega_m in (0.02, 0.1, 0.31, 0.5):
        cosmology = units.lcdm(omega_m)
        hubble = lambda a, om=omega_m: np.sqrt(om / a**3 + 1 - om)  # noqa: E731
        grown = lambda a, h=hubble: h(a) * quad(lambda b: (b * h(b)) ** -3, 0, a)[0]  # noqa: E731
        for z in (0.0, 0.5, 3.0):
            assert units.growth_factor(cosmology, z) == pytest.approx(grown(1 / (1 + z)) / grown(1), rel=1e-6)
            h, a = 1e-4, 1 / (1 + z)
            up, down = (np.log(units.growth_factor(cosmology, 1 / (a * np.exp(s)) - 1)) for s in (h, -h))
            flow = 100 * a * hubble(a) * (up - down) / (2 * h)
            assert units.hubble_flow(cosmology, z) == pytest.approx(flow, rel=1e-6)
    assert 6 * units.hubble_flow(units.REFERENCE, 0) == pytest.approx(313.4221, abs=1e-4)


@pytest.mark.parametrize(("styles", "z"), [(0, 0.0), (0, 1.0), (1, 0.0), (2, 0.0), (2, 1.0)])
def test_a_network_that_adds_nothing_gives_linear_theory(styles, z):
    """Displacement and velocity grow as D1 and D1 f H / (1 + z), whatever units the network has inside."""
    a = 1 / (1 + z)
    grown = growth(COSMOLOGY)
    d1 = float(grown.d1(a))
    rate = d1 * float(grown.f1(a)) * 100 * float(expansion(COSMOLOGY, a)) * a
    for quantity in ("displacement", "velocity"):
        net = identity(styles, quantity)
        out = predict(net, z, extrapolate=styles == 0)
        expected = psi_lin() * (d1 if quantity == "displacement" else rate)
        got, other = (out.psi, out.vel) if quantity == "displacement" else (out.vel, out.psi)
        assert other is None
        assert np.abs(got - expected).max() < 2e-4 * np.abs(expected).max()
    if styles == 2:
        both = predict(identity(2), z)
        assert np.allclose(both.psi, d1 * psi_lin(), rtol=2e-4, atol=1e-3)
        assert np.allclose(both.vel, rate * psi_lin(), rtol=2e-4, atol=1e-2)


@pytest.mark.parametrize(("styles", "z"), [(0, 0.0), (1, 0.0), (2, 1.5)])
def test_the_network_is_called_in_its_units(styles, z):
    """Against the published page, by hand."""
    torch.manual_seed(0)
    om = COSMOLOGY.omega_m
    net = VNet(2).eval() if not styles else StyledVNet(2, styles=styles).eval()
    net.load_state_dict(draw(shapes_a(2) if not styles else shapes_b(2, styles)))
    net.card = public_card(
        "styled vnet" if styles else "vnet", {"styles": styles} if styles else ARGUMENTS, None
    )
    x = torch.from_numpy(psi_lin())[None]
    d = units.growth_factor(units.lcdm(om), z)
    with torch.no_grad():
        if styles == 0:
            expected = 6 * net(x / 6, periodic=True)[0]
        elif styles == 1:
            expected = 6 * net(x / 6, torch.tensor([5 * (om - 0.3)]), periodic=True)[0]
        else:
            expected = 6 * net(x * d / 6, torch.tensor([5 * (om - 0.3), d - 1]), periodic=True)[0]
    out = predict(net, z)
    assert np.abs(out.psi - expected.numpy()).max() < 1e-4 * expected.abs().max()
    assert (out.vel is None) == (styles < 2)
    if styles == 2:
        net.card = public_card("styled vnet", {"styles": 2}, "displacement")
        assert np.abs(predict(net, z).psi - expected.numpy()).max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("quantity", ["displacement", "velocity"])
@pytest.mark.parametrize(("styles", "z"), [(0, 0.0), (0, 1.0), (1, 0.0)])
def test_units_are_those_of_the_reference_cosmology_whatever_the_cosmology_is(styles, z, quantity):
    """6 D Mpc/h, for velocities times f H / (1 + z), of flat LCDM with omega_m = 0.31."""
    om = COSMOLOGY.omega_m
    net = VNet(2).eval() if not styles else StyledVNet(2, styles=styles).eval()
    net.load_state_dict(draw(shapes_a(2) if not styles else shapes_b(2, styles)))
    net.card = public_card(
        "styled vnet" if styles else "vnet", {"styles": styles} if styles else ARGUMENTS, quantity
    )
    factor = units.growth_factor if quantity == "displacement" else units.velocity_factor
    linear, unit = factor(units.lcdm(om), z), 6 * factor(units.REFERENCE, z)
    x = torch.from_numpy(psi_lin())[None] * linear / unit
    with torch.no_grad():
        style = (torch.tensor([5 * (om - 0.3)]),) if styles else ()
        expected = unit * net(x, *style, periodic=True)[0].numpy()
    out = predict(net, z, extrapolate=True)
    got = out.psi if quantity == "displacement" else out.vel
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_tiles_and_one_piece_agree():
    net = identity()
    one, two = (
        predict(net, tiles=1),
        field.predict(net, np.tile(psi_lin(), (1, 2, 2, 2)), COSMOLOGY, 0.0, spacing=SPACING, tiles=2),
    )
    assert np.allclose(two.psi, np.tile(one.psi, (1, 2, 2, 2)), atol=1e-4)


@pytest.mark.parametrize(
    ("styles", "change", "said"),
    [
        (0, {"spacing": 1.0}, "spacing = 1 Mpc/h is outside the range .* card allows, 1.95312 only"),
        (0, {"redshift": 0.5}, "redshift = 0.5 is outside"),
        (0, {"omega_m": 0.6}, "omega_m = 0.6 is outside .* 0.1 to 0.5"),
        (0, {"sigma_8": 1.3}, "sigma_8 = 1.3 is outside .* 0.6 to 1"),
        (0, {"w0": -0.9}, "w0 = -0.9 is outside what .* a cosmological constant, w0 = -1: choose"),
        (1, {"w0": -0.9}, "w0 = -0.9 is outside"),
        (2, {"wa": 0.2}, "wa = 0.2 is outside what .* wa = 0: choose"),
    ],
)
def test_outside_the_range_is_refused_unless_asked_for(styles, change, said):
    net = identity(styles)
    given = {"redshift": 0.0, "spacing": SPACING}
    given |= {key: change[key] for key in given if key in change}
    cosmology = dataclasses.replace(COSMOLOGY, **{k: v for k, v in change.items() if k not in given})
    with pytest.raises(InputError, match=said + ".*extrapolate=True"):
        field.predict(net, psi_lin(), cosmology, **given)
    out = field.predict(net, psi_lin(), cosmology, extrapolate=True, **given)
    assert out.psi.shape == (3, 8, 8, 8)


def test_a_network_that_knows_today_alone_is_not_taken_for_another_redshift():
    with pytest.raises(InputError, match="redshift = 2 is not allowed: this network covers z = 0 only"):
        predict(identity(1), 2.0, extrapolate=True)


def test_today_may_be_off_by_rounding():
    net = identity(1)
    net.card = dataclasses.replace(net.card, redshift=(0.0, 0.0))
    np.testing.assert_array_equal(predict(net, 1 / (1 / (1 + 2.2e-16)) - 1).psi, predict(net, 0.0).psi)
    assert predict(net, 2.2e-16).psi.shape == (3, 8, 8, 8)


def test_velocities_from_a_derivative_are_as_good_as_float32_where_bfloat16_is_native(monkeypatch):
    monkeypatch.setattr(field.inference, "native_bfloat16", lambda device: True)
    net = StyledVNet(2, styles=2).eval()
    net.load_state_dict(draw(shapes_b(2, 2)))
    net.card = public_card("styled vnet", {"styles": 2}, None)
    rate = units.velocity_factor(COSMOLOGY, 0.5)
    d = units.growth_factor(COSMOLOGY, 0.5)
    x = torch.from_numpy(psi_lin())[None] / 6
    style = torch.tensor([5 * (COSMOLOGY.omega_m - 0.3), d - 1])
    expected = 6 * rate * displacement_and_rate(net, x, style, periodic=True)[1][0].numpy()
    assert np.abs(predict(net, 0.5).vel - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_card_without_sigma_8_allows_any():
    net = identity()
    old = {key: value for key, value in net.card.to_dict().items() if key != "sigma_8"}
    net.card = ModelCard.from_dict(old)
    far = dataclasses.replace(COSMOLOGY, sigma_8=2.0)
    assert field.predict(net, psi_lin(), far, 0.0, spacing=SPACING).psi.shape == (3, 8, 8, 8)


def test_fields_with_nan_and_networks_without_card_are_refused():
    net = identity()
    bad = psi_lin()
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        field.predict(net, bad, COSMOLOGY, 0.0, spacing=SPACING)
    net.card = None
    with pytest.raises(InputError, match="no model card"):
        predict(net)


def test_the_card_survives_its_dictionary():
    card = identity().card
    assert type(card).from_dict(card.to_dict()) == card
    with pytest.raises(InputError, match="did you mean 'deoliveira2020'"):
        dataclasses.replace(card, task="deoliveira")
    with pytest.raises(InputError, match=r"no option 'quanity'.*did you mean 'quantity'"):
        dataclasses.replace(card, options={"quanity": "velocity"})


@pytest.mark.parametrize(
    ("normalisation", "styles", "quantity"),
    [
        (None, 0, "velocity"),
        ("style", 1, "displacement"),
        ("style and growth", 2, "displacement and velocity"),
    ],
)
def test_a_card_of_format_1_names_its_task_by_the_normalisation(normalisation, styles, quantity):
    card = identity(styles, quantity).card
    old = {key: value for key, value in card.to_dict().items() if key not in ("task", "options")}
    old |= {"normalisation": normalisation or "growth", "quantity": quantity}
    assert ModelCard.from_dict(old) == card
    with pytest.raises(InputError, match="normalisation 'grwth' is not known"):
        ModelCard.from_dict(old | {"normalisation": "grwth"})


@pytest.mark.parametrize("wrong", ["jamieson2022", "jamieson2024", "correction"])
def test_a_card_whose_task_needs_other_styles_is_refused(wrong):
    ranges = {"redshift": (0, 0), "spacing": (1.9, 2.0), "omega_m": (0.1, 0.5)}
    with pytest.raises(InputError, match=rf"a vnet of 0 styles cannot have the task '{wrong}'"):
        ModelCard("vnet", {"channels": 4}, wrong, {}, **ranges)
    with pytest.raises(InputError, match=r"of 2 styles .* 'deoliveira2020', which tells it 0"):
        ModelCard("styled vnet", {"channels": 4, "styles": 2}, "deoliveira2020", {}, **ranges)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deoliveira2020", {}),
        ("deoliveira2020", {"quantity": "velocity"}),
        ("jamieson2022", {"quantity": "velocity"}),
        ("jamieson2024", {}),
        ("correction", {}),
    ],
)
def test_each_item_of_a_batch_is_in_the_units_of_its_own_universe(name, options):
    task = make_task(name, **options)
    other = dataclasses.replace(COSMOLOGY, omega_m=0.4)
    settings = [Setting(COSMOLOGY, 0.0, 2.0), Setting(other, 1.5, 4.0)]
    torch.manual_seed(0)
    output = torch.randn(2, 3 * len(task.predicts), 4, 4, 4)
    both = task.decode(output, settings)
    alone = [task.decode(x, [one]) for x, one in zip(output.split(1), settings, strict=True)]
    for whole, *parts in zip(both, *alone, strict=True):
        assert (whole is None) == (parts[0] is None)
        if whole is not None:
            torch.testing.assert_close(whole, torch.cat(parts))
