"""A universe as a zarr group (version 3): one array a redshift and vector field, in cubic shards on the lattice.

    universe.zarr/zarr.json     attributes: format, header
    universe.zarr/z0/zarr.json  attributes: redshift, and what an emulator says of its own work
    universe.zarr/z0/psi        (3, n, n, n) float32, Mpc/h, dimensions component, x, y, z
    universe.zarr/z0/vel        the same in km/s
    universe.zarr/.zeldo/       what a killed run goes on from; done.jsonl has a checksum of each tile

A tile of the lattice is one shard, which one writer writes whole. Its chunks are thin along x, so that planes are read
without reading all of the shard, and each has a CRC-32C checksum.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.atomic import not_written, write_text
from zeldo.files.entries import DIGEST, attributes_digest
from zeldo.particles.snapshot import DRAWN, MADE, TOLD, Snapshot
from zeldo.particles.tiles import Tile, cover

if TYPE_CHECKING:
    import zarr

FORMAT = "zeldo universe 1"
LARGEST_TILE, LARGEST_CHUNK = 128, 16  # cells per side of a shard, and planes of a chunk
FIELD_UNITS = {"psi": "Mpc/h", "vel": "km/s"}
STATE = ".zeldo"
KEPT = ("box", "engine", "seed", "settings", "version", *DRAWN, *MADE)
_opening = Lock()


class UniverseZarr:
    """The snapshots of one run at several redshifts, tile by tile.

    Parameters
    ----------
    path : path
        Of the group.

    Raises
    ------
    InputError
        Where it is something else.
    DamagedFileError
        Where its attributes cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not is_universe(self.path):
            raise InputError(
                f"{self.path} is not a universe of zarr arrays: make one by zeldo run -o NAME.zarr"
            )
        attributes = _attributes(self.path)
        self.header: dict[str, Any] = attributes["header"]
        if DIGEST in attributes and attributes[DIGEST] != attributes_digest(
            attributes
        ):  # earlier versions have none
            raise DamagedFileError(f"{self.path}: its description is not the one that was written; {AGAIN}")
        self.n: int = self.header["n"]
        self.side: int = self.header.get("tile") or tile_of(self.n)

    @classmethod
    def create(cls, path: str | os.PathLike[str], header: Mapping[str, Any]) -> UniverseZarr:
        """An empty one. header: n, box, cosmology, redshifts and whatever else JSON can say."""
        path = Path(path)
        (path / STATE).mkdir(parents=True, exist_ok=True)
        attributes: dict[str, Any] = {"format": FORMAT, "header": dict(header)}
        attributes[DIGEST] = attributes_digest(attributes)
        write_text(
            path / "zarr.json",
            json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=1),
        )
        return cls(path)

    @property
    def redshifts(self) -> list[float]:
        """From high to low."""
        return list(self.header["redshifts"])

    @property
    def tiles(self) -> list[Tile]:
        """The shards of an array."""
        return list(cover(self.n, self.side))

    def array(self, redshift: float, field: str, *, create: bool = False) -> zarr.Array[Any]:
        """psi or vel at a redshift, (3, n, n, n)."""
        place = self.path / self._name(redshift) / field
        try:
            return _opened(place)
        except Exception as error:
            if not create:
                raise DamagedFileError(f"{self.path} has no {field} at z = {redshift:g}: {AGAIN}") from error
            if not isinstance(error, OSError):  # a damaged description, whose shards may be whole
                (place / "zarr.json").unlink(missing_ok=True)
        self._create_array(place, self.nearest(redshift))
        return _opened(place)

    def _create_array(self, place: Path, redshift: float) -> None:
        """Make the array of a field, unless another process has just made it."""
        import zarr
        from zarr.codecs import Crc32cCodec
        from zarr.errors import ContainsArrayError, ContainsGroupError

        side = self.side
        thin = largest_divisor(side, LARGEST_CHUNK)
        with suppress(ContainsGroupError):
            zarr.create_group(place.parent, attributes={"redshift": redshift})
        with suppress(ContainsArrayError):
            zarr.create_array(
                place,
                shape=(3, self.n, self.n, self.n),
                dtype="float32",
                chunks=(3, thin, side, side),
                shards=(3, side, side, side),
                compressors=Crc32cCodec(),
                dimension_names=("component", "x", "y", "z"),
                attributes={"units": FIELD_UNITS[place.name]},
            )

    def write_tile(self, redshift: float, field: str, tile: Tile, values: np.ndarray) -> None:
        """Write a shard, an array of three components on the cells of a tile, and note its checksum.

        Raises
        ------
        ZeldoError
            For a full disk.
        """
        try:
            array = self.array(redshift, field, create=True)
            # zarr reads the index of a shard that it replaces, and fails where that is damaged
            self._shard(redshift, field, tile).unlink(missing_ok=True)
            array[:, *tile.inside] = values
            line = json.dumps([self._key(redshift, field, tile), checksum(values)]) + "\n"
            descriptor = os.open(self._done, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise not_written(error, self.path) from error

    def read_tile(self, redshift: float, field: str, tile: Tile) -> np.ndarray:
        """A shard: three components on the cells of a tile, float32."""
        return self._read(redshift, field, (slice(None), *tile.inside))

    def planes(self, redshift: float, field: str, first: int, end: int) -> np.ndarray:
        """Lattice planes first to end, (3, end - first, n, n) float32. `DamagedFileError` where a tile is missing."""
        for tile in self.tiles:  # zarr would fill its place with zeros
            here = tile.origin[0] < end and first < tile.origin[0] + self.side
            if here and not self._shard(redshift, field, tile).exists():
                raise DamagedFileError(
                    f"{self.path} lacks tiles of {field} at z = {redshift:g}: it is unfinished or damaged, run its "
                    "command again or copy it again"
                )
        return self._read(redshift, field, (slice(None), slice(first, end)))

    def _read(self, redshift: float, field: str, where: tuple[slice, ...]) -> np.ndarray:
        try:
            return np.asarray(self.array(redshift, field)[where])
        except DamagedFileError:
            raise
        except Exception as error:
            raise DamagedFileError(
                f"{field} of {self.path} at z = {redshift:g} cannot be read ({error}): run its command again"
            ) from error

    def is_whole(self, redshift: float, field: str, tile: Tile) -> bool:
        """Whether a tile is on disk as it was written."""
        noted = self.done().get(self._key(redshift, field, tile))
        if noted is None:
            return False
        try:
            return checksum(self.read_tile(redshift, field, tile)) == noted
        except DamagedFileError:
            return False

    def done(self) -> dict[str, int]:
        """Checksums of the tiles that were written."""
        try:
            lines = self._done.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        noted: dict[str, int] = {}
        for line in lines:
            try:
                key, value = json.loads(line)
                noted[key] = value
            except (ValueError, TypeError):
                continue  # of a process that was killed while it wrote the line
        return noted

    def complete(self) -> dict[str, list[str]]:
        """The fields of each redshift whose tiles were all written."""
        try:
            return dict(json.loads(self._complete.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def note_complete(self, redshift: float, fields: list[str]) -> None:
        """Note that these fields are written."""
        write_text(self._complete, json.dumps({**self.complete(), f"{self.nearest(redshift):g}": fields}))

    def tidy(self) -> None:
        """Remove the unfinished files of processes that were killed. No process may be writing."""
        for pattern in ("*.partial", ".*.part"):  # zarr's names, and those of `writing`
            for left in self.path.rglob(pattern):
                left.unlink(missing_ok=True)

    def note_told(self, redshift: float, told: Mapping[str, Any]) -> None:
        """Keep what an emulator says of its own work at a redshift whose fields are there, by the names of `TOLD`."""
        import zarr

        said = {name: dict(value) for name, value in told.items() if value is not None}
        if said:
            group = zarr.open_group(self.path / self._name(redshift), mode="r+")
            group.attrs.update(json.loads(json.dumps(said)))

    def check_complete(self, redshift: float) -> None:
        """`InputError` where a run has not finished a redshift, `DamagedFileError` where a field of it is gone.

        A copy without hidden files does not know. Its missing tiles are refused when they are read.
        """
        if not (self.path / STATE).is_dir():
            return
        z = self.nearest(redshift)
        fields = self.complete().get(f"{z:g}")
        if fields is None:
            raise InputError(
                f"{self.path} is not finished at z = {z:g}: run the command that began it again, and it continues"
            )
        for field in fields:
            if not self.has(z, field):
                raise DamagedFileError(f"{self.path} has no {field} at z = {z:g}: {AGAIN}")

    def snapshot(self, redshift: float | None = None) -> Snapshot:
        """The particles at a redshift, by default the lowest, in memory; errors as of `check_complete`."""
        z = min(self.redshifts) if redshift is None else redshift
        self.check_complete(z)
        vel = self.whole(z, "vel") if self.has(z, "vel") else None
        return Snapshot(self.whole(z, "psi"), vel, **self.about(z))

    def about(self, redshift: float) -> dict[str, Any]:
        """What a snapshot records beside its fields."""
        about = {name: self.header[name] for name in KEPT}
        group = self.path / self._name(redshift)
        values = _attributes(group) if (group / "zarr.json").exists() else {}
        return (
            about
            | {name: values[name] for name in TOLD if name in values}
            | {
                "cosmology": Cosmology(**self.header["cosmology"]),
                "redshift": self.nearest(redshift),
            }
        )

    def has(self, redshift: float, field: str) -> bool:
        """Whether a field was written, or begun."""
        return (self.path / self._name(redshift) / field / "zarr.json").exists()

    def whole(self, redshift: float, field: str) -> np.ndarray:
        """A field in memory, (3, n, n, n) float32."""
        return self.planes(redshift, field, 0, self.n)

    def slabs(self, redshift: float, field: str = "psi") -> Iterator[tuple[int, np.ndarray]]:
        """The first plane and the planes (3, planes, n, n) of pieces of the lattice, from the first to the last."""
        thin = self.array(redshift, field).chunks[1]
        for first in range(0, self.n, thin):
            yield first, self.planes(redshift, field, first, min(first + thin, self.n))

    @property
    def _complete(self) -> Path:
        return self.path / STATE / "complete.json"

    @property
    def _done(self) -> Path:
        return self.path / STATE / "done.jsonl"

    def nearest(self, redshift: float) -> float:
        """The redshift of a snapshot that is this one to rounding; else `InputError`."""
        kept = nearest_redshift(self.redshifts, redshift)
        if kept is None:
            there = ", ".join(f"{z:g}" for z in self.redshifts)
            raise InputError(f"{self.path} has no redshift {redshift:g}: choose one of {there}")
        return kept

    def _shard(self, redshift: float, field: str, tile: Tile) -> Path:
        place = "/".join(str(first // self.side) for first in tile.origin)
        return self.path / self._name(redshift) / field / "c" / "0" / place

    def _name(self, redshift: float) -> str:
        return f"z{self.nearest(redshift):g}"

    def _key(self, redshift: float, field: str, tile: Tile) -> str:
        return f"{self._name(redshift)}/{field}/{'.'.join(map(str, tile.origin))}"


def _opened(place: Path) -> zarr.Array[Any]:
    """An array that writes chunks of zeros too: a missing one is damage."""
    import zarr

    # other threads set and reset it too
    with _opening, zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(place, mode="r+")


def is_universe(path: Path) -> bool:
    """Whether a directory is a universe of zarr arrays."""
    try:
        return _attributes(path).get("format") == FORMAT
    except DamagedFileError:
        return False


def tile_of(n: int) -> int:
    """Cells per side of the tiles of an n^3 lattice: the largest divisor of n that is not above 128.

    Where that is so small that tiles would be counted in millions, the next divisor.
    """
    side = largest_divisor(n, LARGEST_TILE)
    if n > LARGEST_TILE and side < LARGEST_TILE // 4:
        return next(d for d in range(LARGEST_TILE + 1, n + 1) if n % d == 0)
    return side


def largest_divisor(n: int, most: int) -> int:
    """The largest divisor of n that is not above `most`."""
    return max(d for d in range(1, min(n, most) + 1) if n % d == 0)


def checksum(values: np.ndarray) -> int:
    """CRC-32 of the numbers of an array."""
    return zlib.crc32(np.ascontiguousarray(values, "<f4").data)


def _attributes(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((path / "zarr.json").read_text())["attributes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path} is not a zarr group, or damaged ({error}): {AGAIN}") from None
