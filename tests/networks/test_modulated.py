"""The modulated V-Net: no statistics, a style that scales and shifts features, and the geometry of its kin."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from zeldo.errors import InputError
from zeldo.networks import inference
from zeldo.networks.card import ModelCard
from zeldo.networks.modulated import ModulatedBlock, ModulatedResNet, ModulatedVNet
from zeldo.networks.weights import load, save


def drawn(channels=4, levels=3, inputs=7, outputs=6, styles=2, kind=ModulatedVNet):
    """A network whose style matters."""
    torch.manual_seed(0)
    net = kind(channels, levels, inputs, outputs, styles).eval()
    for name, parameter in net.named_parameters():
        if "linear" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return net


def test_the_style_changes_what_comes_out_and_each_item_has_its_own():
    net = drawn()
    x, styles = torch.randn(2, 7, 8, 8, 8), torch.tensor([[0.2, -0.5], [1.0, 0.3]])
    with torch.no_grad():
        both = net(x, styles, periodic=True)
        alone = [net(item, style, periodic=True) for item, style in zip(x.split(1), styles, strict=True)]
        assert (net(x[:1], styles[1], periodic=True) - alone[0]).abs().max() > 0.05
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_at_first_the_style_says_nothing():
    net = ModulatedVNet(4, 2, styles=2)
    x = torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(net(x, torch.zeros(2), periodic=True), net(x, torch.ones(2), periodic=True))


def test_a_block_is_what_its_docstrings_say():
    """By hand: y (1 + s) + t after each sum of convolutions, s and t linear in the style."""
    block = next(
        b for b in drawn().modules() if isinstance(b, ModulatedBlock) and not isinstance(b.end, nn.Identity)
    )
    x, style = torch.randn(2, block.first.in_channels, 7, 7, 7), torch.tensor([[0.2, -0.5], [1.0, 0.3]])

    def modulated(y, layer):
        scale, shift = (style @ layer.weight.T + layer.bias)[:, :, None, None, None].chunk(2, dim=1)
        return y * (1 + scale) + shift

    first, second = (modulation.linear for modulation in block.modulations)
    with torch.no_grad():
        y = modulated(F.conv3d(x, block.first.weight, block.first.bias), first)
        y = F.conv3d(F.leaky_relu(y, 0.01), block.second.weight, block.second.bias)
        y = y + F.conv3d(x, block.skip.weight, block.skip.bias)[:, :, 2:-2, 2:-2, 2:-2]
        expected = F.leaky_relu(modulated(y, second), 0.01)
        torch.testing.assert_close(block(x.clone(), style), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["block", "down", "up"])
def test_layers_keep_the_mean_square_of_what_passes_at_first(name):
    torch.manual_seed(2)
    net = ModulatedVNet(32, 2)
    layer = next(x for x in net.layout.layers if x.kind == name and x.inputs >= 32)
    x = torch.randn(4, layer.inputs, 8, 8, 8).abs()  # like what comes out of an activation
    with torch.no_grad():
        y = net.get_submodule(layer.name)(x, None)
    assert float(y.square().mean() / x.square().mean()) == pytest.approx(1, rel=0.35)


def test_what_passes_neither_dies_nor_explodes_at_first():
    torch.manual_seed(1)
    x = torch.randn(1, 6, 16, 16, 16)
    with torch.no_grad():
        added = ModulatedVNet(16, 3, 6, 6)(x, periodic=True) - x
    assert 0.3 < added.std() < 3


@pytest.mark.parametrize("kind", [ModulatedVNet, ModulatedResNet])
def test_a_network_settled_on_a_style_gives_the_same_without_modulations(kind):
    net, style = drawn(8, 2, kind=kind), torch.tensor([0.4, -0.2])
    settled = net.settled(style)
    assert not any("modulation" in name for name, _ in settled.named_parameters())
    x = torch.randn(1, 7, 16, 16, 16)
    with torch.no_grad():
        expected = net(x, style, periodic=True)
        torch.testing.assert_close(settled(x, periodic=True), expected, rtol=1e-5, atol=1e-5)
        assert (net(x, -style, periodic=True) - expected).abs().max() > 0.01  # the original is as it was


def test_the_residual_network_works_on_cells_of_eight_points():
    """A change of one point is felt by its whole cell and by cells within reach, and shifts by a cell commute."""
    net = drawn(6, 2, kind=ModulatedResNet)
    assert net.stride == 2 and net.halo == 8  # two blocks of two convolutions, each one cell wide
    x, style = torch.randn(1, 7, 24, 24, 24), torch.tensor([0.4, -0.2])
    moved = x.clone()
    moved[0, 0, 12, 12, 12] += 1
    with torch.no_grad():
        y = net(x, style, periodic=True)
        changed = (net(moved, style, periodic=True) - y).abs().sum((0, 1)) > 0
        shifted = net(x.roll(2, 3), style, periodic=True)
    assert changed[4:22, 4:22, 4:22].all() and changed.sum() == 18**3
    torch.testing.assert_close(shifted, y.roll(2, 3), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("levels", "kind"), [(2, ModulatedVNet), (3, ModulatedVNet), (2, ModulatedResNet)])
def test_tiles_crops_and_the_whole_box_agree(levels, kind):
    net = inference.optimise(drawn(levels=levels, kind=kind), dtype=torch.float32)
    field = np.random.default_rng(3).normal(size=(7, 16, 16, 16)).astype(np.float32)
    style = torch.tensor([0.4, -0.2])

    def call(net, x, periodic):
        return net(x, style, periodic=periodic)

    (whole,), (tiled,) = (inference.apply(net, field, call=call, tiles=tiles) for tiles in (1, 2))
    assert np.abs(whole - tiled).max() < 1e-5 * np.abs(whole).max()


def test_it_survives_its_file(tmp_path):
    net = drawn(4, 2, 10, 6, 4)
    arguments = {"channels": 4, "levels": 2, "in_channels": 10, "out_channels": 6, "styles": 4}
    options = {"engine": "cola", "engine_options": {"steps": 3}}
    card = ModelCard("modulated vnet", arguments, "correction", options, (0, 3), (1, 4), (0.1, 0.5))
    save(net, tmp_path / "net.safetensors", card, half=False)
    back = load(tmp_path / "net.safetensors")
    assert back.card == card
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in back.state_dict().items())


@pytest.mark.parametrize("style", [None, torch.zeros(3), torch.zeros(2, 2)])
def test_a_style_of_another_size_is_refused(style):
    with pytest.raises(InputError, match="give 2 numbers"):
        drawn()(torch.randn(1, 7, 8, 8, 8), style, periodic=True)
