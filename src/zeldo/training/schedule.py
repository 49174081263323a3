"""The order of samples and the learning rate, as functions of seed and position alone."""

from __future__ import annotations

import math

import numpy as np


def epoch_order(pairs: int, samples: int, seed: int, epoch: int) -> np.ndarray:
    """The pair of each sample of an epoch: shuffled, and each pair as often as any other.

    Where an epoch is shorter than the number of pairs, the next one continues where it ended.

    Parameters
    ----------
    pairs : int
        Number of pairs of input and target.
    samples : int
        Number of samples in the epoch.
    seed, epoch : int

    Returns
    -------
    ndarray of int, (samples,)
    """
    first = epoch * samples
    rounds = range(first // pairs, (first + samples - 1) // pairs + 1)
    shuffled = np.concatenate([np.random.default_rng([seed, 0x0DE5, r]).permutation(pairs) for r in rounds])
    start = first - rounds[0] * pairs
    return shuffled[start : start + samples]


def cosine(share: float, warmup: float, final: float) -> float:
    """The learning rate over its maximum at a share (0 to 1) of the training: it rises linearly and falls as a cosine."""
    if share < warmup:
        return max(share / warmup, 0.01)
    along = min((share - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * along))
