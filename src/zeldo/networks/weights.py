"""Load and save networks: zeldo's safetensors, and the public checkpoints of the V-Net family.

Layouts are recognised from names and shapes, never from the name of the file.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeldo.errors import DamagedFileError, InputError, nearest
from zeldo.networks.arrays import Arrays, read_arrays
from zeldo.networks.card import ModelCard, public_card
from zeldo.networks.styled import StyledVNet
from zeldo.networks.vnet import LayeredNet, VNet

FORMAT_VERSION = 1
CLASSES: dict[str, Callable[..., LayeredNet]] = {"vnet": VNet, "styled vnet": StyledVNet}


def load(path: str | Path, *, quantity: str | None = None) -> LayeredNet:
    """The network in a file, in evaluation mode and float32, with its `ModelCard` as attribute `card`.

    Reads zeldo's safetensors; training states and bare state dicts of torch; npz. Nothing in the file is run.
    quantity: for files without a card, "displacement" (what is assumed) or "velocity".
    Raises `InputError` naming a missing or extra key or a wrong shape, `DamagedFileError` for broken files.
    """
    arrays, metadata = read_arrays(path)
    if "zeldo" in metadata:
        card = _read_card(metadata["zeldo"], path)
        if quantity is not None and quantity != card.quantity:
            raise InputError(
                f"{path} gives {card.quantity} by its model card, not {quantity}: leave quantity out"
            )
    else:
        arrays = _public_names(arrays)
        card = public_card(*_recognise(arrays, path), quantity)
    # torch.device("meta"): shapes are compared before memory is taken
    with torch.device("meta"):
        net = _construct(card, path)
    state = _match(arrays, net, path)
    net.load_state_dict(state, assign=True)
    net.requires_grad_(True).eval()
    net.card = card
    return net


def save(net: LayeredNet, path: str | Path, card: ModelCard, *, half: bool = True) -> None:
    """Write a network with its card as safetensors, atomically.

    half: store kernels in half precision (relative rounding 5e-4); biases and normalisations stay float32.
    Raises `InputError` where the card describes another network, or a weight is not finite or too large.
    """
    path = Path(path)
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with torch.device("meta"):
        described = _construct(card, path).state_dict()
    if {k: v.shape for k, v in described.items()} != {k: v.shape for k, v in state.items()}:
        raise InputError(f"the model card describes another network ({card.architecture}, {card.arguments})")
    for name, value in state.items():
        if value.is_floating_point():
            stored = value.to(torch.float16 if half and value.ndim > 1 else torch.float32)
            if not bool(torch.isfinite(stored).all()):
                raise InputError(
                    f"{name} is not finite as {stored.dtype}: train again, or save with half=False"
                )
            state[name] = stored
    header = json.dumps({"format_version": FORMAT_VERSION, "card": card.to_dict()})
    _write(path, state, {"zeldo": header})


def import_model(
    path: str | Path,
    out: str | Path | None = None,
    *,
    quantity: str | None = None,
    card: ModelCard | None = None,
) -> LayeredNet:
    """Read any known file and, where `out` is given, write it as zeldo's safetensors in full precision."""
    net = load(path, quantity=quantity)
    read = net.card
    assert read is not None  # every loaded network has one
    if card is not None:
        read = net.card = replace(card, architecture=read.architecture, arguments=read.arguments)
    if out is not None:
        save(net, out, read, half=False)
    return net


def _write(path: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no directory: make it first, or write elsewhere")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        save_file(dict(state), temporary, metadata=metadata)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read_card(header: str, path: str | Path) -> ModelCard:
    try:
        content = json.loads(header)
        version = content["format_version"]
        described = content["card"]
    except (ValueError, KeyError, TypeError):
        raise DamagedFileError(
            f"{path}: the header is no JSON with a model card: fetch the file again"
        ) from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, not {FORMAT_VERSION}: use the zeldo that wrote it"
        )
    try:
        return ModelCard.from_dict(described)
    except (InputError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"{path}: {error}") from None


def _construct(card: ModelCard, path: str | Path) -> LayeredNet:
    try:
        return CLASSES[card.architecture](**card.arguments)
    except TypeError as error:
        raise DamagedFileError(f"{path}: the model card's arguments do not fit ({error})") from None


def _public_names(arrays: Arrays) -> Arrays:
    """Names and axes as in the torch state dicts, from those with `module.` or of the JAX emulator."""
    if arrays and all(name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): value for name, value in arrays.items()}
    if not any(".conv_0." in name for name in arrays):
        return arrays
    renamed: Arrays = {}
    for name, value in arrays.items():
        if name.startswith("up_") and name.endswith(".weight") and value.ndim == 5:
            # there a correlation with the zero-interleaved field: the transposed kernel, mirrored
            value = np.flip(value.swapaxes(0, 1), axis=(2, 3, 4))
        name = name.replace(".conv_0.", ".convs.0.").replace(".conv_1.", ".convs.2.")
        renamed[name.removeprefix("params.")] = value
    return renamed


def _recognise(arrays: Arrays, path: str | Path) -> tuple[str, dict[str, int]]:
    """Architecture and constructor arguments from names and shapes."""
    styled = any(name.endswith("style_weight") for name in arrays)
    first, last = ("conv_l00", "conv_r01") if styled else ("conv_l0", "conv_r0")
    if not any(name.startswith(("conv_", "down_", "up_")) for name in arrays):
        example = next(iter(arrays), "nothing")
        raise InputError(f"{path} holds no network that zeldo knows (it begins with {example!r})")

    def size(name: str, axis: int) -> int:
        if name not in arrays:
            raise InputError(f"{path} misses {name}{nearest(name, arrays)}: no V-Net that zeldo knows")
        shape = arrays[name].shape
        if axis >= len(shape):
            raise InputError(f"{path}: {name} has shape {shape}, which no V-Net has")
        return shape[axis]

    downs = {match[1] for name in arrays if (match := re.match(r"down_l(\d+)\.", name))}
    arguments = {
        "channels": size("conv_c.convs.0.weight", 0),
        "levels": len(downs) + 1,
        "in_channels": size(f"{first}.skip.weight", 1),
        "out_channels": size(f"{last}.skip.weight", 0),
    }
    if styled:
        arguments["styles"] = size("conv_c.skip.style_weight", 1)
    return ("styled vnet" if styled else "vnet"), arguments


def _match(arrays: Arrays, net: LayeredNet, path: str | Path) -> dict[str, torch.Tensor]:
    """The arrays as a state dict of net. Raises `InputError` naming the first key that does not fit."""
    expected = net.state_dict()
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in arrays if name not in expected]
    if missing or extra:
        parts = [
            f"{verb} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
            for verb, names in (("misses", missing), ("has the unknown", extra))
            if names
        ]
        raise InputError(f"{path} {' and '.join(parts)}: it does not fit {type(net).__name__}")
    state: dict[str, Any] = {}
    for name, like in expected.items():
        value = arrays[name]
        if value.shape != tuple(like.shape):
            raise InputError(
                f"{path}: {name} has shape {value.shape}, {type(net).__name__} has {tuple(like.shape)}"
            )
        if value.dtype.kind not in "fiu" or (like.is_floating_point() and not np.isfinite(value).all()):
            raise DamagedFileError(f"{path}: {name} holds values that are not finite numbers")
        kind = np.float32 if like.is_floating_point() else np.int64
        state[name] = torch.from_numpy(np.array(value, dtype=kind, order="C"))
    return state
