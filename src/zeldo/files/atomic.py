"""Writing files so that they are complete under their name, or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zeldo.errors import InputError, ZeldoError
from zeldo.measuring.memory import size_in_words

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SHORT_WRITE = "requested and"  # in NumPy's words


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in FULL or SHORT_WRITE in str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def raise_if_full(error: BaseException, path: str | os.PathLike) -> None:
    """`ZeldoError` for work of many parts in `path` that a full disk ends: all further parts would fail alike."""
    if disk_is_full(error):
        raise not_written(error, path) from error


def not_written(error: BaseException, path: str | os.PathLike) -> ZeldoError:
    """The error to raise where a part of some work in `path` could not be written. What is there already stays."""
    if disk_is_full(error):
        return ZeldoError(f"no space left for {path} ({error}): free some, then the same command resumes")
    return ZeldoError(f"{path} could not be written ({error}): check the disk")


def resolved(path: str | os.PathLike) -> Path:
    """Where a path and its links lead, which need not exist; `InputError` where the system takes no such path."""
    try:
        target = Path(path).resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            target.stat()  # `resolve` lets names pass that are too long
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, RuntimeError):  # Python's own, before 3.13
            error = OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be used as a path ({reason}): give another name") from error
    return target


def check_writable(path: str | os.PathLike) -> Path:
    """The path, if a file can be written there; otherwise `InputError`. Call it before the work, not after."""
    path = Path(path)
    if resolved(path).is_dir():
        raise InputError(f"{path} is a directory: give the name of a file")
    check_parent(path)
    return path


def check_parent(path: str | os.PathLike) -> None:
    """`InputError` where the directory that a path, or its link, leads into is missing or not writable."""
    path, target = Path(path), resolved(path)
    if path.is_symlink():
        path = target
    if not path.parent.is_dir():
        raise InputError(f"directory {path.parent} does not exist: make it first or write elsewhere")
    # by an attempt, since access() is wrong on read-only and network mounts
    try:
        with tempfile.TemporaryFile(dir=path.parent, prefix=_hidden(path)):
            pass
    except OSError as error:
        raise _not_writable(path, error) from error


@contextmanager
def writing(path: str | os.PathLike, size: int = 0) -> Iterator[Path]:
    """A temporary file name beside `path`. It replaces `path` if the block succeeds, and is removed if the block fails.

    Parameters
    ----------
    path : path
        The final name.
    size : int
        Bytes that the block will write, if known. Too little space is then reported before the work.

    Yields
    ------
    Path
        The temporary name.

    Raises
    ------
    InputError
        Where the directory is missing or not writable, and for links that lead in a circle.
    ZeldoError
        Where the disk is full or the write fails in another way. A KeyboardInterrupt passes through.
    """
    path = resolved(check_writable(path))  # a link stays a link, to the new file
    free = free_space(path.parent)
    if size > free:
        raise _disk_full_error(path, size, None, free) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_hidden(path), suffix=".part")
    except OSError as error:
        raise _not_writable(path, error) from error
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as stream:
            stream.truncate(size)  # a size that is not allowed fails here
            stream.truncate(0)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that other users cannot read
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())  # some file systems report a full disk only here
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL or "No space left" in str(error) or free_space(path.parent) < 4096:
            raise _disk_full_error(path, size, error) from error
        raise ZeldoError(f"{path} could not be written ({error}): check the disk and try again") from error
    finally:
        # also after KeyboardInterrupt; after a success the name is gone already
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def scratch(path: str | os.PathLike, size: int) -> Iterator[Path]:
    """A directory for temporary files, which are removed at the end.

    Parameters
    ----------
    path : path
        The directory is made beside it, or where the system keeps temporary files if that is not writable or has no room.
    size : int
        Bytes that the block will write.

    Yields
    ------
    Path

    Raises
    ------
    ZeldoError
        Where there is not enough space, before the work or in it.
    """
    path = resolved(path)
    places = [path.parent, Path(tempfile.gettempdir())]
    rooms = {place: free_space(place) for place in places if _is_writable(place)}
    place = next((place for place in rooms if rooms[place] >= size), None)
    if place is None:
        free = ", ".join(
            f"{place} has {rooms.get(place, 0) / 1e6:.3g} MB free" for place in dict.fromkeys(places)
        )
        raise ZeldoError(
            f"{path} needs temporary files of {size / 1e6:.3g} MB, and {free}: free some, or set TMPDIR to another directory"
        )
    try:
        with tempfile.TemporaryDirectory(
            dir=place, prefix=_hidden(path), ignore_cleanup_errors=True
        ) as directory:
            yield Path(directory)
    except OSError as error:
        if disk_is_full(error):
            raise ZeldoError(
                f"no space left in {place} for the temporary files of {path} ({error}): free some"
            ) from error
        raise


def _is_writable(directory: Path) -> bool:
    try:
        check_parent(directory / "file")
    except InputError:
        return False
    return True


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write `text` as UTF-8 to `path` and return the path. It raises the errors of `writing`."""
    content = text.encode("utf-8", "replace")  # names of files may have bytes that are no text
    with writing(path, len(content)) as temporary:
        temporary.write_bytes(content)
    return Path(path)


