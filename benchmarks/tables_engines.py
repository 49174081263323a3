"""The tables of README.md and docs/."""

from __future__ import annotations

from math import floor, log10

from benchmarks.bench_emulator import DYNAMICS
from benchmarks.record import Rows
from zeldo.statistics import K_SHOWN

FIDUCIAL = {"ics": "fiducial.npz", "n": 128, "z": 0}
EMULATOR = "the default: thirteen steps of `pm` and a small network, nearest to N-body after `p3m` except in halo masses"
FAST = "thousands of mocks: `cola` corrected by a small network"
PEERS = {"l-picola:mesh_factor=1": "L-PICOLA, mesh N", "l-picola:mesh_factor=2": "L-PICOLA, mesh 2N"}


def share(value: float) -> str:
    """1 - r^2 with at least two significant digits."""
    return f"{value:.{max(3, 1 - floor(log10(value)))}f}"


def which_engine(rows: Rows) -> list[list[str]]:
    """A guide to the engines: text by hand, 1 - r^2 from the record."""
    accuracy, vnet, emulator, p3m = (
        rows.where(benchmark=benchmark, **FIDUCIAL) for benchmark in ("accuracy", "vnet", "emulator", "p3m")
    )

    def missed(source: Rows, engine: str) -> str:
        about = {"engine": engine, "field": "density", "reference": "mp-gadget"}
        return " / ".join(share(source.value("one_minus_r2", k=k, **about)) for k in (0.5, 1.0))

    paper = "the network of de Oliveira et al. 2020, trained here for two hours on two cores: today only, no velocities"
    return [
        ["engine", "use it for", "1 − r² of the density at k = 0.5 / 1 h/Mpc"],
        ["`zeldovich`", "teaching, input of networks", missed(accuracy, "zeldovich")],
        ["`2lpt`", "starting other codes, z > 3", missed(accuracy, "2lpt")],
        ["`cola`", "mocks outside the emulator's range", missed(accuracy, "cola")],
        ["`cola:mesh_factor=2`", "halos and velocities of mocks", missed(accuracy, "cola:mesh_factor=2")],
        ["`pm`", "accuracy that improves with the number of steps", missed(accuracy, "pm")],
        ["`emulator`", EMULATOR, f"{missed(emulator, 'emulator')} ([page](docs/emulator.md))"],
        [
            "`emulator` without its network",
            "seeing what the network adds: mostly velocities",
            missed(emulator, DYNAMICS["emulator"]),
        ],
        ["`emulator:fast`", FAST, missed(emulator, "emulator:fast")],
        ["`vnet`", paper, f"{missed(vnet, 'vnet')} ([validation](docs/validation/networks.md))"],
        [
            "`p3m`",
            "the truth at this resolution, in two minutes",
            f"{missed(p3m, 'p3m')} ([validation](docs/validation/p3m.md))",
        ],
        ["a file of weights", "networks of the field: `zeldo models import FILE`", "its model card"],
    ]


def speed_and_accuracy(rows: Rows) -> list[list[str]]:
    """Ten steps of the mesh engines beside L-PICOLA's."""
    header = ["128³ particles, 250 Mpc/h, z = 0, ten steps", "seconds", "T at k = 0.5 / 1"]
    table = [[*header, "1 − r² density, 0.5 / 1", "1 − r² displacement, 0.5 / 1"]]
    for engine, name in {
        "cola": "`cola`",
        "l-picola:mesh_factor=1": PEERS["l-picola:mesh_factor=1"],
        "cola:mesh_factor=2": "`cola:mesh_factor=2`",
        "pm": "`pm` (BullFrog, mesh 2N)",
        "l-picola:mesh_factor=2": PEERS["l-picola:mesh_factor=2"],
    }.items():
        timed = rows.where(benchmark="speed", engine=engine, **FIDUCIAL)
        wall = timed.value("wall_with_output" if engine in PEERS else "wall_median")
        selected = rows.where(benchmark="accuracy", engine=engine, **FIDUCIAL)
        transfer, density, displacement = (
            [selected.value(quantity, field=field, k=k) for k in (0.5, 1.0)]
            for field, quantity in (
                ("density", "T"),
                ("density", "one_minus_r2"),
                ("displacement", "one_minus_r2"),
            )
        )
        table.append(
            [
                name,
                f"{wall:.2f}" if wall < 1 else f"{wall:.1f}",
                " / ".join(f"{x:.3f}" for x in transfer),
                f"{density[0]:.5f} / {density[1]:.4f}",
                f"{displacement[0]:.4f} / {displacement[1]:.3f}",
            ]
        )
    return table


