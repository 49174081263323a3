"""The Universe: everything that determines the initial conditions of a simulation."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import PRESETS, Cosmology, with_parameters
from zeldo.cosmology.power import MODELS, check_model
from zeldo.errors import InputError, ZeldoWarning, nearest
from zeldo.files.white_noise import find_phases
from zeldo.initial.conditions import InitialConditions, check_grid
from zeldo.initial.phases import Phases, check_given
from zeldo.keywords import plain_scalars, scalar

SMALL_BOX = 5.0  # Mpc/h


@dataclass(frozen=True, kw_only=True)
class Universe:
    """A cosmology, a periodic box, its lattice, and the phases and amplitudes of its modes.

    Parameters
    ----------
    cosmology : Cosmology
        Quijote's by default.
    box : float
        Side of the box, Mpc/h.
    n : int
        Particles per side, even.
    seed : int, optional
        Seed of the phases; by default 7, or that of the published simulation. In one box, all values of `n` share the
        large scales of a seed.
    fixed : bool
        Amplitudes of all modes set to their expected values (Angulo & Pontzen 2016, arXiv:1603.05253).
    flip : bool
        Sign of the linear field changed, for the paired simulation of the same seed (ibid.).
    power : str or path
        Linear power: "camb", "eisenstein-hu", or a text file with the columns k in h/Mpc and P.
    phases : str, path or Phases
        The name of a generator, such as "native" or "ngenic", or a file of white noise, which is read at once. Phases of
        a published simulation need its cosmology and box, which `Universe.of` fills in.

    Raises
    ------
    InputError
        For a value that is not allowed.
    """

    cosmology: Cosmology = PRESETS["quijote"]
    box: float = 250.0
    n: int = 128
    seed: int | None = None
    fixed: bool | None = False
    flip: bool | None = False
    power: str | os.PathLike[str] = "camb"
    phases: str | os.PathLike[str] | Phases = "native"

    def __post_init__(self) -> None:
        if not isinstance(self.cosmology, Cosmology):
            raise InputError(
                f"cosmology = {self.cosmology!r} is not allowed: give a `Cosmology`, "
                "or use `Universe.of`, which takes names of presets and astropy's objects too"
            )
        plain_scalars(self, "box", "n", "seed", "fixed", "flip")
        box, n = check_grid(self.box, self.n)
        for name in ("fixed", "flip"):
            if not isinstance(getattr(self, name), bool | None):
                raise InputError(f"{name} = {getattr(self, name)!r} is not allowed: give true or false")
        phases = find_phases(self.phases, seed=self.seed, fixed=bool(self.fixed), flip=bool(self.flip))
        if phases.cosmology is not None:
            check_given(phases, {"box": box, "cosmology": self.cosmology})
        checked: dict[str, Any] = {"box": box, "n": n, "power": check_model(self.power)}
        checked |= {name: getattr(phases, name) for name in ("seed", "fixed", "flip")}
        checked["phases"] = (
            self.phases if isinstance(self.phases, str) and phases.seed is not None else phases
        )
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._doubt()

    def _doubt(self) -> None:
        """Warn of values that are allowed, and that people give in other units."""
        c = self.cosmology
        if self.box < SMALL_BOX:
            _warn(f"box = {self.box:g} is small for a universe: give Mpc/h, not Gpc/h")
        usual, physical = PRESETS["quijote"].omega_b, c.omega_b / c.h**2
        if c.omega_b < 0.6 * usual < physical < 1.4 * usual:
            _warn(
                f"omega_b = {c.omega_b:g} is low, but usual for omega_b h^2: if that is meant, give omega_b = {physical:.4g}"
            )

    @classmethod
    def of(cls, cosmology: Any = None, **options: Any) -> Universe:
        """A universe from the name of a cosmology and the values that differ from the defaults.

        Parameters
        ----------
        cosmology : str, mapping, Cosmology or astropy.cosmology.FLRW, optional
            A preset's name, parameters by name, or a flat model; "quijote" by default.
        **options
            Fields of `Universe`, and parameters of `Cosmology` that replace those of the model. An option that is None
            keeps its default.

        Returns
        -------
        Universe

        Raises
        ------
        InputError
            For an unknown name or a value that is not allowed.
        """
        values = {name: scalar(value) for name, value in options.items() if value is not None}
        parameters = {name: values.pop(name) for name in Cosmology.names() if name in values}
        fields = [name for name in cls.__dataclass_fields__ if name != "cosmology"]
        for name in values:
            if name not in fields:
                allowed = [*Cosmology.names(), *fields]
                raise InputError(
                    f"a universe has no {name!r}{nearest(name, allowed)}: give any of {', '.join(allowed)}"
                )
        if "phases" in values:
            drawn = find_phases(
                values["phases"],
                **{name: values[name] for name in ("seed", "fixed", "flip") if name in values},
            )
            if drawn.cosmology is not None:
                check_given(drawn, {"box": values.get("box"), **parameters})
                values["box"] = drawn.box
                cosmology = drawn.cosmology if cosmology is None else cosmology
            if drawn.seed is None:  # a file, which need not be read again
                values["phases"] = drawn
        base = with_parameters(cls.cosmology if cosmology is None else cosmology, **parameters)
        return cls(cosmology=base if isinstance(base, Cosmology) else Cosmology.from_mapping(base), **values)

    @property
    def spacing(self) -> float:
        """Lattice spacing, Mpc/h."""
        return self.box / self.n

    def with_absolute_power(self) -> Universe:
        """The same universe, whose table of power other processes find, too.

        Returns
        -------
        Universe
        """
        return self if self.power in MODELS else replace(self, power=Path(self.power).resolve())

    def initial_conditions(self) -> InitialConditions:
        """The linear density field today: the same bits for the same universe on the same machine."""
        from zeldo.initial.linear import initial_conditions

        assert not isinstance(self.phases, os.PathLike)  # `__post_init__` has read it
        return initial_conditions(
            self.cosmology,
            self.box,
            self.n,
            self.seed,
            fixed=bool(self.fixed),
            flip=bool(self.flip),
            power=self.power,
            phases=self.phases,
        )


def _warn(text: str) -> None:
    warnings.warn(text, ZeldoWarning, stacklevel=2)
