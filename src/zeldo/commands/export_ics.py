"""zeldo export-ics"""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from zeldo.commands.options import Flag, Named, Redshifts, Whole, print_json
from zeldo.commands.universe import Universe


def export_ics(
    output: Named,
    /,
    *,
    universe: Universe | None = None,
    code: Literal["gadget-4", "mp-gadget", "swift"] = "gadget-4",
    start_redshift: float = 49.0,
    order: Whole = 2,
    redshift: Redshifts = None,
    mesh_factor: float = 2.0,
    softening: float = 1 / 40,
    json: Flag = False,
) -> None:
    """Write initial conditions and parameter files for an N-body code. `zeldo dataset` can use the finished run.

    Parameters
    ----------
    output:
        The directory to create.
    code:
        The code that reads them.
    start_redshift:
        Redshift of the particles.
    order:
        Order of Lagrangian perturbation theory: 1 or 2.
    redshift:
        Redshift of a snapshot that the code will write (0). May be given several times.
    mesh_factor:
        Mesh points of the code's long-range force per particle and dimension.
    softening:
        Plummer-equivalent softening, in lattice spacings.
    json:
        Print what was written as JSON.
    """
    from zeldo import api
    from zeldo.datasets.exporting import export_initial_conditions

    exported = export_initial_conditions(
        api.initial_conditions(**asdict(universe or Universe())),
        output,
        code,
        start_redshift=start_redshift,
        order=order,
        redshift=redshift or [0.0],
        mesh_factor=mesh_factor,
        softening=softening,
    )
    if json:
        print_json({"path": str(exported.path), "files": exported.files, "run": exported.run})
        return
    print(f"{exported.path}: {', '.join(exported.files)}")
    print(f"run it there: {exported.run}")
