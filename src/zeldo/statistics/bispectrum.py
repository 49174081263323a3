"""Bispectrum by FFT: <delta_k1 delta_k2 delta_k3> over all closed triangles of three shells.

A shell's modes alone, transformed back, make a field; the mean over the mesh of a product of three such
fields sums all triangles at once (Scoccimarro 2000, astro-ph/0004086). B = V^2 <delta delta delta>,
(Mpc/h)^6, delta_k as in modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.errors import InputError
from zeldo.keywords import number, real_array
from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import matter_of
from zeldo.statistics.modes import density_modes, mode_numbers

_GOOD = (1, 3, 5, 9, 15)  # sizes that FFTs like: these times powers of two


@dataclass(frozen=True, eq=False)
class Bispectrum:
    """Triangles of shells; arrays of one length T, float64.

    Parameters
    ----------
    k : ndarray
        (T, 3) mean wavenumbers of the three shells, h/Mpc.
    bispectrum : ndarray
        (Mpc/h)^6.
    reduced : ndarray
        Q = B / (P1 P2 + P2 P3 + P3 P1).
    error : ndarray
        Standard deviation of a Gaussian field of the same power, (Mpc/h)^6.
    triangles : ndarray
        Closed triplets of modes, each order counted.
    """

    k: np.ndarray
    bispectrum: np.ndarray
    reduced: np.ndarray
    error: np.ndarray
    triangles: np.ndarray

    __repr__ = brief


Shell = tuple[float, float]  # from, to (not included), in units of the fundamental
Triangle = tuple[Shell, Shell, Shell]
LONG = (1.0, 3.0)  # the shell of the long waves


def equilateral_bispectrum(
    snapshot: Snapshot | Particles,
    *,
    mesh: int | None = None,
    width: float = 3.0,
    k_max: float | None = None,
    device: str | torch.device = "cpu",
) -> Bispectrum:
    """Triangles of three equal sides, in adjacent shells from the fundamental mode to `k_max`.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles.
    mesh : int, optional
        Points per side of the density, by default twice the lattice.
    width : float
        Width of the shells, in fundamentals.
    k_max : float, optional
        h/Mpc; by default the Nyquist wavenumber of the lattice, or of the mesh if that is lower.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Bispectrum

    Raises
    ------
    InputError
        For a `k_max` or `width` that leaves no shell.
    """
    modes, top = _density(snapshot, mesh, k_max, device)
    return bispectrum_of_shells(modes, matter_of(snapshot).box, equilateral(top, width))


def squeezed_bispectrum(
    snapshot: Snapshot | Particles,
    *,
    mesh: int | None = None,
    width: float = 3.0,
    k_max: float | None = None,
    long: Shell = LONG,
    device: str | torch.device = "cpu",
) -> Bispectrum:
    """Triangles of one long wave and two short ones of equal length.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles.
    mesh, width, k_max
        As in `equilateral_bispectrum`.
    long : (float, float)
        The long wave's shell in fundamentals, from and to. The short shells start at twice its end.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Bispectrum
        Column 0 of `k` is the long wave.

    Raises
    ------
    InputError
        For a `k_max` or `width` that leaves no shell.
    """
    modes, top = _density(snapshot, mesh, k_max, device)
    ends = real_array(long, "long")
    if ends.shape != (2,):
        raise InputError(f"long = {long!r} is not allowed: give two numbers, from and to, in fundamentals")
    low, high = ends.tolist()
    return bispectrum_of_shells(modes, matter_of(snapshot).box, squeezed(top, width, (low, high)))


def equilateral(top: float, width: float = 3.0) -> list[Triangle]:
    """Three equal shells from the fundamental to `top`, both in fundamentals."""
    return [(shell, shell, shell) for shell in shells(1.0, top, width)]


def squeezed(top: float, width: float = 3.0, long: Shell = LONG) -> list[Triangle]:
    """A long wave's shell and two equal ones, from twice its end to `top`, all in fundamentals."""
    return [(long, shell, shell) for shell in shells(2 * long[1], top, width)]


