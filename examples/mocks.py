"""Ten mock universes and the mean and scatter of their power spectra.

python examples/mocks.py
"""

import numpy as np

import zeldo

spectra = []
for seed in range(10):
    (snapshot,) = zeldo.run(box=125, n=64, seed=seed, engine="cola")
    spectra.append(zeldo.power_spectrum(snapshot))

k = spectra[0].k
power = np.array([one.power for one in spectra])
for i in (1, 3, 7, 15, 31):
    print(f"k = {k[i]:.3f} h/Mpc: P = {power[:, i].mean():8.1f} +- {power[:, i].std(ddof=1):6.1f} (Mpc/h)^3")
