"""Files of what `zeldo measure` finds: CSV, JSON, HDF5, or a page with plots."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from zeldo.errors import InputError, nearest
from zeldo.files.atomic import check_writable, write_text, writing
from zeldo.statistics.measurement import COLUMNS, Measurement, unit
from zeldo.version import __version__

SUFFIXES = (".csv", ".json", ".hdf5", ".h5", ".html")


def check_output(path: str | os.PathLike[str]) -> Path:
    """The path where a file of measurements can be written there, else `InputError`."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path} has the suffix {path.suffix!r}: give one of {', '.join(SUFFIXES)}{nearest(path.suffix, SUFFIXES)}"
        )
    return check_writable(path)


def write_measurements(
    measurements: Sequence[Measurement], path: str | os.PathLike[str], command: str = ""
) -> list[Path]:
    """Write measurements in the format of the path's suffix.

    Parameters
    ----------
    measurements : sequence of Measurement
        One or more.
    path : path
        Ends in .csv, .json, .hdf5 or .html. With several statistics, the names of CSV files get _power and so on before
        the suffix, since each has its own columns.
    command : str
        The command line that the page quotes.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        For another suffix, and a directory that is missing or not writable.
    """
    path = check_output(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _write_csv(measurements, path)
    if suffix == ".json":
        return [write_text(path, to_json(measurements))]
    if suffix == ".html":
        from zeldo.report.measured_page import page

        return [write_text(path, page(measurements, command))]
    return [_write_hdf5(measurements, path)]


def to_json(measurements: Sequence[Measurement]) -> str:
    """What a script reads: the version, the units, and one entry a snapshot."""
    tables = {statistic: table for each in measurements for statistic, table in each.tables.items()}
    content = {
        "zeldo": __version__,
        "units": {
            statistic: {column: unit(column, table) for column in table}
            for statistic, table in tables.items()
        },
        "measurements": [each.to_dict() for each in measurements],
    }
    return json.dumps(content, indent=1, allow_nan=False, default=str) + "\n"


def statistics_of(measurements: Sequence[Measurement]) -> list[str]:
    """The statistics that at least one measurement has, in order."""
    return list(dict.fromkeys(name for each in measurements for name in each.tables))


def files_of(measurements: Sequence[Measurement], path: Path) -> list[Path]:
    """The files that `write_measurements` writes for a path: of CSV, one for each statistic."""
    statistics = statistics_of(measurements)
    if path.suffix.lower() != ".csv" or len(statistics) == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{statistic}{path.suffix}") for statistic in statistics]


def _write_csv(measurements: Sequence[Measurement], path: Path) -> list[Path]:
    paths = files_of(measurements, path)
    for statistic, name in zip(statistics_of(measurements), paths, strict=True):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        having = [each for each in measurements if statistic in each.tables]
        columns = list(having[0].tables[statistic])
        writer.writerow(["file", "redshift", *columns])
        for each in having:
            for row in zip(*(each.tables[statistic][column].tolist() for column in columns), strict=True):
                writer.writerow([each.name, each.redshift, *row])
        write_text(name, text.getvalue())
    return paths


def _write_hdf5(measurements: Sequence[Measurement], path: Path) -> Path:
    """A group a snapshot, in it one a statistic, in it a data set a column, with its unit and meaning."""
    import h5py

    with writing(path, 0) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["zeldo_version"] = __version__
        for number, each in enumerate(measurements):
            group = file.create_group(f"{number}", track_order=True)
            named = {"name": each.name, "engine": each.engine, "redshift": each.redshift, "box": each.box}
            group.attrs.update(named | {"count": each.count} | dict(each.settings))
            group.attrs.update(each.cosmology.to_dict() if each.cosmology else {})
            group.attrs["made"] = json.dumps(dict(each.made), default=str)
            for statistic, table in each.tables.items():
                inner = group.create_group(statistic, track_order=True)
                for column, values in table.items():
                    data = inner.create_dataset(column, data=values)
                    data.attrs.update({"units": unit(column, table), "description": COLUMNS[column][1]})
    return path
