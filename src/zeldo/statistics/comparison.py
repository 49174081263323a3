"""A prediction against a reference on the same initial conditions: how much power, how much of it in place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.cosmology.parameters import same_parameter
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import InputError
from zeldo.files.stored import StoredSnapshot
from zeldo.mesh.checks import check_mesh
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import lattice_of, matter_of
from zeldo.statistics.modes import as_tensor, cloud_in_cell_modes, field_modes, placed
from zeldo.statistics.on_disk import OnDisk, check_comparable
from zeldo.statistics.spectra import bins, mean_product

PARTICLE_BYTES, POINT_BYTES = 130, 12  # of a comparison in memory
PARTS = {"density": 1, "displacement": 3, "velocity": 3}  # components of each field
K_SHOWN = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)  # h/Mpc


@dataclass(frozen=True, eq=False)
class FieldComparison:
    """One field of a prediction and of the reference, in bins of the fundamental mode.

    The arrays are float64 and of one length.

    Parameters
    ----------
    k : ndarray
        Mean wavenumber of each bin, h/Mpc.
    power, power_reference : ndarray
        Power, summed over components: (Mpc/h)^3 times the field's unit squared.
    transfer : ndarray
        T = sqrt(P / P_ref).
    one_minus_r2 : ndarray
        1 - P_cross^2 / (P P_ref); not a number where a field is zero.
    """

    k: np.ndarray
    power: np.ndarray
    power_reference: np.ndarray
    transfer: np.ndarray
    one_minus_r2: np.ndarray

    __repr__ = brief

    def nearest(self, k: float) -> int:
        """Find the bin whose wavenumber is nearest.

        Parameters
        ----------
        k : float
            Wavenumber, h/Mpc.

        Returns
        -------
        int
            Index of the bin.
        """
        return int(np.argmin(np.abs(self.k - k)))


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of `compare_snapshots`.

    Parameters
    ----------
    engine : str
        The engine of the prediction.
    settings : mapping
        Its options.
    reference : str
        What it is compared with.
    redshift : float
        The redshift of both.
    box : float
        Side of the box, Mpc/h.
    n : int
        Particles per side.
    fields : mapping of str to FieldComparison
        "density", "displacement", and "velocity" where both have one.
    wall_seconds : float, optional
        The time of the prediction; None where it was not measured.
    peak_memory : float, optional
        Its memory in GB of 10^9 bytes; None where it was not measured.
    provenance : Provenance
        Version, revision and weights that made the prediction.
    expected_error : mapping, optional
        What the prediction says of its own error; see `Snapshot`.
    """

    engine: str
    settings: Mapping[str, object]
    reference: str
    redshift: float
    box: float
    n: int
    fields: Mapping[str, FieldComparison]
    wall_seconds: float | None = None
    peak_memory: float | None = None
    provenance: Provenance = field(default_factory=lambda: Provenance(""))
    expected_error: Mapping[str, Sequence[float]] | None = None

    __repr__ = brief

    def to_dict(self) -> dict[str, object]:
        """Convert to plain numbers, lists and text for JSON.

        Returns
        -------
        dict
            None stands for what is not finite.
        """
        names = ("k", "power", "power_reference", "transfer", "one_minus_r2")
        return {
            "engine": self.engine,
            **asdict(self.provenance),
            "settings": {name: json_value(value) for name, value in self.settings.items()},
            "reference": self.reference,
            "redshift": self.redshift,
            "box": self.box,
            "n": self.n,
            "fields": {
                label: {name: [json_value(float(x)) for x in getattr(field, name)] for name in names}
                for label, field in self.fields.items()
            },
            "wall_seconds": self.wall_seconds,
            "peak_memory": self.peak_memory,
            "expected_error": self.expected_error,
        }