def more(rows: Rows) -> list[list[str]]:
    """What the engines cost beside the seconds of a run."""
    cost = rows.where(benchmark="cost")
    wall, memory = (cost.value(f"{what}_per_particle_spread", engine="cola") for what in ("wall", "memory"))
    command = cost.value("command_wall_median", engine="cola")
    peak = cost.value("command_peak_memory", engine="cola:mesh_factor=2")
    pysco = rows.value("wall_ratio_to_fastest_most", benchmark="pysco")
    nbody = rows.value("wall_to_five_redshifts", benchmark="p3m", engine="p3m")
    emulators = []
    for engine, plain in (("emulator", "pm"), ("emulator:fast", "cola")):
        timed = rows.where(benchmark="emulator", engine=engine, **FIDUCIAL)
        seconds, ratio = timed.value("wall_median"), timed.value(f"wall_over_{plain}_median")
        beside = rows.where(benchmark="emulator", engine=plain, **FIDUCIAL).value("wall_median")
        # the median over pairs: other jobs slow single runs, so it is not the ratio of the two medians
        paired = f"{ratio:.2f} × `{plain}` in the median pair; `{plain}` {beside:.2g} s"
        emulators.append([f"`{engine}`, 128³ particles", f"{seconds:.1f} s; {paired}"])
    return [
        ["measurement", "value"],
        *emulators,
        ["a PM step on a 256³ mesh", f"at most {pysco:.2f} of the time of PySCo's"],
        ["the whole command with files, `cola`", f"{command:.1f} s, mostly the start of Python and CAMB"],
        ["peak memory of that command at mesh factor 2", f"{peak:.2f} GB"],
        [
            "time and memory per particle from 64³ to 256³",
            f"vary by {wall:.0%} and {memory:.0%}".replace("%", " %"),
        ],
        ["`p3m`, 128³ particles and five redshifts", f"{nbody:.0f} s; MP-Gadget 27 minutes to two hours"],
    ]


def vnet(rows: Rows) -> list[list[str]]:
    """The shipped network beside COLA and L-PICOLA."""
    network = rows.where(benchmark="vnet", **FIDUCIAL)
    accuracy = rows.where(benchmark="accuracy", **FIDUCIAL)
    others = {"l-picola:mesh_factor=1": (accuracy, PEERS["l-picola:mesh_factor=1"])}
    more = {"cola:mesh_factor=2": (network, "`cola:mesh_factor=2`"), "zeldovich": (network, "Zel'dovich")}
    table = [["", *[f"k = {k:g}" if i == 0 else f"{k:g}" for i, k in enumerate(K_SHOWN)]]]
    for field in ("density", "displacement"):
        for quantity, title, digits in (("T", "T", 3), ("one_minus_r2", "1 − r²", 4)):
            shown = {"vnet": (network, f"{field} {title}: `vnet`"), **others}
            for engine, (source, name) in (shown | more if quantity != "T" else shown).items():
                values = [source.value(quantity, engine=engine, field=field, k=k) for k in K_SHOWN]
                table.append([name, *[f"{x:.3f}" if x >= 0.1 else f"{x:.{digits}f}" for x in values]])
    return table


TABLES = {
    "which-engine": which_engine,
    "speed-and-accuracy": speed_and_accuracy,
    "more": more,
    "vnet": vnet,
}
