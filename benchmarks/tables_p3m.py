"""The tables of docs/validation/p3m.md and docs/notes/p3m.md."""

from __future__ import annotations

from math import pi

from benchmarks import bench_p3m, p3m_runs
from benchmarks.bench_resolution import BOX, REDSHIFTS, SHARES, STARTS, N
from benchmarks.p3m_runs import GADGET, spelled
from benchmarks.record import Rows
from zeldo.statistics import K_SHOWN

FINE, AS_FINE = spelled(**p3m_runs.FINE), spelled(**p3m_runs.AS_FINE)
FAR = [(cosmology.omega_m, cosmology.sigma_8) for cosmology in bench_p3m.FAR]
WAVES = [f"k = {k:g}" if i == 0 else f"{k:g}" for i, k in enumerate(K_SHOWN)]
Table = list[list[str]]


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def splits(rows: Rows) -> Table:
    """The force on 2LPT particles by mesh, reach and shape of the split."""
    chosen = {
        "mesh_factor=3,reach=1.915,shape=3": "**3N, 1.915, 3**",
        "mesh_factor=3,reach=1.863,shape=3": "3N, 1.863, 3 (S = 0 there)",
        "mesh_factor=3,reach=2,shape=3": "3N, 2.0, 3",
        "mesh_factor=3,reach=1.72,shape=2": "3N, 1.72, 2",
        "mesh_factor=3,reach=1.5,shape=2": "3N, 1.5, 2",
        "mesh_factor=2,reach=2.393,shape=3": "2N, 2.393, 3",
        "mesh_factor=2,reach=2,shape=2": "2N, 2.0, 2",
        "mesh_factor=4,reach=1.658,shape=2": "4N, 1.658, 2",
    }
    header = ["z = 49: mesh, R, ν", "T at 1/4", "T at 1/2", "T at 3/4", "error at 1/4", "at 1/2", "at 3/4"]
    table = [header]
    for options, name in chosen.items():
        forces = rows.where(benchmark="p3m", engine=f"p3m:{options}", z=49, n=32, field="force")
        waves = [float(f"{share * pi * 32 / 62.5:.6g}") for share in (0.25, 0.5, 0.75)]
        transfer = [f"{forces.value('T', k=k):.5f}" for k in waves]
        table.append([name, *transfer, *[f"{forces.value('error_rms', k=k):.4f}" for k in waves]])
    return table


def steps(rows: Rows) -> Table:
    """Steps and starts against fine steps."""
    chosen = {
        "p3m": "**default**",
        "p3m:mesh_step=0.16,crossing=0.12": "mesh steps twice as long",
        "p3m:mesh_step=0.04,crossing=0.03": "mesh steps half as long",
        "p3m:pair_accuracy=0.12": "η = 0.12",
        "p3m:pair_accuracy=0.04": "η = 0.04",
        "p3m:pair_accuracy=0.02": "η = 0.02",
        "p3m:pair_accuracy=0.005": "η = 0.005",
        "p3m:start_redshift=99": "start at z = 99",
        "p3m:start_redshift=24": "start at z = 24",
    }
    columns = (
        ("T", "density", (0.1, 1.0, 1.5), "density T", 4),
        ("one_minus_r2", "density", (0.5, 1.0), "density 1 − r²", 5),
        ("one_minus_r2", "displacement", (0.5, 1.0), "displacement 1 − r²", 4),
    )
    table = [["", "seconds", *[f"{title}, k = {k:g}" for _, _, ks, title, _ in columns for k in ks]]]
    for engine, name in chosen.items():
        selected = rows.where(benchmark="p3m", engine=engine, n=48, reference=FINE)
        cells = [
            f"{selected.value(quantity, field=field, k=k):.{digits}f}"
            for quantity, field, ks, _, digits in columns
            for k in ks
        ]
        table.append([name, f"{selected.value('cpu_per_thread'):.0f}", *cells])
    return table


