"""A cosmology whose parameters are tensors: expansion and growth that torch differentiates, any number of times.

`zeldo.expansion` and `zeldo.growth` take it in place of a `Cosmology`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeldo.cosmology.background import A_EARLY, ROUNDING, matter_era
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError

STEPS = 512  # between A_EARLY and today: growth is within 5e-8 of `Growth`


@dataclass(frozen=True, eq=False)
class VariedCosmology:
    """The parameters of `Cosmology`, each a float64 tensor without dimensions.

    `given` names those that were changed; the others are those of a base.
    """

    omega_m: Tensor
    omega_b: Tensor
    h: Tensor
    n_s: Tensor
    sigma_8: Tensor
    w0: Tensor
    wa: Tensor
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, base: Cosmology, changes: Mapping[str, Any], device: str | torch.device) -> VariedCosmology:
        """A cosmology with some parameters changed, to numbers or tensors."""
        values = {**base.to_dict(), **changes}
        return cls(
            **{
                name: x.to(device, torch.float64).reshape(())
                if isinstance(x, Tensor)
                else torch.tensor(float(x), dtype=torch.float64, device=device)
                for name, x in values.items()
            },
            given=tuple(changes),
        )

    def to_dict(self) -> dict[str, Tensor]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in Cosmology.names()}

    @property
    def omega_de(self) -> Tensor:
        """Dark energy density today in units of the critical density."""
        return 1.0 - self.omega_m

    def densities(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Matter and dark energy at a scale factor, in units of today's critical density."""
        dark = a ** (-3 * (1 + self.w0 + self.wa)) * torch.exp(-3 * self.wa * (1 - a))
        return self.omega_m * a**-3, self.omega_de * dark

    def expansion(self, a: Any) -> Tensor:
        """E(a) of numbers or arrays."""
        matter, dark = self.densities(self._constant(a))
        return torch.sqrt(matter + dark)

    @cached_property
    def growth(self) -> VariedGrowth:
        return VariedGrowth(self)

    def _constant(self, values: Any) -> Tensor:
        return torch.as_tensor(
            np.asarray(values, dtype=np.float64), dtype=torch.float64, device=self.omega_m.device
        )


