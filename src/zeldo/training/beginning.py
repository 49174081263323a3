"""A training that begins with the weights of another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.networks.arrays import read_arrays
from zeldo.networks.modulated import ModulatedBlock
from zeldo.networks.vnet import LayeredNet


def begin_with(net: LayeredNet, path: Path) -> None:
    """Take weights from a file, for all layers that have the same name and size there.

    Blocks that are wider inside in the file keep their strongest channels.

    Parameters
    ----------
    net : LayeredNet
        Changed in place. Layers that the file does not have keep their weights.
    path : Path

    Raises
    ------
    InputError
        Where no layer fits.
    """
    arrays, _ = read_arrays(path)
    for name, block in net.named_modules():
        if isinstance(block, ModulatedBlock):
            arrays = arrays | _narrowed(arrays, name, block.first.out_channels)
    taken = 0
    with torch.no_grad():
        for name, values in net.state_dict().items():  # with the statistics of batch normalisation
            if name in arrays and arrays[name].shape == tuple(values.shape):
                values.copy_(torch.as_tensor(arrays[name]))
                taken += values.is_floating_point()  # no counter of batches
    if not taken:
        raise InputError(
            f"no layer of {path} has the name and size of a layer of this network: leave start_from out, or set network "
            "to the architecture of that file"
        )


def _narrowed(arrays: Mapping[str, np.ndarray], block: str, width: int) -> dict[str, np.ndarray]:
    """The weights of a block with `width` channels between its convolutions: those whose kernels have the largest norms."""
    first, second = (arrays.get(f"{block}.{part}.weight") for part in ("first", "second"))
    if first is None or second is None or len(first) <= width:
        return {}
    strength = np.linalg.norm(first.reshape(len(first), -1), axis=1)
    strength = strength * np.linalg.norm(second.swapaxes(0, 1).reshape(len(first), -1), axis=1)
    kept = np.sort(np.argsort(strength)[-width:])
    modulation = f"{block}.modulations.0.linear"
    both = np.concatenate([kept, len(first) + kept])  # scales, then shifts
    chosen = {
        f"{block}.first.weight": first[kept],
        f"{block}.first.bias": arrays[f"{block}.first.bias"][kept],
        f"{block}.second.weight": second[:, kept],
    }
    for part in ("weight", "bias"):
        if f"{modulation}.{part}" in arrays:
            chosen[f"{modulation}.{part}"] = arrays[f"{modulation}.{part}"][both]
    return chosen
