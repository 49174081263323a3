"""What observers see between steps, of every engine that steps."""

import numpy as np
import pytest
from waves import QUIJOTE, difference, rms, universe

from refusals import refusal
from zeldo.cosmology.background import growth
from zeldo.engines.registry import engine

FEW = {
    "cola": {"steps": 4},
    "cola:2": {"steps": 4, "mesh_factor": 2},
    "pm": {"steps": 4},
    "p3m": {"mesh_step": 0.5, "pair_accuracy": 50.0, "start_redshift": 9.0},
}
STEPPING = pytest.mark.parametrize("name", list(FEW))


def made(name, **options):
    return engine(name.partition(":")[0], **{**FEW[name], **options})


class Kept:
    """An observer that keeps copies of what it is asked for."""

    def __init__(self, *names):
        self.names, self.views = names, []

    def __call__(self, view):
        fields = {name: np.array(getattr(view, name)) for name in self.names}
        self.views.append({"step": view.step, "a": view.a, "z": view.redshift, "aside": view.aside, **fields})


@STEPPING
def test_observers_change_no_bit_and_see_every_step(name):
    ics, seen = universe(), Kept("density", "potential", "force", "velocity")
    plain = list(made(name).run(ics, [1.3, 0.0]))
    watched = list(made(name).run(ics, [1.3, 0.0], observers=[seen]))
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(one.psi, other.psi)
        np.testing.assert_array_equal(one.vel, other.vel)
    main = [view for view in seen.views if not view["aside"]]
    assert [view["step"] for view in main] == list(range(len(main))) and len(main) > 3
    assert main[0]["a"] == pytest.approx(1 / (1 + made(name).start_redshift)) and main[-1]["a"] == 1
    assert [view["z"] for view in seen.views if view["z"] is not None] == [1.3, 0.0]
    times = [view["a"] for view in seen.views]
    assert times == sorted(times)


@STEPPING
def test_a_view_shows_what_the_snapshot_holds(name):
    seen = Kept("psi", "velocity")
    snapshots = list(made(name).run(universe(), [1.3, 0.0], observers=[seen]))
    views = [view for view in seen.views if view["z"] is not None]
    for view, snapshot in zip(views, snapshots, strict=True):
        np.testing.assert_array_equal(view["psi"], snapshot.psi)
        np.testing.assert_array_equal(view["velocity"], snapshot.vel)


@STEPPING
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_what_a_view_gives_stays(name, device):
    """Observers may keep the arrays themselves; on so fine a lattice some forces are fields of the run."""
    if device != "cpu" and name == "p3m":
        pytest.skip("p3m has no device")
    fields, given = ("psi", "force", "velocity", "density", "potential"), []

    def keep(view):
        for name in fields:
            if (field := getattr(view, name)) is not None:
                given.append((field, np.array(field)))

    options = {} if device == "cpu" else {"device": device}
    list(made(name, **options).run(universe(8, 16.0), [1.3, 0.0], observers=[keep]))
    assert len(given) > 20
    for field, then in given:
        np.testing.assert_array_equal(field, then)


@STEPPING
def test_fields_of_the_mesh_are_those_of_linear_theory_early_on(name):
    """At the start: delta = D delta_lin on the large scales, lap phi = delta, and F = psi to first order."""
    ics, seen = universe(16, 100.0), Kept("psi", "density", "potential", "force")
    list(made(name, start_redshift=9.0).run(ics, [5.0], observers=[seen]))
    early = seen.views[0] if seen.views[0]["force"].ndim else seen.views[1]
    m, large = len(early["density"]), (slice(0, 3),) * 3
    assert early["density"].mean(dtype=float) == pytest.approx(1, rel=1e-5)
    modes = np.fft.fftn(early["density"] - 1)[large] / m**3
    linear = float(growth(QUIJOTE).d1(early["a"])) * np.fft.fftn(ics.delta_lin)[large] / ics.n**3
    assert difference(np.abs(modes), np.abs(linear)) < 0.15
    k = 2 * np.pi * np.fft.fftfreq(m, ics.box / m)
    squares = (k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)[large]
    back = -squares * np.fft.fftn(early["potential"])[large] / m**3
    assert np.vdot(modes, back).real / np.vdot(modes, modes).real == pytest.approx(1, abs=0.12)
    along = np.vdot(early["psi"], early["force"]) / np.vdot(early["psi"], early["psi"])
    assert along == pytest.approx(1, abs=0.25)
    assert rms(early["force"]) > 0.1


def test_cola_takes_no_force_where_it_starts():
    forces = []
    list(made("cola").run(universe(), [0.0], observers=[lambda view: forces.append(view.force is None)]))
    assert forces == [True] + 4 * [False]


def test_redshifts_that_rounding_tells_apart_are_refused():
    line = refusal(lambda: engine("pm", steps=2).run(universe(8), [float(np.nextafter(1.0, 2.0)), 1.0]))
    assert line == "redshifts 1.0000000000000002 and 1.0 are the same redshift: leave out one"


def test_the_start_itself_can_be_asked_for():
    chosen = made("pm", start_redshift=1.0, steps=2)
    assert [snapshot.redshift for snapshot in chosen.run(universe(8), [1.0])] == [1.0]


@pytest.mark.parametrize("name", ["zeldovich", "2lpt"])
def test_an_engine_without_steps_refuses_observers(name):
    line = refusal(lambda: engine(name).run(universe(8), [0.0], observers=[print]))
    assert line == f"engine {name} has no steps to observe: give no observers"
