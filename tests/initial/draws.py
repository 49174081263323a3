"""Numbers of ranlxd1 in a row, which tests compare and rows of N-GenIC's phases begin with."""

import numpy as np

from zeldo.initial.ranlxd import STATE, draw, seed_state


def uniforms(seed, count):
    """The first numbers of a seed, (count,) float64 in [0, 1)."""
    state = np.empty(STATE, np.int64)
    seed_state(state, seed)
    return np.array([draw(state) for _ in range(count)])
