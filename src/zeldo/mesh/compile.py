"""How the kernels are compiled: one set of Numba's options, and machine code that is kept only as long as it is true.

Numba keeps a kernel's machine code until its own file changes. Kernels have code and constants of other files in them
too, so their names carry a hash of every file of zeldo that theirs imports: after an edit there, they are compiled anew.

The process that compiles a kernel and those that take it from the disk run the same machine code, and so give the same bits.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from inspect import getfile
from pathlib import Path
from typing import Any

from llvmlite.binding import Linkage
from numba import njit, threading_layer
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from zeldo.errors import ZeldoError, ZeldoWarning

PACKAGE = Path(__file__).parents[1]
_WEAK = Linkage.linkonce_odr, Linkage.weak_odr
_dispatchers: list[Any] = []  # every kernel with threads
_IMPORT = re.compile(r"^from (zeldo[\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)


def kernel(*, parallel: bool = False, fastmath: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles a function and keeps its machine code on disk.

    Parameters
    ----------
    parallel : bool
        Whether its loops over `prange` are shared among threads.
    fastmath : bool
        Whether sums may be taken in another order, and no number is infinite or none at all.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        function.__qualname__ += f"_{imported_hash(Path(getfile(function)))}"  # Numba's files are named by it
        dispatcher: Any = njit(
            parallel=parallel,
            fastmath=fastmath,
            error_model="numpy",
            nogil=True,
            pipeline_class=_Compiler,
        )(function)
        for place in _Cache, _KeptCache:
            try:
                dispatcher._cache = place(function)  # type: ignore[no-untyped-call]
                break
            except RuntimeError:  # no directory for it is writable, or none is there
                continue
        else:
            say_uncached()
        if parallel:
            _dispatchers.append(dispatcher)
        return dispatcher

    return compiled


def _places(*, kept: bool) -> Any:
    """Numba's search for a directory: the first that is writable, or the first that is there if `kept`."""

    def place(locator: Any) -> Any:
        class Place(locator):  # type: ignore[misc]
            def ensure_cache_path(self) -> None:
                path = self.get_cache_path()
                if path.startswith("~"):  # nobody's home: Numba would make a directory of that name here
                    raise FileNotFoundError(path)
                if not kept:
                    super().ensure_cache_path()
                elif not os.path.isdir(path):
                    raise FileNotFoundError(path)

        return Place

    class Places(CompileResultCacheImpl):
        pass

    Places._locator_classes = [place(locator) for locator in CompileResultCacheImpl._locator_classes]
    return Places


class _Cache(FunctionCache):
    """Numba's, which a full or read-only disk does not stop."""

    _impl_class = _places(kept=False)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except PermissionError:  # kept by another user for no one else
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as error:
            say_uncached(f"cannot keep compiled kernels ({error.strerror})")


class _KeptCache(_Cache):
    """The kernels in a directory that is read-only, such as one in the image of a container."""

    _impl_class = _places(kept=True)


@cache
def say_uncached(reason: str = "finds no directory in which it can keep compiled kernels") -> None:
    """Warn, once for each reason, that kernels are compiled anew in every process."""
    warnings.warn(
        f"Numba {reason}, so every run compiles them anew, for a minute or so: set NUMBA_CACHE_DIR to a directory that is "
        "writable and has room",
        ZeldoWarning,
        stacklevel=2,
    )


def _after_fork() -> None:
    """In a forked process, kernels with threads raise an error where Numba would end the process.

    GNU OpenMP's threads do not survive a fork. Numba kills the process that asks for them, and `multiprocessing.Pool` then
    waits for ever.
    """
    try:
        layer = threading_layer()
    except ValueError:  # no kernel has run with threads yet
        return
    if layer == "omp":
        for dispatcher in _dispatchers:
            dispatcher._reset_overloads()
            dispatcher._compile_for_args = _refuse


def _refuse(*arguments: Any, **keywords: Any) -> None:
    raise ZeldoError(
        "zeldo has run in the process that this one was forked from, and its threads do not survive a fork: start "
        'processes by multiprocessing.get_context("spawn"), or before the first run'
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Library(JITCodeLibrary):
    """A kernel's machine code, which calls none but its own.

    Numba compiles the body of a parallel loop twice: first by itself, then as a weak symbol of the kernel that has the loop.
    Both have the same name, and only the second is kept on disk. The process that compiles would run the first, and later
    ones the second, which is optimised once more. Their sums differ in the last bits.
    """

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()  # type: ignore[no-untyped-call]
        for function in self._final_module.functions:  # not before: reading the gradient would be 8 % slower
            if function.linkage in _WEAK and not function.is_declaration:
                function.linkage = Linkage.internal


class _Compiler(Compiler):
    """Numba's, whose code goes into a `_Library`."""

    def define_pipelines(self) -> Any:
        library: Any = _Library(self.state.targetctx.codegen(), self.state.func_id.func_qualname)  # type: ignore[no-untyped-call]
        library.enable_object_caching()  # the object is what Numba writes to disk
        self.state.library = library
        return super().define_pipelines()  # type: ignore[no-untyped-call]


def inlined(function: Callable[..., Any]) -> Any:
    """Compiles a function into each kernel that calls it."""
    return njit(inline="always")(function)


@cache
def imported_hash(path: Path) -> str:
    """A short hash of the files of zeldo that a file of it imports at its top, and of those that these import."""
    reached: set[Path] = set()
    left = [path]
    while left:
        for file in _imports(left.pop()):
            if file not in reached:
                reached.add(file)
                left.append(file)
    return sha256(b"\0".join(file.read_bytes() for file in sorted(reached))).hexdigest()[:12]


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    return tuple(_files(path.read_text(encoding="utf-8")))


def _files(source: str) -> Iterator[Path]:
    """The files of the modules in `from zeldo.x import y`, where x is a module, or a package and y one in it."""
    for module, names in _IMPORT.findall(source):
        place = PACKAGE.joinpath(*module.split(".")[1:])
        candidates = [place.with_suffix(".py"), place / "__init__.py"]
        candidates += [place / f"{name}.py" for name in re.findall(r"\w+", names)]
        yield from (file for file in candidates if file.is_file())
