"""One redshift of a universe of zarr arrays (`universe_zarr`) as particles, for everything that reads files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from zeldo.cosmology.parameters import Cosmology
from zeldo.files.formats import Format
from zeldo.files.registry import register_format
from zeldo.files.stored import stored
from zeldo.files.universe_zarr import UniverseZarr, is_universe
from zeldo.particles.lattice import SnapshotRows
from zeldo.particles.particles import Source


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
        z = min(universe.redshifts) if redshift is None else redshift
        universe.check_complete(z)
        source = SnapshotRows(stored(universe, z))
        source.name = str(path)
        kept = ", ".join(f"{z:g}" for z in universe.redshifts)
        stored_as = {"format": f"universe in zarr arrays, with z = {kept}"}
        source.header = replace(source.header, stored=stored_as)
        if redshift is None and len(universe.redshifts) > 1:
            note = f"of z = {kept}, the lowest: --redshift chooses another"
            source.header = replace(source.header, notes=(note,))
        yield source
