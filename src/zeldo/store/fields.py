"""Fields in zarr arrays, rounded to steps, and the small files beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    import zarr

LARGEST = np.iinfo(np.int16).max
MOST_BYTES = 1 << 30  # of a chunk; Blosc takes less than 2 GiB


def put(group: zarr.Group, name: str, field: np.ndarray, step: float) -> None:
    """A field, rounded to steps where step is not 0; one chunk a component, or several planes of one where it is large."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    largest = float(np.abs(field).max())
    if not np.isfinite(largest) or (step and largest > LARGEST * step):
        raise InputError(
            f"{name} reaches {largest:g}: steps of {step:g} hold up to {LARGEST * step:g}; check the run, or "
            "choose larger steps"
        )
    data = np.rint(field / np.float32(step)).astype(np.int16) if step else np.asarray(field, np.float32)
    *component, side = data.shape[:-2]
    planes = min(side, max(1, MOST_BYTES // (data.itemsize * side**2)))
    group.create_array(
        name,
        data=data,
        chunks=(*(1 for _ in component), planes, side, side),
        # bytes of one significance together: 6 % smaller here than bits together, and fast enough
        compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()],
        attributes={"step": step},
        config={"write_empty_chunks": True},  # a missing chunk is damage, not zeros
    )


def get(group: zarr.Group, name: str) -> np.ndarray:
    try:
        array = group[name]
        if array.nchunks_initialized < array.nchunks:  # type: ignore[union-attr]
            raise OSError("chunks are missing")
        data = np.asarray(array[...])  # type: ignore[index]
    except Exception as error:
        raise DamagedFileError(
            f"{group.store}: {name} cannot be read ({error}): remove that run, make it again"
        ) from error
    step = float(array.attrs["step"])  # type: ignore[arg-type]
    return data.astype(np.float32) * np.float32(step) if step else data


def zarr_attributes(directory: Path) -> dict[str, Any]:
    try:
        return json.loads((directory / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedFileError(f"{directory} is damaged ({error}): remove it and make it again") from error


def fingerprint(delta: np.ndarray) -> list[float]:
    """Standard deviation and eight values: enough to know a Gaussian field again."""
    flat = delta.reshape(-1)
    picked = flat[:: max(1, flat.size // 8)][:8]
    return [float(flat.std()), *map(float, picked)]
