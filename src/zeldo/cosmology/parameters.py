"""The parameters of a flat w0waCDM cosmology, and the presets that the field uses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from numbers import Real
from typing import Any

from zeldo.errors import InputError, ZeldoWarning, nearest
from zeldo.keywords import scalar

# Allowed ranges: wide enough for every published suite of simulations, narrow enough to catch a slip of units.
RANGES = {
    "omega_m": (0.01, 1.0),
    "omega_b": (0.0001, 0.5),
    "h": (0.2, 2.0),
    "n_s": (0.3, 2.0),
    "sigma_8": (0.05, 3.0),
    "w0": (-3.0, -0.3),
    "wa": (-3.0, 3.0),
}
SAME = 1e-4  # of a parameter: headers of files may be in single precision, and people round


@dataclass(frozen=True)
class Cosmology:
    """A flat universe of matter and dark energy with w(a) = w0 + wa (1 - a), without radiation.

    Parameters
    ----------
    omega_m : float
        Matter density today in units of the critical density, baryons included.
    omega_b : float
        Baryon density today, below `omega_m`.
    h : float
        Hubble constant in 100 km/s/Mpc.
    n_s : float
        Primordial spectral index.
    sigma_8 : float
        The primary amplitude: the linear rms density contrast today in spheres of radius 8 Mpc/h.
    w0, wa : float
        Dark energy's equation of state today, and its change with 1 - a.

    Raises
    ------
    InputError
        For a value that is not finite or out of `RANGES`, and for omega_b >= omega_m.
    """

    omega_m: float
    omega_b: float
    h: float
    n_s: float
    sigma_8: float
    w0: float = -1.0
    wa: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = scalar(getattr(self, field.name))
            low, high = RANGES[field.name]
            if not isinstance(value, Real) or not math.isfinite(value) or not low <= float(value) <= high:
                raise InputError(
                    f"{field.name} = {value!r} is not allowed: give a number from {low:g} to {high:g}"
                )
            object.__setattr__(self, field.name, float(value))
        if self.omega_b >= self.omega_m:
            raise InputError(
                f"omega_b = {self.omega_b:g} is not below omega_m = {self.omega_m:g}: "
                "omega_m counts all matter, baryons included"
            )
        if self.w0 + self.wa > -0.1 + 1e-9:  # -0.3 + 0.2 rounds above -0.1
            raise InputError(
                f"w0 + wa = {self.w0 + self.wa:g} is above -0.1: dark energy would fill the early universe; "
                "give a smaller wa"
            )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all parameters, in order."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def required(cls) -> tuple[str, ...]:
        """The names of the parameters that have no default."""
        return tuple(field.name for field in fields(cls) if field.default is MISSING)

    def to_dict(self) -> dict[str, float]:
        """The parameters by name, as `from_mapping` takes them."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Cosmology:
        """A cosmology from its parameters by name.

        Parameters
        ----------
        values : mapping of str to float
            All of `required`, and w0 and wa where they are not a cosmological constant's.

        Raises
        ------
        InputError
            Where a name is unknown or missing, or a value is not allowed.
        """
        for name in values:
            if name not in cls.names():
                raise InputError(
                    f"the cosmology has no parameter {name!r}{nearest(name, cls.names())}: "
                    f"give {', '.join(cls.required())}, and w0 and wa if you like"
                )
        missing = [name for name in cls.required() if name not in values]
        if missing:
            raise InputError(
                f"the cosmology lacks {', '.join(missing)}: give {', '.join(cls.required())}, "
                f"or take one of {', '.join(PRESETS)}"
            )
        return cls(**values)

    @property
    def omega_de(self) -> float:
        """Dark energy density today in units of the critical density."""
        return 1.0 - self.omega_m

    @classmethod
    def preset(cls, name: str) -> Cosmology:
        """A cosmology by name.

        Parameters
        ----------
        name : str
            One of `PRESETS`.

        Raises
        ------
        InputError
            For another name.
        """
        if name not in PRESETS:
            raise InputError(
                f"cosmology {name!r} is not known: choose one of {', '.join(PRESETS)}{nearest(name, PRESETS)}"
            )
        return PRESETS[name]

    @classmethod
    def from_astropy(
        cls,
        cosmology: Any,
        *,
        omega_b: float | None = None,
        sigma_8: float | None = None,
        n_s: float | None = None,
    ) -> Cosmology:
        """A cosmology from a flat astropy FLRW object.

        `Cosmology` has no radiation and no neutrinos. Radiation and massless neutrinos are counted as dark energy today,
        massive neutrinos as matter, with a warning.

        Parameters
        ----------
        cosmology : astropy.cosmology.FLRW
            Of the LambdaCDM, wCDM or w0waCDM family.
        omega_b : float, optional
            In place of the object's own.
        sigma_8, n_s : float, optional
            In place of those in the object's metadata.

        Raises
        ------
        InputError
            For curved models, for other dark energy, and where omega_b, sigma_8 or n_s is nowhere to be found.
        """
        if isinstance(cosmology, type):
            raise InputError(f"{cosmology.__name__} is a class: give an object of it, with its parameters")
        meta = dict(getattr(cosmology, "meta", None) or {})
        if abs(float(getattr(cosmology, "Ok0", 0.0))) > 1e-6:
            raise InputError(
                f"{cosmology.name or 'the astropy cosmology'} is curved: zeldo takes flat models only"
            )
        known = {"FlatLambdaCDM", "LambdaCDM", "FlatwCDM", "wCDM", "Flatw0waCDM", "w0waCDM"}
        kind = type(cosmology).__name__
        if kind not in known:
            raise InputError(
                f"the cosmology is a {kind}: give the name of a preset, a `Cosmology`, or astropy's "
                f"{', '.join(sorted(known))}"
            )
        sigma_8 = sigma_8 if sigma_8 is not None else meta.get("sigma8")
        n_s = n_s if n_s is not None else meta.get("n")
        missing = [name for name, value in (("sigma_8", sigma_8), ("n_s", n_s)) if value is None]
        omega_b = omega_b if omega_b is not None else cosmology.Ob0
        if not omega_b:  # None or 0 where it was not given, as astropy's version has it
            missing.append("omega_b")
        if missing:
            raise InputError(f"the astropy cosmology does not say {', '.join(missing)}: pass what is missing")
        return cls(
            omega_m=float(cosmology.Om0) + _massive_neutrinos(cosmology),
            omega_b=omega_b,
            h=float(cosmology.h),
            n_s=n_s,  # type: ignore[arg-type]
            sigma_8=sigma_8,  # type: ignore[arg-type]
            w0=float(getattr(cosmology, "w0", -1.0)),
            wa=float(getattr(cosmology, "wa", 0.0)),
        )


