"""Loading and saving networks: zeldo's safetensors, and the public checkpoints of the V-Net family.

Architectures are recognised by the names and shapes of the arrays, never by the name of the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeldo.errors import DamagedFileError, InputError
from zeldo.files.atomic import resolved, writing
from zeldo.networks.architectures import architecture
from zeldo.networks.arrays import Arrays, read_arrays
from zeldo.networks.card import ModelCard, public_card
from zeldo.networks.vnet import LayeredNet

FORMAT_VERSION = 2  # format 1 named a normalisation, format 2 names a task
PUBLIC = ("vnet", "styled vnet")  # architectures of public checkpoints
PREFIXES = ("module.", "params.")
# sizes that reveal, in a tensor's shape, the argument that sets an axis; none divides another
MARKS = {"channels": 1009, "in_channels": 13, "out_channels": 11, "styles": 7}
LEVELS = range(2, 9)


def load(path: str | Path, *, quantity: str | None = None) -> LayeredNet:
    """Load a network from a file, in evaluation mode and float32. Its `ModelCard` is the attribute `card`.

    It reads zeldo's safetensors, training states and bare state dicts of torch, and npz. No code in the file is run.

    Parameters
    ----------
    path : path
    quantity : str, optional
        For files without a card: "displacement" (assumed by default) or "velocity".

    Returns
    -------
    LayeredNet

    Raises
    ------
    InputError
        For a missing file, and for one with a missing key, an extra key or a wrong shape, which the message names.
    DamagedFileError
        For a broken file.
    """
    arrays, metadata = read_arrays(path)
    spelled: dict[str, str] = {}
    if "zeldo" in metadata:
        card = _read_card(metadata["zeldo"], path)
        if quantity is not None and quantity != card.quantity:
            raise InputError(
                f"{path} gives {card.quantity} by its model card, not {quantity}: give a network of that, or leave "
                f"{quantity} out"
            )
    else:
        arrays, spelled = _public_names(arrays, path)
        card = public_card(*_recognise(arrays, path), quantity)
    # torch.device("meta"): shapes are compared before memory is taken
    with torch.device("meta"):
        net = _construct(card, path)
    state = _match(arrays, net, path, spelled)
    net.load_state_dict(state, assign=True)
    net.requires_grad_(True).eval()
    net.card = card
    return net


def shared(path: Path, *, quantity: str | None = None) -> LayeredNet:
    """As `load`, which reads a file only once as long as it stays the same. Nobody may change this network."""
    if not path.is_file():
        return load(path, quantity=quantity)  # it says what is wrong
    about = path.stat()
    return _shared(path, (about.st_mtime_ns, about.st_size, about.st_ino), quantity)


@lru_cache(maxsize=4)
def _shared(path: Path, version: tuple[int, int, int], quantity: str | None) -> LayeredNet:
    return load(path, quantity=quantity)


def read_card(path: str | Path) -> ModelCard | None:
    """Read the card of a file that zeldo wrote, without its weights.

    Parameters
    ----------
    path : path

    Returns
    -------
    ModelCard or None
        None for any other file.

    Raises
    ------
    DamagedFileError
        For a card that cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return _read_card(metadata["zeldo"], path) if "zeldo" in metadata else None


def save(net: LayeredNet, path: str | Path, card: ModelCard, *, half: bool = True) -> None:
    """Write a network with its card as safetensors. The file appears when it is complete.

    Parameters
    ----------
    net : LayeredNet
    path : path
    card : ModelCard
    half : bool
        Store kernels in half precision (relative rounding 5e-4). Biases, normalisations and buffers stay in float32.

    Raises
    ------
    InputError
        Where the card describes another network, and where a weight is not finite or too large.
    """
    path = Path(path)
    # copies, since the format holds no values that modules share
    state = {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
    kernels = {name for name, value in net.named_parameters(remove_duplicate=False) if value.ndim > 1}
    with torch.device("meta"):
        described = _construct(card, path).state_dict()
    if {k: v.shape for k, v in described.items()} != {k: v.shape for k, v in state.items()}:
        raise InputError(f"the model card describes another network ({card.architecture}, {card.arguments})")
    for name, value in state.items():
        if value.is_floating_point():
            stored = value.to(torch.float16 if half and name in kernels else torch.float32)
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
) -> LayeredNet:
    """Load a network from any known file and, where `out` is given, write it as zeldo's safetensors in full precision.

    Parameters
    ----------
    path : path
        A file that `load` reads.
    out : path, optional
        A name that ends in .safetensors.
    quantity : str, optional
        For files without a card: "displacement" (assumed by default) or "velocity".

    Returns
    -------
    LayeredNet

    Raises
    ------
    InputError
        As `load` does, and where `out` does not end in .safetensors or is the file itself.
    """
    if out is not None and Path(out).suffix.lower() != ".safetensors":
        raise InputError(f"{out} is not allowed as output: give a name that ends in .safetensors")
    if out is not None and resolved(out) == resolved(path):
        raise InputError(
            f"{path} would be written over: give the output another name, as -o OTHER.safetensors"
        )
    net = load(path, quantity=quantity)
    if out is not None:
        save(net, out, net.card, half=False)
    return net


