"""bigfile, the format of MP-Gadget and FastPM: a directory a block, with a text header, attributes, and plain data files.

`header` has the type, the number of components and the files with their lengths and checksums; `attr-v2` has a line an
attribute: name, type, count, the bytes in hexadecimal, and the same for human readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError

FILE = re.compile(r"^(?P<name>[0-9A-Fa-f]{6}):\s*(?P<rows>\d+)(?:\s*:\s*(?P<sum>\d+))?(?:\s*:.*)?$")
LONGEST_TEXT = 2**20  # bytes of a header or attribute file
TYPES = "fiucSV"
WIDEST = 64  # components


@dataclass
class Block:
    """One block: a table of `rows` rows with `width` components, in several files.

    Parameters
    ----------
    path : Path
        Its directory.
    dtype : dtype
        Of a component.
    width, rows : int
    files : list of (Path, int, int or None)
        The data files with their rows and checksums.
    """

    path: Path
    dtype: np.dtype
    width: int
    rows: int
    files: list[tuple[Path, int, int | None]]
    _sum: tuple[int, int] = (0, 0)  # of the bytes of the current file so far, and the row that comes next

    @property
    def ends(self) -> np.ndarray:
        """The number of the row after the last one of each file."""
        return np.cumsum([rows for _, rows, _ in self.files], dtype=np.int64)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop, (rows, width), or (rows,) of one component."""
        pieces, ends = [], self.ends
        for (path, rows, said), end in zip(self.files, ends, strict=True):
            begin = int(end) - rows
            first, last = max(start, begin), min(stop, int(end))
            if first < last:
                count = (last - first) * self.width
                with open(path, "rb") as stream:
                    stream.seek((first - begin) * self.width * self.dtype.itemsize)
                    values = np.fromfile(stream, self.dtype, count)
                if len(values) < count:
                    raise DamagedFileError(f"{path} is truncated; {AGAIN}")
                self._add(path, begin, int(end), first, values, said)
                pieces.append(values)
        if len(pieces) == 1:
            flat = pieces[0]
        else:
            flat = np.concatenate(pieces) if pieces else np.empty(0, self.dtype)
        return flat.reshape(-1, self.width) if self.width > 1 else flat

    def _add(
        self, path: Path, begin: int, end: int, first: int, values: np.ndarray, said: int | None
    ) -> None:
        """Compare the sum of bytes with the header's where a file is read from its first row to its last."""
        from zeldo.files.byte_sums import byte_sum

        total, due = self._sum
        if said is None or (first not in (begin, due)):
            return
        total = (0 if first == begin else total) + byte_sum(values.view(np.uint8))
        due = first + len(values) // self.width
        self._sum = total, due
        if due == end and total % 2**32 != said:
            raise DamagedFileError(f"{path}: its bytes do not add up to the checksum in its header; {AGAIN}")


def is_block(path: Path) -> bool:
    """Whether a directory is a block by its header's first word."""
    try:
        with open(path / "header", "rb") as stream:
            return stream.read(6) == b"DTYPE:"
    except OSError:
        return False


def block(path: Path) -> Block:
    """A block from its directory. `DamagedFileError` where its header is wrong or files are missing or too short."""
    lines = _text(path / "header").splitlines()
    entries = {}
    for line in lines[:3]:
        name, _, value = line.partition(":")
        entries[name.strip()] = value.strip()
    try:
        dtype, width, number = np.dtype(entries["DTYPE"]), int(entries["NMEMB"]), int(entries["NFILE"])
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise DamagedFileError(f"{path}: its header is not that of a bigfile ({error}); {AGAIN}") from error
    listed = [match for line in lines[3:] if (match := FILE.match(line.strip()))]
    if dtype.kind not in TYPES or not 0 <= width <= WIDEST or len(listed) != number:
        raise DamagedFileError(
            f"{path}: its header says {number} files of {width} numbers of type {entries['DTYPE']} and lists "
            f"{len(listed)}; {AGAIN}"
        )
    files = []
    for match in listed:
        file, rows = path / match["name"].upper(), int(match["rows"])
        if not file.is_file():
            file = path / match["name"]
        size = file.stat().st_size if file.is_file() else -1
        if size != rows * width * dtype.itemsize:
            what = "is missing" if size < 0 else f"has {size} bytes, not those of {rows} rows"
            raise DamagedFileError(f"{file} {what}; {AGAIN}")
        files.append((file, rows, int(match["sum"]) if match["sum"] else None))
    return Block(path, dtype, width, sum(rows for _, rows, _ in files), files)


def block_attributes(path: Path) -> dict[str, Any]:
    """The attributes of a block: numbers, arrays and texts. {} where there are none."""
    file = path / "attr-v2"
    if not file.is_file():
        return {}
    values: dict[str, Any] = {}
    for line in _text(file).splitlines():
        words = line.split(None, 4)
        if len(words) < 4:
            continue
        name, kind, count, digits = words[:4]
        try:
            dtype = np.dtype("S1" if kind[-2:] == "a1" else kind)  # Python's bigfile calls texts a1
            content = bytes.fromhex(digits)
            array = np.frombuffer(content, dtype)
            if len(array) != int(count) or dtype.kind not in TYPES + "b":
                raise ValueError(f"{len(array)} numbers, not {count}")
        except (TypeError, ValueError, SyntaxError) as error:
            raise DamagedFileError(f"{file}: {name} is not readable ({error}); {AGAIN}") from error
        if dtype.kind == "S":
            values[name] = content.split(b"\0")[0].decode("utf-8", "replace")
        else:
            values[name] = array[0] if len(array) == 1 else array
    return values


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            content = stream.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise DamagedFileError(f"{path} is missing or not readable; {AGAIN}") from error
    if len(content) > LONGEST_TEXT:
        raise DamagedFileError(f"{path} is too long for the text of a bigfile; {AGAIN}")
    return content.decode("utf-8", "replace")


def write_block(
    path: Path, dtype: np.dtype, width: int, files: list[tuple[str, int, int]], values: dict[str, Any]
) -> None:
    """Write header and attributes of a block whose data files are there.

    Parameters
    ----------
    files : list of (name, rows, sum of bytes)
    values : dict
        Attributes: numbers, arrays, texts.
    """
    lines = [f"DTYPE: {dtype.newbyteorder('<').str}", f"NMEMB: {width}", f"NFILE: {len(files)}"]
    for name, rows, total in files:
        # the last number is the checksum folded to 16 bits, as Unix sum does
        folded = (total & 0xFFFF) + (total >> 16)
        folded = (folded & 0xFFFF) + (folded >> 16)
        lines.append(f"{name}: {rows} : {total} : {folded}")
    path.mkdir(parents=True, exist_ok=True)
    (path / "header").write_text("\n".join(lines) + "\n")
    (path / "attr-v2").write_text("".join(_attribute(name, value) for name, value in sorted(values.items())))


def _attribute(name: str, value: Any) -> str:
    if isinstance(value, str):
        array, human = np.frombuffer(value.encode() or b"\0", "S1"), value.replace("\n", " ")
    else:
        array = np.atleast_1d(np.asarray(value))
        array = array.astype(np.int32) if array.dtype.kind == "b" else array  # bigfile has no truth values
        human = " ".join(f"{number:g}" for number in array)
    array = array.astype(array.dtype.newbyteorder("<"))
    kind = "S1" if array.dtype.kind == "S" else array.dtype.str[1:]
    return f"{name} <{kind} {len(array)} {array.tobytes().hex().upper()} #HUMANE [ {human} ]\n"