def scatter(rows: Rows) -> Table:
    """Means and scatters of eight runs, relative to a single run of the reference."""
    table = [
        [
            "η",
            "density T at k = 1.5",
            "velocity power, k = 0.4 to 0.5",
            "0.6 to 0.7",
            "0.7 to 0.8",
            "0.8 to 0.9",
        ]
    ]
    for accuracy in (0.04, 0.02, 0.01, 0.005):
        default = accuracy == 0.01
        selected = rows.where(
            benchmark="p3m",
            engine="p3m" if default else f"p3m:pair_accuracy={accuracy:g}",
            ics="small.npz",
            reference="mp-gadget",
            z=0,
        )
        cells = [f"{selected.value('T_mean', k=1.5):.4f} ± {selected.value('T_std', k=1.5):.4f}"]
        for k in (0.5, 0.7, 0.8, 0.9):
            mean, deviation = (
                100 * selected.value(f"power_off_in_bin_to_k_{name}", field="velocity", k=k)
                for name in ("mean", "std")
            )
            cells.append(f"{mean:+.1f} ± {deviation:.1f} %")
        table.append([f"**{accuracy:g}**" if default else f"{accuracy:g}", *cells])
    return table


def far(rows: Rows) -> Table:
    """Far cosmologies against fine steps: the default, and fine steps again."""
    header = ["Ω_m, σ₈", "steps", "P(k), k ≤ 1.5", "density 1 − r², k = 0.5", "k = 1"]
    table = [[*header, "velocity power, k ≤ 0.5", "k ≤ 1", "halos"]]
    for omega_m, sigma_8 in FAR:
        ics = f"seed=5,omega_m={omega_m:g},sigma_8={sigma_8:g}"
        for engine, steps_taken in (("p3m", "default"), (AS_FINE, "fine")):
            selected = rows.where(benchmark="p3m-far-128", ics=ics, engine=engine, reference=FINE)
            phases, velocity = selected.where(field="density"), selected.where(field="velocity")
            table.append(
                [
                    f"{omega_m:.1f}, {sigma_8:.1f}" if engine == "p3m" else "",
                    steps_taken,
                    f"{percent(phases.value('power_off_to_k', k=1.5))} %",
                    *[f"{phases.value('one_minus_r2', k=k):.5f}" for k in (0.5, 1.0)],
                    *[f"{percent(velocity.value('power_off_to_k', k=k), 1)} %" for k in (0.5, 1.0)],
                    f"{percent(selected.value('count_off_most', field='halos'), 1)} %",
                ]
            )
    return table


def far_by_gadget_steps(rows: Rows) -> Table:
    """The default between fine steps and MP-Gadget's."""
    titles = (
        "default against fine steps",
        "default against MP-Gadget's steps",
        "fine steps against MP-Gadget's",
    )
    table = [["Ω_m, σ₈", *titles]]
    for omega_m, sigma_8 in FAR:
        ics = f"seed=5,omega_m={omega_m:g},sigma_8={sigma_8:g}"
        about = {"benchmark": "p3m", "ics": ics, "n": 64, "field": "density", "k": 1.5}
        cells = [
            rows.value("power_off_to_k", engine=engine, reference=reference, **about)
            for engine, reference in (("p3m", FINE), ("p3m", GADGET), (FINE, GADGET))
        ]
        table.append([f"{omega_m:.1f}, {sigma_8:.1f}", *[f"{percent(x)} %" for x in cells]])
    return table


def against_gadget(rows: Rows) -> Table:
    """The default against MP-Gadget, for fiducial.npz."""
    table = [["", *WAVES]]
    for z, field, quantity, title, digits in (
        (0, "density", "T", "T", 4),
        (0, "density", "one_minus_r2", "1 − r²", 5),
        (0, "velocity", "T", "T", 4),
        (1, "density", "T", "T", 4),
        (3, "density", "T", "T", 4),
    ):
        selected = rows.where(benchmark="p3m", engine="p3m", ics="fiducial.npz", z=z, field=field)
        values = [selected.value(quantity, k=k) for k in K_SHOWN]
        table.append([f"z = {z} {field} {title}", *[f"{x:.{digits}f}" for x in values]])
    return table


