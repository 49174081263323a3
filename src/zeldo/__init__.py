"""zeldo: from a cosmology and a seed to the evolved universe.

    import zeldo

    snapshot, = zeldo.run(cosmology="quijote", box=250, n=128, seed=7, engine="cola", redshift=0)
    spectrum = zeldo.power_spectrum(snapshot)

The public names stand in `__init__.pyi`; each loads its module when first used.
"""

import os

import lazy_loader

# Threads of Numba's kernels sleep while they wait: spinning, they keep the Fourier transforms' threads from the cores.
# It counts where it is set before OpenMP starts, and a user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The threads of Numba's kernels are those of torch and BLAS too, where the user sets them alone.
if threads := os.environ.get("NUMBA_NUM_THREADS"):
    os.environ.setdefault("OMP_NUM_THREADS", threads)
# Torch asks the kernel for large pages: clearing new memory page by page takes a fifth of the time of a network.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
