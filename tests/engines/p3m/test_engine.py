"""P3M as an integrator: growth, energy, momentum, resumption, and what it refuses."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest

from benchmarks.p3m_energy import energies
from zeldo.cosmology.background import growth
from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.p3m.dynamics import PairDynamics
from zeldo.engines.p3m.engine import P3M
from zeldo.engines.p3m.steps import Weights, longest_step, pair_length, schedule
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions

QUIJOTE = Cosmology.preset("quijote")
QUICK = P3M(mesh_factor=2.0, reach=2.393, mesh_step=0.3, pair_accuracy=10.0)


def start(n: int = 8, spacing: float = 2.0, cosmology: Cosmology = QUIJOTE) -> InitialConditions:
    return initial_conditions(cosmology, n * spacing, n, 3, power="eisenstein-hu")


def cut(ics: InitialConditions, fraction: float) -> InitialConditions:
    """Only the modes below a fraction of the Nyquist frequency."""
    k = np.fft.fftfreq(ics.n, 1 / ics.n)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    modes = np.where(square <= (fraction * ics.n / 2) ** 2, np.fft.fftn(ics.delta_lin), 0)
    return replace(ics, delta_lin=np.fft.ifftn(modes).real.astype(np.float32))


class KilledError(Exception):
    pass


def kill_after(share: float):
    def progress(done: float, total: float, text: str) -> None:
        if done > share * total:
            raise KilledError

    return progress


def test_linear_waves_grow_by_the_growth_factor() -> None:
    # a field too weak for anything else; waves of 24 lattice spacings: shorter ones grow slower on a lattice
    weak = replace(QUIJOTE, sigma_8=0.05, omega_m=0.2, w0=-0.8)
    ics = cut(start(24, 20.0, weak), 0.1)
    final, earlier = None, None
    for snapshot in P3M(mesh_step=0.1).run(ics, [0.0, 3.0]):
        earlier, final = final, snapshot
    assert earlier is not None and earlier.redshift == 3
    from zeldo.initial.lpt import displacements

    g = growth(weak)
    for snapshot in (earlier, final):
        a = snapshot.scale_factor
        first, second = displacements(ics)
        lpt = g.d1(a) * first + g.d2(a) * second
        rate = 100 * a * Weights(weak).momentum(a) / a**2
        for field, truth in ((snapshot.psi, lpt), (snapshot.vel, rate * first)):
            amplitude = np.sum(field * truth) / np.sum(truth**2)
            assert amplitude == pytest.approx(1, abs=0.01)
            assert np.std(field - amplitude * truth) < 0.05 * np.std(truth)


def test_energy_follows_layzer_and_irvine() -> None:
    ics = start(16, 1.5)
    dynamics = PairDynamics(P3M(), ics)
    begin, *rows = P3M(crossing=1e3).timetable(ics, [0.0]).rows
    state = dynamics.start(begin)
    records = [(state.a, *energies(dynamics, state))]
    for row in rows:
        state = dynamics.step(state, row, donate=True)
        records.append((state.a, *energies(dynamics, state)))
    a, kinetic, potential = np.array(records).T
    work = np.sum(0.5 * (kinetic[1:] + kinetic[:-1]) * np.diff(a))
    total = a * (kinetic + potential)
    change = a * potential - a[0] * potential[0]
    assert kinetic[-1] > 0 > change[-1]
    assert abs(total[-1] - total[0] + work) < 0.003 * abs(change[-1])


def test_momentum_stays_where_it_began() -> None:
    ics = start(16, 1.0)
    snapshot = list(P3M(mesh_step=0.1, pair_accuracy=0.05).run(ics, [0.0]))[-1]
    p = snapshot.velocities().astype(np.float64)
    assert np.std(p) > 50  # km/s: it is no test where nothing moves
    assert np.abs(p.mean(0)).max() < 1e-6 * np.sqrt((p**2).sum(1)).mean()


@pytest.mark.parametrize("share", [0.1, 0.7, 0.999])
def test_killed_run_resumes_to_the_same_bits(tmp_path: Path, share: float) -> None:
    ics, redshifts = start(), [9.0, 1.0, 0.0]
    whole = list(QUICK.run(ics, redshifts))
    engine = replace(QUICK, checkpoint=tmp_path / "state.npz", checkpoint_minutes=0)
    with pytest.raises(KilledError):
        list(engine.run(ics, redshifts, kill_after(share)))
    assert list(tmp_path.iterdir())
    again = []
    done: list[float] = []
    for snapshot in engine.run(ics, redshifts, lambda d, t, x: done.append(d / t)):
        again.append(snapshot)
    assert done[0] > share - 0.35  # it did not start afresh
    for first, second in zip(whole, again, strict=True):
        assert first.redshift == second.redshift
        assert np.array_equal(first.psi, second.psi) and np.array_equal(first.vel, second.vel)
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    engine = replace(QUICK, checkpoint=tmp_path / "state.npz", checkpoint_minutes=0)
    with pytest.raises(KilledError):
        list(engine.run(start(), [0.0], kill_after(0.5)))
    for other, redshifts in ((replace(engine, pair_accuracy=5.0), [0.0]), (engine, [0.5])):
        with pytest.raises(InputError, match="options or initial conditions"):
            list(other.run(start(), redshifts))
    with pytest.raises(InputError, match="options or initial conditions"):
        list(engine.run(start(spacing=2.5), [0.0]))


def test_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    engine = replace(QUICK, checkpoint=path, checkpoint_minutes=0)
    with pytest.raises(KilledError):
        list(engine.run(start(), [0.0], kill_after(0.5)))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputError) as error:
        list(engine.run(start(), [0.0]))
    assert "\n" not in str(error.value)


def test_bits_do_not_depend_on_threads() -> None:
    before = numba.get_num_threads()
    one = list(QUICK.run(start(16), [0.0]))[-1]
    try:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
        many = list(QUICK.run(start(16), [0.0]))[-1]
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(many.psi, one.psi) and np.array_equal(many.vel, one.vel)


def test_progress_ends_at_the_total_and_never_falls() -> None:
    calls: list[tuple[float, float, str]] = []
    list(QUICK.run(start(), [2.0, 0.0], lambda *call: calls.append(call)))
    done = [call[0] for call in calls]
    assert done == sorted(done) and done[-1] == pytest.approx(calls[-1][1])
    assert calls[-1][2] == "z = 0.00"


def test_steps_end_exactly_at_outputs_and_are_no_longer_than_asked() -> None:
    steps = schedule(49.0, [3.0, 0.5, 0.0], 0.05)
    assert [step.end for step in steps if step.is_output] == [1 / 4, 1 / 1.5, 1.0]
    assert all(a.end == b.start for a, b in pairwise(steps))
    assert max(np.log(s.end / s.start) for s in steps) < 0.05 + 1e-9
    for longest in (0.004, 0.05, 1.0):
        times = steps[0].times(longest)
        assert times[0] == steps[0].start and times[-1] == steps[0].end
        assert np.diff(np.log(times)).max() <= longest * (1 + 1e-9)


def test_mesh_steps_shorten_where_their_limit_does() -> None:
    steps = schedule(49.0, [1.0, 0.0], lambda a: 0.06 if a < 0.25 else 0.06 * (0.25 / a))
    assert [step.end for step in steps if step.is_output] == [0.5, 1.0]
    assert all(a.end == b.start for a, b in pairwise(steps))
    length = np.array([np.log(s.end / s.start) for s in steps])
    start = np.array([s.start for s in steps])
    assert np.all(length < 0.06 * 1.001) and np.all(np.diff(length) < 1e-6)
    late = start > 0.25
    assert length[late] == pytest.approx(0.06 * 0.25 / start[late], rel=0.1)
    assert length[~late].min() > 0.05


def test_the_rms_particle_crosses_no_more_than_asked_in_a_mesh_step() -> None:
    from zeldo.initial.lpt import linear_displacement

    ics = start(16, 2.0)
    longest = longest_step(ics, 0.06, 0.05)
    assert longest(0.02) == 0.06
    a, b = 0.9, 0.9 * np.exp(longest(0.9))
    g = growth(ics.cosmology)
    moved = (g.d1(b) - g.d1(a)) * linear_displacement(ics)
    assert np.sqrt(3 * np.mean(moved**2)) == pytest.approx(0.05 * ics.spacing, rel=0.02)
    still = replace(ics, delta_lin=np.zeros_like(ics.delta_lin))
    assert longest_step(still, 0.06, 0.05)(1.0) == 0.06


def test_pair_steps_follow_the_acceleration() -> None:
    def length(**changed: float) -> float:
        return pair_length(
            QUIJOTE, **{"a": 1.0, "force": 100.0, "softening": 0.05, "accuracy": 0.01, **changed}
        )

    # a particle at rest falls accuracy * softening in this time: 3/2 Omega_m F dt^2 / 2, H0 = 1 = E today
    assert 0.5 * 1.5 * QUIJOTE.omega_m * 100 * length() ** 2 == pytest.approx(0.01 * 0.05)
    assert length(force=400.0) == pytest.approx(0.5 * length())
    assert length(accuracy=0.04) == pytest.approx(2 * length())
    assert length(a=0.01) == pytest.approx(
        length() * 0.01**1.5 * (QUIJOTE.omega_m / 0.01**3) ** 0.5, rel=1e-4
    )
    dynamics, ics = PairDynamics(P3M(), start(8, 1.0)), start(8, 1.0)
    state = dynamics.start(P3M().timetable(ics, [0.0]).rows[0])
    force = (state.force.near.astype(np.float64) ** 2).sum(0)
    state.force.near[:] *= 1e4
    expected = pair_length(QUIJOTE, 0.02, 1e4 * np.mean(force**2) ** 0.25, 1 / 40, P3M.pair_accuracy)
    assert dynamics.pair_length(state) == pytest.approx(expected, rel=1e-5)
    state.force.near[:] = 0
    assert dynamics.pair_length(state) == P3M.mesh_step / 2


def test_sixteen_threads_give_the_bits_of_one() -> None:
    # more than most machines have cores, and than the box has columns of one colour: what races, races here
    script = """
