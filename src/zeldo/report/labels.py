"""What table, pictures and page share: the name of each engine, values at chosen k, which value is best."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.engines.registry import engine
from zeldo.engines.registry import names as engine_names
from zeldo.errors import InputError
from zeldo.statistics.comparison import K_SHOWN, Comparison, FieldComparison

FIELDS = ("density", "displacement", "velocity")
NOT_KNOWN = "-"
MIDDLE = 3  # the place among the k of a table of the one that stands for all
ROUND = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # first digits of k in boxes that do not reach `K_SHOWN`


def show(value: object) -> str:
    """A setting as a person would write it: 10, 0.5, off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_text(settings: Mapping[str, object], names: Sequence[str] | None = None) -> str:
    """`"steps 10, mesh_factor 2"`; of all settings but those that are off, or of `names`."""
    if names is None:
        names = [name for name, value in settings.items() if value not in (None, False, "cpu")]
    names = [name for name in names if name in settings]
    return ", ".join(f"{name} {show(settings[name])}" for name in names)


def labels(comparisons: Sequence[Comparison]) -> list[str]:
    """A name each, all different: the engine, with the fewest settings that tell it from its kin and from its defaults."""
    names = []
    for comparison in comparisons:
        kin = [other.settings for other in comparisons if other.engine == comparison.engine]
        text = settings_text(comparison.settings, _telling(kin, _defaults(comparison.engine)))
        names.append(f"{comparison.engine} ({text})" if text else comparison.engine)
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        if names.count(name) > 1 and seen[name] > 1:
            names[i] = f"{name} #{seen[name]}"
    return names


def _telling(kin: Sequence[Mapping[str, object]], defaults: Sequence[Mapping[str, object]]) -> list[str]:
    """The fewest settings that tell as many engines of one name, and its defaults, apart as all settings do."""
    keys = list(dict.fromkeys(key for settings in kin for key in settings))
    # defaults are silent about settings that are no options
    own = [{**kin[0], **settings} for settings in defaults]
    rows = [{key: show(settings.get(key)) for key in keys} for settings in (*kin, *own)]
    differing = [key for key in keys if len({row[key] for row in rows}) > 1]
    kinds = len({tuple(row.values()) for row in rows})
    for count in range(len(differing)):
        for chosen in itertools.combinations(differing, count):
            if len({tuple(row[key] for key in chosen) for row in rows}) == kinds:
                return list(chosen)
    return differing


@cache
def _defaults(name: str) -> Sequence[Mapping[str, object]]:
    """The settings of an engine that is asked for by its name alone; none where its name is not enough."""
    if name not in engine_names():
        return []
    try:
        return [engine(name).settings]
    except (InputError, TypeError):  # somebody's own engine, whose options have no defaults
        return []


def in_lines(name: str, width: int) -> str:
    """The name, where it is longer than `width`, in lines of that length: what stands in brackets begins a new one."""
    if len(name) <= width:
        return name
    parts = name.replace(" (", "\n(", 1).splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, width))


def by_redshift(comparisons: Sequence[Comparison]) -> dict[float, list[int]]:
    """Indices of the comparisons at each redshift, today first."""
    groups: dict[float, list[int]] = {}
    for i, comparison in enumerate(comparisons):
        redshift = float(comparison.redshift)
        known = nearest_redshift(groups, redshift)
        groups.setdefault(redshift if known is None else known, []).append(i)
    return dict(sorted(groups.items()))


def fields_of(comparisons: Sequence[Comparison]) -> list[str]:
    """The fields that at least one comparison has, in the order of `FIELDS`."""
    return [name for name in FIELDS if any(name in comparison.fields for comparison in comparisons)]


def waves(comparisons: Sequence[Comparison]) -> tuple[float, ...]:
    """The k (h/Mpc) of tables, as many as `K_SHOWN`: those, or smaller ones where their middle is beyond the last bin."""
    spectra = [(spectrum.k, one.box) for one in comparisons for spectrum in one.fields.values()]
    if not spectra or any(_reaches(k, box, K_SHOWN[MIDDLE]) for k, box in spectra):
        return K_SHOWN
    last = max(float(np.nanmax(k)) for k, _ in spectra)
    decade = math.floor(math.log10(last))
    steps = [digits * 10.0**power for power in range(decade - 2, decade + 1) for digits in ROUND]
    return tuple(float(f"{k:.3g}") for k in steps if k <= last)[-len(K_SHOWN) :]


def at_k(comparison: Comparison, field: str, quantity: str, k: float) -> float:
    """The value in the bin nearest to k (h/Mpc); nan where the field is absent, and where no bin reaches k."""
    spectrum: FieldComparison | None = comparison.fields.get(field)
    if spectrum is None:
        return math.nan
    if not _reaches(spectrum.k, comparison.box, k):
        return math.nan
    return float(np.asarray(getattr(spectrum, quantity))[_distance(spectrum.k, k).argmin()])


def _reaches(bins: np.ndarray, box: float, k: float) -> bool:
    """Whether a bin is near k, and k is not below the first one."""
    width, distance = 2 * math.pi / box, _distance(bins, k)
    return (
        distance.size > 0 and bool(distance.min() <= width) and k >= width / 2
    )  # where the first bin begins


def _distance(bins: np.ndarray, k: float) -> np.ndarray:
    values = np.asarray(bins, dtype=float)
    return np.where(np.isfinite(values), np.abs(values - k), np.inf)


def transfer_text(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else NOT_KNOWN


def decorrelation_text(value: float) -> str:
    """1 - r^2 in at most 7 characters: decimals, or powers of ten where decimals would show zeros."""
    if not math.isfinite(value):
        return NOT_KNOWN
    if value < 1e-6:  # below the rounding of float32 fields
        return "< 1e-6"
    return f"{value:.5f}" if value >= 1e-4 else f"{value:.1e}"


# how the accuracy of a field is written, and which value is perfect
ACCURACY = {"transfer": (transfer_text, 1.0), "one_minus_r2": (decorrelation_text, 0.0)}


def cost_text(value: float | None) -> str:
    """Seconds, GB, Wh or g in three digits: 0.012, 4.56, 123."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value <= 0:
        return "0"
    decimals = min(max(2 - math.floor(math.log10(value)), 0), 3)
    return f"{value:.{decimals}f}"


def best(values: Sequence[float | None], texts: Sequence[str], target: float = 0.0) -> list[bool]:
    """Which values come nearest to `target`. Equal texts are all marked; none is where fewer than two values are known."""
    distances = [abs(v - target) if v is not None and math.isfinite(v) else math.inf for v in values]
    known = sum(math.isfinite(d) for d in distances)
    if known < 2:
        return [False] * len(values)
    winner = texts[distances.index(min(distances))]
    marks = [text == winner for text in texts]
    return marks if sum(marks) < known else [False] * len(values)
