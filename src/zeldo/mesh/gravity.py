"""The force of a particle mesh on its particles: paint, Poisson solve, gradient, read; on the CPU or any torch device.

F = -grad lap^-1 delta in Mpc/h, the displacement that linear theory gives for the same density. Two gradients:

difference  the potential goes back to the mesh once; the centred difference of fourth order is taken there.
            Soft at the mesh's own scale, quiet where particles still sit near their lattice, two transforms.
spectral    ik for each component; exact up to Nyquist, four transforms.

One cloud-in-cell window is divided out to the power `deconvolution` (0: none, 1: one, 2: both).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from zeldo.errors import InputError

Array = Any  # a NumPy array or a torch tensor, (3, n, n, n) float32


class Gravity(Protocol):
    """What steps need of a device: the force, and arithmetic on fields that live where the force does."""

    def __call__(
        self, psi: Array, offset: float = 0.0, out: Array | None = None, sharpening: float = 0.0
    ) -> Array:
        """F at the particles of psi; both (3, n, n, n) float32, Mpc/h.

        offset: of the mesh, in its cells. out: a field that nobody needs any more; the force may be put there.
        sharpening: windows divided out beyond the usual `deconvolution`.
        """

    def held(
        self, psi: Array, offset: float = 0.0, out: Array | None = None, sharpening: float = 0.0
    ) -> Array:
        """The same as `advance` and `combine` take it, which may be less than the whole force in memory.

        `whole` gives the field. It counts as long as psi is not changed.
        """

    def whole(self, force: Array) -> Array:
        """F as a field, from what `held` gave."""

    def density(self, psi: Array) -> Array:
        """The density in units of its mean on the mesh, (m, m, m) float32: a new field."""

    def potential(self, psi: Array) -> Array:
        """phi with F = -grad phi, (Mpc/h)^2, (m, m, m) float32: a new field."""

    def pull_back(
        self, psi: Array, offset: float, cotangent: Array, sharpening: float = 0.0
    ) -> tuple[Array, Array]:
        """F at the particles, and the change of cotangent . F with psi: both new (3, n, n, n)."""

    def array(self, field: np.ndarray) -> Array:
        """The field on the device, float32; itself where it is there already."""

    def numpy(self, field: Array) -> np.ndarray:
        """The field in main memory; itself where it is there already."""

    def combine(self, out: Array | None, *terms: tuple[float, Array]) -> Array:
        """out = sum of factor x field over two to four terms; out may be one of the fields, None makes a new one.

        One of the fields may be what `held` gave.
        """

    def advance(
        self,
        psi: Array,
        v: Array,
        force: Array | None,
        kick: Sequence[float],
        drift: Sequence[float],
        frame: Sequence[Array] = (),
        *,
        donate: bool = False,
    ) -> tuple[Array, Array]:
        """psi and v after v <- kick . (v, force, *frame), then psi <- psi + drift . (v, *frame).

        kick, drift: weights; those of a frame's fields count where there is one. force: where it is None v stays as it
        is. frame: none or two fields. donate: psi and v are nobody's any more, so that the new ones may take their place.
        """


def gravity(
    box: float,
    m: int,
    *,
    gradient: str = "difference",
    deconvolution: float = 0.0,
    device: str = "cpu",
) -> Gravity:
    """The force of particles on each other by a mesh.

    Parameters
    ----------
    box : float
        Side of the periodic box, Mpc/h.
    m : int
        Mesh points per side.
    gradient : {"difference", "spectral"}
        A fourth-order difference, or the exact gradient of the Fourier modes.
    deconvolution : float
        How many of the two cloud-in-cell windows are divided out.
    device : str
        "cpu" for Numba, "torch" for the twin of its kernels in torch on the CPU, or any other device of torch.

    Returns
    -------
    Gravity
    """
    if device == "cpu":
        from zeldo.mesh.numba_gravity import NumbaGravity

        return NumbaGravity(box, m, gradient, deconvolution)
    from zeldo.mesh.torch_gravity import TorchGravity

    return TorchGravity(box, m, gradient, deconvolution, torch_device(device))


def torch_device(device: str) -> str:
    """The torch device of an option `device`, of which "torch" is torch on the CPU. `InputError` as of `check_device`."""
    return check_device("cpu" if device == "torch" else device)


def check_device(device: str) -> str:
    """The device, with its number where it has one, where torch can use it; else `InputError`."""
    import torch

    try:
        made = torch.zeros(1, device=device)
        made.cpu()  # torch's "meta" takes fields and gives none back
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"device {device!r} cannot be used ({reason}): give {_usable()}") from None
    return str(made.device)  # which GPU "cuda" is depends on the thread


def _usable() -> str:
    import torch

    return "cpu or a device such as cuda" if torch.cuda.is_available() else "cpu"
