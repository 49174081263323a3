"""The styled V-Nets: the published numbers, kernels that follow the style, velocities as derivatives."""

import pytest
import torch
from plain_networks import draw, getter_b, plain_styled, shapes_b

from zeldo.errors import InputError
from zeldo.networks.styled import StyledVNet, displacement_and_rate

SIDES = [100, 96, 48, 44, 22, 18, 9, 5, 10, 6, 12, 8, 16, 12, 8]


def random_net(channels=2, styles=1, levels=4, seed=1):
    net = StyledVNet(channels, levels, styles=styles).eval()
    net.load_state_dict(draw({name: tuple(v.shape) for name, v in net.state_dict().items()}, seed))
    return net


@pytest.mark.parametrize(("styles", "numbers"), [(1, 3_352_210), (2, 3_354_776)])
def test_has_the_published_numbers(styles, numbers):
    net = StyledVNet(styles=styles)
    assert sum(p.numel() for p in net.parameters()) == numbers
    assert list(net.buffers()) == []
    assert (net.halo, net.stride, net.layout.smallest) == (48, 8, 104)
    assert net.layout.sides(104) == SIDES
    assert net.layout.crops == {"conv_r2": 4, "conv_r1": 16, "conv_r00": 40}
    assert {name: tuple(v.shape) for name, v in net.state_dict().items()} == shapes_b(64, styles)


def test_agrees_with_the_plain_calls():
    state = draw(shapes_b(2))
    state["conv_r01.convs.2.weight"] *= 1e-4  # so small that the number under the root counts
    state["up_r0.convs.0.weight"] *= 1e-4
    net = StyledVNet(2).eval()
    net.load_state_dict(state)
    x, style, sides = torch.randn(1, 3, 104, 104, 104), torch.tensor([0.35]), []
    with torch.no_grad():
        out = net(x, style)
        expected = plain_styled(getter_b(state), x, style, "transposed", sides)
    assert sides == SIDES
    assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_periodic_box_equals_the_crop_of_the_padded_box():
    net = random_net()
    x, style = torch.randn(1, 3, 8, 8, 8), torch.tensor([-0.4])
    index = torch.arange(-net.halo, 8 + net.halo) % 8
    with torch.no_grad():
        crop = net(x[:, :, index][:, :, :, index][..., index], style)
        whole = net(x, style, periodic=True)
    assert (crop - whole).abs().max() < 1e-5 * whole.abs().max()


def test_the_style_matters_and_each_field_of_a_batch_has_its_own():
    net = random_net(styles=2)
    x = torch.randn(2, 3, 8, 8, 8)
    styles = torch.tensor([[0.1, -0.2], [0.7, -0.5]])
    with torch.no_grad():
        both = net(x, styles, periodic=True)
        first, second = (net(x[i : i + 1], styles[i], periodic=True) for i in (0, 1))
        swapped = net(x, styles.flip(0), periodic=True)
    assert torch.equal(both, torch.cat([first, second]))
    assert (swapped - both).abs().max() > 1e-3 * both.abs().max()


@pytest.mark.parametrize("number", [0.4, torch.tensor(0.4)])
def test_one_style_may_be_a_number(number):
    net, x = random_net(), torch.randn(1, 3, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(net(x, number, periodic=True), net(x, torch.tensor([0.4]), periodic=True))


def test_the_rate_is_the_derivative_of_the_displacement():
    """Against differences in double precision, D in the input, in the added input and in the style."""
    net = random_net(styles=2).double()
    omega_m, d, h = 0.25, 0.6, 1e-6
    x = torch.randn(1, 3, 8, 8, 8, dtype=torch.float64)

    def displacement(d):
        return net(x * d, style(d), periodic=True).detach()

    def style(d):
        return torch.tensor([5 * (omega_m - 0.3), d - 1], dtype=torch.float64)

    value, rate = displacement_and_rate(net, x, style(d), periodic=True)
    expected = (displacement(d + h) - displacement(d - h)) / (2 * h)
    assert (value - displacement(d)).abs().max() < 1e-6
    assert (rate - expected).abs().max() < 1e-5 * expected.abs().max()
    assert not rate.requires_grad


@pytest.mark.parametrize("periodic", [True, False])
def test_forward_and_reverse_mode_agree_on_the_derivative_of_the_rate(periodic):
    net = random_net(styles=2, levels=2).double().requires_grad_(False)
    side = 8 if periodic else net.layout.smallest
    x = torch.randn(1, 3, side, side, side, dtype=torch.float64)
    weights = torch.randn(1, 3, *3 * [side - (0 if periodic else 2 * net.halo)], dtype=torch.float64)

    def rate(d):
        style = torch.stack([torch.full_like(d, -0.25), d - 1])
        return (weights * displacement_and_rate(net, x, style, periodic=periodic)[1]).sum()

    d = torch.tensor(0.6, dtype=torch.float64)
    forward = torch.func.jvp(rate, (d,), (torch.ones_like(d),))[1]
    assert torch.isclose(forward, torch.func.grad(rate)(d), rtol=1e-9)


def test_a_style_of_another_size_is_refused():
    net = random_net()
    with pytest.raises(InputError, match=r"style has shape \(2,\): give 1"):
        net(torch.zeros(1, 3, 8, 8, 8), torch.zeros(2), periodic=True)
    with pytest.raises(InputError, match="knows no redshift"):
        displacement_and_rate(net, torch.zeros(1, 3, 8, 8, 8), torch.zeros(2), periodic=True)
