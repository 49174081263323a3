"""How the kernels are compiled: one set of Numba's options, and machine code that is kept only as long as it is true.

Numba keeps a kernel's machine code until its own file changes. Kernels have code and constants of other files in them
too, so their names carry a hash of every file of zeldo that theirs imports: after an edit there, they are compiled anew.

The process that compiles a kernel and those that take it from the disk run the same machine code, and so give the same bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from inspect import getfile
from pathlib import Path
from typing import Any

from llvmlite.binding import Linkage
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

PACKAGE = Path(__file__).parents[1]
_WEAK = Linkage.linkonce_odr, Linkage.weak_odr
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
        return njit(
            parallel=parallel,
            fastmath=fastmath,
            error_model="numpy",
            cache=True,
            nogil=True,
            pipeline_class=_Compiler,
        )(function)

    return compiled


class _Library(JITCodeLibrary):
    """A kernel's machine code, which calls none but its own.

    Numba compiles the body of a parallel loop by itself first, and then again as a weak symbol of the kernel that has the
    loop, which is what it keeps on disk. Both have one name: the process that compiles would run the first, all later ones
    the second, optimised once more, whose sums have other bits.
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
