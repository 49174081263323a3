"""File systems without locks: reading and writing need none, and their refusal is no damage."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import zeldo

SHIM = r"""
#include <errno.h>
int flock(int fd, int operation) { errno = %(error)s; return -1; }
"""
SCRIPT = """
import sys, numpy as np, zeldo
psi = np.zeros((3, 8, 8, 8), np.float32)
snapshot = zeldo.Snapshot(psi, psi, 20.0, zeldo.Cosmology.preset("quijote"), 0.0, "test")
for suffix in (".hdf5", ".npz", ".zarr", ".gadget", ".bigfile"):
    path = zeldo.write(snapshot, sys.argv[1] + "/out" + suffix)
    with zeldo.open_particles(path, snapshot.cosmology) as particles:
        assert len(particles) == 512 and particles.positions.shape == (512, 3)
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="a C compiler makes the shim")
@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "524"])
def test_nothing_needs_locks(tmp_path, error):
    """NFS says ENOLCK, Lustre EOPNOTSUPP, and NFS without a lock daemon 524: here every flock does."""
    (tmp_path / "shim.c").write_text(SHIM % {"error": error})
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "shim.so", "shim.c"], cwd=tmp_path, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "shim.so")}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")]
    )
    check = "import fcntl; fcntl.flock(0, fcntl.LOCK_SH)"
    refused = subprocess.run(
        [sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=False
    )
    assert "OSError" in refused.stderr  # the shim is in place
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "done", done.stderr


def test_a_file_that_this_process_has_open_is_read(tmp_path):
    """HDF5 refuses a second handle with other locks, whoever opened the first one."""
    (snapshot,) = zeldo.run(n=8, box=32, seed=1, engine="zeldovich", output=tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5"):
        assert np.array_equal(zeldo.read(tmp_path / "out.hdf5").psi, snapshot.psi)
