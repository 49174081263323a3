"""The report of a reconstruction, in the terminal and as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zeldo.files.atomic import make_directory, write_text
from zeldo.gradients.assess import Agreement, Assessment, assess
from zeldo.gradients.reconstruction import Reconstruction
from zeldo.initial.conditions import InitialConditions
from zeldo.report.html import machine_line, svg_uri, template
from zeldo.report.pictures import COLOURS, HEIGHT, LEGEND, WIDTH, plain_x, style
from zeldo.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

K_SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # h/Mpc

CONVERGED = 1.2  # largest chi^2 for each cell of a search that has come to its end


def summary(result: Reconstruction, truth: InitialConditions | None = None) -> list[str]:
    """The judgement in a few lines of text."""
    found, box = assess(result, truth), result.function.box
    lines = [
        f"white noise, {name}: variance {variance} (1 of white noise), skewness {skewness} sigma, kurtosis {kurtosis} sigma"
        for name, variance, skewness, kurtosis in _whiteness(found, result.samples is not None)
    ]
    chi2 = float(np.mean(found.chi2))
    advice = " (the search has not converged: raise effort)" if chi2 > CONVERGED else ""
    lines.append(f"chi^2 for each cell: {chi2:.3g}{advice}")
    if found.effective is not None and found.effective_large is not None:
        lines.append(
            f"independent samples: {found.effective_large:.1f} on large scales, {found.effective:.1f} at lattice points"
        )
    for name, agreement in _against(found, result).items():
        for k in K_SHOWN:
            if np.pi / box <= k <= agreement.k[-1]:
                r, t = agreement.at(k)
                lines.append(
                    f"{name}, k = {k:g} h/Mpc: r = {r:.3f}, T = {t:.3f} with the true linear density"
                )
    return lines


def write_page(
    result: Reconstruction,
    truth: InitialConditions | None,
    directory: str | os.PathLike[str],
    command: str,
) -> Path:
    """Write `index.html` into a directory, made where absent.

    Parameters
    ----------
    result : Reconstruction
    truth : InitialConditions or None
        Where it is known.
    directory : path
    command : str
        What made it, shown as it is.

    Returns
    -------
    Path
        Of the page.
    """
    path = make_directory(directory)
    found, f = assess(result, truth), result.function
    against = _against(found, result)
    predicted = {"samples" if result.samples else "maximum": found.predicted}
    shown = {name: [agreement] for name, agreement in against.items()}
    content = template("reconstruction.html", Path(__file__).parent / "templates").render(
        title="Recovered initial conditions",
        version=__version__,
        facts=[
            ("box", f"{f.box:g} Mpc/h"),
            ("particles", f"{f.n}³"),
            ("mesh of the density", f"{result.posterior.mesh}³"),
            ("redshift", f"{f.redshift:g}"),
            ("engine", f.engine.name),
            ("noise of a cell", f"{result.posterior.observation.noise:.3g}"),
        ],
        truth=[svg_uri(figure) for figure in _figures(shown)] if against else [],
        rows=[(f"{k:g}", *_cells(against, k)) for k in K_SHOWN if np.pi <= k * f.box <= np.pi * f.n],
        names=list(against),
        predicted=[svg_uri(figure) for figure in _figures(predicted)],
        chi2=float(np.mean(found.chi2)),
        found=found,
        white=_whiteness(found, result.samples is not None),
        histogram=svg_uri(_histogram(result.white_noise)),
        command=command,
        machine=machine_line(),
    )
    return write_text(path / "index.html", content)


def _against(found: Assessment, result: Reconstruction) -> dict[str, Agreement]:
    """What is compared with the truth, by name; nothing where the truth is not known."""
    if found.estimate is None or found.sample is None:
        return {}
    sampled = {} if result.samples is None else {"sample": found.sample}
    return {"best estimate": found.estimate, **sampled}


def _cells(against: dict[str, Agreement], k: float) -> list[str]:
    return [f"{value:.3f}" for agreement in against.values() for value in agreement.at(k)]


def _whiteness(found: Assessment, sampled: bool) -> list[tuple[str, str, str, str]]:
    rows = [("best estimate", found.estimate_whiteness)]
    if sampled:
        rows.append(("sample", found.sample_whiteness))
    return [(name, f"{w.variance:.3f}", f"{w.skewness:+.1f}", f"{w.kurtosis:+.1f}") for name, w in rows]


def _figures(groups: dict[str, list[Agreement]]) -> Sequence[Figure]:
    """r(k) and T(k), a line for each agreement, and a colour for each group."""
    from matplotlib.figure import Figure

    figures = []
    with style():
        for quantity, words in (("correlation", "$r(k)$"), ("transfer", "$T(k)$")):
            figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
            ax = figure.subplots()
            for colour, (name, agreements) in zip(COLOURS, groups.items(), strict=False):
                for number, agreement in enumerate(agreements):
                    label = name if number == 0 else None
                    ax.plot(agreement.k, getattr(agreement, quantity), color=colour, lw=1.2, label=label)
            ax.axhline(1, color="0.6", lw=0.8, ls=":", zorder=0)
            ax.set(xscale="log", xlabel=r"$k$ [$h$/Mpc]", ylabel=words)
            ax.set_ylim(*((None, 1.01) if quantity == "correlation" else (0, None)))
            plain_x(ax)
            ax.legend(**LEGEND)
            figures.append(figure)
    return figures


def _histogram(white_noise: np.ndarray) -> Figure:
    """The distribution of white noise beside the Gaussian of unit variance."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        ax = figure.subplots()
        edges = np.linspace(-5, 5, 81)
        middle = 0.5 * (edges[1:] + edges[:-1])
        counts, _ = np.histogram(white_noise, edges, density=True)
        ax.step(middle, np.maximum(counts, 1e-7), where="mid", color=COLOURS[0], label="recovered")
        ax.plot(middle, np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), color="black", label="Gaussian")
        ax.set(yscale="log", xlabel="white noise", ylabel="probability density", ylim=(1e-6, 1))
        ax.legend(**LEGEND)
    return figure
