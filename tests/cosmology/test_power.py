"""The linear power spectrum: normalisation, agreement of its sources, gradients, bad tables."""

import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from refusals import refusal
from zeldo.cosmology.camb_power import camb_table, with_tail
from zeldo.cosmology.eisenstein_hu import eisenstein_hu_power, eisenstein_hu_transfer
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.power import LinearPower, linear_power, sigma_r
from zeldo.errors import InputError, ZeldoWarning

QUIJOTE = PRESETS["quijote"]
REFERENCES = Path(__file__).parents[2].parent / "shared" / "reference"


def independent_sigma(power, radius):
    """Adaptive quadrature in k itself, piece by piece, with the window written out anew."""

    def integrand(k):
        x = k * radius
        window = 1 - x * x / 10 if x < 1e-3 else 3 * (np.sin(x) / x - np.cos(x)) / x**2
        return float(power(k)) * (k * window) ** 2 / (2 * np.pi**2)

    edges = np.concatenate([np.geomspace(1e-6, 1e-2, 9), np.arange(0.05, 20, 0.5) * 8 / radius])
    return np.sqrt(sum(quad(integrand, a, b, epsrel=1e-7)[0] for a, b in pairwise(edges)))


@pytest.mark.parametrize("model", ["camb", "eisenstein-hu"])
def test_sigma_8_by_another_quadrature_is_the_cosmologys(model):
    power = linear_power(QUIJOTE, model)
    assert independent_sigma(power, 8.0) == pytest.approx(QUIJOTE.sigma_8, rel=1e-4)
    assert sigma_r(power, 30.0) == pytest.approx(independent_sigma(power, 30.0), rel=1e-4)


@pytest.mark.parametrize("radius", [0.1, 5.0, 100.0])
def test_sigma_of_a_power_law_is_the_closed_form(radius):
    """P = k^-2 in a top hat: the integral of 9 j1(x)^2 / x^2 from 0 to infinity is 3 pi / 5."""
    power = LinearPower(np.geomspace(1e-6, 1e4, 200), np.geomspace(1e-6, 1e4, 200) ** -2.0, "power law")
    assert sigma_r(power, radius) ** 2 == pytest.approx(3 * np.pi / 5 / (2 * np.pi**2 * radius), rel=1e-4)


@pytest.fixture(scope="module")
def quijote_table():
    return camb_table(QUIJOTE)


def test_sigma_8_before_normalisation_is_cambs_own(quijote_table):
    import camb

    k, p = quijote_table
    pars = camb.set_params(
        H0=67.11,
        ombh2=QUIJOTE.omega_b * QUIJOTE.h**2,
        omch2=(QUIJOTE.omega_m - QUIJOTE.omega_b) * QUIJOTE.h**2,
        mnu=0.0,
        ns=QUIJOTE.n_s,
        As=2.1e-9,
        WantCls=False,
    )
    # with CAMB's default sampling its sum over k is off by 2e-4
    pars.set_matter_power(redshifts=[0.0], kmax=3.0, k_per_logint=20)
    pars.Transfer.high_precision = True
    assert sigma_r(LinearPower(k, p, "camb")) == pytest.approx(
        camb.get_results(pars).get_sigma8_0(), rel=1e-4
    )


@pytest.mark.parametrize("name", ["small.npz", "figure2b_small.npz"])
def test_camb_gives_the_power_of_the_reference_runs(name):
    path = REFERENCES / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the package")
    file = np.load(path)
    cosmology = Cosmology(**{key: float(file[key]) for key in ("omega_m", "omega_b", "h", "n_s", "sigma_8")})
    # their sigma_8 is CAMB's own coarse sum, 2 and 3 in 10^4 low: the same integral for both
    scale = (cosmology.sigma_8 / sigma_r(LinearPower(file["k"], file["p_lin"], name))) ** 2
    assert scale == pytest.approx(1.0, abs=1e-3)
    seen = (file["k"] > 1e-4) & (file["k"] < 20)
    ratio = linear_power(cosmology)(file["k"][seen]) / (scale * file["p_lin"][seen])
    np.testing.assert_allclose(ratio, 1.0, atol=1e-3)


def test_the_tail_continues_the_table_within_a_percent(quijote_table):
    """A table cut at a third of its range grows back by the tail; a power law would miss it by 5 %."""
    k, p = quijote_table
    own = k < 25
    kept = k < 8
    again = LinearPower(*with_tail(k[kept], p[kept], QUIJOTE.n_s), "tail")
    np.testing.assert_allclose(again(k[own & ~kept]) / p[own & ~kept], 1.0, atol=0.01)


