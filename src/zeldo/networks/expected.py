"""The error to expect of an emulator, by scale and field.

In units of the lattice, cosmology, redshift and spacing act on a network's error through few numbers. For each field, and
each k over the lattice's Nyquist wavenumber, ln(error) is a polynomial of

    s    ln of the rms linear density contrast on the lattice at that redshift
    u    ln of the rms linear displacement in spacings, over that contrast: how much power is on large scales
    f    ln of the growth rate
    l    ln of the lattice spacing in Mpc/h

with all terms of second order in s, u and f, those of third order in which s is squared, l and its square. It is fitted
to runs that no network was trained on. At low contrast errors stop falling, which second order alone does not describe.
The spacing counts because networks learn more about some spacings than about others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeldo.cosmology.background import growth
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions, Origin

# k over the Nyquist wavenumber of the lattice: the middles of the bins in which errors are measured, the last their end
NODES = (0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
FIGURES = ("power", "one_minus_r2")
DENSITY = tuple(f"density {figure}" for figure in FIGURES)  # which every expected error has
TERMS, OF_SPACING = 15, 2  # of the polynomial, and those of the spacing
ALIKE = 100.0  # condition number of the basis about the mean; one cosmology at two redshifts has 180, and 16 have below 10
BEYOND = 0.5  # how far a measure, a logarithm, may lie beyond the measured range
SMALLEST = 1e-9  # error that counts
ITERATIONS, LONGEST = 100, 3.0  # of the fit of mean squares
# singular values of the basis below this share count as none; a data set of many spacings has 1e-2
SINGULAR = 1e-3
TINY = 1e-30  # of a universe without structure

Measures = tuple[float, float, float, float]  # s, u, f and l


def measures(ics: InitialConditions, psi_lin: np.ndarray, redshift: float) -> Measures:
    """What errors depend on.

    Parameters
    ----------
    ics : InitialConditions
    psi_lin : ndarray, (3, n, n, n)
        The linear displacement today that the dynamics begin with, Mpc/h.
    redshift : float

    Returns
    -------
    Measures
        s, u, f and l.
    """
    return measures_of(ics.origin, rms(ics.delta_lin), rms(psi_lin), redshift)


def measures_of(origin: Origin, contrast: float, displacement: float, redshift: float) -> Measures:
    """The same from the rms linear density contrast, and the rms linear displacement in Mpc/h, both today."""
    grown, a, spacing = growth(origin.cosmology), 1 / (1 + redshift), origin.box / origin.n
    return tuple(  # type: ignore[return-value]
        float(np.log(x))
        for x in (grown.d1(a) * contrast, displacement / spacing / contrast, grown.f1(a), spacing)
    )


def rms(field: np.ndarray) -> float:
    """The root of the mean square of all numbers, above zero."""
    return max(float(np.sqrt(np.vdot(field, field) / field.size)), TINY)


def _basis(s: np.ndarray, u: np.ndarray, f: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The terms, with those of the spacing last."""
    terms = [np.ones_like(s), s, u, f, s * s, s * u, s * f, u * u, u * f, f * f]
    return np.stack([*terms, s**3, s * s * u, s * s * f, spacing, spacing**2], axis=-1)


@dataclass(frozen=True)
class ExpectedError:
    """Expected errors of P / P_true - 1 (rms over realisations) and of 1 - r^2, by field.

    Parameters
    ----------
    coefficients : mapping of str to sequence of sequence of float
        For "density power", "density one_minus_r2" and so on: at each of `NODES`, the coefficients of ln(error).
    ranges : sequence of (float, float)
        The ranges of s, u, f and l that were measured. Beyond an end by up to `BEYOND`, the error at that end is given.
    runs : str
        What it was measured on.
    """

    coefficients: Mapping[str, Sequence[Sequence[float]]]
    ranges: Sequence[Sequence[float]]
    runs: str = ""

    def at(self, measures: Sequence[float], nyquist: float) -> dict[str, list[float]] | None:
        """The errors of one universe.

        Parameters
        ----------
        measures : Measures
            As from `measures`.
        nyquist : float
            The lattice's Nyquist wavenumber, h/Mpc.

        Returns
        -------
        dict of str to list of float, or None
            "k" in h/Mpc, and the errors there by the names of `coefficients`; None too far outside `ranges`.
        """
        if any(
            not low - BEYOND <= x <= high + BEYOND
            for x, (low, high) in zip(measures, self.ranges, strict=True)
        ):
            return None
        basis = _basis(*(np.clip(x, low, high) for x, (low, high) in zip(measures, self.ranges, strict=True)))
        errors = {name: np.exp(np.array(c) @ basis) for name, c in self.coefficients.items()}
        rounded = {name: [float(f"{x:.3g}") for x in values] for name, values in errors.items()}
        return {"k": [float(f"{x * nyquist:.4g}") for x in NODES], **rounded}

    def to_dict(self) -> dict[str, Any]:
        coefficients = {
            name: [[float(f"{x:.5g}") for x in row] for row in rows]
            for name, rows in self.coefficients.items()
        }
        ranges = [[float(f"{x:.4g}") for x in ends] for ends in self.ranges]
        return {"coefficients": coefficients, "ranges": ranges, "runs": self.runs}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ExpectedError:
        """The inverse of `to_dict`. `InputError` for anything else."""
        try:
            coefficients = {
                str(name): np.array(rows, float) for name, rows in content["coefficients"].items()
            }
            ranges = np.array(content["ranges"], float)
            runs = str(content["runs"])
        except (TypeError, ValueError, KeyError, AttributeError):
            coefficients, ranges, runs = {}, np.empty(0), ""
        shapes = {rows.shape for rows in coefficients.values()}
        finite = all(np.isfinite(values).all() for values in (ranges, *coefficients.values()))
        ordered = ranges.shape == (4, 2) and bool((ranges[:, 0] <= ranges[:, 1]).all())
        if shapes != {(len(NODES), TERMS)} or not {*DENSITY} <= {*coefficients} or not finite or not ordered:
            raise InputError(
                "the expected error on the model card is damaged: get the file again, or leave the entry out"
            )
        return cls({name: rows.tolist() for name, rows in coefficients.items()}, ranges.tolist(), runs)


