"""Accuracy of the engines against N-body by MP-Gadget on the same phases, beside L-PICOLA's figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from benchmarks.inputs import PUBLISHED, peers, reference_directory, references
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.engines.parsing import parse_engine
from zeldo.files.reference import read_reference
from zeldo.statistics import K_SHOWN, Comparison, Reference

FILES = ("fiducial.npz", "small.npz", "figure2b_small.npz")
FIELDS = ("density", "displacement", "velocity")
FIGURES = (("T", "transfer"), ("1 - r^2", "one_minus_r2"))

# engine, and the code that it is compared with
ENGINES = {
    "zeldovich": "zeldovich",
    "2lpt": "2lpt",
    "cola": "l-picola:mesh_factor=1",
    "cola:mesh_factor=2": "l-picola:mesh_factor=2",
    "pm": "l-picola:mesh_factor=2",
    "pm:stepper=fastpm": "l-picola:mesh_factor=2",
}
HELD = ("cola", "cola:mesh_factor=2")  # to be no worse than their peer anywhere
LARGE_SCALES = 0.1  # h/Mpc


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "accuracy")
    parser.add_argument("--steps", type=int, default=10)
    parsed = parser.parse_args(arguments)
    record = start(f"Accuracy: {parsed.steps} steps, against MP-Gadget", "accuracy")
    if reference_directory(parsed.reference) is None:
        print("no directory of references: the shipped 64^3 one alone, without L-PICOLA's figures")
    files = references(parsed.reference, FILES[1:2] if parsed.quick else FILES)
    others = peers(parsed.reference)
    for name, path in files.items():
        _file(name, path, parsed.steps, others.get(name, {}), record)
    save(record, parsed)


def _file(name: str, path: object, steps: int, others: dict, record: Record) -> None:
    ics, snapshots = read_reference(path)  # type: ignore[arg-type]
    about = {"ics": name, "reference": "mp-gadget", "n": ics.n, "box": ics.box}
    shown = {z: snapshot for z, snapshot in snapshots.items() if snapshot.vel is not None}
    against = {z: Reference(snapshot, name=f"MP-Gadget, {name}") for z, snapshot in shown.items()}
    comparisons_at: dict[float, dict[str, Comparison]] = {z: {} for z in shown}
    for label in ENGINES:
        for snapshot in parse_engine(label, optional=True, steps=steps).run(ics, list(shown)):
            comparison = comparisons_at[snapshot.redshift][label] = against[snapshot.redshift].compare(
                snapshot
            )
            record.comparison(comparison, K_SHOWN, engine=label, z=snapshot.redshift, **about)
    for label, other in others.items():
        for field, k in product(FIELDS, K_SHOWN) if "l-picola" in label else ():
            for quantity in ("T", "one_minus_r2"):
                value = other[field][quantity][K_SHOWN.index(k)]
                record.add(quantity, value, engine=label, field=field, k=k, z=0, **about | PUBLISHED)
    for z, comparisons in sorted(comparisons_at.items()):
        heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h, z = {z:g}")
        for field in FIELDS:
            for title, attribute in FIGURES:
                _print(f"{field}, {title}", comparisons, field, attribute, others if z == 0 else {})
        if z == 0:
            _bars(comparisons, others, record, about | {"z": z})


def at(comparison: Comparison, field: str, attribute: str, k: float) -> float:
    spectrum = comparison.fields[field]
    return float(getattr(spectrum, attribute)[spectrum.nearest(k)])


def _print(title: str, comparisons: dict[str, Comparison], field: str, attribute: str, others: dict) -> None:
    rows = []
    for label, peer in ENGINES.items():
        values = [at(comparisons[label], field, attribute, k) for k in K_SHOWN]
        theirs = _peer(others, peer, field, attribute)
        # Zel'dovich and 2LPT are the same models there: they show whether the two measure alike
        mark = theirs is not None and "l-picola" in str(peer)
        worse = _worse(values, theirs or [], attribute) if mark else [False] * len(values)
        rows.append([label, *[_text(v, attribute, w) for v, w in zip(values, worse, strict=True)]])
    for label, other in others.items():
        if "l-picola" in label:
            rows.append([label, *[_text(v, attribute, False) for v in other[field][_key(attribute)]]])
    table([title, *[f"k = {k:g}" for k in K_SHOWN]], rows)
    if others:
        print(
            f"* worse than L-PICOLA on the same mesh; {_agreement_of_shared_models(comparisons, others, field, attribute)}\n"
        )


def _agreement_of_shared_models(
    comparisons: dict[str, Comparison], others: dict, field: str, attribute: str
) -> str:
    """How closely zeldo's figures of Zel'dovich and 2LPT match those in the table of peers: the models are the same."""
    off = [
        abs(at(comparisons[label], field, attribute, k) - theirs)
        for label in ("zeldovich", "2lpt")
        for k, theirs in zip(K_SHOWN, _peer(others, label, field, attribute) or [], strict=False)
    ]
    return f"zeldovich and 2lpt measured by the referee differ by at most {max(off):.1g}" if off else ""


def _peer(others: dict, peer: str | None, field: str, attribute: str) -> list[float] | None:
    return others[peer][field][_key(attribute)] if peer in others else None


def _worse(values: list[float], theirs: list[float], attribute: str) -> list[bool]:
    """Whether values are farther from perfect than the peer's, by more than the six decimals of its figures."""
    perfect = 1.0 if attribute == "transfer" else 0.0
    return [abs(v - perfect) > abs(t - perfect) + 1e-6 for v, t in zip(values, theirs, strict=True)]


def _bars(comparisons: dict[str, Comparison], others: dict, record: Record, about: dict) -> None:
    heading("Bars")
    for label, peer in ENGINES.items():
        for field in FIELDS[:2] if label in HELD and peer in others else ():
            values = [at(comparisons[label], field, "one_minus_r2", k) for k in K_SHOWN]
            theirs = _peer(others, peer, field, "one_minus_r2") or []
            worse = _worse(values, theirs, "one_minus_r2")
            ratio = max(v / t for v, t in zip(values, theirs, strict=True))
            met = not any(worse)
            bar(
                record,
                "one_minus_r2_over_l-picola_most",
                ratio,
                1.0,
                met=met,
                engine=label,
                field=field,
                **about,
            )
            where = ", ".join(f"{k:g}" for k, w in zip(K_SHOWN, worse, strict=True) if w)
            if where:
                print(f"          worse at k = {where}")
    density = comparisons["pm"].fields["density"]
    about = about | {"engine": "pm", "field": "density"}
    for k, limit in ((0.5, 0.0025), (1.0, 0.02)):
        bar(record, "one_minus_r2", at(comparisons["pm"], "density", "one_minus_r2", k), limit, k=k, **about)
    large = density.k <= LARGE_SCALES + np.pi / comparisons["pm"].box
    off = float(np.max(np.abs(density.transfer[large] - 1)))
    bar(record, "T_off_to_k", off, 0.005, k=LARGE_SCALES, **about)


def _key(attribute: str) -> str:
    return "T" if attribute == "transfer" else attribute


def _text(value: float, attribute: str, worse: bool) -> str:
    return (f"{value:.4f}" if attribute == "transfer" else f"{value:.5f}") + ("*" if worse else " ")


if __name__ == "__main__":
    main()
