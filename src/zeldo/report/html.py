"""The report as one HTML page that needs nothing else: numbers, pictures, and how they were made."""

from __future__ import annotations

import base64
import io
import os
import platform
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import InputError
from zeldo.files.atomic import make_directory, write_text
from zeldo.measuring.machine import processor, versions
from zeldo.particles.snapshot import DRAWN, Snapshot, drawn
from zeldo.report.files import write_json
from zeldo.report.labels import (
    ACCURACY,
    MIDDLE,
    at_k,
    best,
    by_redshift,
    cost_text,
    fields_of,
    labels,
    settings_text,
    show,
    waves,
)
from zeldo.statistics.comparison import Comparison
from zeldo.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = (None, False, "native", "camb")  # of `DRAWN`, which a page need not say
HEADLINE = ("density", "displacement")  # what the first table shows of accuracy
MANY = 8  # engines in one picture: more cannot be told apart


def write_report(
    comparisons: Sequence[Comparison],
    snapshots: Sequence[Snapshot],
    reference: Snapshot | Sequence[Snapshot],
    directory: str | os.PathLike[str],
    *,
    title: str,
    command: str,
) -> Path:
    """Write `index.html` and `comparison.json` into `directory`, made where absent; returns the page's path.

    comparisons: in the order to show. snapshots: the prediction of each comparison, in the same order (the
    reference among them is passed over); may be empty, then there are no slices. reference: what they are
    compared with, one for each redshift. command: what reproduces the report, shown as it is. Either file
    appears whole or not at all. Raises `InputError` where these do not belong together or nothing can be
    written there, `ZeldoError` where the disk fills up.
    """
    references = [reference] if isinstance(reference, Snapshot) else list(reference)
    predictions = [snapshot for snapshot in snapshots if not any(snapshot is other for other in references)]
    _check(comparisons, predictions, references)
    path = make_directory(directory)
    facts, machine = run_facts(comparisons, references), machine_line()
    sections, shown_k = [], waves(comparisons)
    for redshift, members in by_redshift(comparisons).items():
        group = [comparisons[i] for i in members]
        shown = [predictions[i] for i in members] if predictions else []
        sections.append(_section(group, shown, _at_redshift(references, redshift), shown_k))
    content = template("report.html").render(
        title=title,
        facts=facts,
        sections=sections,
        k_shown=[f"{k:g}" for k in shown_k],
        machine=machine,
        command=command,
        version=__version__,
    )
    page = write_text(path / "index.html", content)
    universe = universe_of(references[0])
    write_json(
        comparisons,
        path / "comparison.json",
        title=title,
        command=command,
        machine=machine,
        universe=universe,
    )
    return page


def _check(
    comparisons: Sequence[Comparison], predictions: Sequence[Snapshot], references: Sequence[Snapshot]
) -> None:
    if not comparisons:
        raise InputError("no comparisons were given: a report needs at least one engine and a reference")
    if predictions and len(predictions) != len(comparisons):
        raise InputError(
            f"{len(predictions)} snapshots for {len(comparisons)} comparisons: give one each, in one order"
        )
    for redshift in by_redshift(comparisons):
        _at_redshift(references, redshift)


def _at_redshift(references: Sequence[Snapshot], redshift: float) -> Snapshot:
    for reference in references:
        if same_redshift(reference.redshift, redshift):
            return reference
    raise InputError(f"no reference was given at z = {redshift:g}: pass its snapshot too")


def universe_of(reference: Snapshot) -> dict[str, Any]:
    """The cosmology, and how the linear field was drawn, as plain values; None where it is not known."""
    return {"cosmology": reference.cosmology.to_dict(), **drawn(reference)}


def run_facts(comparisons: Sequence[Comparison], references: Sequence[Snapshot]) -> list[tuple[str, str]]:
    """What was run, as pairs of name and text."""
    reference, first = references[0], comparisons[0]
    c = reference.cosmology
    cosmology = f"Ω_m = {c.omega_m:g}, Ω_b = {c.omega_b:g}, h = {c.h:g}"
    cosmology += f", n_s = {c.n_s:g}, σ₈ = {c.sigma_8:g}"
    if (c.w0, c.wa) != (-1.0, 0.0):
        cosmology += f", w_0 = {c.w0:g}, w_a = {c.wa:g}"
    return [
        ("cosmology", cosmology),
        ("box", f"{reference.box:g} Mpc/h"),
        ("particles", f"{reference.n}³"),
        ("seed", "of the given field" if reference.seed is None else str(reference.seed)),
        *((name, show(getattr(reference, name))) for name in DRAWN if getattr(reference, name) not in USUAL),
        ("redshift", ", ".join(f"{z:g}" for z in by_redshift(comparisons))),
        ("reference", first.reference),
    ]


