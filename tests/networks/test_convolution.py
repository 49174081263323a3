"""Strided convolutions whose output is one cell wide are right in bfloat16, on processors where the library is not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from zeldo.networks import convolution
from zeldo.networks.inference import optimise
from zeldo.networks.modulated import ModulatedVNet
from zeldo.networks.styled import StyledVNet
from zeldo.networks.vnet import VNet


@pytest.fixture
def broken(monkeypatch):
    """What oneDNN does with AMX: wrong numbers for bfloat16, stride 2, one output cell along the last axis."""
    right, calls = functional.conv3d, []

    def conv3d(x, weight, bias=None, stride=1, *args):
        y = right(x, weight, bias, stride, *args)
        if y.dtype == torch.bfloat16 and stride == 2 and y.shape[-1] == 1:
            calls.append(y.shape)
            return y + 100
        return y

    monkeypatch.setattr(convolution.functional, "conv3d", conv3d)
    return calls


@pytest.mark.parametrize("make", [VNet, StyledVNet, ModulatedVNet])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_box_as_wide_as_the_stride_is_right_in_bfloat16(broken, make, autocast):
    torch.manual_seed(0)
    net = make(4, 3).eval()
    x = torch.randn(1, 3, 4, 4, 4)  # one cell a side after two halvings
    style = (torch.tensor([0.3]),) if make is StyledVNet else ()
    with torch.no_grad():
        expected = net(x, *style, periodic=True)
        if autocast:
            with torch.autocast("cpu", torch.bfloat16):
                out = net(x, *style, periodic=True)
        else:
            out = optimise(net, dtype=torch.bfloat16)(x, *style, periodic=True)
    assert not broken
    assert (out.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize(("side", "dtype"), [(2, torch.bfloat16), (3, torch.bfloat16), (4, torch.bfloat16)])
def test_the_layer_is_what_the_library_says_in_float32(side, dtype):
    """On a processor whose library is wrong this fails without the guard."""
    torch.manual_seed(0)
    layer = convolution.Halving(8, 8, 2, stride=2)
    x = torch.randn(2, 8, 4, 4, side)
    with torch.no_grad():
        expected = functional.conv3d(x, layer.weight, layer.bias, stride=2)
        out = layer.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.float() - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("side", [3, 4, 9, 12])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cells_in_pairs_are_those_of_the_convolution(side, dtype):
    torch.manual_seed(0)
    layer = nn.Conv3d(16, 6, 3).to(dtype)
    x = torch.randn(2, 16, 5, 4, side).to(dtype)
    with torch.no_grad():
        for field in (x, x.contiguous(memory_format=torch.channels_last_3d)):
            made, wanted = convolution.Paired(layer)(field), layer(field)
            assert made.shape == wanted.shape
            torch.testing.assert_close(
                made, wanted, atol=1e-2 if dtype is torch.bfloat16 else 1e-5, rtol=1e-2
            )


def test_only_a_convolution_to_few_channels_goes_in_pairs_and_only_where_registers_are_wide(monkeypatch):
    net = ModulatedVNet(16, 2, 13, 6)

    def paired(**options):
        made = optimise(net, **options)
        return [name for name, layer in made.named_modules() if isinstance(layer, convolution.Paired)]

    for options in ({"dtype": torch.bfloat16}, {"dtype": torch.float32, "derivatives": True}):
        monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
        assert paired(**options) == ["conv_r0.second"]
        assert paired(dtype=torch.float32) == []  # which is transformed
        monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
        assert paired(**options) == []
