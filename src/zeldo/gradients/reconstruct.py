"""The initial conditions of an observed universe: the maximum of the posterior, and samples around it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from zeldo.cosmology.parameters import with_parameters
from zeldo.engines.base import Engine, Progress, silent
from zeldo.engines.checks import check_number, check_whole
from zeldo.errors import InputError
from zeldo.files.reference import check_initial_conditions_path, write_initial_conditions
from zeldo.files.sets import check_no_input
from zeldo.gradients.assess import check_truth
from zeldo.gradients.checkpoint import SearchCheckpoint
from zeldo.gradients.function import differentiable
from zeldo.gradients.observing import observed
from zeldo.gradients.posterior import Observation, Posterior, discreteness
from zeldo.gradients.reconstruction import Reconstruction
from zeldo.gradients.search import Search
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.noise import check_seed
from zeldo.keywords import axis_index, checked_keywords
from zeldo.particles.snapshot import Snapshot

TOLERANCE = 0.2  # of a lattice cell, on average: the error of a density that is called noiseless


@checked_keywords(with_parameters)
def reconstruct(
    source: str | os.PathLike[str] | np.ndarray | Snapshot,
    *,
    engine: str | os.PathLike[str] | Engine = "cola",
    cosmology: Any = None,
    box: float | None = None,
    n: int | None = None,
    redshift: float | None = None,
    power: str | os.PathLike[str] | None = None,
    mesh: int | None = None,
    noise: float | None = None,
    smoothing: float = 0.0,
    bias: float = 1.0,
    redshift_space: int | str | None = None,
    effort: float = 1.0,
    samples: int = 200,
    seed: int = 7,
    device: str | None = None,
    truth: InitialConditions | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_minutes: float = 2.0,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **parameters: float | None,
) -> Reconstruction:
    """Find the initial conditions of an observed density, or of a snapshot.

    Parameters
    ----------
    source : path, ndarray or Snapshot
        A snapshot; or a density (m, m, m) by cloud-in-cell on a mesh, in units of its mean or as a contrast, as an array or
        a .npy file.
    engine : str, path or Engine
        What evolves initial conditions, with options as in "pm:steps=5"; see `zeldo.differentiable`.
    cosmology : str, Cosmology, mapping of str to float or astropy.cosmology.FLRW, optional
        The snapshot's own, or "quijote" where absent.
    box : float, optional
        Side of the box of a density, Mpc/h.
    n : int, optional
        Particles per side: those of the snapshot, or half of a density's mesh, where absent.
    redshift : float, optional
        Redshift of a density; 0 where absent. Of a universe in .zarr, the one to take; the lowest where absent.
    power : str or path, optional
        As in `zeldo.linear_power`; "camb" where absent.
    mesh : int, optional
        Mesh points per side that a snapshot's density is taken on; twice its lattice where absent.
    noise : float, optional
        Standard deviation of the density contrast's Gaussian error in each mesh cell. Where absent the density is taken for
        noiseless, with a tolerance of 0.2 in each lattice cell on average, whose square grows with the particles in it.
    smoothing : float
        Standard deviation of the Gaussian that a density was smoothed with, Mpc/h. A snapshot's density has none.
    bias : float
        Linear bias of a density; that of a snapshot is 1.
    redshift_space : {"x", "y", "z", 0, 1, 2}, optional
        The line of sight, for a density in redshift space. A snapshot is seen in redshift space along it.
    effort : float
        What the usual numbers of iterations are multiplied by.
    samples : int
        Steps of the sampler that are kept, after half as many that are left aside; 0 for the maximum alone.
    seed : int
        Seed of the sampler.
    device : str, optional
        A torch device; by default where the engine's own options say.
    truth : InitialConditions, optional
        What the observed universe came from, where it is known and the result will be compared with it. The search makes no
        use of it, and begins only if box and lattice are the same.
    checkpoint : path, optional
        A .npz file from which a killed run goes on. It is removed at the end, when the output is written.
    checkpoint_minutes : float
        The interval at which it is written.
    output : path, optional
        An .npz file to write, with the initial conditions of a sample; of the maximum if `samples` is 0.
    progress : callable, optional
        Called with the work done, the total work, and a short text.
    **parameters
        Parameters of `Cosmology`, such as `omega_m=0.3`, which replace those of the cosmology.

    Returns
    -------
    Reconstruction

    Raises
    ------
    InputError
        For a value that is not allowed, before any work.
    """
    for name, value, low, high in (
        ("smoothing", smoothing, 0, 1000),
        ("bias", bias, 0.01, 100),
        ("effort", effort, 0.01, 100),
        ("checkpoint_minutes", checkpoint_minutes, 0, 1e6),
    ):
        check_number(name, value, low, high)
    if output is not None:
        check_initial_conditions_path(output)
        check_no_input([output], {"source": source, "checkpoint": checkpoint})
    check_whole("samples", samples, 0, 1_000_000)
    check_seed(seed)
    axis = None if redshift_space is None else axis_index(redshift_space, "redshift_space")
    seen = observed(
        source,
        box=box,
        n=n,
        redshift=redshift,
        cosmology=with_parameters(cosmology, **parameters) or None,
        mesh=mesh,
        smoothing=smoothing,
        bias=bias,
        axis=axis,
    )
    if truth is not None:
        check_truth(truth, seen.n, seen.box)
    f = differentiable(
        engine,
        box=seen.box,
        n=seen.n,
        redshift=seen.redshift,
        cosmology=seen.cosmology,
        power=power,
        device=device,
    )
    unit = (len(seen.delta) / f.n) ** 1.5  # the error of a lattice cell's density in one of its mesh cells
    if noise is not None:
        check_number("noise", noise, 1e-6, 1e6)
    noiseless = noise is None
    sigma = TOLERANCE * unit if noise is None else float(noise)
    delta = torch.from_numpy(np.ascontiguousarray(seen.delta)).to(f.field.device)
    relative = discreteness(delta) if noiseless else None
    posterior = Posterior(f, Observation(delta, sigma, smoothing, bias, axis, relative))
    task = getattr(f.physics, "task", None)  # of a network
    if axis is not None and task is not None and "vel" not in task.predicts:
        raise InputError(
            f"redshift space needs velocities, which engine {f.engine.name} does not predict: take another"
        )
    options = {
        "engine": f.engine.name,
        **{name: str(value) for name, value in f.engine.settings.items()},
        "power": str(f.field.power),
        "noise": sigma,
        "smoothing": smoothing,
        "bias": bias,
        "redshift_space": axis,
        "effort": effort,
        "samples": samples,
        "seed": seed,
    }
    kept = (
        None
        if checkpoint is None
        else SearchCheckpoint.of(checkpoint, posterior, options, checkpoint_minutes)
    )
    search = Search(posterior, noiseless, effort, samples, seed, kept, progress or silent)
    maximum = search.maximum()
    chain = search.chain(maximum) if samples else None
    result = Reconstruction(posterior, maximum.cpu().numpy(), search.sampled, chain, options)
    if output is not None:
        write_initial_conditions(result.initial_conditions(), output)
    if kept is not None:
        kept.remove()
    return result