def small_boxes(rows: Rows) -> Table:
    """The default against its bar, and eight runs that differ by chance."""
    table = [["z = 0", "figure", "default", "bar", "least of 8", "most of 8", "runs within", "pairs within"]]
    for ics, title in (("small.npz", "`small.npz`"), ("figure2b_small.npz", "`figure2b_small.npz`")):
        selected = rows.where(benchmark="p3m", engine="p3m", ics=ics, z=0, reference="mp-gadget")
        for field, quantity, k, words in (
            ("density", "power_off_to_k", 1.5, "P(k), k ≤ 1.5"),
            ("density", "one_minus_r2", 0.5, "density 1 − r², k = 0.5"),
            ("density", "one_minus_r2", 1.0, "density 1 − r², k = 1"),
            ("velocity", "power_off_to_k", 0.5, "velocity power, k ≤ 0.5"),
            ("velocity", "power_off_to_k", 1.0, "velocity power, k ≤ 1"),
            ("halos", "count_off_most", None, "halos"),
        ):
            cells = _spread(selected.where(field=field, k=k), quantity)
            table.append([title if words == "P(k), k ≤ 1.5" else "", words, *cells])
    return table


def _spread(rows: Rows, quantity: str) -> list[str]:
    """A figure of the default, its bar, the range of eight runs, and how many of them and of their pairs keep it."""
    (bar,) = rows.where(quantity=quantity).rows
    low, high, within, pairs = (
        rows.value(f"{quantity}_{name}") for name in ("min", "max", "runs_within", "share_of_pairs_within")
    )
    share = quantity != "one_minus_r2"
    value, limit, low_cell, high_cell = (
        f"{percent(x)} %" if share else f"{x:.5f}" for x in (bar.value, bar.limit or 0.0, low, high)
    )
    first = value if bar.met else f"**{value}**"
    return [first, limit, low_cell, high_cell, f"{within:.0f} of 8", f"{100 * pairs:.0f} %"]


def by_gadget_steps(rows: Rows) -> Table:
    """The default with MP-Gadget's steps, for fiducial.npz."""
    table = [["", *WAVES, "P(k), k ≤ 1.5"]]
    for z in (0, 1, 3):
        selected = rows.where(benchmark="p3m", engine=GADGET, ics="fiducial.npz", z=z, field="density")
        off = f"{percent(selected.value('power_off_to_k', k=1.5))} %"
        table.append([f"z = {z} density T", *[f"{selected.value('T', k=k):.4f}" for k in K_SHOWN], off])
    return table


def resolution(rows: Rows) -> Table:
    """P(k) over that of a lattice twice as fine, by redshift and share of the Nyquist wavenumber."""
    return _ratios(rows, {"p3m": ""}, "a lattice twice as fine")


def starts(rows: Rows) -> Table:
    """P(k) from other start redshifts over that from the default."""
    names = {f"p3m:start_redshift={z}": f"start at z = {z}, " for z in STARTS}
    return _ratios(rows, names, "p3m")


def _ratios(rows: Rows, names: dict[str, str], reference: str) -> Table:
    table = [["", *[f"k = {share:g} k_Ny" if i == 0 else f"{share:g}" for i, share in enumerate(SHARES)]]]
    for engine, name in names.items():
        for z in REDSHIFTS:
            selected = rows.where(benchmark="resolution", engine=engine, reference=reference, z=z, n=N)
            ratios = [selected.value("P_ratio", k=float(f"{share * pi * N / BOX:.6g}")) for share in SHARES]
            table.append([f"{name}z = {z:g}", *[f"{x:.3f}" for x in ratios]])
    return table


TABLES = {
    "p3m-splits": splits,
    "p3m-steps": steps,
    "p3m-scatter": scatter,
    "p3m-far": far,
    "p3m-far-gadget-steps": far_by_gadget_steps,
    "p3m-mp-gadget": against_gadget,
    "p3m-small-boxes": small_boxes,
    "p3m-gadget-steps": by_gadget_steps,
    "p3m-resolution": resolution,
    "p3m-starts": starts,
}
