"""Initial conditions and snapshots of MP-GenIC, MP-Gadget and FastPM, which are bigfiles.

UsePeculiarVelocity says what velocities are: 1 for peculiar; 0 for v / sqrt(a) in initial conditions and a v in snapshots,
where RSDFactor tells which of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import AGAIN, DamagedFileError
from zeldo.files.asked import Asked, AskingFormat
from zeldo.files.bigfile import Block, block, block_attributes, is_block
from zeldo.files.bigfile_writing import BLOCKS, OWN, writing_bigfile
from zeldo.files.entries import (
    integer,
    is_own,
    number,
    own_dark_energy,
    own_offset,
    own_origin,
    own_whole,
    positive,
    redshift_of,
)
from zeldo.files.formats import Sink
from zeldo.files.gadget import (
    choose_type,
    gadget_cosmology,
    gadget_parameters,
    others_note,
    table_mass,
)
from zeldo.files.hdf5_set import side_of
from zeldo.files.parted import Scaled
from zeldo.files.registry import register_format
from zeldo.files.units import FileUnits, mass_words, velocity_power
from zeldo.particles.particles import FIELDS, KINDS, Header


@register_format
class BigFile(AskingFormat):
    """A snapshot of MP-Gadget or FastPM: a directory with the blocks Header, 1/Position and so on."""

    name = "bigfile"
    suffixes = (".bigfile",)

    def sniff(self, path: Path) -> bool:
        return is_block(path / "Header") and any(is_block(kind / "Position") for kind in path.glob("[0-9]"))

    def source(self, path: Path, fallback: Cosmology | None, asked: Asked) -> Scaled:
        values = block_attributes(path / "Header")
        for name in ("BoxSize", "TotNumPart", "Time"):
            if name not in values:
                raise DamagedFileError(f"{path} lacks {name} in Header; {AGAIN}")
        counts = [int(count) for count in np.atleast_1d(values["TotNumPart"])]
        if min(counts) < 0:
            raise DamagedFileError(f"{path}: TotNumPart = {counts} is not a list of counts; {AGAIN}")
        kind = choose_type(counts, asked.particle_type, path)
        blocks = {}
        for field, name in BLOCKS.items():
            place = path / str(kind) / name
            if place.is_dir():
                blocks[field] = _checked(block(place), field, counts[kind])
        if "positions" not in blocks:
            raise DamagedFileError(f"{path} lacks {kind}/Position; {AGAIN}")
        own = {name.removeprefix(OWN): value for name, value in values.items() if name.startswith(OWN)}
        parameters = _parameters(values, path) | own_dark_energy(own, path)
        cosmology = gadget_cosmology(own, parameters, values, fallback, path)
        mass = table_mass(values, kind)
        if mass:
            blocks.pop("masses", None)
        a = positive(values, "Time", path)
        box = asked.box or positive({"BoxSize": side_of(values["BoxSize"], path)}, "BoxSize", path)
        notes = [*others_note(counts, kind), *asked.box_note]
        h = parameters.get("h", cosmology.h if cosmology else None)
        units = FileUnits(values, {}, h, a, path)
        in_mass, lengths = units.mass(), units.lengths(asked.length)
        if lengths is None:
            weight = mass or float(blocks["masses"].read(0, 1)[0]) if mass or "masses" in blocks else 0.0
            lengths, note = units.inferred(weight * in_mass, counts[kind], box)
            notes += note
        power, note = _velocity_power(values, asked.velocities, path)
        velocities = units.velocities(power, asked.velocities)
        notes += note if "velocities" in blocks else []
        many = len(blocks["positions"].files)
        header = Header(
            count=counts[kind],
            box=box * lengths[0],
            redshift=redshift_of({"Time": 1 / a - 1}, "Time", path),
            cosmology=cosmology,
            parameters=parameters,
            particle_mass=mass * in_mass if mass else None,
            whole=sum(1 for count in counts if count) == 1 and own_whole(own, path),
            stored={
                "format": "bigfile" + (f", {many} files a block" if many > 1 else ""),
                "lengths": lengths[1],
                "velocities": velocities[1],
                "masses": mass_words(in_mass),
            },
            notes=tuple(notes),
            offset=own_offset(own, path),
            own=is_own(own),
            extra=values,
            **(own_origin(own, path) if own else _origin(values, path)),
        )
        fields = {field: part.dtype for field, part in blocks.items()}
        factors = {"positions": lengths[0], "velocities": velocities[0], "masses": in_mass}
        return _Source(blocks, str(path), header, fields, [counts[kind]], factors)

    def create(
        self, path: Path, header: Header, fields: Mapping[str, np.dtype], *, files: int = 1
    ) -> AbstractContextManager[Sink]:
        return writing_bigfile(path, header, fields, files)

    def check_writable(self, path: Path) -> Path:
        from zeldo.files.atomic import check_directory_writable, holds_only

        # what MP-Gadget and users put beside the blocks that are written here would be lost
        return check_directory_writable(
            path, replaces=lambda place: self.sniff(place) and holds_only(place, ("Header", "1"))
        )


class _Source(Scaled):
    """The blocks of one type; a block is one part, whatever number of files it has."""

    def __init__(self, blocks: Mapping[str, Block], *description: Any) -> None:
        super().__init__(*description)
        self._blocks = blocks

    def stored(self, part: int, field: str, start: int, stop: int) -> np.ndarray:
        return self._blocks[field].read(start, stop)


def _checked(part: Block, field: str, count: int) -> Block:
    width = int(np.prod(FIELDS[field]))
    if part.rows != count or part.width != width or part.dtype.kind not in KINDS[field]:
        raise DamagedFileError(
            f"{part.path}: {part.rows} rows of {part.width} {part.dtype}, where the header counts {count} particles, "
            f"{width} numbers each; {AGAIN}"
        )
    return part


def _parameters(values: Mapping[str, Any], path: Path) -> dict[str, float]:
    """The cosmology, with the dark energy of MP-Gadget."""
    parameters = gadget_parameters(values, path)
    if "omega_m" not in parameters and "OmegaM" in values:
        parameters["omega_m"] = number(values, "OmegaM", path)
    if "OmegaFld" in values and number(values, "OmegaFld", path) > 0:
        parameters |= {
            "w0": number(values, "W0_Fld", path) if "W0_Fld" in values else -1.0,
            "wa": number(values, "WA_Fld", path) if "WA_Fld" in values else 0.0,
        }
    return parameters


def _velocity_power(values: Mapping[str, Any], given: str | None, path: Path) -> tuple[float, list[str]]:
    """The power of a that velocities are multiplied by, and what was assumed."""
    if given is not None:
        return velocity_power(given), []
    if "UsePeculiarVelocity" not in values:
        return 0.0, ["velocities are taken as peculiar: the file has no UsePeculiarVelocity"]
    if integer(values, "UsePeculiarVelocity", path):
        return 0.0, []
    # initial conditions have no RSDFactor; snapshots have a v, by the same flag
    if "RSDFactor" in values:
        return -1.0, ["UsePeculiarVelocity is 0: a snapshot has a v"]
    return 0.5, ["UsePeculiarVelocity is 0: initial conditions have v / sqrt(a)"]


def _origin(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The code that made the file, and how its field was drawn, as far as it says so."""
    if "LibFastPMVersion" in values:
        return {"engine": "FastPM", "version": ""}
    drawn: dict[str, Any] = {"engine": "MP-Gadget" if "RSDFactor" in values else "MP-GenIC"}
    if "Seed" in values:
        drawn["seed"] = integer(values, "Seed", path)
    for name, key in (("fixed", "UnitaryAmplitude"), ("flip", "InvertPhase")):
        if key in values:
            drawn[name] = bool(integer(values, key, path))
    return drawn
