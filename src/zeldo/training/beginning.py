"""A training that begins with the weights of another one."""

from __future__ import annotations

from pathlib import Path

import torch

from zeldo.errors import InputError
from zeldo.networks.arrays import read_arrays
from zeldo.networks.vnet import LayeredNet


def begin_with(net: LayeredNet, path: Path) -> None:
    """Take weights from a file, for all layers that have the same name and size there.

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
    taken = 0
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name in arrays and arrays[name].shape == tuple(parameter.shape):
                parameter.copy_(torch.as_tensor(arrays[name]))
                taken += 1
    if not taken:
        raise InputError(
            f"no layer of {path} has the name and size of a layer of this network: leave start_from out, or set network "
            "to the architecture of that file"
        )
