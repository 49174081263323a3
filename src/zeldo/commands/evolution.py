"""The options of a run beside its universe, which `zeldo run` and `zeldo plan` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from zeldo.commands.options import Flag, Output, Redshifts, Whole
from zeldo.errors import InputError

FILE = Path("zeldo.hdf5")  # where a universe is written by default


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Evolution:
    """How a universe is evolved; see `zeldo.run`."""

    engine: str = "emulator"
    """emulator, emulator:fast, zeldovich, 2lpt, cola, pm, p3m, vnet, or a file of a network's weights. Options of the
    engine follow a colon, as in cola:start_redshift=19. The emulator covers lattice spacings from 1 to 4 Mpc/h and
    redshifts from 3 to 0."""
    steps: Whole | None = None
    """Number of steps; the default depends on the engine."""
    mesh_factor: float | None = None
    """Mesh points per particle and dimension, a whole number except for p3m; the default depends on the engine."""
    extrapolate: Flag = False
    """Allow a network outside the ranges of its model card. The output records it."""
    redshift: Redshifts = None
    """Redshift of the output (0). May be given several times."""
    output: Output = None
    """The file to write (zeldo.hdf5): .hdf5 (Gadget-4), .npz, .bigfile, .gadget or .gadget2. With several redshifts, each
    file name gets _z1 and so on before the suffix. A directory that ends in .zarr holds all redshifts; after a kill, the
    same command continues there. A file of the same name is replaced."""
    memory: str | None = None
    """The most memory that the run may take, such as 8GB. By default, what the machine has free."""


def is_suite(
    seeds: str | None, cosmologies: Path | None, keep: str = "particles", scheduler: str | None = None
) -> bool:
    """Whether many universes are asked for. `InputError` for options that they alone have, where they are not."""
    if seeds is not None or cosmologies is not None:
        return True
    for name, value, usual in (("keep", keep, "particles"), ("scheduler", scheduler, None)):
        if value != usual:
            raise InputError(f"--{name} is for many universes: give --seeds or --cosmologies too")
    return False