def _section(
    group: Sequence[Comparison],
    predictions: Sequence[Snapshot],
    reference: Snapshot,
    shown_k: Sequence[float],
) -> dict[str, Any]:
    """All that the template shows of one redshift."""
    from zeldo.report.pictures import QUANTITIES, cost_figure, memory_figure, spectrum_figure

    names = labels(group)
    fields = fields_of(group)
    # the tables' names: fewer engines would have shorter ones, which in the tables may be those of others
    pictured, named = group[:MANY], names[:MANY]
    middle = shown_k[MIDDLE]
    figures = (cost_figure(pictured, middle, names=named), memory_figure(pictured, named))
    costs = [figure for figure in figures if figure is not None]
    slices = None
    if predictions:
        from zeldo.report.slices import SLAB, slice_figure

        titles = [group[0].reference, *named]
        figure = slice_figure([reference, *predictions[:MANY]], titles, reference=True)
        slices = {"image": png_uri(figure), "thickness": f"{min(SLAB, reference.box):g}"}
    return {
        "redshift": f"{group[0].redshift:g}",
        "reference": group[0].reference,
        "names": names,
        "overview": _overview(group, middle),
        "headline": [(field, f"{middle:g}") for field in HEADLINE],
        "fields": [
            {
                "name": field,
                "transfer": accuracy_rows(group, names, field, "transfer", shown_k),
                "decorrelation": accuracy_rows(group, names, field, "one_minus_r2", shown_k),
                "images": [
                    svg_uri(spectrum_figure(pictured, field, quantity, named)) for quantity in QUANTITIES
                ],
                "expected": any(comparison.expected_error for comparison in pictured),
                "absent": [
                    n for n, comparison in zip(names, group, strict=True) if field not in comparison.fields
                ],
            }
            for field in fields
        ],
        "costs": [svg_uri(figure) for figure in costs],
        "timed": figures[0] is not None,
        "slices": slices,
        "left_out": names[MANY:],
    }


def _column(
    values: Sequence[float | None], write: Callable[[Any], str], target: float = 0.0
) -> list[dict[str, Any]]:
    texts = [write(value) for value in values]
    marks = best(values, texts, target)
    return [{"text": text.replace("-", "−"), "best": mark} for text, mark in zip(texts, marks, strict=True)]


def accuracy_rows(
    group: Sequence[Comparison], names: Sequence[str], field: str, quantity: str, shown_k: Sequence[float]
) -> list[dict[str, Any]]:
    """Rows of a table: T ("transfer") or 1 - r^2 ("one_minus_r2") of a field at some k, the best ones marked."""
    columns = [
        _column([at_k(comparison, field, quantity, k) for comparison in group], *ACCURACY[quantity])
        for k in shown_k
    ]
    return [
        {"name": name, "cells": cells} for name, cells in zip(names, zip(*columns, strict=True), strict=True)
    ]


def _overview(group: Sequence[Comparison], k: float) -> list[dict[str, Any]]:
    columns = [
        _column([comparison.wall_seconds for comparison in group], cost_text),
        _column([comparison.peak_memory for comparison in group], cost_text),
    ]
    for field in HEADLINE:
        values = [at_k(comparison, field, "one_minus_r2", k) for comparison in group]
        columns.append(_column(values, *ACCURACY["one_minus_r2"]))
    settings = [settings_text(comparison.settings) for comparison in group]
    return [
        {"name": comparison.engine, "settings": text, "cells": cells}
        for comparison, text, cells in zip(group, settings, zip(*columns, strict=True), strict=True)
    ]


def machine_line() -> str:
    """Processor, system and the versions that decide a run's speed and bits, in one line."""
    parts = [f"zeldo {__version__}", f"{processor()}, {os.cpu_count()} cores", platform.system()]
    parts.append(f"Python {platform.python_version()}")
    parts += [f"{package} {number}" for package, number in versions(("numpy", "numba", "torch")).items()]
    return " · ".join([*parts, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")])


def png_uri(figure: Figure) -> str:
    """The figure as a PNG that stands in the page itself."""
    return _data_uri(figure, "png", "image/png", dpi=130)


def svg_uri(figure: Figure) -> str:
    """The figure as an SVG that stands in the page itself."""
    # no metadata: the time of day would make two equal reports differ
    return _data_uri(figure, "svg", "image/svg+xml", metadata={"Date": None, "Creator": None})


def _data_uri(figure: Figure, kind: str, mime: str, **options: Any) -> str:
    from zeldo.report.pictures import style

    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, **options)
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def template(name: str, *folders: Path) -> Any:
    """A jinja2 template of the report, or of another folder; all may include the report's `head.html`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["symbols"] = _symbols
    return environment.get_template(name)


def _symbols(text: str) -> Any:
    """`"n_s = 1"` with the letter below the line; everything else escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"_(\w)", r"<sub>\1</sub>", str(escape(text))))
