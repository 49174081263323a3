"""ranlxd1, the generator of N-GenIC: subtract with borrow in base 2^48 with most numbers thrown away.

x_i = x_{i-5} - x_{i-12} - borrow mod 2^48 (Marsaglia & Zaman 1991). Of 202 numbers in a row the last 12 are used, which
makes them independent (Luescher 1994, hep-lat/9309020). The first 12 words come from a shift register of 31 bits.
"""

from __future__ import annotations

import numpy as np

from zeldo.mesh.compile import inlined, kernel

WORDS, LAG, LUXURY = 12, 5, 202
TURNS, REST = divmod(LUXURY, WORDS)
BITS = 48
MASK = (1 << BITS) - 1
UNIT = 0.5**BITS
BORROW, USED = WORDS, WORDS + 1  # where the state keeps them, behind its words from old to new
STATE = WORDS + 2
REGISTER, TAP = 31, 18


@kernel(fastmath=False)
def seed_state(state: np.ndarray, seed: int) -> None:
    """Set a state, (14,) int64, from the lowest 31 bits of a seed; 0 counts as 1."""
    register = np.int64(seed if seed else 1) & ((1 << REGISTER) - 1)  # its lowest bit leaves first
    for word in range(WORDS):
        value = np.int64(0)
        for _ in range(BITS):
            bit = register & 1
            value = 2 * value + 1 - bit
            register = (register >> 1) | ((bit ^ ((register >> TAP) & 1)) << (REGISTER - 1))
        state[word] = value
    state[BORROW], state[USED] = 0, WORDS


@kernel(fastmath=False)
def draw(state: np.ndarray) -> float:
    """The next number of a state, from 0 to 1, 1 excluded."""
    if state[USED] == WORDS:
        _renew(state)
    state[USED] += 1
    return state[state[USED] - 1] * UNIT


@kernel(fastmath=False)
def _renew(state: np.ndarray) -> None:
    """202 steps of the recurrence."""
    _turn(state)
    borrow = state[BORROW]
    for i in range(REST):
        state[i], borrow = _less(state[(i + WORDS - LAG) % WORDS], state[i], borrow)
    state[:WORDS] = np.roll(state[:WORDS], -REST)
    state[BORROW], state[USED] = borrow, 0


@kernel(fastmath=False)
def _turn(state: np.ndarray) -> None:
    """The whole turns of 12 steps: written out, the words stay in registers, which is 2.5 times as fast."""
    a, b, c, d, e, f = state[0], state[1], state[2], state[3], state[4], state[5]
    g, h, i, j, k, l = state[6], state[7], state[8], state[9], state[10], state[11]
    borrow = state[BORROW]
    for _ in range(TURNS):
        a, borrow = _less(h, a, borrow)
        b, borrow = _less(i, b, borrow)
        c, borrow = _less(j, c, borrow)
        d, borrow = _less(k, d, borrow)
        e, borrow = _less(l, e, borrow)
        f, borrow = _less(a, f, borrow)
        g, borrow = _less(b, g, borrow)
        h, borrow = _less(c, h, borrow)
        i, borrow = _less(d, i, borrow)
        j, borrow = _less(e, j, borrow)
        k, borrow = _less(f, k, borrow)
        l, borrow = _less(g, l, borrow)
    for position, word in enumerate((a, b, c, d, e, f, g, h, i, j, k, l)):
        state[position] = word
    state[BORROW] = borrow


@inlined
def _less(newer: int, oldest: int, borrow: int) -> tuple[int, int]:
    """The word that takes the oldest one's place, and the next borrow."""
    difference = newer - oldest - borrow
    return difference & MASK, (difference >> 63) & 1
