"""Initial conditions that the tests of engines share."""

from dataclasses import replace

import numpy as np

from zeldo.cosmology.parameters import PRESETS
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions

QUIJOTE = PRESETS["quijote"]
DARK = replace(QUIJOTE, omega_m=0.2, w0=-0.8)  # growth is another
BOX = 100.0


def plane_wave(amplitude, n=16, axis=0, mode=1, cosmology=QUIJOTE):
    """delta_lin = amplitude cos(kx) today: shells cross where D1 amplitude reaches 1."""
    phase = 2 * np.pi * mode * np.arange(n) / n
    wave = np.expand_dims(amplitude * np.cos(phase), [a for a in range(3) if a != axis])
    return InitialConditions(BOX, n, cosmology, np.array(np.broadcast_to(wave, (n, n, n))))


def smooth(n=16, amplitude=0.5, seed=3, cosmology=QUIJOTE):
    """Large waves only, of a small contrast: nothing crosses, everything is resolved."""
    ics = initial_conditions(cosmology, BOX, n, seed, power=lambda k: np.exp(-((k * BOX / 4 / np.pi) ** 2)))
    return InitialConditions(BOX, n, cosmology, ics.delta_lin * (amplitude / ics.delta_lin.std()), seed)


def universe(n=16, box=50.0, seed=1):
    """A power spectrum like the real one, made without CAMB."""
    return initial_conditions(QUIJOTE, box, n, seed, power="eisenstein-hu")


def rms(field):
    return float(np.sqrt(np.mean(np.square(field, dtype=float))))


def difference(one, other):
    """rms of the difference in units of the rms of the other."""
    return rms(one.astype(float) - other) / rms(other)
