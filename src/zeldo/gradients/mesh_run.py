"""Runs of the mesh engines as functions of 2LPT's displacements and of the coefficients of all steps.

`gradient="autograd"` leaves the derivatives to torch, which keeps what every step needs on the way back. The reverse-time
adjoint (Li et al. 2022, arXiv:2211.09815) keeps the final state alone: steps of the leapfrog can be undone. On the way
back each force is taken once more, together with its transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from zeldo.engines.leapfrog import begin, start, step, velocity
from zeldo.engines.state import Array
from zeldo.engines.table import Row, Table
from zeldo.mesh.gravity import Gravity
from zeldo.mesh.torch_accelerated import Tensors, accelerated
from zeldo.mesh.torch_numba import HostGravity, array

Coefficients = tuple[Tensor, Tensor, Tensor]  # kicks (rows, 4), drifts (rows, 3), the last closing kick (4,)


@dataclass(frozen=True, eq=False)
class MeshRun:
    """The steps of a table from 2LPT's displacements to the end of its last row.

    Parameters
    ----------
    gravity : Gravity
        On tensors, differentiable.
    table : Table
        Its columns may be tensors that carry gradients.
    moving : bool
        Whether velocities are relative to 2LPT (COLA).
    varied : bool
        Whether anybody asks for derivatives with respect to the coefficients.
    """

    keeps_outputs: ClassVar[bool] = True
    gravity: Gravity
    table: Table
    moving: bool
    varied: bool

    def adjoint(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """psi (Mpc/h) and peculiar velocity (km/s), differentiated by the reverse-time adjoint."""
        psi, vel, _ = accelerated(self, first, second, *self._coefficients(first))
        return psi, vel

    def autograd(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The same, differentiated by torch."""
        psi, vel, _ = self.reference(first, second, *self._coefficients(first))
        return psi, vel

    def _coefficients(self, field: Tensor) -> Coefficients:
        columns = self.table.columns
        kick, drift, close = (
            x if isinstance(x, Tensor) else torch.from_numpy(np.asarray(x))
            for x in (columns.kick, columns.drift, columns.close[-1])
        )
        return kick.to(field.device), drift.to(field.device), close.to(field.device)

    def _rows(self, kick: Any, drift: Any, close: Any) -> list[Row]:
        columns = self.table.columns
        return [
            Row(
                columns.a0[i],
                columns.a1[i],
                kick[i],
                drift[i],
                float(columns.offset[i]),
                close,
                float(columns.sharpening[i]),
            )
            for i in range(len(self.table))
        ]

    def reference(
        self, first: Tensor, second: Tensor, kick: Tensor, drift: Tensor, close: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """psi, the peculiar velocity, and v of the last state, by torch's operations on tensors."""
        frame = (first, second) if self.moving else ()
        rows = self._rows(kick, drift, close)
        state = start(rows[0], self.gravity, first, second)
        for row in rows[1:]:
            state = step(state, row, self.gravity, frame)
        return state.psi, velocity(state, rows[-1], self.gravity, frame), state.v

    def value(
        self, first: Tensor, second: Tensor, kick: Tensor, drift: Tensor, close: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same without gradients, in as little memory as a run takes."""
        plain = _Plain(self.gravity)
        fields = plain.array(first), plain.array(second)
        frame = fields if self.moving else ()
        rows = self._rows(kick.tolist(), drift.tolist(), close.tolist())
        with torch.no_grad():
            state = start(rows[0], plain.gravity, *fields)
            for row in rows[1:]:
                state = step(state, row, plain.gravity, frame, donate=True)
            vel = velocity(state, rows[-1], plain.gravity, frame)
        return plain.tensor(state.psi), plain.tensor(vel), plain.tensor(state.v)

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        """The steps backwards in time, with the cotangents of psi, v, both orders of 2LPT and all coefficients."""
        first, second, kick, drift, close, psi, _, v = inputs
        plain = _Plain(self.gravity)
        rows = self._rows(kick.tolist(), drift.tolist(), close.tolist())
        back = _Backwards(self, plain, rows, plain.array(first), plain.array(second))
        by_psi, by_vel, by_v = (plain.copy(x) for x in cotangents)
        with torch.no_grad():
            by_fields = back.run(plain.copy(psi), plain.copy(v), by_psi, by_vel, by_v)
        by_coefficients = (torch.from_numpy(x).to(kick) for x in (back.kick, back.drift, back.close))
        return *(plain.tensor(x) for x in by_fields), *by_coefficients


class _Plain:
    """Gravity without gradients, and the arrays it works on: NumPy's where Numba computes."""

    def __init__(self, gravity: Any):
        self.host = isinstance(gravity, HostGravity)
        self.gravity: Gravity = gravity.numba if self.host else gravity

    def array(self, tensor: Tensor) -> Array:
        return array(tensor) if self.host else tensor.detach()

    def copy(self, tensor: Tensor) -> Array:
        return array(tensor).copy() if self.host else tensor.detach().clone()

    def tensor(self, field: Array) -> Tensor:
        return torch.from_numpy(field) if self.host else field

    def dot(self, a: Array, b: Array) -> float:
        if self.host:
            return float(np.sum(a * b, dtype=np.float64))
        return float((a * b).sum(dtype=torch.float64))


class _Backwards:
    """The reverse of a run.

    Each step is undone, from psi and v after it to those before. `by_` names the derivative of the result with respect to
    a field; `kick`, `drift` and `close` collect those with respect to the coefficients.
    """

    def __init__(self, run: MeshRun, plain: _Plain, rows: list[Row], first: Array, second: Array):
        self.plain, self.rows, self.fields, self.varied = plain, rows, (first, second), run.varied
        self.gravity = plain.gravity
        self.frame = self.fields if run.moving else ()
        self.by_fields = [0 * first, 0 * second]
        self.kick, self.drift, self.close = np.zeros((len(rows), 4)), np.zeros((len(rows), 3)), np.zeros(4)

    def run(self, psi: Array, v: Array, by_psi: Array, by_vel: Array, by_v: Array) -> list[Array]:
        self._undo_close(psi, v, by_psi, by_vel, by_v)
        for i in range(len(self.rows) - 1, 0, -1):
            self._undo_drift(i, psi, v, by_psi, by_v)
            self._undo_kick(i, psi, v, by_psi, by_v)
        row = self.rows[0]
        self._add_to_fields(row.drift[1:], by_psi, self.drift[0, 1:])
        self._add_to_fields(row.kick[2:], by_v, self.kick[0, 2:])
        return self.by_fields

    def _undo_close(self, psi: Array, v: Array, by_psi: Array, by_vel: Array, by_v: Array) -> None:
        if not by_vel.any():  # nobody looks at velocities
            return
        row = self.rows[-1]
        self._add(by_v, row.close[0], by_vel)
        if self.varied:
            self.close[0] = self.plain.dot(by_vel, v)
        if row.forced:
            force, slopes = self.gravity.pull_back(psi, row.offset, by_vel, row.sharpening)
            self._add(by_psi, row.close[1], slopes)
            if self.varied:
                self.close[1] = self.plain.dot(by_vel, force)
        if self.frame:
            self._add_to_fields(row.close[2:], by_vel, self.close[2:])

    def _undo_drift(self, i: int, psi: Array, v: Array, by_psi: Array, by_v: Array) -> None:
        row = self.rows[i]
        if self.varied:
            self.drift[i, 0] = self.plain.dot(by_psi, v)
        if self.frame:
            self._add_to_fields(row.drift[1:], by_psi, self.drift[i, 1:])
        self._add(by_v, row.drift[0], by_psi)
        self._take_off(psi, zip(row.drift, (v, *self.frame), strict=False))

    def _undo_kick(self, i: int, psi: Array, v: Array, by_psi: Array, by_v: Array) -> None:
        row, last = self.rows[i], self.rows[i - 1]
        known: Array | None = None
        if i == 1:  # its velocity is known; elsewhere kicks are far from forgetting it
            at_start, known = begin(last, self.gravity, *self.fields)
            self._set(psi, at_start)
        if last.forced:
            force, slopes = self.gravity.pull_back(psi, last.offset, by_v, last.sharpening)
            self._add(by_psi, row.kick[1], slopes)
            if self.varied:
                self.kick[i, 1] = self.plain.dot(by_v, force)
            if self.frame:
                self._add_to_fields(row.kick[2:], by_v, self.kick[i, 2:])
            if known is None:
                self._take_off(v, zip(row.kick[1:], (force, *self.frame), strict=False))
                self._scale(v, 1 / row.kick[0])
        if known is not None:
            self._set(v, known)
        if last.forced:
            if self.varied:
                self.kick[i, 0] = self.plain.dot(by_v, v)
            self._scale(by_v, row.kick[0])

    def _add(self, out: Array, factor: float, field: Array) -> None:
        self.gravity.combine(out, (1.0, out), (factor, field))

    def _take_off(self, out: Array, terms: Any) -> None:
        self.gravity.combine(out, (1.0, out), *((-factor, field) for factor, field in terms))

    def _add_to_fields(self, factors: Sequence[float], by: Array, by_factors: np.ndarray) -> None:
        for number, factor in enumerate(factors):
            self._add(self.by_fields[number], factor, by)
            if self.varied:
                by_factors[number] = self.plain.dot(by, self.fields[number])

    def _scale(self, out: Array, factor: float) -> None:
        out *= factor if not self.plain.host else np.float32(factor)

    def _set(self, out: Array, field: Array) -> None:
        out[:] = field
