"""Machine code that is kept on disk is that of the sources, wherever a kernel's code comes from."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zeldo
from zeldo.mesh.compile import imported_hash

PACKAGE = Path(zeldo.__file__).parent
PROBE = """
import numpy as np
from zeldo.mesh.compile import kernel
from zeldo.mesh.rows import AHEAD, wrapped

@kernel()
def probe(x):
    return AHEAD + wrapped(x, np.float32(8), np.float32(0.125))
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the package's sources, with a kernel that is made in no time and has code of rows.py in it."""
    shutil.copytree(
        PACKAGE, tmp_path / "zeldo", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz")
    )
    (tmp_path / "zeldo" / "mesh" / "probe.py").write_text(PROBE)
    return tmp_path


def probed(tree, before="", **variables):
    """What the kernel returns in a new process, and whether its machine code was there already."""
    code = before + (
        "import numpy as np; from zeldo.mesh.probe import probe; "
        "print(probe(np.float32(9.5)), bool(probe.stats.cache_hits))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(tree), **variables}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tree, capture_output=True, text=True, check=True
    )
    return out.stdout.strip()


def test_an_edit_of_what_a_kernel_imports_compiles_it_anew(tree):
    assert probed(tree) == "17.5 False"
    assert probed(tree) == "17.5 True"
    rows = tree / "zeldo" / "mesh" / "rows.py"
    text = rows.read_text()
    edited = text.replace(
        "x -= fm * np.floor(x * inverse)", "x -= fm * np.floor(x * inverse) - np.float32(1)"
    )
    assert edited != text
    rows.write_text(edited)
    assert probed(tree) == "18.5 False"
    rows.write_text(edited.replace("AHEAD = 16", "AHEAD = 32"))
    assert probed(tree) == "34.5 False"
    rows.write_text(text)
    assert probed(tree) == "17.5 True"


READ_ONLY = """
import tempfile
def refuse(*args, **options):
    raise OSError(30, "Read-only file system")
tempfile.TemporaryFile = refuse
"""
NOBODY = (
    READ_ONLY
    + """
import os, pwd
os.environ.pop("HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
"""
)


def test_kernels_in_a_read_only_directory_are_used(tree):
    """As in a container whose image holds them."""
    kernels = {"NUMBA_CACHE_DIR": str(tree / "kernels")}
    assert probed(tree, **kernels) == "17.5 False"
    assert probed(tree, READ_ONLY, **kernels) == "17.5 True"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows always knows a home directory")
def test_no_directory_named_tilde_is_made_where_no_home_is_known(tree):
    assert probed(tree, NOBODY).startswith("17.5")
    assert not (tree / "~").exists()


@pytest.mark.parametrize(
    ("kernels", "imported"),
    [
        ("mesh/painting.py", "mesh/rows.py"),
        ("mesh/reading.py", "mesh/compile.py"),
        ("mesh/numba_kernels.py", "mesh/rows.py"),
        ("engines/p3m/mesh_kernels.py", "engines/p3m/cells.py"),
        ("engines/p3m/pair_force.py", "engines/p3m/force_split.py"),
        ("engines/p3m/mesh_force.py", "mesh/fft.py"),
    ],
)
def test_the_hash_follows_imports(tree, kernels, imported, monkeypatch):
    monkeypatch.setattr("zeldo.mesh.compile.PACKAGE", tree / "zeldo")

    def fresh():
        imported_hash.cache_clear()
        from zeldo.mesh import compile

        compile._imports.cache_clear()
        return imported_hash(tree / "zeldo" / kernels)

    before = fresh()
    with open(tree / "zeldo" / kernels, "a") as file:
        file.write("\n# Numba itself sees edits here\n")
    assert fresh() == before
    with open(tree / "zeldo" / imported, "a") as file:
        file.write("\n# an edit\n")
    assert fresh() != before


def test_numba_compiles_nothing_by_other_options():
    for path in PACKAGE.rglob("*.py"):
        if path.name != "compile.py":
            assert not re.search(r"\b(njit|jit|vectorize|guvectorize)\b", path.read_text()), path


GRADIENT = """
import sys
import numpy as np
from zeldo.mesh.reading import minus_gradient
field = np.random.default_rng(1).standard_normal((16, 16, 16), dtype=np.float32)
out = np.empty((16, 16, 17, 4), np.float32)
minus_gradient(field, np.float32(1 / 12), 0, 16, out)
sys.stdout.write(f"{bool(minus_gradient.stats.cache_hits)} {out.tobytes().hex()}")
"""


def test_the_process_that_compiles_has_the_bits_of_those_that_follow(tmp_path):
    """A kernel whose bits differ where Numba's first machine code of its loop is run, not the one that is kept."""

    def process():
        out = subprocess.run(
            [sys.executable, "-c", GRADIENT],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        return out.stdout.split()

    (compiled, first), (cached, second) = process(), process()
    assert (compiled, cached) == ("False", "True")
    assert first == second
