"""The tables of README.md and docs/."""

from __future__ import annotations

from benchmarks.record import Rows, label
from zeldo.statistics import K_SHOWN

FIDUCIAL = {"ics": "fiducial.npz", "n": 128, "z": 0}
EMULATOR = "the default: `pm` with a small network behind it, nearest to N-body after `p3m`, except for masses of halos"
FAST = "thousands of mocks: `cola` with a small network behind it"
EMULATORS = ("emulator", "emulator:fast", "pm:sharpening=2", "cola:sharpening=1.5")  # and their dynamics
PEERS = {"l-picola:mesh_factor=1": "L-PICOLA, mesh N", "l-picola:mesh_factor=2": "L-PICOLA, mesh 2N"}


def share(value: float) -> str:
    """1 - r^2 with at least two significant digits."""
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def which_engine(rows: Rows) -> list[list[str]]:
    """A guide to the engines: text by hand, 1 - r^2 from the record."""
    accuracy, vnet, emulator = (
        rows.where(benchmark=benchmark, **FIDUCIAL) for benchmark in ("accuracy", "vnet", "emulator")
    )

    def missed(source: Rows, engine: str) -> str:
        about = {"engine": engine, "field": "density", "reference": "mp-gadget"}
        return " / ".join(share(source.value("one_minus_r2", k=k, **about)) for k in (0.5, 1.0))

    paper = "the network of de Oliveira et al. 2020, trained here for two hours on two cores: today only, no velocities"
    return [
        ["engine", "take it for", "1 − r² of the density at k = 0.5 / 1 h/Mpc"],
        ["`zeldovich`", "teaching, input of networks", missed(accuracy, "zeldovich")],
        ["`2lpt`", "starting other codes, z > 3", missed(accuracy, "2lpt")],
        ["`cola`", "mocks outside the emulator's range", missed(accuracy, "cola")],
        ["`cola:mesh_factor=2`", "halos and velocities of mocks", missed(accuracy, "cola:mesh_factor=2")],
        ["`pm`", "the same without 2LPT; converges with steps", missed(accuracy, "pm")],
        ["`emulator`", EMULATOR, f"{missed(emulator, 'emulator')} ([page](docs/emulator.md))"],
        ["`emulator:fast`", FAST, missed(emulator, "emulator:fast")],
        ["`vnet`", paper, f"{missed(vnet, 'vnet')} ([validation](docs/validation/networks.md))"],
        ["`p3m`", "the truth at this resolution, in two minutes", "[validation](docs/validation/p3m.md)"],
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
    return [
        ["more", "figure"],
        ["a PM step on a 256³ mesh", f"at most {pysco:.2f} of the time of PySCo's"],
        ["the whole command with files, `cola`", f"{command:.1f} s, most of it Python and CAMB starting"],
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


def emulator(rows: Rows) -> list[list[str]]:
    """The emulator beside its dynamics and L-PICOLA, at z = 0 and 1."""
    shown = rows.where(benchmark="emulator", ics="fiducial.npz", reference="mp-gadget")
    peers = rows.where(benchmark="accuracy", **FIDUCIAL)
    table = [["", *[f"k = {k:g}" if i == 0 else f"{k:g}" for i, k in enumerate(K_SHOWN)]]]
    for z in (0, 1):
        for field in ("density", "displacement", "velocity"):
            for quantity, title, digits in (("T", "T", 3), ("one_minus_r2", "1 − r²", 5)):
                for engine in (*EMULATORS, *(PEERS if z == 0 else ())):
                    source = peers if engine in PEERS else shown.where(z=z)
                    values = [source.value(quantity, engine=engine, field=field, k=k) for k in K_SHOWN]
                    name = PEERS.get(engine, f"`{engine}`")
                    begin = f"z = {z}, {field} {title}: " if engine == "emulator" else ""
                    cells = [f"{x:.3f}" if x >= 0.1 else f"{x:.{digits}f}" for x in values]
                    table.append([begin + name, *cells])
    return table


def emulator_structures(rows: Rows) -> list[list[str]]:
    """Redshift space, bispectra and halos of the presets and their dynamics, over the true ones minus 1."""
    shown = rows.where(benchmark="emulator", ics="fiducial.npz", quantity="off")
    fields = list(dict.fromkeys(row.field for row in shown.rows))
    table = [["", *[f"`{engine}`" for engine in EMULATORS]]]
    for field in fields:
        values = [shown.value("off", engine=engine, field=field) for engine in EMULATORS]
        table.append([field, *[f"{100 * value:+.1f} %" for value in values]])
    return table


def emulator_held_out(rows: Rows) -> list[list[str]]:
    """Errors in other cosmologies: dynamics, preset, and what its card expects."""
    shown = rows.where(benchmark="emulator", quantity="error")
    others = rows.where(benchmark="emulator")
    ks = list(dict.fromkeys(row.k for row in shown.rows))
    table = [["", *[f"k = {k:g} Nyquist" if i == 0 else f"{k:g}" for i, k in enumerate(ks)]]]
    for key in dict.fromkeys((row.engine, row.z, row.field, row.reference) for row in shown.rows):
        about = dict(zip(("engine", "z", "field", "reference"), key, strict=True))
        cells = []
        for k in ks:
            own, made, told = (
                others.value(q, k=k, **about) for q in ("error_of_dynamics", "error", "expected_error")
            )
            cells.append(f"{own:.2g} → {made:.2g} ({told:.2g})")
        label = about["field"].replace("one_minus_r2", "1 − r²").replace("power", "P")
        table.append([f"`{about['engine']}`, z = {about['z']:g}, {label}", *cells])
    return table


def emulator_bars(rows: Rows) -> list[list[str]]:
    """Every figure of the presets that has a limit."""
    table = [["", "measured", "at most", ""]]
    for row in rows.where(benchmark="emulator").rows:
        if row.limit is not None and row.ics in ("fiducial.npz", None, ""):
            table.append([label(row), f"{row.value:.3g}", f"{row.limit:g}", "met" if row.met else "missed"])
    return table


TABLES = {
    "which-engine": which_engine,
    "speed-and-accuracy": speed_and_accuracy,
    "more": more,
    "vnet": vnet,
    "emulator": emulator,
    "emulator-structures": emulator_structures,
    "emulator-held-out": emulator_held_out,
    "emulator-bars": emulator_bars,
}
