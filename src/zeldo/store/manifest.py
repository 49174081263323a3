"""What a store of runs says of its runs: the manifest, one row a run, which are the attributes of their groups."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from zeldo.errors import InputError, nearest
from zeldo.files.atomic import write_text
from zeldo.particles.provenance import Provenance
from zeldo.store.fields import zarr_attributes
from zeldo.store.run_fields import redshift_name

FORMAT = "zeldo runs 1"


class Manifest:
    """The rows of a store.

    Parameters
    ----------
    path : str or path
        Of a store, or of a new one where nothing is.
    create : bool
        Whether to make a store where none is.

    Raises
    ------
    InputError
        Where the path is something else.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        self.path = Path(path)
        if not (self.path / "zarr.json").exists():
            taken = self.path.is_file() or any(not p.name.startswith(".") for p in self.path.glob("*"))
            if taken and not (self.path / "zarr.json").exists():  # another process may have made it just now
                raise InputError(f"{self.path} is not a store of runs: give a new path or that of a store")
            if not create:
                raise InputError(f"no store of runs at {self.path}: make one by `zeldo dataset`")
            self._create()
        kind = zarr_attributes(self.path).get("format")
        if kind != FORMAT:
            raise InputError(f"{self.path} is not a store of runs ({FORMAT}) but {kind!r}")

    def _create(self) -> None:
        """An empty group; several processes may do so at once."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            group = {"zarr_format": 3, "node_type": "group", "attributes": {"format": FORMAT}}
            write_text(self.path / "zarr.json", json.dumps(group))
        except OSError as error:
            raise InputError(f"no store can be made at {self.path}: {error.strerror}") from None

    def __contains__(self, run_id: str) -> bool:
        return (self.path / run_id / "zarr.json").exists()

    def __len__(self) -> int:
        return len(self.run_ids())

    def run_ids(self) -> list[str]:
        """List the runs of the store.

        Returns
        -------
        list of str
            Their names, in alphabetical order.
        """
        entries = (p.parent.name for p in self.path.glob("*/zarr.json"))
        return sorted(name for name in entries if not name.startswith("."))

    def runs(self) -> list[dict[str, Any]]:
        """The manifest: one row a run, in the order of `run_ids`.

        Keys: run_id, part, seed, cosmology, box, n, redshifts, engine, settings, version, revision, weights, wall_seconds,
        status, initial (how delta_lin is got back), steps, bytes. Runs of a data set also have power, the linear power with
        a hash of its table.
        """
        return [self.row(run_id) for run_id in self.run_ids()]

    def row(self, run_id: str) -> dict[str, Any]:
        """Read one row of the manifest.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Returns
        -------
        dict
            With the keys that `runs` lists.

        Raises
        ------
        InputError
            For a run that is not there.
        """
        if run_id not in self:
            ids = self.run_ids()
            raise InputError(
                f"{self.path} holds no run {run_id!r}, only {len(ids)} others{nearest(run_id, ids)}"
            )
        return zarr_attributes(self.path / run_id)

    def check_provenance(self, engine: str, made: Provenance) -> None:
        """`InputError` where the store holds runs of this engine that no others of this provenance may join.

        Parameters
        ----------
        engine : str
            Its name.
        made : Provenance
            Of the runs that are to come.
        """
        for row in self.runs():
            if engine not in (row["engine"], row.get("teacher")):
                continue
            clash = made.clash(Provenance.in_row(row))
            if clash:
                raise InputError(
                    f"{self.path} holds runs of {engine} that others may not join ({clash}): go on with the version "
                    "and weights that made them, or choose another store"
                )

    def has_velocity(self, run_id: str) -> bool:
        """Say whether a run was stored with velocities.

        Parameters
        ----------
        run_id : str
            The name of a run.

        Returns
        -------
        bool
        """
        return (self.path / run_id / redshift_name(self.row(run_id)["redshifts"][0]) / "vel").exists()

    def write_manifest(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest as JSON lines, one run a line.

        Parameters
        ----------
        path : path
            The file to write.
        """
        text = "".join(json.dumps(row) + "\n" for row in self.runs())
        write_text(Path(path), text)
