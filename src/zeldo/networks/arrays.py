"""Reading named arrays from files of weights, without ever running code from a file."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from zeldo.errors import DamagedFileError, InputError

Arrays = dict[str, np.ndarray]
PICKLE = b"\x80"  # how pickles begin
TRAINING = "zeldo training"  # how the format of zeldo's own checkpoints begins, which hold no model card


def read_arrays(path: str | Path) -> tuple[Arrays, dict[str, str]]:
    """Read all arrays of a safetensors, npz or torch file. Nested dicts are flattened, with dots in the names.

    Parameters
    ----------
    path : path

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict of str to str
        The metadata of a safetensors file; empty for others.

    Raises
    ------
    InputError
        For a missing file, and for one without weights.
    DamagedFileError
        For a file that is broken, or holds anything but arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give a file of weights") from None
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if names and all(name.endswith(".npy") for name in names):
                    return _read_npz(archive, path), {}
                # torch verifies no checksums; where it was set to write none, they are 0
                has_sums = any(entry.CRC for entry in archive.infolist())
                if has_sums and (damaged := archive.testzip()) is not None:
                    raise DamagedFileError(f"{path} is damaged in {damaged}: fetch it again")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DamagedFileError(f"{path} is damaged ({error}): fetch it again") from None
    return _read_torch(path, head), {}


def _read_safetensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            arrays = {name: _to_numpy(file.get_tensor(name), path, name) for name in file.keys()}  # noqa: SIM118
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise DamagedFileError(
            f"{path} is not an intact safetensors file ({error}): fetch it again"
        ) from None


def _to_numpy(value: Any, path: Path, name: str) -> np.ndarray:
    import torch

    if not isinstance(value, torch.Tensor):
        raise DamagedFileError(f"{path}: {name} is a {type(value).__name__}, not a tensor: no state dict")
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise DamagedFileError(
            f"{path}: {name} is sparse, quantised or without data: give plain tensors of floats"
        )
    if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
        value = value.float()  # NumPy has neither bfloat16 nor float8
    return value.detach().cpu().numpy()


# a training state may hold its lowest loss as a NumPy scalar; these types and this constructor run no code
_NUMPY_NUMBERS: list[Any] = [
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32")),
]


def _read_torch(path: Path, head: bytes) -> Arrays:
    import torch

    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = next((line for line in lines if "nsupported" in line), lines[-1])[:200]
        if head[:2] != b"PK" and head[:1] != PICKLE:  # such as a text, of which torch says nothing that helps
            reason = "torch writes no such files"
        raise DamagedFileError(
            f"{path} is not a file of weights alone ({reason}): give a checkpoint of tensors, or safetensors"
        ) from None
    if isinstance(content, Mapping) and str(content.get("format")).startswith(TRAINING):
        raise InputError(f"{path} is a checkpoint of a training: give NAME.safetensors beside it")
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]  # of a training state
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict: give a dict of tensors, alone or as entry 'model'")
    return {str(name): _to_numpy(value, path, str(name)) for name, value in content.items()}


def _read_npz(archive: zipfile.ZipFile, path: Path) -> Arrays:
    arrays: Arrays = {}
    for entry in archive.namelist():
        name = entry.removesuffix(".npy")
        try:
            with archive.open(entry) as file:
                value = _read_npy(file, path, name)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            raise DamagedFileError(f"{path}: {entry} is damaged ({error}): fetch the file again") from None
        if isinstance(value, np.ndarray):
            arrays[name.replace("/", ".")] = value
        else:
            arrays.update(_flatten(value, path))
    return arrays


def _read_npy(file: IO[bytes], path: Path, name: str) -> np.ndarray | Mapping[str, Any]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"npy version {version}")
    if dtype.hasobject:
        if shape != () or dtype != np.dtype(object):
            raise DamagedFileError(f"{path}: {name} holds objects, not numbers: refused")
        try:
            content = _Unpickler(file).load()
        except DamagedFileError as error:
            raise DamagedFileError(f"{path}: {name} {error}") from None
        except Exception as error:  # a pickle can fail in any way
            reason = str(error)[:100] or type(error).__name__
            raise DamagedFileError(f"{path}: the pickle of {name} is damaged ({reason}): refused") from None
        if isinstance(content, np.ndarray) and content.shape == () and content.dtype == object:
            content = content.item()
        if not isinstance(content, Mapping):
            raise DamagedFileError(f"{path}: {name} holds a {type(content).__name__}, not a dict of arrays")
        return content
    count = int(np.prod(shape, dtype=np.int64))
    data = file.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C").copy()


def _flatten(content: Mapping[str, Any], path: Path, prefix: str = "") -> Arrays:
    arrays: Arrays = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            arrays.update(_flatten(value, path, f"{name}."))
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            arrays[name] = value
        else:
            raise DamagedFileError(f"{path}: {name} is a {type(value).__name__}, not an array: refused")
    return arrays


class _Stand:
    """Stands in for a function in a pickle. It has no attributes that a pickle could set."""

    __slots__ = ("_call",)
    _call: Callable[..., np.ndarray]

    def __init__(self, call: Callable[..., np.ndarray]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise DamagedFileError(f"sets the attribute {name} of a function: refused")

    def __call__(self, *args: Any) -> np.ndarray:
        return self._call(*args)


def _empty(subtype: Any, shape: Any, dtype: Any) -> np.ndarray:
    """What numpy's `_reconstruct` does for a plain array."""
    if subtype is not np.ndarray:
        raise DamagedFileError(f"makes an array of type {subtype!r}: refused")
    return np.ndarray(shape, dtype)


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order).copy()


def _from_jax(construct: Any, args: Any, state: Any, _: Any) -> np.ndarray:
    """The numpy array inside a pickled JAX array."""
    if not isinstance(construct, _Stand):
        raise DamagedFileError(f"builds a JAX array by {construct!r}: refused")
    array = construct(*args)
    array.__setstate__(state)
    return array


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the names that NumPy's and JAX's arrays need, and no others."""

    names: Mapping[tuple[str, str], Any] = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _Stand(_empty) for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _Stand(_from_buffer) for core in ("core", "_core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("jax._src.array", "_reconstruct_array"): _Stand(_from_jax),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.names:
            raise DamagedFileError(f"holds the name {module}.{name}, which no array needs: refused")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise DamagedFileError("refers to objects outside the file: refused")
