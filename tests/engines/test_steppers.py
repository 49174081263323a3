"""Steppers on their own, in float64 and without a mesh: what each reproduces exactly, and orders of convergence."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from waves import QUIJOTE

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.steppers import (
    STEPPERS,
    BullFrog,
    Cola,
    FastPM,
    momentum_per_velocity,
    second_slope,
)

DARK = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, w0=-0.8, wa=-0.6)
EDS = Cosmology(1.0, 0.05, 0.7, 0.96, 0.8)
COSMOLOGIES = pytest.mark.parametrize("cosmology", [QUIJOTE, DARK, EDS], ids=["lcdm", "w0wa", "eds"])
ALL = pytest.mark.parametrize("stepper", [FastPM, BullFrog, Cola])
START = 0.1


def integrate(stepper, cosmology, force, steps, lpt=(0.0, 0.0), relative=False, start=START, end=1.0):
    """psi and v = d psi / d D1 at the end of kick, drift, kick; force(psi, a). psi starts on 2LPT, lpt = its two shapes.

    relative: psi and v are what 2LPT leaves (COLA).
    """
    grow, method = growth(cosmology), stepper(cosmology)
    d1, d2 = (lambda a: float(grow.d1(a))), (lambda a: float(grow.d2(a)))
    first, second = lpt
    psi, v = d1(start) * first + d2(start) * second, first + second_slope(grow, start) * second
    if relative:
        psi, v = 0.0, 0.0

    def kick(a, pair):
        alpha, beta = pair
        if not relative:
            return alpha * v + beta * force(psi, a)
        whole = psi + d1(a) * first + d2(a) * second
        return alpha * v + beta * (force(whole, a) - d1(a) * first - (d2(a) - d1(a) ** 2) * second)

    times = np.linspace(start, end, steps + 1)
    for a0, a1 in itertools.pairwise(times):
        v = kick(a0, method.open(a0, a1))
        psi += method.drift(a0, a1) * v
        v = kick(a1, method.close(a0, a1))
    if relative:
        psi += d1(end) * first + d2(end) * second
        v += first + second_slope(grow, end) * second
    return psi, v


def exact(cosmology, force, lpt, start=START, end=1.0):
    """psi and v by the equations of motion dx/da = p / (a^3 E), dp/da = 3/2 Omega_m / (a^2 E) F."""
    grow = growth(cosmology)
    psi = float(grow.d1(start)) * lpt[0] + float(grow.d2(start)) * lpt[1]
    v = lpt[0] + second_slope(grow, start) * lpt[1]

    def rhs(a, y):
        e = float(expansion(cosmology, a))
        return [y[1] / (a**3 * e), 1.5 * cosmology.omega_m / (a**2 * e) * force(y[0], a)]

    # p = a^3 E dpsi/da = a^2 E f1 D1 v
    weight = [a**2 * float(expansion(cosmology, a) * grow.f1(a) * grow.d1(a)) for a in (start, end)]
    y = solve_ivp(rhs, (start, end), [psi, weight[0] * v], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    return y[0], y[1] / weight[1]


CONTRAST = 0.9
SPHERE = (
    -CONTRAST / 3,
    CONTRAST**2 / 9,
)  # psi / q of a uniform sphere: psi_lin, and grad phi2 with lap phi2 = delta^2 / 3


def sphere(psi, a):
    """F / q of a uniform sphere that has moved by psi / q: mass inside it is kept, F = -r delta / 3."""
    return -((1 + psi) ** -2 - (1 + psi)) / 3


@COSMOLOGIES
@pytest.mark.parametrize("stepper", [FastPM, BullFrog])
@pytest.mark.parametrize("steps", [1, 3])
def test_linear_growth_is_exact_in_any_number_of_steps(stepper, cosmology, steps):
    """Where F = psi, a plane wave, psi stays D1 psi_lin."""
    psi, v = integrate(stepper, cosmology, lambda psi, a: psi, steps, (1.0, 0.0))
    assert (psi, v) == (pytest.approx(1, abs=1e-8), pytest.approx(1, abs=1e-8))


@COSMOLOGIES
@pytest.mark.parametrize("steps", [1, 3])
def test_bullfrog_reproduces_second_order_growth_and_fastpm_does_not(cosmology, steps):
    """F of a 2LPT trajectory: D psi_lin + (D2 - D^2) grad phi2. The second order alone, its first taken out."""
    grow = growth(cosmology)

    def force(psi, a):
        return float(grow.d2(a) - grow.d1(a) ** 2)

    expected = float(grow.d2(1.0)), second_slope(grow, 1.0)
    psi, v = integrate(BullFrog, cosmology, force, steps, (0.0, 1.0))
    assert (psi, v) == (pytest.approx(expected[0], rel=1e-7), pytest.approx(expected[1], rel=1e-7))
    wrong, _ = integrate(FastPM, cosmology, force, steps, (0.0, 1.0))
    assert abs(wrong / expected[0] - 1) > 0.005


@COSMOLOGIES
def test_cola_stays_on_second_order_whatever_its_steps(cosmology):
    grow = growth(cosmology)
    force = lambda psi, a: float(grow.d1(a) * 0.3 + (grow.d2(a) - grow.d1(a) ** 2) * 0.2)  # noqa: E731
    psi, v = integrate(Cola, cosmology, force, 2, (0.3, 0.2), relative=True)
    assert psi == pytest.approx(0.3 + 0.2 * float(grow.d2(1.0)), rel=1e-12)
    assert v == pytest.approx(0.3 + 0.2 * second_slope(grow, 1.0), rel=1e-12)


def test_second_order_of_a_sphere_is_that_of_its_force():
    """The shapes in SPHERE agree with the force: what is left is of third order."""
    grow = growth(QUIJOTE)
    a, small = 0.5, 1e-3
    first, second = -small / 3, small**2 / 9
    d1, d2 = float(grow.d1(a)), float(grow.d2(a))
    left = sphere(d1 * first + d2 * second, a) - d1 * first - (d2 - d1**2) * second
    assert abs(left) < 2 * small**3


@COSMOLOGIES
@ALL
@pytest.mark.parametrize("relative", [False, True])
def test_steps_converge_with_the_second_order(stepper, cosmology, relative):
    """A sphere on its way to collapse (contrast 0.9 linearly, 2 to 3 in truth) against its equation of motion."""
    truth = exact(cosmology, sphere, SPHERE)
    counts = np.array([16, 32, 64, 128])
    errors = np.array(
        [
            np.abs(np.subtract(integrate(stepper, cosmology, sphere, k, SPHERE, relative), truth))
            for k in counts
        ]
    )
    orders = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(orders[1:], 2, atol=0.2)
    assert errors[-1].max() < (1e-3 if stepper is Cola and not relative else 3e-4)


@COSMOLOGIES
def test_with_few_steps_those_that_know_growth_are_better(cosmology):
    truth = exact(cosmology, sphere, SPHERE)[0]
    fastpm, bullfrog = (
        abs(integrate(s, cosmology, sphere, 5, SPHERE)[0] - truth) for s in (FastPM, BullFrog)
    )
    cola = abs(integrate(Cola, cosmology, sphere, 5, SPHERE, relative=True)[0] - truth)
    lpt = abs(SPHERE[0] + float(growth(cosmology).d2(1.0)) * SPHERE[1] - truth)
    assert bullfrog < fastpm / 3
    assert cola < lpt / 3


@COSMOLOGIES
@ALL
def test_half_steps_tend_to_the_equations_of_motion(stepper, cosmology):
    """In a short step dv/dD1 = (F / D - v) d ln W / dD with W = p / v: alpha, beta and the drift to first order."""
    method, grow = stepper(cosmology), growth(cosmology)
    a0, a1 = 0.5, 0.5001
    drift, d = float(grow.d1(a1) - grow.d1(a0)), float(grow.d1(a0))
    assert method.drift(a0, a1) == pytest.approx(drift, rel=1e-3)
    w = momentum_per_velocity(cosmology, grow, np.array([a0, a1]))
    fall = float(w[1] / w[0]) - 1
    for alpha, beta in (method.open(a0, a1), method.close(a0, a1)):
        assert 1 - alpha == pytest.approx(fall / 2, rel=1e-3)
        assert beta * d == pytest.approx(fall / 2, rel=1e-3)


@COSMOLOGIES
def test_a_momentum_that_falls_as_a_to_minus_2_5_is_exact_in_colas_steps(cosmology):
    """What COLA takes for what 2LPT leaves: p = a^-2.5, one large step."""
    grow, a0, a1 = growth(cosmology), 0.2, 0.6

    def velocity(a):
        return a**-2.5 / float(momentum_per_velocity(cosmology, grow, a))

    def force(a):  # dp/da = 3/2 Omega_m / (a^2 E) F
        return -2.5 * a**-3.5 * a**2 * float(expansion(cosmology, a)) / (1.5 * cosmology.omega_m)

    method = Cola(cosmology)
    alpha, beta = method.open(a0, a1)
    inside = alpha * velocity(a0) + beta * force(a0)
    assert inside == pytest.approx(velocity(0.5 * (a0 + a1)), rel=1e-12)
    way, _ = quad(lambda a: a**-2.5 / (a**3 * float(expansion(cosmology, a))), a0, a1, epsrel=1e-11)
    assert method.drift(a0, a1) * inside == pytest.approx(way, rel=1e-9)
    alpha, beta = method.close(a0, a1)
    assert alpha * inside + beta * force(a1) == pytest.approx(velocity(a1), rel=1e-12)


@COSMOLOGIES
def test_second_slope_is_the_slope_of_the_second_growth(cosmology):
    grow, a, step = growth(cosmology), 0.6, 1e-4
    d = np.array([a - step, a + step])
    slope = np.diff(grow.d2(d))[0] / np.diff(grow.d1(d))[0]
    assert second_slope(grow, a) == pytest.approx(slope, rel=1e-6)


def test_momentum_per_velocity_is_p_over_v():
    """p = a^2 dx/dt = a^3 E dx/da (H0 = 1), v = dx/dD."""
    grow, a, step = growth(DARK), 0.6, 1e-4
    slope = (grow.d1(a + step) - grow.d1(a - step)) / (2 * step)
    expected = a**3 * float(expansion(DARK, a)) * slope
    assert float(momentum_per_velocity(DARK, grow, a)) == pytest.approx(float(expected), rel=1e-6)


def test_steppers_are_known_by_name():
    assert {"bullfrog": BullFrog, "fastpm": FastPM} == STEPPERS