def in_bins(k: np.ndarray, values: np.ndarray, nyquist: float, figure: str) -> np.ndarray:
    """Errors at `NODES`, from those of shells of wavenumber; NaN where there is no shell.

    Parameters
    ----------
    k : ndarray
        h/Mpc.
    values : ndarray
        P / P_true - 1, whose rms is taken, or 1 - r^2, whose mean is taken.
    nyquist : float
        h/Mpc.
    figure : str
        One of `FIGURES`.

    Returns
    -------
    ndarray
        One value for each node.
    """
    nodes = np.array(NODES)
    edges = np.concatenate([[nodes[0] ** 2 / nodes[1]], np.sqrt(nodes[1:] * nodes[:-1]), [nodes[-1]]])
    where = np.digitize(k / nyquist, edges) - 1
    out = np.full(len(nodes), np.nan)
    for node in range(len(nodes)):
        inside = values[where == node]
        if len(inside):
            out[node] = np.sqrt(np.mean(inside**2)) if figure == "power" else np.mean(inside)
    return out


def fit(measured: np.ndarray, errors: Mapping[str, np.ndarray], runs: str) -> ExpectedError:
    """Fit the coefficients.

    Parameters
    ----------
    measured : ndarray, (cases, 4)
        As from `measures`.
    errors : mapping of str to ndarray, (cases, nodes)
        As from `in_bins`, by "field figure".
    runs : str
        What they were measured on.

    Returns
    -------
    ExpectedError

    Raises
    ------
    InputError
        For fewer cases than two for each coefficient, at any of the nodes, and for cases that are too alike.
    """
    basis = _basis(*measured.T)
    least = 2 * basis.shape[1]
    for name, values in errors.items():
        for node, cases in zip(NODES, np.isfinite(values).sum(0), strict=True):
            if cases < least:
                raise InputError(
                    f"{cases} snapshots have a {name.split()[0]} at {node:g} of the Nyquist wavenumber: the expected error "
                    f"needs {least} or more, so give stores with more runs, redshifts or particles a side"
                )
    # runs of one spacing, or of two, leave the last terms open, and need none of them in their range
    spread = _basis(*(measured - measured.mean(axis=0)).T)[:, :-OF_SPACING]
    if np.linalg.cond(spread / np.maximum(np.linalg.norm(spread, axis=0), TINY)) > ALIKE:
        raise InputError(
            "the snapshots are too alike to tell how the error depends on the universe: give stores with more cosmologies, "
            "lattice spacings or redshifts"
        )
    coefficients = {}
    for name, values in errors.items():
        rows = []
        for column in values.T:
            known = np.isfinite(column)
            # of P(k) the rms is wanted, and of 1 - r^2 the mean of its logarithm
            fitted = _mean_square if name.endswith("power") else _mean_logarithm
            rows.append(fitted(basis[known], np.maximum(column[known], SMALLEST)).tolist())
        coefficients[name] = rows
    ranges = list(zip(measured.min(0).tolist(), measured.max(0).tolist(), strict=True))
    return ExpectedError(coefficients, ranges, runs)


def _mean_logarithm(basis: np.ndarray, errors: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(basis, np.log(errors), rcond=SINGULAR)[0]


def _mean_square(basis: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Coefficients of the logarithm of the rms, by the likelihood of squares with a gamma distribution.

    Iterated least squares, which for this distribution and a logarithm have equal weights (McCullagh & Nelder 1989).
    """
    coefficients = _mean_logarithm(basis, errors)
    for _ in range(ITERATIONS):
        ratio = (errors / np.exp(basis @ coefficients)) ** 2
        # long steps, from a start too low, would go astray
        coefficients += np.linalg.lstsq(basis, np.minimum(ratio - 1, LONGEST) / 2, rcond=SINGULAR)[0]
    return coefficients
