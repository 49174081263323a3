"""The environment variables by which libraries are told how many threads to use."""

THREADS = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "DUCC0_NUM_THREADS",
)
