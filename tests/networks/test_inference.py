"""Whole boxes: folded, tiled and in one piece, the same field comes out."""

import numpy as np
import pytest
import torch
from plain_networks import draw, shapes_b
from torch import nn

from zeldo.errors import InputError
from zeldo.networks import inference
from zeldo.networks.layout import Layer, Layout
from zeldo.networks.styled import StyledVNet, displacement_and_rate
from zeldo.networks.vnet import LayeredNet, VNet


def vnet(channels=3, levels=3):
    net = VNet(channels, levels).eval()
    net.load_state_dict(draw({name: tuple(v.shape) for name, v in net.state_dict().items()}))
    return net


def styled(styles=1):
    net = StyledVNet(2, styles=styles).eval()
    net.load_state_dict(draw(shapes_b(2, styles)))
    return net


def plain(net, x, periodic):
    """Calls a network without style."""
    return net(x, periodic=periodic)


def box(n, seed=3):
    return np.random.default_rng(seed).normal(size=(3, n, n, n)).astype(np.float32)


def close(a, b, tolerance=1e-5):
    return np.abs(a - b).max() < tolerance * np.abs(b).max()


def test_the_folded_network_is_the_network_and_leaves_it_alone():
    net = vnet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = inference.optimise(net, dtype=torch.float32)
    x = torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        expected, out = net(x, periodic=True), folded(x, periodic=True)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in folded.modules())
    assert (out - expected).abs().max() < 1e-5 * expected.abs().max()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


class Own(LayeredNet):
    """A block of somebody's own between two convolutions."""

    def __init__(self, *layers, channels=4):
        super().__init__(Layout((Layer("block", "only", 3, 3),)))
        self.only = nn.Sequential(nn.Conv3d(3, channels, 1), *layers, nn.Conv3d(channels, 3, 1))

    def forward(self, x, periodic=False):
        return self.follow(x, periodic)


def pairs(channels=4, **options):
    return [nn.Conv3d(channels, channels, 3, **options) for _ in range(2)]


OWN = {
    "normalised first": lambda: [nn.Sequential(nn.BatchNorm3d(4), nn.SiLU(), *pairs())],
    "normalised last": lambda: [pairs()[0], nn.SiLU(), nn.BatchNorm3d(4), pairs()[0]],
    "no biases": lambda: pairs(bias=False),
    "each channel alone": lambda: pairs(groups=4),
    "far cells": lambda: [nn.Conv3d(4, 4, 3, dilation=2)],
    "padded": lambda: [*pairs(), nn.Conv3d(4, 4, 3, padding=1)],
}


@pytest.mark.parametrize("layers", OWN.values(), ids=OWN.keys())
def test_blocks_of_ones_own_are_what_they_were(layers):
    torch.manual_seed(2)
    net = Own(*layers()).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.running_var, 0.3, 3.0)
            nn.init.normal_(layer.running_mean)
    x = torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        expected, out = net(x, periodic=True) - x, inference.optimise(net)(x, periodic=True) - x
    assert (out - expected).abs().max() < 0.02 * expected.abs().max()  # of bfloat16, where that is faster