def test_eisenstein_hu_follows_camb_within_five_per_cent():
    k = np.geomspace(1e-4, 20, 400)
    ratio = linear_power(QUIJOTE, "eisenstein-hu")(k) / linear_power(QUIJOTE)(k)
    np.testing.assert_allclose(ratio, 1.0, atol=0.05)


def test_eisenstein_hu_is_the_papers():
    """Equations 2 to 24 in plain Python, for baryons enough that every one of them counts."""
    k = torch.tensor([0.005, 0.03, 0.07, 0.1, 0.16, 0.3, 1.0], dtype=torch.float64)
    expected = [0.90114, 0.398126, 0.149447, 0.097937, 0.053151, 0.020346, 0.002958]
    np.testing.assert_allclose(eisenstein_hu_transfer(k, 0.3, 0.1, 0.7), expected, rtol=0, atol=6e-7)


def test_eisenstein_hu_has_its_limits_and_its_wiggles():
    k = torch.logspace(-5, 1, 2000, dtype=torch.float64)
    transfer = eisenstein_hu_transfer(k, 0.3175, 0.049, 0.6711)
    assert float(transfer[0]) == pytest.approx(1.0, abs=2e-3)
    # acoustic peaks are pi / s apart; Planck-like s = 150 Mpc = 100 Mpc/h: some six of them from 0.05 to 0.25
    smooth = eisenstein_hu_transfer(k, 0.3175, 0.0005, 0.6711)
    band = (k > 0.05) & (k < 0.25)
    ratio = (transfer / smooth)[band]
    x = torch.log(k[band])
    slope = torch.diff(ratio - torch.from_numpy(np.polyval(np.polyfit(x, ratio, 3), x)))
    turns = int((slope[1:] * slope[:-1] < 0).sum())
    assert 5 <= turns <= 10


def test_gradients_of_eisenstein_hu_are_finite_differences():
    k = torch.tensor([0.003, 0.02, 0.07, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    values = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.31, 0.05, 0.68)]
    more = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.96, 0.8)]
    assert torch.autograd.gradcheck(eisenstein_hu_transfer, (k, *values), eps=1e-6, atol=1e-6, rtol=1e-4)
    amplitude = lambda *x: torch.log(eisenstein_hu_power(*x))  # noqa: E731
    assert torch.autograd.gradcheck(amplitude, (k, *values, *more), eps=1e-6, atol=1e-5, rtol=1e-4)


def test_dark_energy_changes_the_growth_but_not_the_shape():
    """The same sigma_8 today gives the same power where dark energy does not cluster."""
    k = np.geomspace(0.02, 20, 100)
    changed = linear_power(replace(QUIJOTE, w0=-0.9, wa=-0.3))(k)
    np.testing.assert_allclose(changed / linear_power(QUIJOTE)(k), 1.0, atol=2e-3)


def test_dark_energy_that_is_a_constant_today_alone_is_no_constant(quijote_table):
    k, p = camb_table(replace(QUIJOTE, wa=0.6))
    same, constant = quijote_table
    np.testing.assert_allclose(k, same, rtol=1e-6)
    shape = p / constant / (p / constant)[np.searchsorted(k, 0.1)]
    assert shape[k > 0.05] == pytest.approx(1, abs=2e-3)
    assert abs(shape[np.searchsorted(k, 3e-4)] - 1) > 0.005


def test_baryons_beyond_the_helium_table_are_no_obstacle():
    corner = Cosmology(omega_m=0.45, omega_b=0.0699, h=0.89, n_s=0.8, sigma_8=0.6)  # omega_b h^2 = 0.055
    assert sigma_r(linear_power(corner)) == pytest.approx(0.6, rel=1e-4)


def test_a_cosmology_that_camb_refuses_is_bad_input():
    with pytest.raises(InputError, match=r"CAMB refuses Cosmology\(omega_m=1.0.*eisenstein-hu"):
        linear_power(Cosmology(omega_m=1.0, omega_b=0.0001, h=2.0, n_s=0.96, sigma_8=0.8))


def test_ends_are_power_laws_and_k_of_zero_has_no_power():
    power = linear_power(QUIJOTE, "eisenstein-hu")
    low, high = power(np.array([1e-8, 1e-7])), power(np.array([2e3, 2e4]))
    assert np.log10(low[1] / low[0]) == pytest.approx(QUIJOTE.n_s, abs=1e-3)
    assert -3.1 < np.log10(high[1] / high[0]) < -2.8
    assert power(0.0) == 0.0
    assert power(np.zeros((2, 3))).shape == (2, 3)
    for bad in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="k >= 0"):
            power(np.array([0.1, bad]))


def test_the_arrays_of_a_table_stay_the_callers():
    k = np.geomspace(1e-3, 10, 50)
    p = 1 / k
    power = LinearPower(k, p, "mine")
    before = power(0.1)
    p *= 2
    assert power.p[0] == pytest.approx(1e3) and power(0.1) == before


