"""Arrays in .npy files: positions (N, 3), or displacements (3, n, n, n) on the lattice; the rest comes from options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files.archive import read_npy
from zeldo.files.formats import Format
from zeldo.files.given import Given
from zeldo.files.registry import register_format
from zeldo.particles.particles import ArraySource, Header, Source

MAGIC = b"\x93NUMPY"


@register_format
class Npy(Format):
    """One array. Shapes that are neither positions nor displacements are refused."""

    name = "npy"

    def sniff(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC

    @contextmanager
    def open(
        self,
        path: Path,
        cosmology: Cosmology | None = None,
        *,
        box: float | None = None,
        redshift: float | None = None,
        length: str | None = None,
    ) -> Iterator[Source]:
        values = read_npy(path, "r")
        given = Given(path, box, redshift, length, None, cosmology)
        lattice = values.ndim == 4 and values.shape == (3, *(values.shape[1],) * 3)
        if values.ndim == 3 and len(set(values.shape)) == 1:
            raise InputError(
                f"{path} holds a field of shape {values.shape}, no particles: for a linear density, give an .npz file with "
                "delta_lin and box"
            )
        if values.dtype.kind != "f" or not (lattice or (values.ndim == 2 and values.shape[1] == 3)):
            raise InputError(
                f"{path} holds {values.dtype} of shape {values.shape}: give floating-point numbers, positions (N, 3) or "
                "displacements (3, n, n, n)"
            )
        n = values.shape[1] if lattice else None
        count = int(np.prod(values.shape[1:])) if lattice else len(values)
        header, factors = given.header(count, {}, f"npy array {values.shape}", n, moving=False)
        if lattice:
            yield _Displacements(str(path), header, values, factors["positions"])
        else:
            yield ArraySource(str(path), header, {"positions": np.asarray(values) * factors["positions"]})


class _Displacements(Source):
    def __init__(self, name: str, header: Header, psi: np.ndarray, factor: float) -> None:
        super().__init__(name, header, {"positions": np.dtype(np.float64)})
        self._psi, self._factor = psi.reshape(3, -1), factor

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        n = self.header.n
        assert n is not None
        points = np.stack(np.unravel_index(np.arange(start, stop), (n, n, n)), axis=1)
        psi = np.asarray(self._psi[:, start:stop], dtype=np.float64).T * self._factor
        return np.mod(points * (self.header.box / n) + psi, self.header.box)
