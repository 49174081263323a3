"""The tables of docs/scale.md: many universes, volumes in pieces, and what they cost."""

from __future__ import annotations

from benchmarks.record import Rows

STAGES = {
    "fields": "displacements, transposed through the disk",
    "fields in memory": "displacements, transposed between workers",
    "pieces": "pieces and their buffer",
}
RUNS = (("cola", 512, "8GB"), ("cola", 512, "3GB"), ("emulator", 512, "8GB"), ("cola", 1024, "20GB"))
LARGE = 4096


def large(rows: Rows) -> list[list[str]]:
    """Memory and time of single large universes."""
    table = [["", "particles", "`--memory`", "peak, GB", "minutes"]]
    for engine, n, memory in RUNS:
        made = rows.where(benchmark="scale", engine=engine, n=n, ics=f"seed=7 memory={memory}")
        peak, wall = made.value("command_peak_memory"), made.value("command_wall")
        table.append([f"`{engine}`", f"{n}³", memory, f"{peak:.1f}", f"{wall / 60:.1f}"])
    return table


def _sizes(rows: Rows) -> list[int]:
    made = rows.where(benchmark="scale", engine="cola in pieces", quantity="one_minus_r2_to_k")
    return sorted({row.n for row in made.rows if row.n})


def pieces(rows: Rows) -> list[list[str]]:
    """How far pieces are from the whole."""
    sizes = _sizes(rows)
    table = [["k, h/Mpc", *(cell for n in sizes for cell in (f"1 − r², {n}³", f"T, {n}³"))]]
    for k in (0.1, 0.2, 0.3, 0.5, 1.0):
        line = [f"{k:g}"]
        for n in sizes:
            about = {
                "benchmark": "scale",
                "engine": "cola in pieces",
                "n": n,
                "k": k,
                "reference": "cola",
                "field": "density",
            }
            line += [
                f"{rows.value('one_minus_r2', **about):.2g}",
                f"{rows.value('T', **about):.4f}",
            ]
        table.append(line)
    return table


def piece_costs(rows: Rows) -> list[list[str]]:
    """Time and memory of a volume in pieces, and of the whole."""
    table = [["", "seconds", "core-seconds", "peak of a process, GB"]]
    for n in _sizes(rows):
        made = rows.where(benchmark="scale", engine="cola in pieces", n=n, reference="cola")
        seconds = [made.value(name) for name in ("command_wall", "command_cpu", "command_peak_memory")]
        table.append([f"{n}³ in pieces", f"{seconds[0]:.0f}", f"{seconds[1]:.0f}", f"{seconds[2]:.2f}"])
        whole = rows.where(benchmark="scale", engine="cola", n=n, field="whole")
        seconds = [whole.value(name) for name in ("command_wall", "command_cpu", "command_peak_memory")]
        table.append([f"{n}³ whole", f"{seconds[0]:.0f}", f"{seconds[1]:.0f}", f"{seconds[2]:.2f}"])
    return table


def volume_costs(rows: Rows) -> list[list[str]]:
    """What each particle costs on a cluster, and what 4096^3 of them would."""
    count = float(LARGE) ** 3
    n = max(row.n or 0 for row in rows.where(benchmark="scale", ics="workers=4").rows)
    table = [
        [
            "stage",
            "core-µs",
            "bytes written",
            "read",
            "sent between workers",
            "on disk after it",
            f"{LARGE}³: core-hours",
            "TB written and read",
            "TB sent",
        ]
    ]
    for stage, name in STAGES.items():
        made = rows.where(benchmark="scale", engine="cola in pieces", field=stage, ics="workers=4", n=n)
        cpu, written, read, sent, disk = (
            made.value(f"{quantity}_per_particle") for quantity in ("cpu", "written", "read", "sent", "disk")
        )
        through = (written + read) * count / 1e12
        table.append(
            [
                name,
                f"{cpu:.2f}",
                *(f"{value:.0f}" for value in (written, read, sent, disk)),
                f"{cpu * count / 3.6e9:.0f}",
                f"{through:.1f}",
                f"{sent * count / 1e12:.1f}",
            ]
        )
    return table


TABLES = {"large": large, "pieces": pieces, "piece costs": piece_costs, "volume costs": volume_costs}