import hashlib, numba
from zeldo.cosmology.parameters import Cosmology
from zeldo.initial.linear import initial_conditions
from zeldo.engines.p3m.engine import P3M
ics = initial_conditions(Cosmology.preset("quijote"), 20.0, 10, 3, power="eisenstein-hu")
for threads in (1, 16):
    numba.set_num_threads(threads)
    (end,) = P3M(mesh_step=0.3, pair_accuracy=2.0).run(ics, [0.0])
    print(hashlib.sha256(end.psi.tobytes() + end.vel.tobytes()).hexdigest())
"""
    told = {**os.environ, "NUMBA_NUM_THREADS": "16"}
    found = subprocess.run(
        [sys.executable, "-c", script], env=told, capture_output=True, text=True, check=True
    )
    one, sixteen = found.stdout.split()
    assert one == sixteen


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.0205), (0.02, 1.0), (0.3, 0.9)])
def test_weights_are_the_integrals_of_the_equations_of_motion(a: float, b: float) -> None:
    from scipy.integrate import quad

    from zeldo.cosmology.background import expansion

    dark = replace(QUIJOTE, w0=-0.8, wa=0.3)
    w = Weights(dark)
    kick = quad(lambda x: 1.5 * dark.omega_m / (x**2 * expansion(dark, x)), a, b, epsrel=1e-12)[0]
    drift = quad(lambda x: 1 / (x**3 * expansion(dark, x)), a, b, epsrel=1e-12)[0]
    assert w.kick(a, b) == pytest.approx(kick, rel=1e-8)
    assert w.drift(a, b) == pytest.approx(drift, rel=1e-8)


def test_the_start_is_second_order_itself() -> None:
    ics = start()
    (ours,) = replace(QUICK, start_redshift=9.0).run(ics, [9.0])
    (lpt,) = engine("2lpt").run(ics, [9.0])
    (first,) = engine("zeldovich").run(ics, [9.0])
    for name in ("psi", "vel"):
        x, y, z = (getattr(one, name) for one in (ours, lpt, first))
        np.testing.assert_allclose(x, y, atol=1e-5 * y.std())
        assert np.abs(y - z).max() > 0.05 * y.std()


def test_the_mesh_kicks_over_the_first_half_of_a_step_and_then_over_the_second() -> None:
    """Halves of ln a: what begins a step and what ends it are not the same."""
    table = P3M(mesh_step=0.5, crossing=100.0).timetable(start(), [1.0, 0.0])
    w = Weights(QUIJOTE)
    for row in table.rows[1:]:
        middle = (row.start * row.end) ** 0.5
        assert row.far == pytest.approx((w.kick(row.start, middle), w.kick(middle, row.end)), rel=1e-9)
        assert abs(row.far[1] / row.far[0] - 1) > 1e-3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mesh_factor", 0.5),
        ("reach", float("nan")),
        ("shape", 2.5),
        ("softening", 0),
        ("pair_accuracy", "small"),
        ("mesh_step", True),
        ("crossing", 0.0),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        engine("p3m", **{name: value})


def test_a_mesh_too_coarse_for_the_split_is_refused() -> None:
    with pytest.raises(InputError, match=r"mesh_factor = 2 is not allowed.*2.393"):
        engine("p3m", mesh_factor=2.0)
    engine("p3m", mesh_factor=2.0, reach=2.393)


def test_redshifts_before_the_start_are_refused_before_work() -> None:
    with pytest.raises(InputError, match="redshift"):
        next(QUICK.run(start(), [60.0]))


def test_a_checkpoint_that_is_no_path_is_refused() -> None:
    with pytest.raises(InputError, match="checkpoint = 5 is not allowed"):
        P3M(checkpoint=5)  # type: ignore[arg-type]


def test_checkpoint_name_is_checked(tmp_path: Path) -> None:
    for path in (tmp_path / "state.txt", tmp_path / "nowhere" / "state.npz"):
        with pytest.raises(InputError):
            next(replace(QUICK, checkpoint=path).run(start(), [0.0]))


def test_a_step_kicks_by_each_force_with_its_own_weight() -> None:
    """Forces that do not depend on the place: what a step adds to momentum and displacement is known."""
    ics = start()
    dynamics = PairDynamics(P3M(mesh_step=0.5, crossing=100.0), ics)
    begin, row, *_ = dynamics.engine.timetable(ics, [0.0]).rows
    state, w = dynamics.start(begin), dynamics.weights
    times = row.times(dynamics.engine.mesh_step / 2)
    assert len(times) > 2
    dynamics.pair_length = lambda state: dynamics.engine.mesh_step / 2
    for near, before, after in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        state.force.near[:], state.force.far[:] = near, before
        dynamics.pairs = lambda out, near=near: out.fill(near)
        dynamics.mesh = lambda out, after=after: out.fill(after)
        p, psi = state.v + before * row.far[0], state.psi.astype(float)
        for a, b in pairwise(times):
            middle = (a * b) ** 0.5
            p = p + near * w.kick(a, middle)
            psi += w.drift(a, b) * p
            p = p + near * w.kick(middle, b)
        made = dynamics.step(state, row)
        np.testing.assert_allclose(made.v, p + after * row.far[1], atol=1e-5)
        np.testing.assert_allclose(made.psi, psi, atol=1e-5 * np.abs(psi).max())


def test_what_observers_are_given_stays() -> None:
    ics = start()
    dynamics = PairDynamics(QUICK, ics)
    begin, row, *_ = QUICK.timetable(ics, [0.0]).rows
    state = dynamics.start(begin)
    given = dynamics.density(state), dynamics.potential(state)
    kept = [field.copy() for field in given]
    later = dynamics.step(state, row, donate=False)
    assert all(np.array_equal(field, was) for field, was in zip(given, kept, strict=True))
    # and is that of the state that was asked about, whatever the mesh did last
    assert np.array_equal(dynamics.potential(state), kept[1])
    assert np.array_equal(dynamics.force(later), later.force.near + later.force.far)