def test_the_same_cosmology_is_computed_once():
    assert linear_power(QUIJOTE) is linear_power(replace(QUIJOTE))


def table(tmp_path, k, p, name="table.txt"):
    path = tmp_path / name
    np.savetxt(path, np.column_stack([k, p]), header="k [h/Mpc]  P [(Mpc/h)^3]")
    return path


def test_a_table_gives_its_own_shape_back_in_any_unit(tmp_path):
    source = linear_power(QUIJOTE, "eisenstein-hu")
    k = np.geomspace(1e-4, 50, 500)
    power = linear_power(QUIJOTE, table(tmp_path, k, 12.3 * source(k)))
    between = np.sqrt(k[1:] * k[:-1])
    np.testing.assert_allclose(power(between), source(between), rtol=2e-4)
    assert independent_sigma(power, 8.0) == pytest.approx(QUIJOTE.sigma_8, rel=1e-4)


@pytest.mark.parametrize("between", [" ", ","])
@pytest.mark.parametrize("above", ["k P", "# of CAMB\n\nk [h/Mpc] P(k)"])
def test_one_line_of_words_above_a_table_is_left_out(tmp_path, above, between):
    source = linear_power(QUIJOTE, "eisenstein-hu")
    k = np.geomspace(1e-4, 50, 100)
    path, header = tmp_path / "table.txt", above.replace(" P", f"{between}P")
    np.savetxt(path, np.column_stack([k, source(k)]), header=header, comments="", delimiter=between)
    made = linear_power(QUIJOTE, path)
    assert k[0] in made.k  # no row is taken for words
    assert made(0.1) == pytest.approx(source(0.1), rel=1e-3)


@pytest.mark.parametrize("first", ["0.0O1 5.0", "k P\nh/Mpc -", "1e-4 P"])
def test_a_row_that_is_misspelt_is_no_line_of_words(tmp_path, first):
    k = np.geomspace(1e-3, 50, 100)
    np.savetxt(tmp_path / "table.txt", np.column_stack([k, k]), header=first, comments="")
    assert "not a table of numbers" in refusal(lambda: linear_power(QUIJOTE, tmp_path / "table.txt"))


def test_a_table_that_changed_is_read_again(tmp_path):
    k = np.geomspace(1e-4, 50, 100)
    p = linear_power(QUIJOTE, "eisenstein-hu")(k)
    before = linear_power(QUIJOTE, table(tmp_path, k, p))(1e-3)
    after = linear_power(QUIJOTE, table(tmp_path, k[:-1], (p * k**0.07)[:-1]))(1e-3)
    assert abs(after / before - 1) > 0.1


@pytest.mark.parametrize("h", [0.55, 0.6711, 0.8])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (lambda k, p, h: (k * h, p / h**3), "k in 1/Mpc: divide it by h"),
        (lambda k, p, h: (k, k**3 * p / (2 * np.pi**2)), r"Delta\^2 = k\^3 P / 2 pi\^2 in place of P"),
        (lambda k, p, h: (k * h, k**3 * p), r"Delta\^2 in place of P and k in 1/Mpc"),
        (lambda k, p, h: (k, p * (1 + (k / 0.3) ** 2)), "far from cold dark matter's"),
        (lambda k, p, h: (k, np.sqrt(p)), "far from cold dark matter's"),
    ],
)
def test_other_columns_than_k_and_p_are_refused(tmp_path, columns, message, h):
    cosmology = replace(QUIJOTE, h=h)
    k = np.geomspace(1e-4, 50, 400)
    p = linear_power(cosmology, "camb" if h == QUIJOTE.h else "eisenstein-hu")(k)
    with pytest.raises(InputError, match=message):
        linear_power(cosmology, table(tmp_path, *columns(k, p, h)))


def test_tables_near_cold_dark_matter_are_taken(tmp_path):
    k = np.geomspace(1e-4, 50, 400)
    p = linear_power(QUIJOTE, "camb")(k)
    massive = p * (1 - 0.3 * (k / 0.1) ** 2 / (1 + (k / 0.1) ** 2))  # of neutrinos of half an eV
    tilted = p * (k / 0.05) ** 0.05
    for power in (p, 7 * p, massive, tilted):
        made = linear_power(QUIJOTE, table(tmp_path, k, power))
        assert made(0.5) / made(0.1) == pytest.approx(
            np.interp(0.5, k, power) / np.interp(0.1, k, power), rel=2e-2
        )


K = np.geomspace(1e-3, 10, 50)
DIP = np.where(np.arange(50) == 7, -1.0, 1.0)