def compare_snapshots(
    prediction: Snapshot,
    reference: Snapshot,
    *,
    wall_seconds: float | None = None,
    peak_memory: float | None = None,
    reference_name: str | None = None,
    mesh: int | None = None,
    device: str | torch.device = "cpu",
) -> Comparison:
    """Compare a prediction with a reference of the same lattice, box and redshift.

    The density is painted by cloud-in-cell. The window is divided out, and shot noise is not subtracted. Published T
    and 1 - r^2 are defined so, and in them the aliases of both fields almost cancel. They remain in `power`, so take
    `power_spectrum` for P(k). Displacement and velocity are compared on the lattice, summed over components.

    To compare many predictions with one reference, make one `Reference` and use its `compare`.

    Parameters
    ----------
    prediction, reference : Snapshot
        Snapshots that began from the same initial conditions.
    wall_seconds : float, optional
        Wall time of the prediction, s.
    peak_memory : float, optional
        Peak memory of the prediction, GB of 10^9 bytes.
    reference_name : str, optional
        Name of the reference. By default, that of its engine.
    mesh : int, optional
        Points per side of the density. By default, twice those of the lattice.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the two snapshots differ in box, lattice or redshift. Their cosmologies and seeds are not compared.
    """
    against = Reference(reference, name=reference_name, mesh=mesh, device=device)
    return against.compare(prediction, wall_seconds=wall_seconds, peak_memory=peak_memory)


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference snapshot and its modes, transformed once for any number of predictions.

    Parameters
    ----------
    snapshot : Snapshot
        The reference.
    name : str, optional
        Its name in comparisons; by default its engine.
    mesh : int, optional
        Mesh points per side for the density; by default twice the lattice.
    device : str or torch.device
        Where to compute.
    """

    snapshot: Snapshot
    name: str | None = None
    mesh: int | None = None
    device: str | torch.device = "cpu"
    modes: Mapping[str, Sequence[torch.Tensor]] = field(init=False, repr=False)
    power: dict[str, np.ndarray] = field(init=False, repr=False, default_factory=dict)

    __repr__ = brief

    def __post_init__(self) -> None:
        _checked(self.snapshot)
        mesh = check_mesh(2 * self.snapshot.n if self.mesh is None else self.mesh)
        object.__setattr__(self, "mesh", mesh)
        kept = () if isinstance(self.snapshot, StoredSnapshot) else _fields(self.snapshot)
        object.__setattr__(self, "modes", {label: [*self._modes(self.snapshot, label)] for label in kept})
        if not kept:
            check_comparable(self.snapshot.n, mesh)

    def compare(
        self,
        prediction: Snapshot,
        *,
        wall_seconds: float | None = None,
        peak_memory: float | None = None,
    ) -> Comparison:
        """Compare a prediction with this reference.

        Parameters
        ----------
        prediction : Snapshot
            Of the same lattice, box and redshift.
        wall_seconds : float, optional
            The time of the prediction.
        peak_memory : float, optional
            Its memory, GB of 10^9 bytes.

        Returns
        -------
        Comparison

        Raises
        ------
        InputError
            For another lattice, box or redshift.
        """
        ours, prediction = self.snapshot, _checked(prediction)
        for what, given, wanted, agree in (
            ("n", prediction.n, ours.n, prediction.n == ours.n),
            ("box", prediction.box, ours.box, same_parameter(prediction.box, ours.box)),
            (
                "redshift",
                prediction.redshift,
                ours.redshift,
                same_redshift(prediction.redshift, ours.redshift),
            ),
        ):
            if not agree:
                raise InputError(
                    f"the prediction ({prediction.engine}) has {what} = {given:g}, the reference "
                    f"{wanted:g}: both must agree; run the engine with the reference's"
                )
        fields = {}
        there = _fields(prediction)
        for label in _fields(ours):
            if label in there:
                fields[label] = self._compare(label, prediction)
        return Comparison(
            engine=prediction.engine,
            settings=dict(prediction.settings),
            reference=self.name or ours.engine,
            redshift=prediction.redshift,
            box=prediction.box,
            n=prediction.n,
            fields=fields,
            wall_seconds=wall_seconds,
            peak_memory=peak_memory,
            provenance=prediction.provenance,
            expected_error=prediction.expected_error,
        )

    def _modes(self, snapshot: Snapshot, label: str) -> Iterator[torch.Tensor]:
        """The modes of the density, or of one component after another of another field."""
        mesh: int = self.mesh  # type: ignore[assignment]
        name = "vel" if label == "velocity" else "psi"
        if isinstance(snapshot, StoredSnapshot):
            here = OnDisk.of(snapshot)
            for axis in range(PARTS[label]):
                density = label == "density"
                yield here.cloud_in_cell_modes(mesh) if density else here.component_modes(name, axis)
        elif label == "density":
            yield cloud_in_cell_modes(snapshot, mesh, device=self.device)
        else:
            values = as_tensor(getattr(snapshot, name), self.device)
            if label == "displacement":
                # the nearest image, for whoever made psi from wrapped positions
                values = values - snapshot.box * torch.round(values / snapshot.box)
            yield from placed(field_modes(values), snapshot)

    def _compare(self, label: str, snapshot: Snapshot) -> FieldComparison:
        box, device = self.snapshot.box, self.device
        predictions = self._modes(snapshot, label)
        references = iter(self.modes[label]) if self.modes else self._modes(self.snapshot, label)
        own, reference, cross = [], [], []
        for _ in range(PARTS[label]):
            a, b = next(predictions).to(device), next(references).to(device)
            own.append(mean_product(a, a))
            cross.append(mean_product(a, b))
            if label not in self.power:
                reference.append(mean_product(b, b))
            k = bins(b.shape[0], str(b.device)).k * (2 * np.pi / box)
            del a, b  # before the next ones are made
        self.power.setdefault(label, np.sum(reference, axis=0) * box**3)
        power, power_reference = np.sum(own, axis=0) * box**3, self.power[label]
        with np.errstate(invalid="ignore", divide="ignore"):
            transfer = np.sqrt(power / power_reference)
            one_minus_r2 = 1 - (np.sum(cross, axis=0) * box**3) ** 2 / (power * power_reference)
        return FieldComparison(k, power, power_reference, transfer, one_minus_r2)


def _checked(snapshot: Snapshot) -> Snapshot:
    """The snapshot; `InputError` for what is no lattice, and for values in memory that are not finite."""
    lattice_of(snapshot, "compare_snapshots")
    if not isinstance(snapshot, StoredSnapshot):
        matter = matter_of(snapshot)
        _ = matter.points, matter.velocities if matter.has_velocities else None  # which say it
    return snapshot


def _fields(snapshot: Snapshot) -> tuple[str, ...]:
    return ("density", "displacement") + (("velocity",) if snapshot.has_velocities else ())


def json_value(value: object) -> object:
    """Plain numbers, lists and text for JSON; None for what is not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): json_value(x) for name, x in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [json_value(x) for x in value]
    return str(value)
