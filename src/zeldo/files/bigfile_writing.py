"""Writing particles as bigfile, as MP-Gadget and FastPM read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from zeldo.files.atomic import writing_directory
from zeldo.files.bigfile import write_block
from zeldo.files.entries import origin_attributes
from zeldo.files.formats import Sink
from zeldo.files.gadget import GADGET_NAMES
from zeldo.files.parted import PartedSink, split
from zeldo.files.units import KM, MASS, MPC
from zeldo.particles.particles import FIELDS, Header, known_parameters

BLOCKS = {"positions": "Position", "velocities": "Velocity", "ids": "ID", "masses": "Mass"}
OWN = "zeldo."  # before the names of attributes that MP-Gadget has not


@contextmanager
def writing_bigfile(path: Path, header: Header, fields: Mapping[str, np.dtype], files: int) -> Iterator[Sink]:
    """A sink to a directory of blocks, each in `files` files."""
    # MP-Gadget takes ids of 64 bits alone
    types = {name: np.dtype(np.uint64) if name == "ids" else dtype for name, dtype in fields.items()}
    counts = split(header.count, files)
    with writing_directory(path) as temporary:
        with _Sink(temporary, header, types, counts) as sink:
            yield sink
        write_block(temporary / "Header", np.dtype("i8"), 0, [], _attributes(header))


class _Sink(PartedSink):
    """One data file is open at a time."""

    def __init__(self, path: Path, header: Header, fields: Mapping[str, np.dtype], counts: list[int]) -> None:
        super().__init__(header, fields, counts)
        self._path = path
        self._sums: dict[str, list[int]] = {field: [0] * len(counts) for field in fields}
        self._stream: tuple[str, int, IO[bytes]] | None = None

    def close(self) -> None:
        if self._stream is not None:
            self._stream[2].close()
            self._stream = None

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if error[0] is None:
            for field, dtype in self.fields.items():
                parts = zip(self.counts, self._sums[field], strict=True)
                files = [(f"{part:06X}", rows, total) for part, (rows, total) in enumerate(parts)]
                write_block(self._place(field), dtype, int(np.prod(FIELDS[field])), files, {})

    def _place(self, field: str) -> Path:
        return self._path / "1" / BLOCKS[field]

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        return values.astype(values.dtype.newbyteorder("<"), copy=False)

    def store(self, part: int, field: str, start: int, values: np.ndarray) -> None:
        from zeldo.files.byte_sums import byte_sum

        content = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self._open(field, part).write(content.data)
        self._sums[field][part] = (self._sums[field][part] + byte_sum(content)) % 2**32

    def _open(self, field: str, part: int) -> IO[bytes]:
        if self._stream is None or self._stream[:2] != (field, part):
            self.close()
            if not self._place(field).is_dir():
                self._place(field).mkdir(parents=True)
                for number in range(len(self.counts)):  # empty ones too
                    (self._place(field) / f"{number:06X}").touch()
            self._stream = field, part, open(self._place(field) / f"{part:06X}", "wb")  # noqa: SIM115
        return self._stream[2]


def _attributes(header: Header) -> dict[str, object]:
    counts, masses = np.zeros(6, dtype=np.int64), np.zeros(6)
    counts[1], masses[1] = header.count, header.particle_mass or 0.0
    parameters = known_parameters(header)
    values: dict[str, object] = {
        "BoxSize": header.box,
        "MassTable": masses,
        "TotNumPart": counts,
        "TotNumPartInit": counts,
        "Time": header.scale_factor,
        "Redshift": header.redshift,
        "UsePeculiarVelocity": np.int32(1),
        "UnitLength_in_cm": MPC,
        "UnitMass_in_g": MASS,
        "UnitVelocity_in_cm_per_s": KM,
        "CodeVersion": "zeldo",
    }
    values |= {GADGET_NAMES[name]: value for name, value in parameters.items() if name in GADGET_NAMES}
    if "omega_m" in parameters:
        values["OmegaLambda"] = 1 - parameters["omega_m"]
    if header.cosmology is not None:
        from zeldo.cosmology.background import expansion

        rate = 100 * header.scale_factor * float(expansion(header.cosmology, header.scale_factor))
        values["RSDFactor"] = 1 / rate
    own = {**parameters, **origin_attributes(header), "format": np.int32(1)}
    if header.n is not None:
        own["n"] = header.n
    return values | {OWN + name: value for name, value in own.items()}
