"""White noise from outside: an array, a file that a reader made one of, or the linear field of initial conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.ngenic import check_sign
from zeldo.initial.phases import Phases
from zeldo.keywords import check_flags, real_array
from zeldo.mesh import fft

VARIANCE = (0.3, 2.0)  # of what is called white noise: SphereMode leaves half of the modes


@dataclass(frozen=True, eq=False)
class WhiteNoise(Phases):
    """Phases of a real field of unit variance on a lattice.

    Parameters
    ----------
    values : numpy.ndarray
        (m, m, m), m even. A lattice of fewer points takes the large-scale modes.
    sign : {1, -1}
        -1 for the noise of codes of the other convention, such as BORG.
    fixed, flip : bool
        Every amplitude set to 1, the sign of every mode changed.
    name : str
        Of the file, or what else snapshots shall call it.

    Raises
    ------
    InputError
        For another shape, values that are not finite, and a variance that white noise does not have.
    """

    values: np.ndarray
    sign: int = 1
    fixed: bool = False
    flip: bool = False
    name: str = "array"
    seed: int | None = None

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(real_array(self.values, "white noise"), np.float32)
        shape = values.shape
        if len(shape) != 3 or len(set(shape)) != 1 or shape[0] < 4 or shape[0] % 2:
            raise InputError(f"white noise has shape {shape}: give (m, m, m) with an even m, 4 at least")
        variance = float(np.var(values, dtype=np.float64))
        if not VARIANCE[0] < variance < VARIANCE[1]:  # also where it is not finite
            raise InputError(
                f"the variance of the white noise is {variance:.3g}: give a field of unit variance, not a density"
            )
        check_sign(self.sign)
        check_flags(self, "fixed", "flip")
        object.__setattr__(self, "values", values)

    @property
    def label(self) -> str:
        return f"{self.name}:sign=-1" if self.sign < 0 else self.name

    def modes(self, n: int) -> np.ndarray:
        m, half = len(self.values), n // 2
        if m < n:
            raise InputError(
                f"the white noise {self.name} has {m}^3 points, too few for n = {n}: give n = {m} or less"
            )
        low = np.r_[0:half, m - half : m]
        modes = fft.forward(self.values)[np.ix_(low, low, np.arange(half + 1))]
        modes[0, 0, 0] = 0
        fft.zero_nyquist(modes)
        size = np.where(modes == 0, np.float32(1), np.abs(modes)) if self.fixed else np.float32(m**1.5)
        modes /= -size if self.flip != (self.sign < 0) else size
        return modes


def noise_of(ics: InitialConditions, power: Callable[[np.ndarray], np.ndarray]) -> WhiteNoise:
    """The white noise that a linear field was made of.

    Parameters
    ----------
    ics : InitialConditions
        Its modes are divided by sqrt(P / V).
    power : callable
        The linear power it was made with, (Mpc/h)^3, of k in h/Mpc.
    """
    from zeldo.initial.linear import amplitude

    size = amplitude(power, ics.box, ics.n)
    size[0, 0, 0] = 1
    modes = fft.zero_nyquist(fft.forward(ics.delta_lin)) / size
    values = fft.inverse(modes, ics.n, scratch=True) * np.float32(ics.n**1.5)
    if ics.fixed or ics.flip:
        # its amplitudes and its sign are in the noise: the seed would make another field
        return WhiteNoise(values)
    return WhiteNoise(values, name=ics.phases or "array", seed=ics.seed)
