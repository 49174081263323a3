"""Fields that are joined and continued periodically, in batches of `torch.func.vmap` too."""

import pytest
import torch
from torch.func import grad, vmap

from zeldo.networks.wrap import channels_last, wrap


def test_channels_last_is_an_order_in_memory_alone():
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(channels_last(x), x)
    assert channels_last(x).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("sides", [(4, 5, 6), (1, 1, 1)])
def test_the_result_can_have_channels_last_whatever_its_parts_have(sides):
    parts = torch.randn(2, 3, *sides), torch.randn(2, 2, *sides)
    made = wrap(parts, 2, 1, last=True)
    assert torch.equal(made, wrap(parts, 2, 1))
    assert made.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("order", [torch.Tensor.contiguous, channels_last])
def test_vmap_is_a_loop(order):
    many = [order(torch.randn(2, 3, 4, 4, 4)) for _ in range(3)]
    one, weight = order(torch.randn(2, 2, 4, 4, 4)), torch.randn(2, 5, 7, 7, 7)

    def joined(x):
        return wrap((x, one), 2, 1)

    def slope(x):
        return grad(lambda x: (weight * joined(x) ** 2).sum())(x)

    for function in (joined, slope):
        expected = torch.stack([function(x) for x in many])
        for dim in (0, 5):
            assert torch.allclose(vmap(function, dim)(torch.stack(many, dim)), expected)
