"""Engines against N-body by MP-Gadget on the same phases, L-PICOLA's figures beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.inputs import peers, reference_directory, references
from benchmarks.output import heading, options, save, start, table
from zeldo.engines.registry import engine
from zeldo.files.reference import read_reference
from zeldo.statistics import K_SHOWN, Comparison, Reference

FILES = ("fiducial.npz", "small.npz", "figure2b_small.npz")
FIELDS = ("density", "displacement", "velocity")
FIGURES = (("T", "transfer"), ("1 - r^2", "one_minus_r2"))

# label, engine, options, which row of peers.json stands beside it
ENGINES: tuple[tuple[str, str, dict, str | None], ...] = (
    ("zeldovich", "zeldovich", {}, "zeldovich"),
    ("2lpt", "2lpt", {}, "2lpt"),
    ("cola, mesh N", "cola", {"mesh_factor": 1}, "l-picola, mesh N"),
    ("cola, mesh 2N", "cola", {"mesh_factor": 2}, "l-picola, mesh 2N"),
    ("pm bullfrog, mesh 2N", "pm", {"mesh_factor": 2, "stepper": "bullfrog"}, "l-picola, mesh 2N"),
    ("pm fastpm, mesh 2N", "pm", {"mesh_factor": 2, "stepper": "fastpm"}, "l-picola, mesh 2N"),
)
HELD = {"cola, mesh N", "cola, mesh 2N"}  # to be no worse than their peer anywhere
BULLFROG = "pm bullfrog, mesh 2N"
LARGE_SCALES = 0.1  # h/Mpc


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "bench_accuracy")
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args(arguments)
    result = start(f"Accuracy: {given.steps} steps, against MP-Gadget")
    if reference_directory(given.reference) is None:
        print("no directory of references: the shipped 64^3 one alone, without L-PICOLA's figures")
    result["files"] = {}
    others = peers(given.reference)
    files = references(given.reference, FILES[1:2] if given.quick else FILES)
    for name, path in files.items():
        result["files"][name] = _file(name, path, given.steps, others.get(name, {}), result["bars"])
    heading("Bars")
    for one in result["bars"]:
        print(f"  {'met   ' if one['met'] else 'MISSED'}  {one['what']}")
    save(result, given.json)


def _file(name: str, path: object, steps: int, others: dict, bars: list[dict]) -> dict:
    ics, snapshots = read_reference(path)  # type: ignore[arg-type]
    shown = {z: snapshot for z, snapshot in snapshots.items() if snapshot.vel is not None}
    against = {z: Reference(snapshot, name=f"MP-Gadget, {name}") for z, snapshot in shown.items()}
    found: dict[float, dict[str, Comparison]] = {z: {} for z in shown}
    for label, kind, settings, _peer in ENGINES:
        extra = {"steps": steps} if kind in ("cola", "pm") else {}
        for snapshot in engine(kind, **settings, **extra).run(ics, list(shown)):
            found[snapshot.redshift][label] = against[snapshot.redshift].compare(snapshot)
    for z, comparisons in sorted(found.items()):
        heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h, z = {z:g}")
        for field in FIELDS:
            for title, attribute in FIGURES:
                _print(f"{field}, {title}", comparisons, field, attribute, others if z == 0 else {})
        if z == 0:
            bars += _bars(name, comparisons, others)
    return {
        f"z = {z:g}": {
            label: {
                "k": list(K_SHOWN),
                **{
                    field: {
                        key: [at(one, field, attribute, k) for k in K_SHOWN]
                        for key, attribute in (("T", "transfer"), ("one_minus_r2", "one_minus_r2"))
                    }
                    for field in one.fields
                },
            }
            for label, one in comparisons.items()
        }
        for z, comparisons in found.items()
    }


def at(one: Comparison, field: str, attribute: str, k: float) -> float:
    found = one.fields[field]
    return float(getattr(found, attribute)[found.nearest(k)])


def _print(title: str, comparisons: dict[str, Comparison], field: str, attribute: str, others: dict) -> None:
    rows = []
    printed = set()
    for label, _kind, _settings, peer in ENGINES:
        values = [at(comparisons[label], field, attribute, k) for k in K_SHOWN]
        theirs = _peer(others, peer, field, attribute)
        # Zel'dovich and 2LPT are the same models there: they tell whether the two measure alike
        mark = theirs is not None and "l-picola" in str(peer)
        worse = _worse(values, theirs or [], attribute) if mark else [False] * len(values)
        rows.append([f"zeldo {label}", *[_text(v, attribute, w) for v, w in zip(values, worse, strict=True)]])
    for label, other in others.items():
        if "l-picola" in label and label not in printed:
            printed.add(label)
            theirs = other[field][_key(attribute)]
            rows.append(
                [label.replace("l-picola", "L-PICOLA"), *[_text(v, attribute, False) for v in theirs]]
            )
    table([title, *[f"k = {k:g}" for k in K_SHOWN]], rows)
    if others:
        print(f"* worse than L-PICOLA on the same mesh; {_alike(comparisons, others, field, attribute)}\n")


def _alike(comparisons: dict[str, Comparison], others: dict, field: str, attribute: str) -> str:
    """Zel'dovich and 2LPT here and in the table of peers: the same models, measured by two codes."""
    off = [
        abs(at(comparisons[label], field, attribute, k) - theirs)
        for label in ("zeldovich", "2lpt")
        for k, theirs in zip(K_SHOWN, _peer(others, label, field, attribute) or [], strict=False)
    ]
    return f"zeldovich and 2lpt measured by the referee differ by at most {max(off):.1g}" if off else ""


