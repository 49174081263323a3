"""2^3 convolutions of float32 with stride 2 on the CPU, and their transposes, of fields whose channels are not last."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from torch import Tensor, nn

from zeldo.networks.resampling_kernels import resample
from zeldo.networks.rows import as_row, empty, grouped, whole_rows


class Resampled(nn.Module):
    """A 2^3 convolution of stride 2, or its transpose, and a leaky ReLU. It has no derivatives.

    Parameters
    ----------
    layer : Conv3d or ConvTranspose3d
    slope : float
        Of the leaky ReLU, for negative numbers; 1 for none.
    """

    planar = True

    def __init__(self, layer: Any, slope: float = 1.0) -> None:
        super().__init__()
        self.finer = isinstance(layer, nn.ConvTranspose3d)
        self.weight, self.bias = layer.weight, layer.bias  # for those who look at them
        kernels, biases = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        if self.finer:  # a channel of the result for each voxel
            kernels, biases = kernels.reshape(len(kernels), -1).T, np.repeat(biases, 8)
        self.kernels, self.biases = grouped(kernels.reshape(len(kernels), -1)), biases
        self.slope = np.float32(slope)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        x = whole_rows(x)
        sides = np.array(x.shape[2:]) if self.finer else np.array(x.shape[2:]) // 2
        shape = (len(x), len(self.bias), *(2 * sides if self.finer else sides).tolist())
        out = empty(shape)
        resample(
            as_row(x),
            np.array(x.stride()),
            sides,
            self.finer,
            self.kernels,
            self.biases,
            self.slope,
            out.numpy(),
            numba.get_num_threads(),
        )
        return out
