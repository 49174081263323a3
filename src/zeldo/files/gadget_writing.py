"""Writing particles in Gadget's binary formats 1 and 2, in single precision as most readers want it, or double."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from zeldo.errors import InputError, ZeldoWarning
from zeldo.files.formats import Sink
from zeldo.files.gadget_blocks import LABELS, WRAP, layout
from zeldo.files.gadget_header import PART, SIZE, gadget2_dtype
from zeldo.files.parted import PartedSink, split
from zeldo.files.sets import writing_parts
from zeldo.particles.particles import Header, known_parameters, row_bytes

LABEL_OF = {field: label.encode() for label, field in LABELS.items()}
PER_MPC = {"Mpc/h": 1.0, "kpc/h": 1e3}
PRECISIONS = {"single": np.float32, "double": np.float64}


@contextmanager
def writing_binary(
    path: Path,
    header: Header,
    fields: Mapping[str, np.dtype],
    files: int,
    labelled: bool,
    precision: str,
    unit: str,
) -> Iterator[Sink]:
    """A sink to files of format 1, or 2 where the blocks have labels.

    Raises
    ------
    InputError
        For particles without velocities or ids, and for a precision or unit that is not allowed.
    """
    for needed in ("velocities", "ids"):
        if needed not in fields:
            raise InputError(
                f"Gadget's binary files have {needed} and the particles have none: write another format"
            )
    if unit not in PER_MPC:
        raise InputError(f"unit = {unit!r} is not allowed: give one of {', '.join(PER_MPC)}")
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r} is not allowed: give one of {', '.join(PRECISIONS)}")
    known = known_parameters(header)
    if (known.get("w0", -1.0), known.get("wa", 0.0)) != (-1.0, 0.0):
        warnings.warn(
            f"{path}: Gadget's binary formats have no room for w0 and wa, so they have to be given where it is read",
            ZeldoWarning,
            stacklevel=3,
        )
    real = np.dtype(PRECISIONS[precision])
    types = {"positions": real, "velocities": real, "ids": _ids(fields["ids"])}
    if "masses" in fields:
        types["masses"] = real
    counts = split(header.count, files)
    if max(counts) >= WRAP:
        raise InputError(
            f"{path}: a file counts its particles in 32 bits, and {max(counts)} are to be in one: give files, "
            f"{-(-header.count // (WRAP - 1))} at least"
        )
    ordered = {name: fields[name] for name in types} | {"ids": types["ids"]}
    sizes = [count * row_bytes(types) + 1024 for count in counts]
    with (
        writing_parts(path, sizes, lambda part: layout(part).header.num_files) as temporary,
        _Sink(temporary, counts, header, ordered, types, PER_MPC[unit], labelled) as sink,
    ):
        yield sink


def _ids(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint64 if dtype.itemsize == 8 else np.uint32)


class _Sink(PartedSink):
    """One file is open at a time; each block is framed by its length, which wraps at 4 GiB."""

    def __init__(
        self,
        paths: list[Path],
        counts: list[int],
        header: Header,
        fields: Mapping[str, np.dtype],
        types: Mapping[str, np.dtype],
        factor: float,
        labelled: bool,
    ) -> None:
        super().__init__(header, fields, counts)
        self._types, self._factor = types, factor
        self._paths, self._labelled = paths, labelled
        self._root = header.scale_factor**0.5
        self._stream: tuple[int, IO[bytes]] | None = None
        for path, count in zip(paths, counts, strict=True):
            with open(path, "wb") as stream:
                self._record(stream, b"HEAD", self._head(count))

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        if field == "velocities":
            values = values / values.dtype.type(self._root)
        if field == "positions" and self._factor != 1:
            values = values * values.dtype.type(self._factor)
        given, box = values, self.header.box * self._factor
        values = values.astype(self._types[field].newbyteorder("<"), copy=False)
        if field == "positions" and values.dtype != given.dtype:
            values[(values >= values.dtype.type(box)) & (given < box)] = 0  # rounded to the end of the box
        return values

    def store(self, part: int, field: str, start: int, values: np.ndarray) -> None:
        stream, count = self._open(part), self.counts[part]
        length = self._length(field, count)
        if start == 0:
            stream.write(self._label(LABEL_OF[field], length) + length)
        stream.write(np.ascontiguousarray(values).data)
        if start + len(values) == count:
            stream.write(length)

    def _length(self, field: str, count: int) -> bytes:
        size = count * row_bytes({field: self._types[field]})
        return np.array(size % WRAP, "<u4").tobytes()

    def _label(self, label: bytes, length: bytes) -> bytes:
        if not self._labelled:
            return b""
        frame = np.array(8, "<u4").tobytes()
        following = (int(np.frombuffer(length, "<u4")[0]) + 8) % WRAP
        return frame + label + np.array(following, "<u4").tobytes() + frame

    def _record(self, stream: IO[bytes], label: bytes, content: bytes) -> None:
        length = np.array(len(content), "<u4").tobytes()
        stream.write(self._label(label, length) + length + content + length)

    def _open(self, part: int) -> IO[bytes]:
        if self._stream is None or self._stream[0] != part:
            self.close()
            self._stream = part, open(self._paths[part], "ab")  # noqa: SIM115
        return self._stream[1]

    def _head(self, count: int) -> bytes:
        header, parameters = self.header, known_parameters(self.header)
        head = np.zeros((), gadget2_dtype("<"))
        head["npart"][1], head["mass"][1] = count, header.particle_mass or 0.0
        head["nall"][1], head["nall_high"][1] = header.count % WRAP, header.count // WRAP
        head["time"], head["redshift"], head["box"] = (
            header.scale_factor,
            header.redshift,
            header.box * self._factor,
        )
        head["num_files"] = len(self._paths)
        omega_m = parameters.get("omega_m", 0.0)
        head["omega_m"], head["omega_lambda"] = omega_m, 1 - omega_m if omega_m else 0.0
        head["h"] = parameters.get("h", 0.0)
        if not header.whole:
            head["padding"] = PART
        head["flag_double"] = self._types["positions"].itemsize == 8
        content = head.tobytes()
        assert len(content) == SIZE
        return content