def _peer(others: dict, peer: str | None, field: str, attribute: str) -> list[float] | None:
    return others[peer][field][_key(attribute)] if peer in others else None


def _worse(values: list[float], theirs: list[float], attribute: str) -> list[bool]:
    """Farther from perfect than the peer by more than the six decimals that its figures have."""
    perfect = 1.0 if attribute == "transfer" else 0.0
    return [abs(v - perfect) > abs(t - perfect) + 1e-6 for v, t in zip(values, theirs, strict=True)]


def _bars(name: str, comparisons: dict[str, Comparison], others: dict) -> list[dict]:
    bars = []
    for label, _kind, _settings, peer in ENGINES:
        for field in FIELDS[:2] if label in HELD and peer in others else ():
            values = [at(comparisons[label], field, "one_minus_r2", k) for k in K_SHOWN]
            theirs = _peer(others, peer, field, "one_minus_r2") or []
            worse = _worse(values, theirs, "one_minus_r2")
            ratio = max(v / t for v, t in zip(values, theirs, strict=True))
            where = ", ".join(f"{k:g}" for k, w in zip(K_SHOWN, worse, strict=True) if w)
            text = f"{name}, {label}: 1 - r^2 of {field} over {peer}'s, largest {ratio:.3f}"
            text += f" (worse at k = {where})" if where else ""
            bars.append({"what": text, "value": ratio, "limit": 1.0, "met": not where})
    density = comparisons[BULLFROG].fields["density"]
    for k, limit in ((0.5, 0.0025), (1.0, 0.02)):
        value = at(comparisons[BULLFROG], "density", "one_minus_r2", k)
        text = f"{name}, {BULLFROG}: 1 - r^2 of density at k = {k:g}: {value:.5f} (at most {limit:g})"
        bars.append({"what": text, "value": value, "limit": limit, "met": value <= limit})
    large = density.k <= LARGE_SCALES + np.pi / comparisons[BULLFROG].box
    off = float(np.max(np.abs(density.transfer[large] - 1)))
    text = f"{name}, {BULLFROG}: T of density on large scales (k <= {LARGE_SCALES:g}) off by {off:.5f} (at most 0.005)"
    bars.append({"what": text, "value": off, "limit": 0.005, "met": off <= 0.005})
    return bars


def _key(attribute: str) -> str:
    return "T" if attribute == "transfer" else attribute


def _text(value: float, attribute: str, worse: bool) -> str:
    return (f"{value:.4f}" if attribute == "transfer" else f"{value:.5f}") + ("*" if worse else " ")


if __name__ == "__main__":
    main()
