"""JaxPM's share of a paired timing: ten kicks and drifts from first-order LPT, value and gradient; prints JSON.

Runs in a Python of its own, which has JaxPM and not zeldo.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxpm.pm import pm_forces

STEPS = 10


def run(field):
    """Displacements after ten steps, in cells; the coefficients are of no matter for the time."""
    n = field.shape[0]
    psi = pm_forces(jnp.zeros((n, n, n, 3)), delta=field, paint_absolute_pos=False)
    velocity = psi
    for _ in range(STEPS):
        force = pm_forces(psi, mesh_shape=field.shape, paint_absolute_pos=False)
        velocity = 0.9 * velocity + 0.1 * force
        psi = psi + 0.1 * velocity
    return psi


def timed(function, argument):
    """Wall and CPU seconds, the least of three calls after a first that compiles."""
    jax.block_until_ready(function(argument))
    best = [np.inf, np.inf]
    for _ in range(3):
        before = time.perf_counter(), time.process_time()
        jax.block_until_ready(function(argument))
        spent = time.perf_counter() - before[0], time.process_time() - before[1]
        best = [min(a, b) for a, b in zip(best, spent, strict=True)]
    return best


def main():
    n = int(sys.argv[1])
    field = jnp.asarray(np.random.default_rng(1).standard_normal((n, n, n)), jnp.float32)
    value = jax.jit(run)
    both = jax.jit(jax.value_and_grad(lambda x: (run(x) ** 2).sum()))
    print(json.dumps({"value": timed(value, field), "both": timed(both, field)}))


if __name__ == "__main__":
    main()