def _write(path: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with writing(path, sum(value.nbytes for value in state.values())) as temporary:
        try:
            save_file(dict(state), temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def _read_card(header: str, path: str | Path) -> ModelCard:
    try:
        content = json.loads(header)
        version = content["format_version"]
        described = content["card"]
    except (ValueError, KeyError, TypeError):
        raise DamagedFileError(
            f"{path}: the header is not JSON with a model card: fetch the file again"
        ) from None
    if version not in range(1, FORMAT_VERSION + 1):
        raise InputError(
            f"{path} has format version {version}, not 1 to {FORMAT_VERSION}: use the zeldo that wrote it"
        )
    try:
        return ModelCard.from_dict(described)
    except InputError as error:
        raise DamagedFileError(f"{path}: {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedFileError(
            f"{path}: the model card has an entry of the wrong kind ({error}): get the file again, or correct the entry"
        ) from None


def _construct(card: ModelCard, path: str | Path) -> LayeredNet:
    try:
        return architecture(card.architecture)(**card.arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        # torch raises RuntimeError for sizes beyond any memory
        reason = str(error).splitlines()[0]
        raise DamagedFileError(f"{path}: the model card's arguments do not fit ({reason})") from None


def _public_names(arrays: Arrays, path: str | Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays with the names and axes of the torch state dicts, and the file's own spelling of every known name.

    Some files have `module.` or `params.` before each name, and the JAX emulator has layer names of its own. A prefix or
    spelling that most names have is required of all. It raises `InputError` with the first name that differs.
    """
    prefix = next(
        (candidate for candidate in PREFIXES if _majority(name.startswith(candidate) for name in arrays)), ""
    )
    emulator = sum(".conv_0." in name for name in arrays) > sum(".convs.0." in name for name in arrays)
    renamed: Arrays = {}
    spelled: dict[str, str] = {}
    for name, value in arrays.items():
        public = name.removeprefix(prefix)
        if not name.startswith(prefix) or (emulator and ".convs." in name):
            raise InputError(
                f"{path} has the unknown {name} among names such as {next(n for n in arrays if n != name)}"
            )
        if emulator:
            if public.startswith("up_") and public.endswith(".weight") and value.ndim == 5:
                # it is a correlation with the zero-interleaved field, so the transposed kernel is mirrored
                value = np.flip(value.swapaxes(0, 1), axis=(2, 3, 4))
            public = public.replace(".conv_0.", ".convs.0.").replace(".conv_1.", ".convs.2.")
        renamed[public] = value
        spelled[public] = name
    for name in (name for shapes in _all_shapes().values() for name in shapes if name not in spelled):
        theirs = name.replace(".convs.0.", ".conv_0.").replace(".convs.2.", ".conv_1.") if emulator else name
        spelled[name] = prefix + theirs
    return renamed, spelled


def _majority(of: Iterable[bool]) -> bool:
    values = list(of)
    return 2 * sum(values) > len(values)


@lru_cache(maxsize=1)
def _all_shapes() -> dict[tuple[str, int], dict[str, tuple[int, ...]]]:
    """Names and shapes of all known networks, by architecture and levels, with the sizes of `MARKS`."""
    shapes = {}
    with torch.device("meta"):
        for name in PUBLIC:
            marks = {k: v for k, v in MARKS.items() if k != "styles" or name == "styled vnet"}
            for levels in LEVELS:
                net = architecture(name)(levels=levels, **marks)
                shapes[name, levels] = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    return shapes


def _recognise(arrays: Arrays, path: str | Path) -> tuple[str, dict[str, int]]:
    """The architecture and arguments that most names and shapes agree with, since single ones may be wrong."""
    known = _all_shapes()
    kind, levels = min(known, key=lambda architecture: len(known[architecture].keys() ^ arrays.keys()))
    shapes = known[kind, levels]
    if not shapes.keys() & arrays.keys():
        example = next(iter(arrays), "nothing")
        raise InputError(f"{path} holds no network that zeldo knows (it begins with {example!r})")
    votes: dict[str, Counter[int]] = {name: Counter() for name in MARKS}
    for name, shape in shapes.items():
        if name in arrays and arrays[name].ndim == len(shape):
            for mark, size in zip(shape, arrays[name].shape, strict=True):
                for argument, value in MARKS.items():
                    if mark % value == 0:  # twice as many channels where an output joins
                        votes[argument][size // (mark // value)] += 1
    arguments = {"levels": levels}
    for name, cast in votes.items():
        if cast:
            arguments[name] = cast.most_common(1)[0][0]
    # only two tensors show in_channels; if they differ, the one equal to out_channels is right, as in published networks
    inputs, out = votes["in_channels"], arguments.get("out_channels", 0)
    if inputs and inputs[out] == max(inputs.values()):
        arguments["in_channels"] = out
    needed = [name for name in MARKS if name != "styles" or kind == "styled vnet"]
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise InputError(f"{path} does not say {missing[0]}: too much of a {kind} is missing")
    return kind, arguments


def _match(
    arrays: Arrays, net: LayeredNet, path: str | Path, spelled: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """The arrays as a state dict of the network. `InputError` with the first key, as spelled in the file, that is wrong."""
    expected = net.state_dict()
    missing = [name for name in expected if name not in arrays]
    extra = [name for name in arrays if name not in expected]
    if missing or extra:
        parts = [
            f"{verb} {_comma_separated([spelled.get(name, name) for name in names])}"
            for verb, names in (("lacks", missing), ("has the unknown", extra))
            if names
        ]
        raise InputError(f"{path} {' and '.join(parts)}: it does not fit {type(net).__name__}")
    state: dict[str, Any] = {}
    for name, like in expected.items():
        value, original = arrays[name], spelled.get(name, name)
        if value.shape != tuple(like.shape):
            raise InputError(
                f"{path}: {original} has shape {value.shape}, {type(net).__name__} has {tuple(like.shape)}"
            )
        kind = np.float32 if like.is_floating_point() else np.int64
        if value.dtype.kind in "fiu":
            with np.errstate(over="ignore"):
                value = np.array(value, dtype=kind, order="C")
        if value.dtype != kind or not np.isfinite(value).all():
            raise DamagedFileError(
                f"{path}: {original} holds values that are not finite numbers in single precision"
            )
        state[name] = torch.from_numpy(value)
    return state


def _comma_separated(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
