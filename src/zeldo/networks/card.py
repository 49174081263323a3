"""The model card: what a set of weights is, what its task is, and where it may be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.networks.architectures import architecture
from zeldo.networks.expected import ExpectedError
from zeldo.networks.tasks import make_task, task_class

if TYPE_CHECKING:
    from zeldo.networks.tasks.base import Task

# tasks of public checkpoints, by the number of styles of the network
PUBLIC_TASKS = ("deoliveira2020", "jamieson2022", "jamieson2024")
# their names in cards of format 1
NORMALISATIONS = dict(zip(("growth", "style", "style and growth"), PUBLIC_TASKS, strict=True))
DARK_ENERGY = {"w0": -1.0, "wa": 0.0}  # a cosmological constant
OPTIONAL = ("sigma_8", "omega_b", "h", "n_s", *DARK_ENERGY)  # ranges that a card need not have
EXTRAPOLATE = "extrapolate=True (--extrapolate, or :extrapolate=true behind the engine's name)"
_REMEDY = f"choose a value inside, an engine without a network such as cola or pm, or {EXTRAPOLATE}"


@dataclass(frozen=True)
class ModelCard:
    """What a network is and where it may be used.

    Parameters
    ----------
    architecture : str
        The name of the network's class.
    arguments : mapping of str to int
        The arguments of its constructor.
    task : str
        The name of a task of `zeldo.networks.tasks`.
    options : mapping
        The options of the task, but for those of its loss.
    redshift : (float, float)
        The range in which it may be used.
    spacing : (float, float)
        The range of the lattice spacing, Mpc/h.
    omega_m : (float, float)
        The range of the matter density today.
    training : str
        A note on data, seeds, steps, hours and device.
    accuracy : mapping
        Measured figures by name.
    sigma_8 : (float, float), optional
        The range of sigma_8; None for any.
    w0, wa : (float, float), optional
        The ranges of the equation of state of dark energy; None for a cosmological constant alone.
    omega_b, h, n_s : (float, float), optional
        The ranges of these parameters; None for any.
    dynamics_revision : int, optional
        The revision of the engine that the network learned to correct; None for any, and for none.

    Raises
    ------
    InputError
        For an unknown name, a task that does not fit the network, and an invalid range.
    """

    architecture: str
    arguments: Mapping[str, int]
    task: str
    options: Mapping[str, Any]
    redshift: tuple[float, float]
    spacing: tuple[float, float]
    omega_m: tuple[float, float]
    training: str = ""
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    sigma_8: tuple[float, float] | None = None
    w0: tuple[float, float] | None = None
    wa: tuple[float, float] | None = None
    omega_b: tuple[float, float] | None = None
    h: tuple[float, float] | None = None
    n_s: tuple[float, float] | None = None
    dynamics_revision: int | None = None

    def __deepcopy__(self, memo: object) -> ModelCard:
        return self  # it never changes, and copies of its tables would take time for every box

    def __post_init__(self) -> None:
        architecture(self.architecture)
        optional = [name for name in OPTIONAL if getattr(self, name) is not None]
        for name in ("redshift", "spacing", "omega_m", *optional):
            try:
                low, high = (float(value) for value in getattr(self, name))
            except (TypeError, ValueError):
                low, high = math.nan, math.nan
            if not low <= high or not math.isfinite(high - low):
                raise InputError(f"{name} = {getattr(self, name)!r} is not a range: give (lowest, highest)")
            object.__setattr__(self, name, (low, high))
        object.__setattr__(self, "arguments", {str(k): int(v) for k, v in self.arguments.items()})
        task = self.make_task()
        options = {k: v for k, v in task.options().items() if k not in task.loss_options}
        object.__setattr__(self, "options", options)
        styles = self.arguments.get("styles", 1 if self.architecture == "styled vnet" else 0)
        if styles != task.styles:
            raise InputError(
                f"a {self.architecture} of {styles} styles cannot have the task {self.task!r}, which tells it "
                f"{task.styles}: change one of them"
            )
        if self.dynamics_revision is not None and type(self.dynamics_revision) is not int:
            raise InputError(
                f"dynamics_revision = {self.dynamics_revision!r} is not allowed: give a whole number"
            )
        for end, theirs in {"in": task.in_channels, "out": task.out_channels}.items():
            ours = self.arguments.get(f"{end}_channels", theirs)
            if ours != theirs:
                raise InputError(
                    f"a network with {end}_channels = {ours} cannot have the task {self.task!r} with these options, "
                    f"which has {theirs}: change one of them"
                )
        object.__setattr__(self, "accuracy", dict(self.accuracy))
        if "expected" in self.accuracy:
            ExpectedError.from_dict(self.accuracy["expected"])

    def make_task(self) -> Task:
        """The task of the network, with the loss of a new one: terms of losses change their names, networks stay."""
        unused = task_class(self.task).loss_options
        return make_task(self.task, **{k: v for k, v in self.options.items() if k not in unused})

    @property
    def quantity(self) -> str:
        """What the network predicts, in words."""
        return self.make_task().quantity

    def check_range(self, cosmology: Cosmology, *, redshift: float, spacing: float) -> None:
        """Check that a setting is inside the ranges of the card.

        Parameters
        ----------
        cosmology : Cosmology
        redshift : float
        spacing : float
            Lattice spacing, Mpc/h.

        Raises
        ------
        InputError
            Outside the ranges.
        """
        values = {"redshift": redshift, "spacing": spacing, "omega_m": cosmology.omega_m}
        for name in OPTIONAL:
            if getattr(self, name) is not None:
                values[name] = getattr(cosmology, name)
        for name, value in values.items():
            low, high = getattr(self, name)
            margin = 1e-6 * max(abs(low), abs(high), 1)
            if not low - margin <= value <= high + margin:
                allowed = f"{low:g} to {high:g}" if low < high else f"{low:g} only"
                raise InputError(
                    f"{name} = {value:g}{' Mpc/h' if name == 'spacing' else ''} is outside the range that the "
                    f"network's card allows, {allowed}: {_REMEDY}"
                )
        for name, constant in DARK_ENERGY.items():
            value = getattr(cosmology, name)
            if getattr(self, name) is None and value != constant:
                raise InputError(
                    f"{name} = {value:g} is outside what the network's card allows, a cosmological constant, "
                    f"{name} = {constant:g}: {_REMEDY}"
                )

    def covers(self, cosmology: Cosmology, *, redshift: float, spacing: float) -> bool:
        """Whether a setting is inside the ranges: see `check_range`."""
        try:
            self.check_range(cosmology, redshift=redshift, spacing=spacing)
        except InputError:
            return False
        return True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelCard:
        """The inverse of `to_dict`. It raises `InputError` for missing or unknown entries."""
        content = dict(content)
        if "normalisation" in content and "quantity" in content:  # of format 1
            normalisation = content.pop("normalisation")
            if normalisation not in NORMALISATIONS:
                raise InputError(f"normalisation {normalisation!r} is not known: the file is damaged")
            content["task"] = NORMALISATIONS[normalisation]
            content["options"] = {"quantity": content.pop("quantity")}
        known = [entry.name for entry in fields(cls)]
        for name in content:
            if name not in known:
                raise InputError(
                    f"the model card has an unknown entry {name!r}: it was written by another version"
                )
        missing = [name for name in known[:7] if name not in content]
        if missing:
            raise InputError(f"the model card lacks {', '.join(missing)}: write the file again with zeldo")
        return cls(**content)


# Quijote boxes: 512^3 particles in (1 Gpc/h)^3. The paper tests its network on 2000 cosmologies of their
# Latin hypercube; the styled networks are trained on it.
_SPACING = (1000 / 512, 1000 / 512)
_OMEGA_M = (0.1, 0.5)
_SIGMA_8 = (0.6, 1.0)


_NOTES = {
    "deoliveira2020": "as de Oliveira et al. 2020: 180 Quijote simulations of the fiducial cosmology",
    "jamieson2022": "as Jamieson et al. 2023: Quijote simulations of the Latin hypercube, z = 0",
    "jamieson2024": "as Jamieson et al. 2024: Quijote simulations of the Latin hypercube, z = 0 to 3",
}


def public_card(architecture: str, arguments: Mapping[str, int], quantity: str | None) -> ModelCard:
    """Make the card of a published checkpoint, which has none of its own.

    Parameters
    ----------
    architecture : str
    arguments : mapping of str to int
        The arguments of its constructor.
    quantity : str or None
        What the network predicts; None for the default of its task.

    Returns
    -------
    ModelCard
    """
    styles = 0 if architecture == "vnet" else arguments["styles"]
    if styles >= len(PUBLIC_TASKS):
        raise InputError(f"no published network has {styles} styles: give 1 or 2")
    task = PUBLIC_TASKS[styles]
    return ModelCard(
        architecture,
        arguments,
        task,
        {} if quantity is None else {"quantity": quantity},
        (0, 3) if task == "jamieson2024" else (0, 0),
        _SPACING,
        _OMEGA_M,
        f"imported; {_NOTES[task]}",
        sigma_8=_SIGMA_8,
    )