def with_parameters(
    given: Cosmology | Mapping[str, float] | str | Any | None,
    *,
    omega_m: float | None = None,
    omega_b: float | None = None,
    h: float | None = None,
    n_s: float | None = None,
    sigma_8: float | None = None,
    w0: float | None = None,
    wa: float | None = None,
) -> Cosmology | dict[str, float]:
    """What is given as a cosmology, with parameters that replace its own.

    Parameters
    ----------
    given : Cosmology, mapping of str to float, str or astropy.cosmology.FLRW, optional
        A mapping may have some of the parameters alone; a text is the name of a preset.
    omega_m, omega_b, h, n_s, sigma_8, w0, wa : float, optional
        As of `Cosmology`; None replaces nothing.

    Returns
    -------
    Cosmology or dict of str to float
        The parameters by name where none or a mapping is given, else a whole cosmology.

    Raises
    ------
    InputError
        For an unknown preset, a value that is not allowed, and an object of astropy's that is not supported.
    """
    values = zip(Cosmology.names(), (omega_m, omega_b, h, n_s, sigma_8, w0, wa), strict=True)
    parameters = {name: value for name, value in values if value is not None}
    if given is None or isinstance(given, Mapping):
        return {**(given or {}), **parameters}
    if isinstance(given, str):
        given = Cosmology.preset(given)
    elif not isinstance(given, Cosmology):
        # astropy's objects need not have these
        lacking = {name: parameters[name] for name in ("omega_b", "sigma_8", "n_s") if name in parameters}
        given = Cosmology.from_astropy(given, **lacking)
    return replace(given, **parameters) if parameters else given


def same_parameter(first: float, other: float) -> bool:
    """Whether two values of a parameter, or two boxes, are the same but for how they were written."""
    return math.isclose(first, other, rel_tol=SAME, abs_tol=1e-6)  # wa may be 0


def same_cosmology(first: Cosmology, other: Cosmology) -> bool:
    """Whether all parameters are the same by `same_parameter`."""
    return all(map(same_parameter, first.to_dict().values(), other.to_dict().values()))


def _massive_neutrinos(cosmology: Any) -> float:
    """Density parameter today of the massive neutrinos of an astropy cosmology, whose Om0 leaves them out."""
    if not getattr(cosmology, "has_massive_nu", False):
        return 0.0
    masses = [float(getattr(mass, "value", mass)) for mass in cosmology.m_nu]  # eV
    massless = sum(mass == 0 for mass in masses) / len(masses)
    # a massless species has 7/8 (4/11)^(4/3) of the photons' density, times Neff / 3
    light = 7 / 8 * (4 / 11) ** (4 / 3) * float(cosmology.Neff) * massless * float(cosmology.Ogamma0)
    density = float(cosmology.Onu0) - light
    warnings.warn(
        f"{cosmology.name or 'the astropy cosmology'} has massive neutrinos: their density today, {density:.5f}, is counted "
        "in omega_m, and they cluster as cold dark matter",
        ZeldoWarning,
        stacklevel=4,
    )
    return density


PRESETS = {
    # Villaescusa-Navarro et al. 2020 (arXiv:1909.05273), the fiducial model
    "quijote": Cosmology(omega_m=0.3175, omega_b=0.049, h=0.6711, n_s=0.9624, sigma_8=0.834),
    # Planck 2018 (arXiv:1807.06209), table 2, TT,TE,EE+lowE+lensing+BAO
    "planck2018": Cosmology(omega_m=0.3111, omega_b=0.04897, h=0.6766, n_s=0.9665, sigma_8=0.8102),
}


def check_cosmology(cosmology: object) -> None:
    """`InputError` for anything but a `Cosmology`."""
    if not isinstance(cosmology, Cosmology):
        raise InputError(
            f"cosmology = {cosmology!r} is not allowed: give a `Cosmology`, such as Cosmology.preset('quijote')"
        )
