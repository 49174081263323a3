# %% [markdown]
# # Recover initial conditions and fit a cosmology
#
# This page takes a few minutes on two cores. Download it as a notebook below, or run the script
# `docs/tutorials/initial_conditions.py`.

# %%
import numpy as np
import torch

import zeldo
from zeldo.gradients import statistics
from zeldo.gradients.assess import Agreement, assess
from zeldo.initial.phases import Native

BOX, N, SEED = 250.0, 64, 11

# %% [markdown]
# ## A universe as a function
#
# `zeldo.differentiable` gives a function of white noise and cosmology. Torch differentiates its output with respect to
# both.

# %%
universe = zeldo.differentiable("cola", box=BOX, n=N)
white_noise = torch.from_numpy(Native(SEED).field(N))
sigma_8 = torch.tensor(0.834, dtype=torch.float64, requires_grad=True)
psi, vel = universe(white_noise, sigma_8=sigma_8)
k, power = statistics.power_spectrum(psi, BOX)
(slope,) = torch.autograd.grad(power[4].log(), sigma_8)
print(f"dlnP / dsigma_8 at k = {k[4]:.2f} h/Mpc: {slope:.2f}; {2 / 0.834:.2f} in linear theory")

# %% [markdown]
# ## Fit σ₈ and Ωₘ
#
# Take the power spectrum of an "observed" universe with the same white noise and an unknown cosmology. The Gauss-Newton
# method needs the derivatives of all bins, which take one forward-mode run for each parameter.

# %%
truth = {"omega_m": 0.29, "sigma_8": 0.78}
with torch.no_grad():
    observed = statistics.power_spectrum(universe(white_noise, **truth)[0], BOX)[1].log()


def residual(point: torch.Tensor) -> torch.Tensor:
    """How far lnP of a cosmology is from the observed one."""
    psi, _ = universe(white_noise, omega_m=point[0], sigma_8=point[1])
    return statistics.power_spectrum(psi, BOX)[1].log() - observed


point = torch.tensor([0.3175, 0.834], dtype=torch.float64)
for step in range(4):
    units = torch.eye(2, dtype=torch.float64)
    columns = [torch.func.jvp(residual, (point,), (unit,)) for unit in units]
    value, slopes = columns[0][0], torch.stack([column for _, column in columns], 1)
    point = point - torch.linalg.lstsq(slopes, value[:, None]).solution[:, 0]
    print(f"step {step + 1}: Omega_m = {point[0]:.4f}, sigma_8 = {point[1]:.4f}")

# %% [markdown]
# ## Recover the initial conditions
#
# Now the cosmology is known and the white noise is not. Only the density today is given.

# %%
(snapshot,) = zeldo.run(engine="cola", box=BOX, n=N, seed=SEED)
recovered = zeldo.reconstruct(snapshot, engine="cola", samples=40)
true = zeldo.initial_conditions(box=BOX, n=N, seed=SEED)
found = assess(recovered, true)
assert found.estimate is not None
for wavenumber in (0.1, 0.2, 0.4, 0.6):
    r, transfer = found.estimate.at(wavenumber)
    print(f"k = {wavenumber} h/Mpc: r = {r:.3f}, T = {transfer:.3f} with the true linear density")
print(f"variance of the white noise of a sample: {found.sample_whiteness.variance:.3f}")

# %% [markdown]
# Every engine accepts the recovered initial conditions. Here the density that evolves from them is compared with the
# observed one.

# %%
(again,) = zeldo.run(ics=recovered.initial_conditions(), engine="cola")
psi_again = torch.from_numpy(np.ascontiguousarray(again.psi))
density = statistics.density(psi_again, 2 * N, BOX).numpy()
agreement = Agreement.of(density, recovered.posterior.observation.delta.numpy(), BOX)
print(f"r of both densities at k = 0.4 h/Mpc: {agreement.at(0.4)[0]:.4f}")