@pytest.mark.parametrize("make", [vnet, styled])
def test_layers_in_bfloat16_stay_near_and_the_input_is_added_in_float32(make):
    net = make()
    style = () if make is vnet else (torch.tensor([0.3]),)
    x = 100 + torch.randn(1, 3, 8, 8, 8)
    half = inference.optimise(net, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = net(x, *style, periodic=True) - x
        out = half(x, *style, periodic=True) - x
    assert 0 < (out - expected).abs().max() < 0.05 * expected.abs().max()
    last = half.get_submodule(half.layout.layers[-1].name)
    for parameter in [*last.skip.parameters(), *last.convs.parameters()]:
        parameter.zero_()
    with torch.no_grad():
        assert torch.equal(half(x, *style, periodic=True), x)


@pytest.mark.parametrize(("levels", "n"), [(3, 12), (4, 16)])
def test_tiles_and_the_whole_box_agree(levels, n):
    net = inference.optimise(vnet(levels=levels), dtype=torch.float32)
    field = box(n)
    (whole,) = inference.apply(net, field, call=plain, tiles=1)
    with torch.no_grad():
        direct = net(torch.from_numpy(field)[None], periodic=True)[0]
    assert close(whole, direct.numpy())
    seen = []
    (tiled,) = inference.apply(net, field, call=plain, tiles=2, progress=lambda *at: seen.append(at))
    assert seen == [(i, 8) for i in range(1, 9)]
    assert close(tiled, whole)
    assert tiled.dtype == whole.dtype == np.float32


def test_large_tiles_leave_nothing_behind_for_the_next(monkeypatch):
    returned = []
    monkeypatch.setattr(inference, "return_freed_memory", lambda: returned.append(1))
    net = inference.optimise(vnet(), dtype=torch.float32)
    for free, expected in ((1e12, 0), (1e6, 8)):  # what is small beside the memory may stay
        monkeypatch.setattr("zeldo.networks.tiling.free_memory", lambda device, free=free: free)
        inference.apply(net, box(12), call=plain, tiles=2)
        assert len(returned) == expected


def test_a_translation_by_the_stride_is_a_translation_of_the_result():
    net = inference.optimise(vnet(), dtype=torch.float32)
    field = box(12)
    (out,) = inference.apply(net, field, call=plain, tiles=2)
    (moved,) = inference.apply(net, np.roll(field, 4, axis=2), call=plain, tiles=1)
    assert close(np.roll(moved, -4, axis=2), out)


def test_tiles_carry_style_and_rate():
    net = StyledVNet(2, levels=2, styles=2).eval()
    net.load_state_dict(draw({name: tuple(v.shape) for name, v in net.state_dict().items()}))
    net = inference.optimise(net, dtype=torch.float32)

    def call(net, x, periodic):
        return displacement_and_rate(net, x, torch.tensor([-0.5, -0.3]), periodic=periodic)

    field = box(8)
    whole = inference.apply(net, field, call=call, passes=2, tiles=1)
    tiled = inference.apply(net, field, call=call, passes=2, tiles=2)
    assert len(whole) == len(tiled) == 2
    assert all(close(a, b) for a, b in zip(tiled, whole, strict=True))


def test_float32_keeps_all_its_digits_on_a_gpu():
    seen = []

    def call(net, x, periodic):
        seen.append(torch.backends.cudnn.allow_tf32)
        return net(x, periodic=periodic)

    before = torch.backends.cudnn.allow_tf32
    net = inference.optimise(VNet(2, 2), dtype=torch.float32)
    inference.apply(net, np.zeros((3, 8, 8, 8), np.float32), call=call, tiles=1)
    assert seen == [False] and torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((3, 10, 10, 10), {}, "10 cells a side is not allowed: give a multiple of 4"),
        ((3, 8, 8, 4), {}, r"has shape \(3, 8, 8, 4\)"),
        ((2, 8, 8, 8), {}, r"give \(batch, 3, x, y, z\)"),
        ((3, 8, 8, 8), {"tiles": 3}, "tiles = 3 is not allowed: give 1 to 2"),
        ((3, 8, 8, 8), {"tiles": 0}, "tiles = 0 is not allowed"),
    ],
)
def test_an_illegal_box_is_refused(shape, options, said):
    with pytest.raises(InputError, match=said):
        inference.apply(vnet(), np.zeros(shape, np.float32), call=plain, **options)


@pytest.mark.parametrize(("tiles", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_bfloat16_is_chosen_only_where_it_is_faster(tiles, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    net = inference.optimise(vnet())
    assert net.compute_dtype == next(net.conv_c.parameters()).dtype == dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("make", [vnet, styled])
def test_a_gpu_gives_the_same_field(make):
    net, field = make(), box(16)
    style = None if make is vnet else torch.tensor([0.3])

    def call(net, x, periodic):
        return net(x, periodic=periodic) if style is None else net(x, style, periodic=periodic)

    (expected,) = inference.apply(inference.optimise(net, dtype=torch.float32), field, call=call)
    for dtype, tolerance in ((torch.float32, 5e-3), (torch.bfloat16, 0.05)):  # float32 may run as TF32
        for tiles in (1, 2):
            on_gpu = inference.optimise(net, "cuda", dtype=dtype)
            (out,) = inference.apply(on_gpu, field, call=call, tiles=tiles)
            assert close(out, expected, tolerance)
