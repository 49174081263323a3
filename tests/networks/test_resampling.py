"""Strided convolutions for the CPU against torch's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_winograd import drawn, placed
from torch import nn

from zeldo.networks.resampling import Resampled


@settings(max_examples=60)
@given(
    channels=st.tuples(st.integers(1, 14), st.integers(1, 13)),
    sides=st.tuples(*3 * [st.integers(1, 19)]),
    finer=st.booleans(),
    order=st.sampled_from(["first", "last", "gaps"]),
    slope=st.sampled_from([1.0, 0.01]),
)
def test_it_is_the_convolution_to_rounding(channels, sides, finer, order, slope):
    torch.manual_seed(3)
    kind = nn.ConvTranspose3d if finer else nn.Conv3d
    layer = kind(*channels, 2, stride=2).requires_grad_(False)
    x = placed(drawn(2, channels[0], *(side if finer else 2 * side for side in sides)), order)
    made = Resampled(layer, slope)(x)
    wanted = nn.functional.leaky_relu(layer.double()(x.double()), slope)
    assert made.dtype == torch.float32 and made.is_contiguous()
    assert made.shape == wanted.shape and (made - wanted).abs().max() < 1e-5 * (1 + wanted.abs().max())


@pytest.mark.parametrize("finer", [False, True])
def test_a_voxel_of_the_kernel_goes_to_its_own_place(finer):
    """One cell, told apart from its neighbours along each axis."""
    kind = nn.ConvTranspose3d if finer else nn.Conv3d
    layer = kind(1, 1, 2, stride=2, bias=True).requires_grad_(False)
    layer.bias.zero_()
    layer.weight[:] = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    if finer:
        made = Resampled(layer)(torch.ones(1, 1, 1, 1, 1))
        np.testing.assert_array_equal(made.numpy().ravel(), np.arange(8))
        return
    for place in range(8):
        x = torch.zeros(1, 1, 2, 2, 2)
        x.view(-1)[place] = 1
        assert Resampled(layer)(x).item() == place
