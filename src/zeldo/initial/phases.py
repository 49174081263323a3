"""Phases: where the random numbers of a linear density field come from.

Each source gives white noise in Fourier space, w(k) with <|w|^2> = 1, in one convention: w is Hermitian, its mean
mode is zero, and delta_k = w sqrt(P / V) is synthesised with exp(+ikx).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.initial.noise import check_seed, white_noise
from zeldo.keywords import check_flags

SEED = 7  # where nobody gives one


class Phases(ABC):
    """A source of white noise. Its options are the fields of frozen dataclasses.

    Attributes
    ----------
    seed : int or None
        None where the seed of the white noise is unknown.
    fixed, flip : bool or None
        Unit amplitudes, inverted phases (Angulo & Pontzen 2016, arXiv:1603.05253); None where nobody said it.
    label : str
        What snapshots and files call it.
    cosmology : Cosmology or None
        Of the published simulation whose phases these are, where they are those of one.
    box : float or None
        Its side, Mpc/h.
    """

    seed: int | None
    fixed: bool | None
    flip: bool | None
    cosmology: Cosmology | None = None
    box: float | None = None

    @property
    @abstractmethod
    def label(self) -> str:
        """The text that `phases` takes, which snapshots record."""

    @abstractmethod
    def modes(self, n: int) -> np.ndarray:
        """White noise of a lattice of n^3 points.

        Parameters
        ----------
        n : int
            Points per side, even.

        Returns
        -------
        numpy.ndarray
            (n, n, n // 2 + 1) complex64, the half with kz >= 0.
        """

    def mesh(self, n: int) -> int:
        """Points per side of the mesh that the field of an n^3 lattice is made on."""
        return n

    def field(self, n: int) -> np.ndarray:
        """White noise on the lattice, (n, n, n) float32: unit variance but for the modes that are zero."""
        from zeldo.mesh import fft

        return fft.inverse(self.modes(n), n, scratch=True) * np.float32(n**1.5)


@dataclass(frozen=True)
class Native(Phases):
    """zeldo's own phases: one stream of numbers per shell of modes, the same for every n (`noise.white_noise`).

    Parameters
    ----------
    seed : int
        From 0 to 2^63 - 1.
    fixed : bool
        Whether all amplitudes have their expected value.
    flip : bool
        Whether the sign of the field is inverted.
    """

    seed: int = SEED
    fixed: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))
        check_flags(self, "fixed", "flip")

    @property
    def label(self) -> str:
        return "native"

    def modes(self, n: int) -> np.ndarray:
        return white_noise(n, self.seed, fixed=self.fixed, flip=self.flip)


def check_given(phases: Phases, given: Mapping[str, Any]) -> None:
    """`InputError` where something given, not None, is not what the phases or their cosmology bring themselves."""
    for name, value in given.items():
        brought = getattr(phases if hasattr(phases, name) else phases.cosmology, name)
        if value is None or value == brought:
            continue
        if isinstance(value, Cosmology):
            raise InputError(
                f"the phases {phases.label} bring another cosmology than the one given: leave that out"
            )
        what = f"bring {name} = {brought}" if brought is not None else f"have no {name}"
        raise InputError(
            f"the phases {phases.label} {what}, so {name} = {value} cannot be given: leave it out"
        )
