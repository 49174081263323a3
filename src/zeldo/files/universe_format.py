"""One redshift of a universe of zarr arrays (`universe_zarr`) as particles, for everything that reads files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files.formats import Format, Sink
from zeldo.files.registry import register_format
from zeldo.files.universe_zarr import UniverseZarr, is_universe
from zeldo.particles.lattice import SnapshotRows
from zeldo.particles.particles import Header, Source


@register_format
class Universe(Format):
    """A universe that `zeldo run` wrote to a name that ends in .zarr. It is only read."""

    name = "universe"
    suffixes = ()

    def sniff(self, path: Path) -> bool:
        return path.is_dir() and is_universe(path)

    @contextmanager
    def open(
        self, path: Path, cosmology: Cosmology | None = None, redshift: float | None = None
    ) -> Iterator[Source]:
        """The particles at a redshift, by default the lowest."""
        universe = UniverseZarr(path)
        redshifts = universe.redshifts
        source = SnapshotRows(universe.snapshot(None if redshift is None else universe.nearest(redshift)))
        source.name = str(path)
        kept = ", ".join(f"{z:g}" for z in redshifts)
        source.header = replace(source.header, stored={"format": f"universe in zarr arrays, with z = {kept}"})
        yield source

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype]
    ) -> AbstractContextManager[Sink]:
        raise InputError(f"{path} cannot be written as a universe: run into it, or choose another format")
