"""The V-Net: the published numbers, one forward for crops and boxes, and what it may not see."""

import pytest
import torch
from plain_networks import draw, plain_a, shapes_a

from zeldo.errors import InputError
from zeldo.networks.vnet import VNet


def random_net(channels=3, levels=3, seed=0):
    torch.manual_seed(seed)
    net = VNet(channels, levels).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net


def padded(x, net):
    """The periodic box with the halo of the network, and as many cells more as make the side legal."""
    side = x.shape[-1]
    more = (net.layout.smallest - side - 2 * net.halo) % net.stride
    index = torch.arange(-net.halo, side + net.halo + more) % side
    return x[:, :, index][:, :, :, index][..., index]


def test_has_the_published_numbers():
    net = VNet()
    assert sum(p.numel() for p in net.parameters()) == 1_825_222
    assert sum(b.numel() for b in net.buffers()) == 1_547
    assert (net.halo, net.stride, net.layout.smallest) == (20, 4, 44)
    assert net.layout.sides(44) == [40, 20, 16, 8, 4, 8, 4, 8, 4]
    assert net.layout.crops == {"conv_r1": 4, "conv_r0": 16}
    assert {name: tuple(v.shape) for name, v in net.state_dict().items()} == shapes_a(64)


def test_agrees_with_the_plain_calls():
    net = VNet(4).eval()
    state = draw(shapes_a(4))
    net.load_state_dict(state)
    x = torch.randn(2, 3, 48, 44, 44)
    with torch.no_grad():
        out, sides = net(x), []
        expected = plain_a(state, x, sides)
    assert sides == [40, 20, 16, 8, 4, 8, 4, 8, 4]
    assert out.shape == (2, 3, 8, 4, 4)
    assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("levels", "side"), [(2, 6), (3, 8), (3, 4), (4, 8)])
def test_a_periodic_box_equals_the_crop_of_the_padded_box(levels, side):
    net = random_net(levels=levels)
    x = torch.randn(1, 3, side, side, side)
    with torch.no_grad():
        crop, whole = net(padded(x, net)), net(x, periodic=True)
    assert (crop[..., :side, :side, :side] - whole).abs().max() < 3e-6 * whole.abs().max()


def test_commutes_with_translations_by_the_stride_and_no_less():
    net = random_net()
    x = torch.randn(1, 3, 16, 16, 16)
    with torch.no_grad():
        out = net(x, periodic=True)
        by_stride = net(x.roll(net.stride, 4), periodic=True).roll(-net.stride, 4)
        by_less = net(x.roll(net.stride // 2, 4), periodic=True).roll(-net.stride // 2, 4)
    assert (by_stride - out).abs().max() < 3e-6 * out.abs().max()
    assert (by_less - out).abs().max() > 1e-3 * out.abs().max()


def test_sees_its_halo_and_nothing_beyond():
    net = random_net(2)
    side = net.layout.smallest + net.stride
    x = torch.randn(1, 3, side, side, side)
    with torch.no_grad():
        out = net(x)
        for axis in (2, 3, 4):
            changed = x.clone()
            changed.select(axis, 0)[:] += (
                10  # one halo from the first group of cells, farther from the second
            )
            difference = (net(changed) - out).abs()
            first, second = difference.split(net.stride, axis)
            assert first.max() > 0
            assert second.max() == 0


@pytest.mark.parametrize("periodic", [False, True])
def test_its_gradients_are_those_of_differences(periodic):
    net = random_net(2, levels=2).double()
    x = torch.randn(1, 3, *[2 if periodic else 18] * 3, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(x)
    (slope,) = torch.autograd.grad(net(x, periodic=periodic).pow(2).sum(), x)
    with torch.no_grad():
        up, down = (net(x + s * direction, periodic=periodic).pow(2).sum() for s in (1e-6, -1e-6))
    assert (slope * direction).sum() == pytest.approx(float(up - down) / 2e-6, rel=1e-5)


def test_channels_last_gives_the_same():
    net = random_net(4)
    x = torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        expected = net(x, periodic=True)
        net = net.to(memory_format=torch.channels_last_3d)
        out = net(x.to(memory_format=torch.channels_last_3d), periodic=True)
    assert (out - expected).abs().max() < 3e-6 * expected.abs().max()


def test_the_input_is_added_to_the_output():
    net = random_net()
    with torch.no_grad():
        for parameter in net.conv_r0.parameters():
            parameter.zero_()
        x = torch.randn(1, 3, 8, 8, 8)
        assert torch.equal(net(x, periodic=True), x)


@pytest.mark.parametrize(
    ("shape", "periodic", "said"),
    [
        ((1, 3, 46, 44, 44), False, "crop of 46 cells a side is not allowed: give 44, with a halo of 20"),
        ((1, 3, 40, 40, 40), False, "give 44"),
        ((1, 3, 8, 8, 10), True, "10 cells a side is not allowed: give a multiple of 4"),
        ((1, 2, 8, 8, 8), True, r"give \(batch, 3, x, y, z\)"),
        ((3, 8, 8, 8), True, r"give \(batch, 3, x, y, z\)"),
    ],
)
def test_an_illegal_input_is_refused(shape, periodic, said):
    with pytest.raises(InputError, match=said):
        VNet(2)(torch.zeros(shape), periodic=periodic)


@pytest.mark.parametrize(
    "arguments", [{"channels": 0}, {"levels": 1}, {"levels": 20}, {"in_channels": 2, "out_channels": 3}]
)
def test_an_impossible_network_is_refused(arguments):
    with pytest.raises(InputError, match="is not allowed"):
        VNet(**{"channels": 2, **arguments})


@pytest.mark.parametrize(("side", "periodic"), [(44, False), (16, True)])
def test_flops_are_those_of_the_convolutions_that_run(side, periodic):
    from torch.utils.flop_counter import FlopCounterMode

    net = random_net(2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, side, side, side), periodic=periodic)
    assert counter.get_total_flops() == net.layout.flops(side, periodic=periodic)
