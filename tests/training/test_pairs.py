"""Pairs of linear and evolved displacement: grown to one redshift, turned and cut alike, seen in the units of the card."""

import numpy as np
import pytest
import torch

from teachers import second_order
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import PRESETS
from zeldo.files import write
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.field import growth_lcdm
from zeldo.networks.vnet import VNet
from zeldo.store.runs import RunStore
from zeldo.training.config import DataConfig
from zeldo.training.export import scale
from zeldo.training.losses import paper_loss
from zeldo.training.pairs import Pairs
from zeldo.training.trainer import start_linear
from zeldo.training.validation import predict, score


def test_linear_displacements_have_grown_to_the_redshift_of_the_data(tmp_path):
    drawn = {"power": "eisenstein-hu"}
    ics = initial_conditions(PRESETS["quijote"], 64.0, 16, 3, **drawn)
    store = RunStore(tmp_path / "runs.zarr")
    store.add("a", ics, second_order(ics, [1.0, 0.0]), regenerate=drawn)
    for z in (1.0, 0.0):
        d1 = growth(ics.cosmology).d1(1 / (1 + z))
        pair = Pairs(DataConfig(store=store.path, redshift=z)).get("a")
        np.testing.assert_allclose(pair.linear, d1 * linear_displacement(ics), rtol=1e-6)
        np.testing.assert_array_equal(pair.target, store.read("a", z)[1])


@pytest.fixture
def equal(store, tmp_path):
    """Makes the pairs of a file whose target is its linear displacement."""
    path = write(store.snapshot("s100"), tmp_path / "s100.npz")
    return lambda **options: Pairs(DataConfig(snapshots=[{"path": path, "linear": path}], **options))


@pytest.mark.parametrize("side", [0, 8])
def test_input_and_target_are_turned_moved_and_cut_alike(equal, side):
    pairs, halo = equal(crop=side), 3
    (name,) = pairs.names("train")
    box = pairs.get(name).target
    around = halo if side else 0
    seen = set()
    for seed in range(8):
        x, y = pairs.sample(name, np.random.default_rng(seed), halo)
        assert y.shape == (3, *3 * [side or 16]) and x.shape == (3, *3 * [(side or 16) + 2 * around])
        inside = slice(around, x.shape[-1] - around)
        np.testing.assert_array_equal(x[:, inside, inside, inside], y)
        seen.add(y[:, 0, 0, 0].tobytes())
        if not side:  # all that is there, elsewhere
            np.testing.assert_array_equal(np.sort(np.abs(y), axis=None), np.sort(np.abs(box), axis=None))
    assert len(seen) == 8


def test_without_augmentation_a_box_is_as_it_is_and_a_crop_is_cut_out_of_it(equal):
    whole = equal(augment=False)
    (name,) = whole.names("train")
    box = whole.get(name).target
    for given in whole.sample(name, np.random.default_rng(1), 3):
        np.testing.assert_array_equal(given, box)
    _, crop = equal(augment=False, crop=8).sample(name, np.random.default_rng(1), 3)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(box, [(0, 0), *3 * [(0, 7)]], "wrap"), (3, 8, 8, 8)
    )
    assert (windows == crop).all((-1, -2, -3, -4)).sum() == 1


@pytest.mark.parametrize("z", [0.0, 1.0])
def test_networks_see_displacements_in_the_units_of_their_card(z):
    assert scale(z) == pytest.approx(6 * growth_lcdm(0.31, z), rel=1e-5)


def test_a_box_predicted_in_tiles_is_the_box_predicted_at_once():
    torch.manual_seed(1)
    net = VNet(4, 2).eval()
    linear = 5 * np.random.default_rng(2).standard_normal((3, 16, 16, 16)).astype(np.float32)
    whole = predict(net, linear, 5.0)
    torch.testing.assert_close(predict(net, linear, 5.0, tile=8), whole, rtol=1e-4, atol=1e-4)
    given = torch.from_numpy(linear)[None] / 5
    with torch.no_grad():
        torch.testing.assert_close(whole, 5 * net(given, periodic=True)[0], rtol=1e-4, atol=1e-4)


def test_scores_are_those_of_linear_theory_for_a_network_that_adds_nothing(store):
    net = VNet(4, 2)
    start_linear(net)
    pairs = Pairs(DataConfig(store=store.path))
    (found,) = score(net.eval(), pairs, ["s104"], scale=6.0, weight=2.0)
    pair = pairs.get("s104")
    linear, target = (torch.from_numpy(x)[None] for x in (pair.linear, pair.target))
    assert found.loss == pytest.approx(paper_loss(linear, target, 4.0, weight=2.0).total.item(), rel=1e-4)
    assert found.psi == pytest.approx((linear - target).square().mean().item(), rel=1e-4)
    # from the fundamental mode, 0.1 h/Mpc, to the Nyquist frequency of the lattice, pi / 4
    for name in ("density transfer", "displacement one_minus_r2"):
        assert list(found.at[name]) == [0.1, 0.2, 0.3, 0.5, 0.7]
