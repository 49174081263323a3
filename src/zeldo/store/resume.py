"""What a run leaves behind so that it can go on after a kill: checkpoints of steps, and tiles of networks.

`resuming` names a folder for the runs of a block. Engines with steps keep their checkpoint there, and networks each tile.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from zeldo.errors import InputError
from zeldo.files.atomic import not_written, write_text
from zeldo.store.checkpoint import Checkpoint, Pair

LoadOutput = Callable[[int], Pair]
_active: ContextVar[Resume | None] = ContextVar("resume", default=None)


class Resume:
    """A folder for the state of one run.

    Parameters
    ----------
    folder : Path
    key : str
        Of the run, as `Engine.key` gives it. Its outputs are written elsewhere; those of other engines inside it, such as
        the dynamics that a network corrects, are kept here too.
    load_output : callable
        It gives displacement and velocity of an output that was written, by its number.
    """

    def __init__(self, folder: Path, key: str, load_output: LoadOutput) -> None:
        self.folder, self.key, self.load_output = folder, key, load_output
        self._networks = 0

    def checkpoint(self, key: str, minutes: float) -> Checkpoint:
        """The checkpoint of a run with steps."""
        path = self.folder / f"{key[:16]}.npz"
        if key == self.key:
            return _Streamed(path, key, minutes, self.load_output)
        return _Renewed(path, key, minutes)

    @property
    def slabs(self) -> Path:
        """The folder of a run whose particles are on disk."""
        return self.folder / "slabs"

    def streams(self, *, usually: bool, observed: bool) -> bool:
        """Whether the particles of the run are on disk: as it was begun, and `usually` where it was not.

        Raises
        ------
        InputError
            Where it was begun on disk and has observers now, or was begun in memory and does not fit there now.
        """
        place = self.folder.parent
        if self.slabs.exists():
            if observed:
                raise InputError(
                    f"{place} was begun with its particles on disk, where observers see none: go on without, "
                    "or choose a new name"
                )
            return True
        if usually and any(self.folder.glob("*.npz")):
            raise InputError(
                f"{place} was begun with its particles in memory, where they do not fit now: give more memory, "
                "or choose a new name"
            )
        return usually

    def tiles(self) -> KeptTiles:
        """The tiles of the next application of a network. Those of a run come in the same order when it is resumed."""
        self._networks += 1
        return KeptTiles(self.folder / f"network{self._networks}")

    def remove(self) -> None:
        """Remove it all: the run is done."""
        for path in self.folder.glob("*.npz"):
            path.unlink()
        for path in (*self.folder.glob("network*"), *self.folder.glob("slabs*")):
            shutil.rmtree(path)


@contextmanager
def resuming(resume: Resume) -> Iterator[Resume]:
    """Inside, runs keep their state in this folder."""
    token = _active.set(resume)
    try:
        yield resume
    finally:
        _active.reset(token)


def active() -> Resume | None:
    """The folder of the run that is going on; None where it keeps nothing."""
    return _active.get()


class _Renewed(Checkpoint):
    """A checkpoint that is begun afresh where it is damaged or of another run."""

    def load(self) -> tuple[int, np.ndarray, np.ndarray] | None:
        try:
            return super().load()
        except InputError:
            self.path.unlink(missing_ok=True)
            return None


class _Streamed(_Renewed):
    """A checkpoint of a run whose outputs are written elsewhere before the next step."""

    keeps_outputs = False

    def __init__(self, path: Path, key: str, minutes: float, outputs: LoadOutput) -> None:
        super().__init__(path, key, minutes)
        self.outputs = outputs

    def load_output(self, number: int) -> Pair:
        return self.outputs(number)


class KeptTiles:
    """The outputs of a network, tile by tile, in a folder.

    Parameters
    ----------
    folder : Path
        It is made when the first tile is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def count(self, tiles: int) -> int:
        """Tiles per side: those of the run that is resumed, or these, which are noted."""
        path = self.folder / "tiles.json"
        with suppress(OSError, ValueError, TypeError):
            return int(json.loads(path.read_text()))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(tiles))
        return tiles

    def load(self, origin: tuple[int, int, int]) -> list[np.ndarray] | None:
        """The outputs of a tile; None where it was not kept, or is damaged."""
        try:
            data = self._path(origin).read_bytes()
            size, check = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:12], "little")
            if zlib.crc32(data[12:]) != check:
                return None
            shapes, start = json.loads(data[12 : 12 + size]), 12 + size
            fields = []
            for shape in shapes:
                count = int(np.prod(shape))
                fields.append(np.frombuffer(data, "<f4", count, start).reshape(shape))
                start += 4 * count
            return fields
        except (OSError, ValueError):
            return None

    def save(self, origin: tuple[int, int, int], outputs: list[np.ndarray]) -> None:
        """Keep the outputs of a tile, whole or not at all.

        Raises
        ------
        ZeldoError
            For a full disk.
        """
        shapes = json.dumps([output.shape for output in outputs]).encode()
        body = shapes + b"".join(np.ascontiguousarray(output, "<f4").tobytes() for output in outputs)
        head = len(shapes).to_bytes(8, "little") + zlib.crc32(body).to_bytes(4, "little")
        path = self._path(origin)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_bytes(head + body)
            os.replace(partial, path)
        except OSError as error:
            raise not_written(error, self.folder) from error
        finally:
            partial.unlink(missing_ok=True)

    def _path(self, origin: tuple[int, int, int]) -> Path:
        return self.folder / f"{'-'.join(map(str, origin))}.tile"
