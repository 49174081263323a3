"""Claims on tasks by any number of processes that share a directory and nothing else.

Suites, volumes in pieces and stores of runs all claim like this. A claim is a directory, since `mkdir` is atomic on network
disks too. Locks of files are not used: some of these disks refuse them, which looks as if another process held them all,
and others grant one to two machines at once.

The owner of a claim changes its time again and again. A claim whose time has stood still for a whole lease, by the clock of
the one who looks, is of a lost process. So is that of a process of the same machine which is known to have ended. Another
one takes the next generation of the claim, which again only one can make. An owner that was only slow may finish all the
same. Results must therefore be published so that the first of two counts, by `publish` or by renaming a directory.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import FULL
from zeldo.interrupts import held
from zeldo.keywords import number

LEASE = 60.0  # seconds
BEATS = 6  # per lease
OWNER = "owner.json"
TRIES = 100  # where the folder of claims vanishes again and again


@dataclass
class Claims:
    """The claims in a directory, as one process sees them.

    Parameters
    ----------
    folder : Path
        It is made with the first claim.
    lease : float
        Seconds without a sign of life after which a claim is free for others, above 0.
    """

    folder: Path
    lease: float = LEASE

    def __post_init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}  # time of a claim, and when it was first seen

    @property
    def are_there(self) -> bool:
        """Whether any process has a claim, or had one when it was killed."""
        try:
            return any(self.folder.iterdir())
        except FileNotFoundError:
            return False

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether the task is this process's. While it is, a thread keeps the claim alive; it is freed at the end.

        Raises
        ------
        ZeldoError
            Where the disk is full, or the directory cannot be written to.
        """
        token = uuid4().hex
        with held():  # a claim that does not name its owner is nobody's to free
            path, named = self._take(name, token)
        if path is None:
            yield False
            return
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(path, over), daemon=True)
        beat.start()
        try:
            yield True
        finally:
            over.set()
            beat.join()
            with held():
                if self._is_still_ours(name, path, token if named else None):
                    self._remove(name, path)

    def free(self, pids: Collection[int]) -> None:
        """Free what processes of this machine that have ended did not free themselves, where nobody took it over."""
        for path in self.folder.glob("*.*") if self.folder.is_dir() else ():
            with suppress(OSError, ValueError):
                name, generation = path.stem, int(path.suffix[1:])
                owner = json.loads((path / OWNER).read_text())
                if owner["pid"] in pids and has_ended(owner) and not self._is_taken_over(name, generation):
                    self._remove(name, path)

    def _take(self, name: str, token: str) -> tuple[Path | None, bool]:
        """The claim, None where another process has it, and whether it names its owner."""
        # ready before the directory is there: if its owner is killed before it is named, others wait for a lease
        owner = json.dumps({**identity(), "token": token})
        generation = vanished = 0
        while True:
            path = self.folder / f"{name}.{generation}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not self._lost(path):
                    return None, False
                generation += 1
                continue
            except OSError as error:
                # whoever was done removed the folder
                if isinstance(error, FileNotFoundError) and vanished < TRIES:
                    vanished += 1
                    continue
                remedy = "free some space" if error.errno in FULL else "make it writable"
                raise ZeldoError(
                    f"no task can be claimed in {self.folder} ({error.strerror}): "
                    f"{remedy}, then run the same command again"
                ) from error
            try:
                (path / OWNER).write_text(owner)
            except OSError:  # the claim is as good, but outlives its process by a lease
                return path, False
            return path, True

    def _is_still_ours(self, name: str, path: Path, token: str | None) -> bool:
        """Whether nobody took a claim over, where its owner was only slow: it may be that of a third process by now.

        token: None where the claim names no owner.
        """
        if self._is_taken_over(name, int(path.suffix[1:])):
            return False
        try:
            return json.loads((path / OWNER).read_text()).get("token") == token
        except (OSError, ValueError):  # that of a third process may have no owner yet
            return token is None and path.exists()

    def _is_taken_over(self, name: str, generation: int) -> bool:
        return (self.folder / f"{name}.{generation + 1}").exists()

    def _remove(self, name: str, last: Path) -> None:
        """Remove a claim and those before it, the last one first, so that no lost one is left without its successor."""
        for generation in range(int(last.suffix[1:]), -1, -1):
            shutil.rmtree(self.folder / f"{name}.{generation}", ignore_errors=True)

    def _lost(self, path: Path) -> bool:
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:  # freed just now: its task is done, or will be claimed from the start
            return False
        with suppress(OSError, ValueError):
            if has_ended(json.loads((path / OWNER).read_text())):
                return True
        now = time.monotonic()
        before, since = self._seen.get(path.name, (None, now))
        if changed != before:
            self._seen[path.name] = changed, now
            return False
        return now - since > self.lease

    def _beat(self, path: Path, over: threading.Event) -> None:
        while not over.wait(self.lease / BEATS):
            with suppress(OSError):
                os.utime(path)


def check_lease(lease: object) -> float:
    """Seconds above 0, which may be written as text; else `InputError`."""
    seconds = number(lease, "lease")
    if not 0 < seconds < math.inf:
        raise InputError(f"lease = {lease!r} is not allowed: give seconds above 0")
    return seconds


def identity() -> dict[str, object]:
    """What tells this process from any other, as far as the system says it."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def has_ended(owner: dict[str, object]) -> bool:
    """Whether a process of this machine is known to have ended. False for one of another machine."""
    if not owner.get("machine") or owner["machine"] != _machine():
        return False
    return _started(int(str(owner["pid"]))) != owner["started"]


def _machine() -> str | None:
    """The boot and the name space of process numbers; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None where there is none, or only its exit status is left."""
    try:
        state, *values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else values[18]


def publish(text: str, path: Path) -> bool:
    """Write a file that nobody has written yet, whole or not at all; False where somebody has."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)  # unlike a rename it never replaces
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return True