@pytest.mark.parametrize(
    ("k", "p", "message"),
    [
        (K, K * DIP, "row 8: .*positive"),
        (K, np.where(DIP < 0, np.nan, 1.0), "row 8: .*P = nan"),
        (K[::-1], K, "row 2: .*sort the rows"),
        (K[:10], K[:10], "10 rows"),
        (K + 0.1, K, "it must cover 0.01 to 1"),
        (K / 20, K, "it must cover 0.01 to 1"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, k, p, message):
    with pytest.raises(InputError, match=message):
        linear_power(QUIJOTE, table(tmp_path, k, p))


def test_what_is_no_table_and_no_model_is_bad_input(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("no numbers here\n")
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    with pytest.raises(InputError, match="not a table of numbers"):
        linear_power(QUIJOTE, words)
    with pytest.raises(InputError, match="0 rows"):
        linear_power(QUIJOTE, empty)
    with pytest.raises(InputError, match="did you mean 'camb'"):
        linear_power(QUIJOTE, "cmab")


def test_a_short_table_goes_on_beyond_its_ends(tmp_path):
    """Slopes of its last rows alone would miss P by a factor of 2.7 at k = 0.001 and 1.6 at k = 10."""
    source = linear_power(QUIJOTE)
    k = np.geomspace(0.01, 1, 20)
    power = linear_power(QUIJOTE, table(tmp_path, k, source(k)))
    np.testing.assert_allclose(power([1e-3, 3e-3, 5.0, 10.0]), source([1e-3, 3e-3, 5.0, 10.0]), rtol=0.07)


def test_a_table_may_have_commas(tmp_path):
    k = np.geomspace(1e-4, 30, 400)
    power = linear_power(QUIJOTE, "eisenstein-hu")
    np.savetxt(tmp_path / "p.csv", np.stack([k, power(k)], axis=1), delimiter=",", header="k, P")
    np.savetxt(tmp_path / "p.txt.gz", np.stack([k, power(k)], axis=1))
    for name in ("p.csv", "p.txt.gz"):
        assert linear_power(QUIJOTE, tmp_path / name)(0.1) == pytest.approx(power(0.1), rel=1e-3)


def test_a_table_of_another_sigma_8_is_scaled_with_a_word(tmp_path):
    k = np.geomspace(1e-4, 30, 400)
    power = linear_power(QUIJOTE, "eisenstein-hu")
    for factor in (1.0, 0.5):
        np.savetxt(tmp_path / f"{factor}.txt", np.stack([k, factor * power(k)], axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_power(QUIJOTE, tmp_path / "1.0.txt")
    with pytest.warns(
        ZeldoWarning, match=r"has sigma_8 = 0\.5897, and is scaled.* if its P is that of z = 0"
    ):
        made = linear_power(QUIJOTE, tmp_path / "0.5.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once for a table, whatever it is scaled to
        linear_power(replace(QUIJOTE, sigma_8=0.7), tmp_path / "0.5.txt")
    assert made(0.1) == pytest.approx(power(0.1), rel=1e-3)


def test_a_table_of_another_shape_goes_on_from_the_height_of_its_own_ends(tmp_path):
    """Neutrinos of half an eV take 25 % off small scales: what continues the table must not jump back."""
    source = linear_power(QUIJOTE, "eisenstein-hu")
    k = np.geomspace(0.005, 3, 200)
    path = tmp_path / "massive.txt"
    np.savetxt(path, np.column_stack([k, source(k) * (1 - 0.25 * (k / 0.1) ** 2 / (1 + (k / 0.1) ** 2))]))
    power = linear_power(QUIJOTE, path)
    for end in (k[0], k[-1]):
        here, beyond = power(np.array([end * x for x in (0.9, 1.1)])) / source(
            np.array([end * x for x in (0.9, 1.1)])
        )
        assert here == pytest.approx(beyond, rel=0.03)


def test_dark_energy_that_changes_suppresses_the_largest_scales_as_camb_has_it():
    """w(a) differs from a constant w0 in how dark energy clusters and in when it sets in, which the shape of P tells."""
    import camb

    varied = replace(QUIJOTE, w0=-0.9, wa=0.6)
    pars = camb.set_params(
        H0=100 * varied.h,
        ombh2=varied.omega_b * varied.h**2,
        omch2=(varied.omega_m - varied.omega_b) * varied.h**2,
        mnu=0.0,
        ns=varied.n_s,
        w=varied.w0,
        wa=varied.wa,
        dark_energy_model="ppf",
        WantCls=False,
    )
    pars.set_matter_power(redshifts=[0.0], kmax=2.0)
    k = np.array([1e-3, 1e-2, 0.1])
    theirs = camb.get_results(pars).get_matter_power_interpolator(nonlinear=False).P(0, k)
    ours = linear_power(varied)(k)
    np.testing.assert_allclose(ours / ours[-1], theirs / theirs[-1], rtol=2e-3)
