"""Fisher matrices from derivatives by gradient, which take no paired simulations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeldo.brief import brief
from zeldo.cosmology.parameters import with_parameters
from zeldo.cosmology.varied import VariedCosmology
from zeldo.engines.base import Engine, Progress, silent
from zeldo.engines.checks import check_whole
from zeldo.errors import InputError, nearest
from zeldo.gradients import statistics
from zeldo.gradients.function import Differentiable, check_parameters, differentiable
from zeldo.initial.noise import check_seed
from zeldo.initial.phases import SEED, Native
from zeldo.keywords import checked_keywords, real_array

Statistic = Callable[[Tensor, Tensor | None, Differentiable, VariedCosmology], Tensor]


def _power(psi: Tensor, vel: Tensor | None, function: Differentiable, cosmology: VariedCosmology) -> Tensor:
    return _of_lattice(*statistics.power_spectrum(psi, function.box), function)


def _multipoles(
    psi: Tensor, vel: Tensor | None, function: Differentiable, cosmology: VariedCosmology
) -> Tensor:
    if vel is None:
        raise InputError(f"engine {function.engine.name} predicts no velocities, which multipoles need")
    seen = statistics.redshift_space(psi, vel, function.redshift, cosmology)
    return _of_lattice(*statistics.multipoles(seen, function.box), function)


def _of_lattice(k: np.ndarray, values: Tensor, function: Differentiable) -> Tensor:
    """The values (.., bins) below the Nyquist wavenumber of the lattice, beyond which P(k) is mostly that of the lattice."""
    return values[..., : np.count_nonzero(k < np.pi * function.n / function.box)]


def _bispectrum(
    psi: Tensor, vel: Tensor | None, function: Differentiable, cosmology: VariedCosmology
) -> Tensor:
    return statistics.equilateral_bispectrum(psi, function.box)[1]


STATISTICS: dict[str, Statistic] = {
    "power": _power,
    "multipoles": _multipoles,
    "bispectrum": _bispectrum,
}
SINGULAR = 1e-13  # eigenvalues of a matrix of correlations are rounding below


@dataclass(frozen=True, eq=False)
class Fisher:
    """The Fisher matrix of a statistic.

    Parameters
    ----------
    parameters : tuple of str
        By the names of `Cosmology`.
    matrix : ndarray, (parameters, parameters)
    derivatives : ndarray, (parameters, values)
        Derivatives of the mean of the statistic.
    mean : ndarray, (values,)
    covariance : ndarray, (values, values)
    """

    parameters: tuple[str, ...]
    matrix: np.ndarray
    derivatives: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    __repr__ = brief

    @property
    def errors(self) -> dict[str, float]:
        """The error of each parameter where all others are free.

        Raises
        ------
        InputError
            Where the statistic does not tell the parameters apart.
        """
        size = np.sqrt(np.diag(self.matrix))
        unit = self.matrix / np.outer(size, size) if size.all() else self.matrix
        if np.linalg.matrix_rank(unit, hermitian=True) < len(self.parameters):
            raise InputError(
                f"the statistic does not tell {', '.join(self.parameters)} apart: ask for fewer parameters, or take a "
                "statistic of more values"
            )
        inverse = np.linalg.inv(self.matrix)
        return {
            name: float(np.sqrt(value)) for name, value in zip(self.parameters, np.diag(inverse), strict=True)
        }


@checked_keywords(differentiable, with_parameters)
def fisher(
    engine: str | os.PathLike[str] | Engine = "pm",
    statistic: str | Statistic = "power",
    *,
    parameters: Sequence[str] = ("omega_m", "sigma_8"),
    box: float,
    n: int,
    redshift: float = 0.0,
    cosmology: Any = None,
    covariance: np.ndarray | None = None,
    realisations: int = 50,
    seed: int = SEED,
    gradient: str = "adjoint",
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
    **options: Any,
) -> Fisher:
    """What a statistic of the evolved universe says about cosmological parameters.

    Parameters
    ----------
    engine : str, path or Engine
        As in `zeldo.differentiable`.
    statistic : str or callable
        "power" (real space), "multipoles" (redshift space) or "bispectrum" (equilateral), all below the Nyquist wavenumber
        of the lattice. Or a function of psi, velocity, the differentiable universe and its cosmology of tensors, that
        returns a tensor.
    parameters : sequence of str
        By the names of `Cosmology`.
    box, n, redshift, cosmology
        As in `zeldo.differentiable`.
    covariance : ndarray, optional
        Covariance of the statistic. Where absent, it is estimated from the realisations, which must then be more than its
        values by three.
    realisations : int
        Universes whose derivatives are averaged.
    seed : int
        Seed of the first realisation; the others follow.
    gradient, dtype
        As in `zeldo.differentiable`.
    progress : callable, optional
        Called with the work done, the total work, and a short text.
    **options
        Further arguments of `zeldo.differentiable`.

    Returns
    -------
    Fisher

    Raises
    ------
    InputError
        For a value that is not allowed, and for too few realisations.
    """
    if not isinstance(parameters, str | Iterable):
        raise InputError(
            f"parameters = {parameters!r} is not allowed: give names, such as ('omega_m', 'sigma_8')"
        )
    parameters = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    if not parameters or len(set(parameters)) < len(parameters):
        raise InputError(f"parameters = {parameters} are not allowed: give one or several, each once")
    check_parameters(parameters)
    check_seed(seed)
    check_whole("realisations", realisations, 1, 1_000_000)
    check_seed(seed + realisations - 1)
    if covariance is not None:
        covariance = real_array(covariance, "covariance").astype(np.float64)
    if isinstance(statistic, str) and statistic not in STATISTICS:
        raise InputError(
            f"statistic {statistic!r} is not known: give {', '.join(STATISTICS)}, or a function"
            f"{nearest(statistic, STATISTICS)}"
        )
    if not isinstance(statistic, str) and not callable(statistic):
        raise InputError(
            f"statistic = {statistic!r} is not allowed: give {', '.join(STATISTICS)}, or a function"
        )
    measure = STATISTICS[statistic] if isinstance(statistic, str) else statistic
    f = differentiable(
        engine,
        box=box,
        n=n,
        redshift=redshift,
        cosmology=cosmology,
        gradient=gradient,
        dtype=dtype,
        **options,
    )
    size = _size(measure, f)
    _check_covariance(covariance, realisations, size)
    report, values, slopes = progress or silent, [], []
    for number in range(realisations):
        report(number, realisations, f"universe {number + 1} of {realisations}")
        value, slope = derivatives(f, measure, parameters, torch.from_numpy(Native(seed + number).field(f.n)))
        if value.size != size:
            raise InputError(
                f"the statistic has {value.size} values of universe {number + 1}, and {size} of others: return as many "
                "of each"
            )
        values.append(value)
        slopes.append(slope)
    report(realisations, realisations, "done")
    mean, slope = np.mean(values, axis=0), np.mean(slopes, axis=0)
    if covariance is None:
        covariance = np.atleast_2d(np.cov(np.array(values), rowvar=False))
        _check_definite(covariance)
        unbiased = (realisations - mean.size - 2) / (realisations - 1)  # Hartlap et al. 2007
    else:
        unbiased = 1.0
    matrix = unbiased * slope @ np.linalg.solve(covariance, slope.T)
    return Fisher(parameters, matrix, slope, mean, covariance)


def _size(statistic: Statistic, function: Differentiable) -> int:
    """How many values a statistic has, by random displacements and velocities, which take no run."""
    shape, field = (3, function.n, function.n, function.n), function.field
    noise = torch.from_numpy(np.random.default_rng(SEED).standard_normal(shape))
    noise = noise.to(field.device, field.dtype)
    cosmology = VariedCosmology.of(function.cosmology, {}, field.device)
    with torch.no_grad():
        values = statistic(noise, noise, function, cosmology)
    if not isinstance(values, torch.Tensor):
        raise InputError(f"the statistic returned a {type(values).__name__}: return a tensor")
    if values.is_complex() or not values.numel():
        raise InputError(
            f"the statistic returned {values.numel()} values of {values.dtype}: return one or more real numbers"
        )
    return values.numel()


def _check_covariance(covariance: np.ndarray | None, realisations: int, size: int) -> None:
    """`InputError` where so many values have no covariance, given or of so many realisations."""
    if covariance is None and realisations < size + 3:
        raise InputError(
            f"{realisations} realisations do not give the covariance of {size} values: give covariance, or "
            f"realisations = {size + 3} or more"
        )
    if covariance is None:
        return
    if np.shape(covariance) != (size, size):
        raise InputError(f"the covariance has shape {np.shape(covariance)}: the statistic has {size} values")
    _check_definite(covariance)


def _check_definite(covariance: np.ndarray) -> None:
    """`InputError` for a matrix that is no covariance of values none of which follows from the others."""
    size = np.sqrt(np.abs(np.diag(covariance)))
    possible = np.isfinite(covariance).all() and size.all()
    if possible and not np.allclose(covariance, covariance.T, rtol=1e-8, atol=1e-12 * size.max() ** 2):
        raise InputError("the covariance is not symmetric: give the whole matrix, not a triangle of it")
    if not possible or np.linalg.eigvalsh(covariance / np.outer(size, size)).min() < SINGULAR:
        raise InputError(
            "the covariance is not positive definite: give one that is, or a statistic whose values are linearly "
            "independent"
        )


def derivatives(
    function: Differentiable, statistic: Statistic, parameters: Sequence[str], white_noise: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of one universe, (values,), and its derivatives (parameters, values): one forward-mode run for each."""
    base = function.cosmology.to_dict()
    point = torch.tensor([base[name] for name in parameters], dtype=torch.float64, device="cpu")

    def measured(point: Tensor) -> Tensor:
        changed = dict(zip(parameters, point.unbind(), strict=True))
        cosmology = function.varied(changed)
        assert cosmology is not None  # some parameters change
        return statistic(*function(white_noise, **changed), function, cosmology).reshape(-1)

    columns, value = [], None
    for unit in torch.eye(len(parameters), dtype=torch.float64, device="cpu"):
        value, *column = torch.func.jvp(measured, (point,), (unit,))
        columns.append(column[0].double().cpu().numpy())
    assert value is not None
    return value.detach().double().cpu().numpy(), np.array(columns)