class VariedGrowth:
    """Growth factors to second order, as `zeldo.cosmology.background.Growth`, for 0 < a <= 1.

    D1^2, D1 D1', D1'^2, D2 and D2' obey one linear equation. Its propagators over all steps are made at once by the
    classical Runge-Kutta method, and multiplied in pairs. Divided by a^2 the solution hardly changes early on.
    """

    def __init__(self, cosmology: VariedCosmology):
        values = cosmology.omega_m, cosmology.w0, cosmology.wa
        try:
            first = np.log(matter_era(*(float(value.detach()) for value in values)))
        except RuntimeError:  # inside of `torch.vmap`, which has many at once
            first = np.log(A_EARLY)
        self._steps = int(np.ceil(STEPS * first / np.log(A_EARLY)))
        self._times = np.linspace(first, 0.0, 2 * self._steps + 1)  # with the middles of steps
        a = cosmology._constant(np.exp(self._times))
        matter, dark = cosmology.densities(a)
        w = cosmology.w0 + cosmology.wa * (1 - a)
        friction = 2 - 1.5 * (matter + (1 + w) * dark) / (matter + dark)
        source = 1.5 * matter / (matter + dark)
        self._device = a.device
        self._known: dict[tuple[str, float], Tensor] = {}  # steps ask for the same times again and again
        solution = _solve(source, friction, float(self._times[2] - self._times[0]))
        friction, source, lna = friction[::2], source[::2], cosmology._constant(self._times[::2])
        square, product, _, second, rate = solution.unbind(1)
        norm = 0.5 * torch.log(square[-1])
        f1, f2 = product / square, rate / second
        # ln D and its slope f, and f and its slope
        ln1 = lna + 0.5 * torch.log(square) - norm
        ln2 = 2 * lna + torch.log(-second) - 2 * norm
        self._ln1, self._ln2 = (ln1, f1), (ln2, f2)
        self._f1 = f1, source - friction * f1 - f1**2
        self._f2 = f2, source * (1 - square / second) - friction * f2 - f2**2

    def d1(self, a: Any) -> Tensor:
        """Linear growth factor, D1(1) = 1."""
        return self._at("d1", a, lambda: torch.exp(self._interpolated(self._ln1, a, 1.0)))

    def d2(self, a: Any) -> Tensor:
        """Second-order growth factor, negative."""
        return self._at("d2", a, lambda: -torch.exp(self._interpolated(self._ln2, a, 2.0)))

    def f1(self, a: Any) -> Tensor:
        """dln D1 / dln a."""
        return self._at("f1", a, lambda: self._interpolated(self._f1, a, 0.0))

    def f2(self, a: Any) -> Tensor:
        """dln |D2| / dln a."""
        return self._at("f2", a, lambda: self._interpolated(self._f2, a, 0.0))

    def _at(self, name: str, a: Any, compute: Callable[[], Tensor]) -> Tensor:
        if np.ndim(a):
            return compute()
        key = name, float(a)
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def _interpolated(self, table: tuple[Tensor, Tensor], a: Any, early_slope: float) -> Tensor:
        """Cubic Hermite interpolation between the ends of steps; a straight line before the first."""
        a = np.asarray(a, dtype=np.float64)
        if not np.all((a > 0) & (a <= 1 + ROUNDING)):
            raise InputError(
                f"scale factor {a} is not allowed: the growth of tensors is known for 0 < a <= 1"
            )
        lna = np.log(a)
        nodes = self._times[::2]
        step = nodes[1] - nodes[0]
        place = np.clip((lna - nodes[0]) / step, 0.0, self._steps)
        i = np.minimum(place.astype(np.int64), self._steps - 1)
        x = place - i
        early = early_slope * np.minimum(lna - nodes[0], 0.0)
        low = torch.as_tensor(i, device=self._device)
        h00, h10, h01, h11, line = (
            torch.as_tensor(v, dtype=torch.float64, device=self._device)
            for v in (
                (1 + 2 * x) * (1 - x) ** 2,
                step * x * (1 - x) ** 2,
                x**2 * (3 - 2 * x),
                step * x**2 * (x - 1),
                early,
            )
        )
        value, slope = table
        return h00 * value[low] + h10 * slope[low] + h01 * value[low + 1] + h11 * slope[low + 1] + line


def _solve(source: Tensor, friction: Tensor, step: float) -> Tensor:
    """(D1^2, D1 D1', D1'^2, D2, D2') / a^2 at the ends of steps, from the values there and in the middles."""
    zero, two = torch.zeros_like(source), torch.full_like(source, 2.0)
    rows = [
        [-two, two, zero, zero, zero],
        [source, -friction - 2, torch.ones_like(source), zero, zero],
        [zero, 2 * source, -2 * friction - 2, zero, zero],
        [zero, zero, zero, -two, torch.ones_like(source)],
        [-source, zero, zero, source, -friction - 2],
    ]
    matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
    start, middle, end = matrix[:-2:2], matrix[1::2], matrix[2::2]
    unit = torch.eye(5, dtype=source.dtype, device=source.device)
    second = middle @ (unit + 0.5 * step * start)
    third = middle @ (unit + 0.5 * step * second)
    fourth = end @ (unit + step * third)
    product = unit + step / 6 * (start + 2 * second + 2 * third + fourth)
    reach = 1
    while reach < len(product):  # afterwards each is the product of all before it
        product = torch.cat([product[:reach], product[reach:] @ product[:-reach]])
        reach *= 2
    first = source.new_tensor([1.0, 1.0, 1.0, -3 / 7, -6 / 7])
    return torch.cat([first[None], product @ first])
