"""zeldo info"""

from __future__ import annotations

from typing import Any

from zeldo.commands.options import Flag, Named, print_json
from zeldo.commands.reading import Reading

USES = {
    "reference run": "--reference of zeldo compare, or --ics for its linear density",
    "linear density": "--ics of zeldo run",
    "white noise": "--phases of zeldo run",
}


def info(file: Named, *, reading: Reading | None = None, json: Flag = False) -> None:
    """Describe a file of particles, a reference run, a linear density, white noise, or a halo catalogue that zeldo wrote.

    The answer lists the code that made it, units, ids, lattice and cosmology, and what is missing or was assumed.

    Parameters
    ----------
    file:
        A file, a directory, any file of a set, or the common beginning of the names of a set.
    json:
        Print the answer as JSON.
    """
    import warnings

    from zeldo.files.describing import describe

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the answer says it
        answer = describe(file, **(reading or Reading()).arguments())
    if json:
        print_json(answer)
        return
    lines = _halos if "columns" in answer else _fields if "kind" in answer else _lines
    for name, text in lines(answer):
        print(f"{name:12} {text}")


def _halos(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        *_file(answer),
        ("halos", f"{answer['count']} of {answer['minimum']} particles or more"),
        *_universe(answer),
        *_drawn(answer),
        ("columns", ", ".join(answer["columns"])),
        ("to read it", "zeldo.read_halos, whose tracers() are particles to measure"),
    ]


def _fields(answer: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [*_file(answer), ("holds", f"{answer['kind']} on {answer['n']}^3 points"), *_universe(answer)]
    if "redshifts" in answer:
        lines.append(("redshifts", ", ".join(f"{redshift:.10g}" for redshift in answer["redshifts"])))
    lines += _drawn(answer)
    if "missing" in answer:
        lines.append(("missing", ", ".join(answer["missing"]) or "nothing"))
    if answer["kind"] in USES:
        lines.append(("to use it", USES[answer["kind"]]))
    return lines + [("note", note) for note in answer["notes"]]


def _file(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("file", answer["path"]),
        ("format", answer["format"]),
        ("made by", answer["made_by"] or "unknown"),
    ]


def _universe(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Box, redshift and cosmology, as far as the answer has them."""
    lines = []
    if "box" in answer:
        lines.append(("box", f"{answer['box']:.10g} Mpc/h"))
    if "redshift" in answer:
        lines.append(("redshift", f"{answer['redshift']:.10g}"))
    if "cosmology" in answer:
        known = ", ".join(f"{name} = {value:g}" for name, value in answer["cosmology"].items())
        lines.append(("cosmology", known or "unknown"))
    return lines


def _lines(answer: dict[str, Any]) -> list[tuple[str, str]]:
    fields = ", ".join(f"{name} {kind}" for name, kind in answer["fields"].items())
    lines = [
        *_file(answer),
        ("particles", f"{answer['count']}: {fields}"),
        *_universe(answer),
        *answer["units"].items(),
    ]
    if answer["particle_mass"]:
        lines.append(("mass", f"{answer['particle_mass']:.7g} x 10^10 Msun/h each"))
    lines += _drawn(answer) + _told(answer)
    if answer["ids"]:
        ids = answer["ids"]
        order = f", {ids['order']}" if "order" in ids else ""
        sorting = "" if ids["sorted"] else "not "
        lines.append(("ids", f"{ids['first']} to {ids['last']}{order}, rows {sorting}sorted by id"))
    lattice = answer["lattice"]
    if lattice["n"]:
        offset = ", ".join(f"{value:g}" for value in lattice["offset"])
        begin = f", which begins at ({offset}) cells" if any(lattice["offset"]) else ""
        rms = f"rms displacement {lattice['rms_displacement']:.4g} Mpc/h per axis"
        lines.append(("lattice", f"{lattice['n']}^3{begin}; {rms}"))
    else:
        lines.append(("lattice", f"none: {lattice['why']}"))
    lines.append(("missing", ", ".join(answer["missing"]) or "nothing"))
    return lines + [("assumed", note) for note in answer["notes"]]


def _drawn(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """How the run was made, as far as it is known."""
    from zeldo.report.labels import settings_text

    settings = [("settings", settings_text(answer["settings"]))] if answer.get("settings") else []
    names = ("weights", "seed", "fixed", "flip", "phases", "power")
    return settings + [(name, str(answer[name])) for name in names if name in answer]


def _told(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """What an emulator said of its own work: the share of its network, and errors at three wavenumbers."""
    from zeldo.networks.expected import DENSITY

    lines = []
    if "correction" in answer:
        shares = " and ".join(
            f"{share:.2%} of the {name}".replace("%", " %") for name, share in answer["correction"].items()
        )
        lines.append(("network", f"added {shares}, by their rms"))
    expected = answer.get("expected_error", {})
    if expected.keys() >= {"k", *DENSITY}:
        count = len(expected["k"])
        for i in (count // 12, count // 2, count - 1):
            power, lost = (expected[name][i] for name in DENSITY)
            at = f"density at k = {expected['k'][i]:.2g} h/Mpc: P(k) off by {power:.2%} rms, 1 - r^2 of {lost:.2g}"
            lines.append(("expected", at.replace("%", " %")))
    return lines
