"""Muon: steps of kernels with all singular values alike."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeldo.networks.vnet import VNet
from zeldo.training.config import OptimizerConfig
from zeldo.training.muon import MOMENTUM, RMS, Muon, orthogonalised, split
from zeldo.training.players import make_optimizers


@given(
    rows=st.integers(1, 24), columns=st.integers(1, 24), scale=st.floats(1e-8, 1e8), seed=st.integers(0, 99)
)
def test_a_step_turns_nothing_and_sets_every_singular_value_to_about_one(rows, columns, scale, seed):
    torch.manual_seed(seed)
    rank = min(rows, columns)
    u, v = (torch.linalg.qr(torch.randn(n, rank))[0] for n in (rows, columns))
    values = torch.logspace(0, -2, rank)  # a condition number of 100
    turned = u.T @ orthogonalised(scale * (u * values) @ v.T) @ v
    assert turned.diagonal().min() > 0.5
    assert turned.diagonal().max() < 1.3
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-3


def test_every_parameter_of_the_network_is_in_one_of_two_lists():
    net = VNet(4)
    kernels, others = split(net)
    assert sorted(map(id, kernels + others)) == sorted(map(id, net.parameters()))
    assert {p.ndim for p in kernels} == {5}
    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[id(p)] for p in others if p.ndim == 5} == {
        "conv_l0.convs.0.weight",
        "conv_l0.skip.weight",
        "conv_r0.convs.2.weight",
        "conv_r0.skip.weight",
    }


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
def test_the_first_step_of_a_kernel_is_its_gradient_with_singular_values_alike(last):
    torch.manual_seed(0)
    net = torch.nn.Conv3d(8, 6, 3)
    if last:
        net = net.to(memory_format=torch.channels_last_3d)
    before = net.weight.detach().clone()
    net(torch.randn(1, 8, 6, 6, 6)).square().sum().backward()
    u, _, v = torch.linalg.svd(net.weight.grad.reshape(6, -1), full_matrices=False)
    Muon([net.weight], 0.1).step()
    step = (before - net.weight).detach().reshape(6, -1) / (0.1 * RMS * (8 * 27) ** 0.5)
    turned = u.T @ step @ v.T
    assert turned.diagonal().min() > 0.5
    assert turned.diagonal().max() < 1.3
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-2


def test_weight_decay_shrinks_what_has_no_gradient_to_follow():
    net = torch.nn.Conv3d(4, 4, 1, bias=False)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    Muon(net.parameters(), 0.1, weight_decay=0.5).step()
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.detach(), 0.95 * before[name])


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_weight_decay_is_apart_from_the_gradient(name):
    """A parameter without gradient shrinks by rate times decay. Adam would follow a penalty by the whole rate."""
    net = torch.nn.Linear(3, 3)
    torch.nn.init.ones_(net.weight)
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    for optimizer in make_optimizers(net, OptimizerConfig(name=name, rate=0.1, weight_decay=0.01)):
        optimizer.step()
    torch.testing.assert_close(net.weight, torch.full((3, 3), 1 - 0.1 * 0.01))


def test_later_steps_of_a_kernel_look_ahead_along_the_momentum():
    """Nesterov: the gradient once more, on top of its average."""
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.zeros(6, 8, 3, 3, 3))
    optimizer, average, rate = Muon([kernel], 0.1), torch.zeros(6, 216), 0.1
    for _ in range(3):
        kernel.grad = torch.randn_like(kernel)
        gradient, before = kernel.grad.reshape(6, -1), kernel.detach().clone()
        optimizer.step()
        average = MOMENTUM * average + (1 - MOMENTUM) * gradient
        ahead = (1 - MOMENTUM) * gradient + MOMENTUM * average
        expected = rate * RMS * 216**0.5 * orthogonalised(ahead)
        torch.testing.assert_close((before - kernel.detach()).reshape(6, -1), expected, rtol=1e-3, atol=1e-5)