@contextmanager
def writing_directory(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary directory beside `path`. It replaces `path` if the block succeeds, and is removed if the block fails.

    It is for formats whose snapshots are directories. An existing directory of that name is replaced. It raises the errors
    of `writing`.
    """
    path = check_directory_writable(resolved(path))
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=_hidden(path), ignore_cleanup_errors=True
    ) as parent:
        temporary, old = Path(parent) / "new", Path(parent) / "old"
        temporary.mkdir()
        try:
            yield temporary
            try:
                if path.exists():
                    os.replace(path, old)
                os.replace(temporary, path)
            except BaseException:
                if old.exists() and not path.exists():
                    os.replace(old, path)
                raise
        except OSError as error:
            if error.errno in FULL or free_space(path.parent) < 4096:
                raise _disk_full_error(path, 0, error) from error
            raise ZeldoError(
                f"{path} could not be written ({error}): check the disk and try again"
            ) from error


def check_directory_writable(
    path: str | os.PathLike, replaces: Callable[[Path], bool] = lambda path: True
) -> Path:
    """The path, if a directory can be made or replaced there; otherwise `InputError`. Call it before the work.

    `replaces` says of a directory with something in it whether that may be lost.
    """
    path = Path(path)
    check_parent(path)
    if path.is_dir() and any(path.iterdir()) and not replaces(path):
        raise InputError(f"{path} is a directory of something else: remove it first, or give another name")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, not a directory: give another name")
    return path


def holds_only(path: Path, names: Iterable[str]) -> bool:
    """Whether nothing but these lies in a directory."""
    return {item.name for item in path.iterdir()} <= set(names)


def make_directory(path: str | os.PathLike) -> Path:
    """The directory, created where absent. `InputError` where that fails, or where a file has its name."""
    path = Path(path)
    if resolved(path).exists() and not path.is_dir():
        raise InputError(f"{path} is a file, not a directory: give another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made a directory ({error.strerror}): write elsewhere") from error
    return path


@contextmanager
def directory(path: str | os.PathLike) -> Iterator[Path]:
    """A directory, created where absent, and removed after a block that leaves it empty.

    It raises `InputError` as `make_directory` does.
    """
    path = Path(path)
    resolved(path)
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_directory(path)
    try:
        yield path
    finally:
        with suppress(OSError):  # where one is not empty
            for folder in created:
                folder.rmdir()


def free_space(directory: Path) -> int:
    """Bytes that this user can still write."""
    return shutil.disk_usage(directory).free


def _hidden(path: Path) -> str:
    """How the temporary names beside a path begin; cut, since the system allows 255 bytes, which may be 63 letters."""
    return f".{path.name[:32]}."


def _not_writable(path: Path, error: OSError) -> ZeldoError:
    if error.errno in FULL:
        return _disk_full_error(path, 0, error)
    return InputError(
        f"directory {path.parent} is not writable ({error.strerror}): change its permissions, or write elsewhere"
    )


def _disk_full_error(path: Path, size: int, error: OSError | None, free: int | None = None) -> ZeldoError:
    needed = f": {size_in_words(size)} needed" if size else ""
    left = f", {size_in_words(free)} free" if free is not None else ""
    reason = f" ({error.strerror})" if error is not None and error.errno == errno.EDQUOT else ""
    return ZeldoError(
        f"no space left in {path.parent} for {path.name}{reason}{needed}{left}; free space or write elsewhere"
    )


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
