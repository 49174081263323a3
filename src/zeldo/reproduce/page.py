"""The page of a reproduction: figures, tables and how they were made, in one self-contained file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeldo.files.atomic import write_text
from zeldo.report.html import accuracy_rows, machine_line, template
from zeldo.report.labels import labels, waves
from zeldo.reproduce.tables import HEADINGS, conditions, findings, timing_rows, title_of
from zeldo.version import __version__

if TYPE_CHECKING:
    from zeldo.reproduce.result import Panel, Reproduction

TITLE = "Fast and Accurate Non-Linear Predictions of Universes with Deep Learning, by zeldo's own runs"
FIGURE2_FILES = {"density": "figure2.png", "displacement": "figure2_displacement.png"}


def write_page(result: Reproduction, command: str) -> Path:
    """Write the page. The pictures must already be in its directory."""
    table = result.table1
    panels = [result.figure1, *result.figure2]
    shown_k = waves([comparison for panel in panels for comparison in panel.comparisons])
    content = template("deoliveira2020.html", Path(__file__).parent / "templates").render(
        title=TITLE,
        version=__version__,
        network=result.network,
        figure1=_embedded(result.output / "figure1.png"),
        figure2={field: _embedded(result.output / name) for field, name in FIGURE2_FILES.items()},
        panels=[
            _panel(f"Figure {number}", panel, shown_k)
            for number, panel in zip(("1", "2a", "2b", "2c"), panels, strict=True)
        ],
        k_shown=[f"{k:g}" for k in shown_k],
        findings=[(claim, _set(text)) for claim, text in findings(result)],
        headings=HEADINGS,
        timings=timing_rows(table) if table else [],
        conditions=[_set(line) for line in conditions(table)] if table else [],
        command=command,
        machine=machine_line(),
    )
    return write_text(result.page, content)


def _panel(name: str, panel: Panel, shown_k: Sequence[float]) -> dict[str, Any]:
    group = panel.comparisons
    names, first = labels(group), group[0]
    seeds = ", ".join("given field" if seed is None else str(seed) for seed in panel.seeds)
    return {
        "name": name,
        "cosmology": title_of(panel.cosmology),
        "facts": f"{first.n}³ particles in {first.box:g} Mpc/h, phases {seeds}, against {first.reference}",
        "fields": [
            {
                "name": field,
                "transfer": accuracy_rows(group, names, field, "transfer", shown_k),
                "decorrelation": accuracy_rows(group, names, field, "one_minus_r2", shown_k),
            }
            for field in first.fields
        ],
    }


def _set(text: str) -> str:
    """Text with typographic symbols: 128³, k ≤ 1."""
    return text.replace("<=", "≤").replace("^2", "²").replace("^3", "³").replace(" - ", " − ")


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