def bispectrum_of_shells(modes: torch.Tensor, box: float, triangles: Sequence[Triangle]) -> Bispectrum:
    """The bispectrum of one field's modes (m, m, m//2 + 1) for any list of three shells, in fundamentals.

    Raises `InputError` for shells that are empty or reach the mesh's Nyquist wavenumber.
    """
    m = modes.shape[0]
    for low, high in {shell for triangle in triangles for shell in triangle}:
        if not 0 < low < high <= m / 2:
            raise InputError(
                f"a shell from {low:g} to {high:g} fundamentals is not allowed: "
                f"give 0 < from < to <= {m / 2:g}"
            )
    rows = [_triangle(modes, triangle) for triangle in triangles]
    k, power, product, count = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    volume = box**3
    power *= volume
    equal = np.array([6 if len(set(t)) == 1 else 2 if len(set(t)) == 2 else 1 for t in triangles])
    with np.errstate(invalid="ignore", divide="ignore"):
        bispectrum = volume**2 * product / count
        pairs = power[:, 0] * power[:, 1] + power[:, 1] * power[:, 2] + power[:, 2] * power[:, 0]
        error = np.sqrt(equal * volume * power.prod(axis=1) / count)
        return Bispectrum(k * (2 * np.pi / box), bispectrum, bispectrum / pairs, error, count)


def _density(
    snapshot: Snapshot | Particles, mesh: int | None, k_max: float | None, device: str | torch.device
) -> tuple[torch.Tensor, float]:
    matter = matter_of(snapshot, "the bispectrum")
    mesh = check_mesh(2 * matter.n if mesh is None else mesh, MAX_MESH)
    top = min(matter.n, mesh) / 2
    if k_max is not None:
        largest = number(k_max, "k_max")
        if not largest > 0:
            raise InputError(f"k_max = {k_max!r} is not allowed: give a wavenumber in h/Mpc, above 0")
        top = min(largest * matter.box / (2 * np.pi), mesh / 2)
    return density_modes(snapshot, mesh, device=device), top


def shells(start: float, top: float, width: float) -> list[Shell]:
    """Adjacent shells of a width from `start` to `top`, all in fundamentals."""
    width = number(width, "width")
    count = int((top - start) / width + 1e-9) if width > 0 else 0
    if count < 1:
        raise InputError(
            f"no shell of width {width:g} fits between {start:g} and {top:g} fundamentals: "
            "give a smaller width, a higher k_max, or a finer mesh"
        )
    # rounding must not take the last one past `top`
    return [(start + i * width, min(start + (i + 1) * width, top)) for i in range(count)]


def _triangle(modes: torch.Tensor, triangle: Triangle) -> tuple[list[float], list[float], float, float]:
    """Mean |k| and |delta_k|^2 of each shell, sum of products over closed triangles, number of those."""
    m = closed_mesh(triangle)
    small = resized(modes, m)
    full, last = mode_numbers(m, modes.device)
    length = (full[:, None, None] ** 2 + full[None, :, None] ** 2 + last**2).to(small.real.dtype).sqrt()
    weight = torch.full_like(length[0, 0], 2)  # a mode of an rfft stands for its conjugate too
    weight[0] = 1

    def filtered_by(shell: Shell) -> tuple[float, float, torch.Tensor, torch.Tensor]:
        inside = (length >= shell[0]) & (length < shell[1])
        share = inside * weight
        number = float(share.sum(dtype=torch.float64))
        square = (small.real**2 + small.imag**2) * share
        waves = torch.fft.irfftn(small * inside, s=(m, m, m), norm="forward")
        ones = torch.fft.irfftn(inside.to(small.dtype), s=(m, m, m), norm="forward")
        if not number:
            return np.nan, np.nan, waves, ones
        mean = float((share * length).sum(dtype=torch.float64)) / number
        return mean, float(square.sum(dtype=torch.float64)) / number, waves, ones

    filtered = {shell: filtered_by(shell) for shell in set(triangle)}
    a, b, c = (filtered[shell] for shell in triangle)
    total = float((a[2] * b[2] * c[2]).mean(dtype=torch.float64))
    count = float((a[3] * b[3] * c[3]).mean(dtype=torch.float64).round())
    return [a[0], b[0], c[0]], [a[1], b[1], c[1]], total, count


def closed_mesh(triangle: Sequence[Shell]) -> int:
    """Points per side of a mesh around which three waves of these shells cannot close."""
    highs = [high for _, high in triangle]
    need = max(sum(highs), 2 * max(highs))
    return min(size for size in (g * 2**i for g in _GOOD for i in range(1, 15)) if size >= need)


def resized(modes: torch.Tensor, m: int) -> torch.Tensor:
    """The modes on a mesh of m points per side, cut or filled with nothing; Nyquist planes are left out."""
    old = modes.shape[0]
    half = min(m, old) // 2
    out = modes.new_zeros(m, m, m // 2 + 1)
    low, high = slice(0, half), slice(1 - half, None)
    for x in (low, high):
        for y in (low, high):
            out[x, y, :half] = modes[x, y, :half]
    return out
