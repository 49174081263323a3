"""zeldo reproduce"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from zeldo.commands.universe import Whole

reproduce = App(name="reproduce", help="Published results, by this project's own runs.")


@reproduce.command
def deoliveira2020(
    *,
    engine: str = "vnet",
    nbody: str = "p3m",
    n: Annotated[Whole | None, Parameter(name=["--n", "-n"])] = None,
    box: float | None = None,
    seeds: Annotated[list[Whole] | None, Parameter(negative="", consume_multiple=True)] = None,
    reference: Path | None = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("deoliveira2020"),
    quick: Annotated[bool, Parameter(negative="")] = False,
    table: bool = True,
    power: str | None = None,
    country: str | None = None,
) -> None:
    """The paper's V-Net: a network, COLA and Zel'dovich against N-body (arXiv:2012.00240, Figures 1, 2, Table 1).

    Four N-body runs are made, minutes each at n = 128, and kept in the output directory for the next time.

    Parameters
    ----------
    engine:
        The network: vnet, the one that ships, or a file of weights; any other engine can stand in its place.
    nbody:
        What the others are held against.
    n:
        Particles per side (128, or 32 with --quick).
    box:
        Mpc/h, by default at the paper's lattice spacing, 250/128.
    seeds:
        Of the phases of Figure 1, which averages over them (40001, in no training set of this project); Figure 2
        takes the first.
    reference:
        A directory of reference runs (fiducial.npz and so on), to stand for N-body where one has the cosmology.
    output:
        The directory for figure1.png, figure2.png, figure2_displacement.png, table1.json, comparison.json, index.html.
    quick:
        A small box, in a minute or two: the same code, not the paper's accuracy.
    table:
        Whether to time N-body, COLA and the network one beside the other.
    power:
        Linear power: camb (default), eisenstein-hu, or a file with columns k and P.
    country:
        Three letters such as FRA, for the CO2 of its electricity; energy is measured where codecarbon is installed.
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
        command=" ".join(["zeldo", *sys.argv[1:]]),
        watch=Progress,
        say=lambda line: print(line, file=sys.stderr),
    )
    print_reproduction(result)
    print(f"\nfigures and page: {result.page}")
