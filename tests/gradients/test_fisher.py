"""Fisher matrices: derivatives against paired finite differences, and the matrix in closed form."""

import numpy as np
import pytest
import torch

import zeldo
from zeldo.gradients import statistics
from zeldo.gradients.fisher import STATISTICS, derivatives
from zeldo.initial.phases import Native

N, BOX = 16, 60.0


@pytest.mark.parametrize("statistic", STATISTICS)
def test_derivatives_are_paired_differences(statistic):
    f = zeldo.differentiable(
        "cola:steps=2", box=BOX, n=N, redshift=0.3, dtype=torch.float64, power="eisenstein-hu"
    )
    white, measure = torch.from_numpy(Native(7).field(N)).double(), STATISTICS[statistic]
    _, slopes = derivatives(f, measure, ("omega_m", "sigma_8"), white)
    for slope, name in zip(slopes, ("omega_m", "sigma_8"), strict=True):
        base, step = getattr(f.cosmology, name), 1e-7
        ends = []
        for value in (base + step, base - step):
            cosmology = f.varied({name: value})
            ends.append(measure(*f(white, **{name: value}), f, cosmology).reshape(-1).detach().numpy())
        expected = (ends[0] - ends[1]) / (2 * step)
        assert np.abs(slope - expected).max() < 1e-6 * np.abs(expected).max()


def growing():
    """A statistic that has one value more whenever it is taken again."""
    taken = []

    def statistic(psi, vel, function, cosmology):
        taken.append(1)
        return psi.square().mean() * torch.arange(1.0, len(taken) + 2)

    return statistic


def pair(psi, vel, function, cosmology):
    return torch.stack([psi.square().mean(), psi.abs().mean()])


def size(psi, vel, function, cosmology):
    return psi.square().mean().sqrt().reshape(1)


def test_the_matrix_of_a_linear_statistic_is_known():
    """The linear displacement is proportional to sigma_8, so that one number of it has the Fisher matrix (d / sigma_8)^2."""

    seen = []
    found = zeldo.fisher(
        "zeldovich",
        size,
        parameters=("sigma_8",),
        box=BOX,
        n=N,
        power="eisenstein-hu",
        realisations=np.int64(2),
        covariance=np.array([[0.04]]),
        progress=lambda done, total, text: seen.append((done, total)),
    )
    assert seen[-1] == (2, 2)
    sigma_8 = zeldo.Cosmology.preset("quijote").sigma_8
    expected = (found.mean[0] / sigma_8) ** 2 / 0.04
    assert found.matrix[0, 0] == pytest.approx(expected, rel=1e-4)
    assert found.errors["sigma_8"] == pytest.approx(expected**-0.5, rel=1e-4)


def test_one_value_does_not_tell_two_parameters_apart():
    options = {"box": BOX, "n": 8, "power": "eisenstein-hu", "realisations": 5}
    found = zeldo.fisher("zeldovich", size, parameters=("omega_m", "sigma_8"), **options)
    assert found.covariance.shape == (1, 1)
    with pytest.raises(zeldo.InputError, match="does not tell omega_m, sigma_8 apart"):
        _ = found.errors


@pytest.mark.parametrize("statistic", [*STATISTICS, size])
def test_too_few_realisations_are_refused_before_the_first(statistic):
    seen = []
    with pytest.raises(zeldo.InputError, match="do not give the covariance"):
        zeldo.fisher(
            "zeldovich",
            statistic,
            box=BOX,
            n=N,
            power="eisenstein-hu",
            realisations=3,
            progress=lambda done, total, text: seen.append(done),
        )
    assert seen == []


def test_a_covariance_of_another_shape_is_refused_before_the_first_run(monkeypatch):
    monkeypatch.setattr(
        "zeldo.gradients.fisher.derivatives", lambda *values: pytest.fail("the work was begun")
    )
    with pytest.raises(zeldo.InputError, match="covariance has shape"):
        zeldo.fisher("zeldovich", box=BOX, n=8, power="eisenstein-hu", covariance=np.eye(2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parameters": ("omega",)}, "no parameter 'omega'"),
        ({"parameters": "omega"}, "no parameter 'omega'"),
        ({"parameters": ()}, "one or several"),
        ({"parameters": ("h", "h")}, "each once"),
        ({"fixed": True}, "fisher has no argument 'fixed'"),
        ({"progress": 3}, "progress = 3 is not allowed"),
        ({"covariance": np.eye(2), "engine": "zeldovich"}, "covariance has shape"),
        ({"statistic": "powr"}, "is not known"),
        ({"engine": "p3m"}, "not differentiable"),
        ({"realisations": 1, "engine": "zeldovich"}, "do not give the covariance"),
        ({"statistic": 5}, "statistic = 5 is not allowed"),
        ({"statistic": lambda *given: 3.0, "engine": "zeldovich"}, "returned a float: return a tensor"),
        ({"seed": "a"}, "seed"),
        ({"statistic": size, "engine": "zeldovich", "covariance": [[0.0]]}, "not positive definite"),
        ({"statistic": size, "engine": "zeldovich", "covariance": [[np.nan]]}, "not positive definite"),
        ({"statistic": pair, "engine": "zeldovich", "covariance": [[1.0, 0.5], [0, 1]]}, "not symmetric"),
        ({"statistic": pair, "engine": "zeldovich", "covariance": 1j * np.eye(2)}, "covariance is a ndarray"),
        ({"statistic": pair, "engine": "zeldovich", "covariance": [[1.0], [0, 1]]}, "covariance is a list"),
        ({"statistic": lambda *given: pair(*given)[:0], "engine": "zeldovich"}, "0 values"),
        ({"statistic": lambda *given: 1j * pair(*given), "engine": "zeldovich"}, "complex"),
        ({"seed": 2**63 - 2}, "seed"),
        ({"parameters": None}, "parameters = None is not allowed"),
        (
            {"statistic": growing(), "parameters": "h", "engine": "zeldovich", "covariance": np.eye(2)},
            "3 values of universe 1",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(options, words):
    with pytest.raises(zeldo.InputError, match=words):
        zeldo.fisher(**{"box": BOX, "n": 8, "power": "eisenstein-hu", **options})


def test_what_is_missing_is_named():
    with pytest.raises(zeldo.InputError, match="fisher needs the argument 'box'"):
        zeldo.fisher(n=8)


def test_values_beyond_the_lattices_nyquist_wavenumber_are_left_out():
    f = zeldo.differentiable("zeldovich", box=BOX, n=N, power="eisenstein-hu")
    psi, _ = f(torch.from_numpy(Native(1).field(N)))
    k, power = statistics.power_spectrum(psi, BOX)
    assert k[-1] > 1.8 * np.pi * N / BOX
    kept = STATISTICS["power"](psi, None, f, f.cosmology)
    assert len(kept) == np.count_nonzero(k < np.pi * N / BOX) and torch.equal(kept, power[: len(kept)])


def test_the_inverse_of_an_estimated_covariance_is_unbiased():
    """Hartlap et al. 2007: (R - p - 2) / (R - 1) for p values of R realisations."""

    def spread(psi, vel, function, cosmology):
        return psi.square().mean((1, 2, 3))

    found = zeldo.fisher(
        "zeldovich", spread, parameters="sigma_8", box=60.0, n=8, realisations=8, power="eisenstein-hu"
    )
    plain = found.derivatives @ np.linalg.solve(found.covariance, found.derivatives.T)
    np.testing.assert_allclose(found.matrix, (8 - 3 - 2) / (8 - 1) * plain, rtol=1e-6)
