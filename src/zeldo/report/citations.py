"""What to cite for a file: the papers behind all that made it, as BibTeX."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.files import open_particles
from zeldo.files.reference import ENGINE as REFERENCE
from zeldo.files.reference import is_reference, read_initial_conditions
from zeldo.files.registry import format_of
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.lattice import header_of
from zeldo.particles.particles import Header
from zeldo.particles.snapshot import Snapshot
from zeldo.version import __version__

# keys of references.bib for each engine of zeldo, and the role of each
ENGINES: dict[str, tuple[tuple[str, str], ...]] = {
    "zeldovich": (("zeldovich1970", "the Zel'dovich approximation"),),
    "2lpt": (("bouchet1995", "second-order Lagrangian perturbation theory"),),
    "cola": (("tassev2013", "COLA"), ("bouchet1995", "second-order Lagrangian perturbation theory")),
    "pm": (("feng2016", "particle mesh with growth-aware steps"), ("bouchet1995", "the start by 2LPT")),
    "p3m": (
        ("hockney1988", "P3M"),
        ("efstathiou1985", "P3M in cosmology"),
        ("springel2005gadget", "the softening and the time steps"),
        ("bouchet1995", "the start by 2LPT"),
    ),
    "vnet": (("zeldovich1970", "the network's input"),),
    "emulator": (("deoliveira2020", "networks for displacements"),),  # and the engine below the network
}
# what came up with the network of a task that `vnet` runs; the V-Net itself where a file says no task
NETWORKS = {
    "deoliveira2020": ("deoliveira2020", "the network"),
    "jamieson2022": ("jamieson2023", "the network"),
    "jamieson2024": ("jamieson2024", "the network"),
}
# the same for other codes, by words in the names that their files have
OTHERS: dict[str, tuple[str, str]] = {
    "mp-gadget": ("feng2018", "MP-Gadget"),
    "mp-genic": ("feng2018", "MP-GenIC"),
    "gadget-4": ("springel2021", "Gadget-4"),
    "gadget4": ("springel2021", "Gadget-4"),
    "swift": ("schaller2024", "SWIFT"),
    "fastpm": ("feng2016", "FastPM"),
    "picola": ("howlett2015", "L-PICOLA"),
    "2lptic": ("crocce2006", "2LPTic"),
    "monofonic": ("michaux2021", "monofonIC"),
}
# formats that many codes write: their files do not name the code
FORMATS = {
    "gadget": ("springel2005gadget", "the format, Gadget's: the file does not name the code that made it"),
    "grafic": ("bertschinger2001", "the format, GRAFIC's: the file does not name the code that made it"),
}
LINEAR_MODES = "linear-density"  # the format of FastPM's modes
IN_PIECES = " in pieces"  # the end of the engine's name where a universe was made so
PIECES = (("tassev2015", "COLA in pieces"), ("leclercq2020", "COLA in pieces"))
POWER = {
    "camb": (("lewis2000", "CAMB"), ("howlett2012", "CAMB")),
    "eisenstein-hu": (("eisenstein1998", "linear power"),),
}
SOFTWARE = """@software{{zeldo,
  author = {{{{The zeldo developers}}}},
  title = {{zeldo: from initial conditions to the evolved universe}},
  version = {{{version}}}
}}"""


@dataclass(frozen=True)
class Citation:
    """A work that a file owes something to.

    Parameters
    ----------
    key : str
        Of its BibTeX entry.
    role : str
        What it did for the file.
    bibtex : str
        The entry.
    """

    key: str
    role: str
    bibtex: str


def cite(source: str | os.PathLike[str] | Snapshot) -> list[Citation]:
    """What to cite for a snapshot, or for particles or initial conditions in a file.

    Parameters
    ----------
    source : path or Snapshot
        A file in any format that zeldo reads, or what `zeldo.run` gave.

    Returns
    -------
    list of Citation
        zeldo, then the engine or code, the phases, the linear power and the cosmology, as far as the file says them.

    Raises
    ------
    InputError
        For a missing file or an unknown format.
    """
    made: Header | InitialConditions | None
    kind = None if isinstance(source, Snapshot) else format_of(source).name
    if isinstance(source, Snapshot):
        made, engine = header_of(source), source.engine
    elif kind == LINEAR_MODES:
        made, engine = None, "FastPM"
    elif kind == "reference":
        made, engine = read_initial_conditions(source), REFERENCE if is_reference(source) else ""
    else:
        with open_particles(source) as particles:
            made = particles.header
        engine = made.engine
    in_pieces, engine = engine.endswith(IN_PIECES), engine.removesuffix(IN_PIECES)
    entries: dict[str, Citation] = {}
    others = [] if made is None else [*_of_field(made), *_of_cosmology(made.cosmology)]
    for key, role in [*_of_engine(engine, made), *(PIECES if in_pieces else ()), *others]:
        entries.setdefault(key, Citation(key, role, references()[key]))
    version = getattr(made, "version", "") or __version__
    software = SOFTWARE.format(version=version if engine in ENGINES else __version__)
    ours = Citation("zeldo", "this software", software)
    return [ours, *entries.values()]


@cache
def references() -> dict[str, str]:
    """The entries of references.bib by key."""
    text = (files("zeldo.report") / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text.strip())
    return {re.match(r"@\w+\{(\w+),", entry)[1]: entry for entry in entries}  # type: ignore[index]


def _of_engine(engine: str, made: object) -> Iterator[tuple[str, str]]:
    if engine in ENGINES:
        settings = getattr(made, "settings", {})
        if engine == "vnet":
            yield NETWORKS.get(str(settings.get("task")), NETWORKS["deoliveira2020"])
        yield from ENGINES[engine]
        stepper = settings.get("stepper", "bullfrog")
        if engine == "emulator":
            engine, _, options = str(settings.get("dynamics", "pm")).partition(":")
            stepper = "fastpm" if "stepper=fastpm" in options.split(",") else "bullfrog"
            yield from ENGINES.get(engine, ())
        if engine == "pm" and stepper == "bullfrog":
            yield "rampf2025", "the time steps"
        return
    if engine in FORMATS:
        yield FORMATS[engine]
        return
    for word, entry in OTHERS.items():
        if word in engine.lower():
            yield entry
            return


def _of_field(made: Header | InitialConditions) -> Iterator[tuple[str, str]]:
    phases = made.phases or ""
    if phases.startswith(("ngenic", "quijote")):
        yield "springel2005millennium", "N-GenIC's phases"
        yield "luscher1994", "the random numbers of N-GenIC's phases"
    if phases.startswith("quijote"):
        yield "villaescusa2020", "phases and cosmology of Quijote"
    if phases == "reconstructed":
        yield "bardsley2014", "samples by optimisation, of the reconstruction"
        yield "robnik2023", "the sampler of the reconstruction"
        yield "robnikseljak2023", "the sampler of the reconstruction"
    if made.fixed or made.flip:
        yield "angulo2016", "fixed and paired fields"
    yield from POWER.get(made.power or "", ())


def _of_cosmology(cosmology: Cosmology | None) -> Iterator[tuple[str, str]]:
    if cosmology == PRESETS["quijote"]:
        yield "villaescusa2020", "the fiducial cosmology of Quijote"
    if cosmology == PRESETS["planck2018"]:
        yield "planck2018", "the cosmology"
