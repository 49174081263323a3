"""zeldo reproduce"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeldo.commands.options import Flag, Named, PerSide, Whole, command_line

reproduce = App(name="reproduce", help="Reproduce published results with new runs.")


@reproduce.command
def deoliveira2020(
    *,
    engine: str = "vnet",
    nbody: str = "p3m",
    n: PerSide = None,
    box: float | None = None,
    seeds: Annotated[list[Whole] | None, Parameter(negative="", consume_multiple=True)] = None,
    reference: Named | None = None,
    output: Annotated[Named, Parameter(name=["--output", "-o"])] = Path("deoliveira2020"),
    quick: Flag = False,
    table: bool = True,
    power: str | None = None,
    country: str | None = None,
) -> None:
    """Compare a network, COLA and Zel'dovich with N-body, as in arXiv:2012.00240 (Figures 1 and 2, and Table 1).

    It makes four N-body runs and keeps them in the output directory. At n = 128 each takes minutes.

    Parameters
    ----------
    engine:
        The network: vnet, which ships with zeldo, or a file of weights. Any other engine may take its place.
    nbody:
        The engine that the others are compared with.
    n:
        Particles per side (128, or 32 with --quick).
    box:
        Side of the box in Mpc/h, by default at the paper's lattice spacing of 250/128.
    seeds:
        Seeds of the phases (40001, which no network of this project was trained on). Figure 1 averages over them;
        Figure 2 uses the first.
    reference:
        A directory of reference runs (fiducial.npz and so on), used in place of N-body runs of the same cosmology.
    output:
        The directory for figure1.png, figure2.png, figure2_displacement.png, table1.json, comparison.json, index.html.
    quick:
        Take a small box, for a minute or two. The code is the same, but the accuracy is not the paper's.
    table:
        Whether to measure the times of N-body, COLA and the network.
    power:
        Linear power spectrum: camb (default), eisenstein-hu, or a file with columns k and P.
    country:
        Country as three letters, such as FRA, for the CO2 of its electricity. Energy is measured if codecarbon is
        installed.
    """
    from zeldo.report.progress import Progress
    from zeldo.reproduce.deoliveira2020 import SEEDS
    from zeldo.reproduce.deoliveira2020 import reproduce as run
    from zeldo.reproduce.tables import print_reproduction

    result = run(
        engine=engine,
        nbody=nbody,
        n=n,
        box=box,
        seeds=SEEDS if seeds is None else seeds,
        reference=reference,
        output=output,
        quick=quick,
        table=table,
        power=power,
        country=country,
        command=command_line(),
        watch=Progress,
        say=lambda line: print(line, file=sys.stderr),
    )
    print_reproduction(result)
    print(f"\nfigures and page: {result.page}")
