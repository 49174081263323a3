"""Snapshots in Gadget's binary formats 1 and 2, as N-GenIC, 2LPTic, L-PICOLA, Gadget-1 to -4 and others write them.

The files have no units: lengths are in kpc/h or Mpc/h, whichever makes a universe of the particles' mass, and velocities
are peculiar over sqrt(a). Gadget-4 has a header of its own too, without a cosmology.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.asked import Asked, AskingFormat
from zeldo.files.entries import positive, redshift_of
from zeldo.files.formats import Sink
from zeldo.files.gadget import check_time, choose_type, gadget_cosmology, gadget_parameters, others_note
from zeldo.files.gadget_blocks import Layout, byte_order, layout
from zeldo.files.gadget_writing import writing_binary
from zeldo.files.parted import Scaled
from zeldo.files.registry import register_format
from zeldo.files.sets import member, name_of, parts
from zeldo.files.units import (
    length_factor,
    length_from_mass,
    mass_factor,
    mass_words,
    velocity_power,
    velocity_words,
)
from zeldo.particles.particles import FIELDS, Header


@register_format
class GadgetBinary(AskingFormat):
    """Formats 1 and 2 of Gadget, in one file or several, of which format 1 is written."""

    name = "gadget-binary"
    suffixes = (".gadget",)
    needs_velocities = True
    labelled: ClassVar[bool] = False

    def sniff(self, path: Path) -> bool:
        return _version(path) is not None

    def files(self, path: Path) -> int:
        return layout(path).header.num_files

    def source(self, path: Path, fallback: Cosmology | None, asked: Asked) -> Scaled:
        first = member(path)
        if first is None:
            raise InputError(f"{path} does not exist: check the path")
        files = parts(first, layout(first).header.num_files)
        layouts = [layout(file) for file in files]
        return _Source(files, layouts, *_describe(files, layouts, fallback, asked))

    def create(
        self,
        path: Path,
        header: Header,
        fields: Mapping[str, np.dtype],
        *,
        files: int = 1,
        precision: str = "single",
        unit: str = "Mpc/h",
    ) -> AbstractContextManager[Sink]:
        return writing_binary(path, header, fields, files, self.labelled, precision, unit)


@register_format
class GadgetBinary2(GadgetBinary):
    """Format 2, whose blocks have labels."""

    name = "gadget-binary-2"
    suffixes = (".gadget2",)
    narrows = ("gadget-binary",)
    labelled = True

    def sniff(self, path: Path) -> bool:
        return _version(path) == 2


def _version(path: Path) -> int | None:
    """The format, 1 or 2, of a file or a set; None where it is not Gadget's."""
    file = member(path)
    if file is None:
        return None
    with open(file, "rb") as stream:
        known = byte_order(stream.read(8))
    return None if known is None else known[1]


class _Source(Scaled):
    """One file is open at a time."""

    def __init__(
        self,
        files: list[Path],
        layouts: list[Layout],
        header: Header,
        fields: dict[str, np.dtype],
        factors: dict[str, float],
        kind: int,
    ) -> None:
        counts = [part.header.npart[kind] for part in layouts]
        super().__init__(str(name_of(files)), header, fields, counts, factors)
        self._files, self._layouts, self._type = files, layouts, kind
        self._open: tuple[int, IO[bytes]] | None = None

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def stored(self, part: int, field: str, start: int, stop: int) -> np.ndarray:
        if self._open is None or self._open[0] != part:
            self.close()
            self._open = part, open(self._files[part], "rb")  # noqa: SIM115
        place = self._layouts[part]
        block, width = place.blocks[field], int(np.prod(FIELDS[field]))
        before = _rows_before(place, self._type, field)
        stream = self._open[1]
        stream.seek(block.offset + (before + start) * width * block.dtype.itemsize)
        values = np.fromfile(stream, block.dtype, (stop - start) * width)
        if len(values) < (stop - start) * width:
            raise DamagedFileError(f"{self._files[part]} is truncated; {AGAIN}")
        return values.reshape(-1, *FIELDS[field])


def _describe(
    files: list[Path], layouts: list[Layout], fallback: Cosmology | None, asked: Asked
) -> tuple[Header, dict[str, np.dtype], dict[str, float], int]:
    """The header of the set, the fields with their types and factors, and the type of particle."""
    path = name_of(files)
    first = layouts[0].header
    for file, part in zip(files, layouts, strict=True):
        for quantity in ("nall", "mass", "time", "redshift", "box", "num_files", "parameters"):
            if not np.array_equal(_flat(getattr(part.header, quantity)), _flat(getattr(first, quantity))):
                raise DamagedFileError(
                    f"{file}: {quantity} in its header is not that of {files[0].name}; {AGAIN}"
                )
    counts = [sum(here) for here in zip(*(part.header.npart for part in layouts), strict=True)]
    for here, total in zip(counts, first.nall, strict=True):
        # the word of 32 bits alone can be trusted; some codes leave it at zero in a single file
        if here % 2**32 != total % 2**32 and (total or len(files) > 1):
            raise DamagedFileError(
                f"{path}: the header says {total} particles of a type, its {len(files)} files hold {here}; {AGAIN}"
            )
    kind = choose_type(counts, asked.particle_type, path)
    count, notes = counts[kind], [*others_note(counts, kind), *asked.box_note]
    values = {
        "BoxSize": asked.box or first.box,
        "Time": first.time,
        "Redshift": first.redshift,
        **first.parameters,
    }
    known = gadget_parameters(values, path)
    cosmology = gadget_cosmology({}, known, values, fallback, path)
    fields = _fields(files, layouts, kind)
    mass = first.mass[kind]
    if mass:
        fields.pop("masses", None)
    box = positive(values, "BoxSize", path)
    length, velocities = asked.length, asked.velocities
    if length is None:
        heavy = 1 if len(counts) > 1 and counts[1] else kind  # of other species there may be little
        weight = first.mass[heavy] or _first_mass(files, layouts, heavy)
        length, note = length_from_mass(weight, counts[heavy], box, path)
        notes.append(note)
    h = known.get("h", cosmology.h if cosmology else None)
    factor = length_factor(length, h, path)
    alone = len([n for n in counts if n]) == 1
    weight = mass or _first_mass(files, layouts, kind) if alone and asked.length else 0.0
    omega_m = known.get("omega_m", cosmology.omega_m if cosmology else None)
    in_mass, assumed = mass_factor(asked.length, weight, count, box * factor, omega_m, h)
    notes += assumed
    if velocities is None:
        velocities = "gadget"
        if "velocities" in fields:
            notes.append(
                "velocities are taken as peculiar / sqrt(a), the convention of this format, which has no entry for it"
            )
    redshift = redshift_of(values, "Redshift", path)
    a = check_time(values, redshift, path)
    version, order = layouts[0].format, {"<": "little", ">": "big"}[layouts[0].order]
    own = f", {len(files)} files" if len(files) > 1 else ""
    header = Header(
        count=count,
        box=box * factor,
        redshift=redshift,
        cosmology=cosmology,
        parameters=known,
        particle_mass=None if "masses" in fields else mass * in_mass or None,
        engine="gadget",
        whole=alone and not first.part,
        stored={
            "format": f"Gadget binary format {version}, {order}-endian{own}"
            + (", Gadget-4's own header" if first.gadget4 else ""),
            "lengths": length,
            "velocities": velocity_words(velocity_power(velocities)),
            "masses": mass_words(in_mass),
        },
        notes=tuple(notes),
        extra=values,
    )
    factors = {"positions": factor, "velocities": a ** velocity_power(velocities), "masses": in_mass}
    return header, fields, factors, kind


def _flat(value: object) -> np.ndarray:
    return np.asarray(list(value.values()) if isinstance(value, dict) else value)


def _fields(files: list[Path], layouts: list[Layout], kind: int) -> dict[str, np.dtype]:
    """The fields that every file with particles of the type has. `DamagedFileError` where files differ."""
    fields: dict[str, np.dtype] | None = None
    for file, part in zip(files, layouts, strict=True):
        if not part.header.npart[kind]:
            continue
        here = {field: block.dtype for field, block in part.blocks.items()}
        if part.header.mass[kind]:
            here.pop("masses", None)
        if fields is not None and here != fields:
            raise DamagedFileError(f"{file}: its blocks are not those of {files[0].name}; {AGAIN}")
        fields = here
    return fields or {}


def _rows_before(part: Layout, kind: int, field: str) -> int:
    """How many rows of other types precede those of a type in a block."""
    types = zip(part.header.npart[:kind], part.header.mass[:kind], strict=True)
    return sum(count for count, mass in types if field != "masses" or mass == 0)


def _first_mass(files: list[Path], layouts: list[Layout], kind: int) -> float:
    """The mass of the first particle of a type, 0 where there is none."""
    for file, part in zip(files, layouts, strict=True):
        if part.header.npart[kind] and "masses" in part.blocks:
            block = part.blocks["masses"]
            with open(file, "rb") as stream:
                stream.seek(block.offset + _rows_before(part, kind, "masses") * block.dtype.itemsize)
                return float(np.fromfile(stream, block.dtype, 1)[0])
    return 0.0
