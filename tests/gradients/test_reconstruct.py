"""Reconstruction: a Gaussian problem with a known posterior, initial conditions recovered, files and resuming."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import zeldo
from refusals import refusal
from zeldo.gradients import langevin
from zeldo.gradients.assess import Agreement, Whiteness, assess
from zeldo.gradients.maximum import maximise, stages
from zeldo.gradients.observing import observed
from zeldo.gradients.posterior import Observation, Posterior, discreteness
from zeldo.gradients.search import Search
from zeldo.gradients.statistics import density
from zeldo.gradients.whitening import Whitened, measured_curvature, shell_means
from zeldo.initial.phases import Native
from zeldo.networks.card import ModelCard
from zeldo.networks.styled import StyledVNet
from zeldo.networks.weights import save
from zeldo.report.citations import cite
from zeldo.statistics.redshift_space import redshift_space_points

N, BOX, NOISE = 16, 100.0, 0.7


class Linear(Posterior):
    """A posterior that is Gaussian: the linear density itself is observed."""

    def predicted(self, white_noise):
        return self.function.delta_lin(white_noise)


@pytest.fixture(scope="module")
def problem():
    """The posterior, and its mean and variance mode by mode."""
    f = zeldo.differentiable("zeldovich", box=BOX, n=N, power="eisenstein-hu")
    truth = torch.from_numpy(Native(3).field(N))
    error = NOISE * np.random.default_rng(4).standard_normal((N, N, N)).astype(np.float32)
    delta = f.delta_lin(truth) + torch.from_numpy(error)
    posterior = Linear(f, Observation(delta, NOISE))
    curvature = 1 + f.delta_amplitude.double() ** 2 / NOISE**2
    mean = torch.fft.rfftn(delta.double()) * f.delta_amplitude / NOISE**2 / curvature
    return posterior, torch.fft.irfftn(mean, s=delta.shape), curvature


def test_the_curvature_is_that_of_the_gaussian_problem(problem):
    posterior, _, curvature = problem
    assert torch.allclose(posterior.curvature().double(), curvature, rtol=1e-5)


def test_the_measured_curvature_is_that_of_the_gaussian_problem(problem):
    posterior, mean, curvature = problem
    measured = measured_curvature(posterior, mean.float(), torch.Generator().manual_seed(1))
    ratio = (measured / curvature).flatten()
    inside = shell_means(curvature).flatten() > 1.001  # modes that the field has
    assert (ratio[inside] - 1).abs().max() < 0.2  # few modes in the first shells
    assert ratio[inside].mean().item() == pytest.approx(1, abs=0.01)


def test_flows_of_halos_bend_the_posterior_of_large_scales(snapshot):
    """A displacement by a part of a cell changes a mesh with halos everywhere, which linear theory does not know."""
    f = zeldo.differentiable("cola:steps=3", box=62.5, n=N, power="eisenstein-hu")
    psi = torch.from_numpy(snapshot.psi)
    delta = density(psi, 2 * N, 62.5)
    posterior = Posterior(f, Observation(delta, 0.5, relative=discreteness(delta)))
    white = torch.from_numpy(Native(11).field(N))
    measured = measured_curvature(posterior, white, torch.Generator().manual_seed(1))
    assert (measured / posterior.curvature())[0, 0, 1] > 10


def test_an_error_that_grows_with_particles_has_the_mean_of_the_noise(snapshot):
    delta = density(torch.from_numpy(snapshot.psi), 2 * N, 62.5)
    relative = discreteness(delta)
    assert relative.square().mean().item() == pytest.approx(1, abs=1e-5)
    assert relative[delta > 10].min() > 2 > 1 > relative[delta < -0.9].max()
    draw = Observation(delta, 0.5, relative=relative).draw(torch.Generator().manual_seed(1))
    assert (draw / relative).std().item() == pytest.approx(0.5, rel=0.02)


def test_the_maximum_of_a_gaussian_problem_is_its_mean(problem):
    posterior, mean, _ = problem
    found = maximise(posterior, torch.zeros(N, N, N), stages(posterior, 0.3))
    assert ((found - mean).norm() / mean.norm()).item() < 1e-3


def test_the_sampler_has_the_mean_and_the_covariance_of_a_gaussian_problem(problem):
    posterior, mean, curvature = problem
    target, generator = Whitened(posterior, posterior.curvature()), torch.Generator().manual_seed(1)
    walker = langevin.start(target.value_and_gradient, target.coordinates(mean.float()), generator)
    states = []
    for number in range(500):
        warming = number < 100
        walker = langevin.advance(
            target.value_and_gradient, walker, generator, adapt=warming, energy_error=2e-6
        )
        if not warming:
            states.append(target.white_noise(walker.x).double())
    fields = torch.stack(states)
    effective = np.mean([langevin.effective_size(fields[:, 0, 0, i].numpy()) for i in range(N)])
    assert effective > 60
    variance = 1 / curvature  # of each mode, over n^3 as the transform is not normalised
    error = torch.fft.rfftn(fields.mean(0) - mean).abs().square() / N**3 * curvature
    # the mean of modes: chi^2 of as many as there are, each of the size 1 / effective
    assert error.mean().item() * effective == pytest.approx(1, abs=0.25)
    modes = torch.fft.rfftn(fields - mean, dim=(1, 2, 3)).abs().square().mean(0) / N**3
    ratio = modes / variance
    for low, high in (
        (1, 1.5),
        (1.5, 3),
        (3, 6),
        (6, 20),
    ):  # from what the data do not reach to what they fix
        inside = (curvature >= low) & (curvature < high)
        count = int(inside.sum())
        assert count > 20
        assert ratio[inside].mean().item() == pytest.approx(1, abs=0.01 + 4 / np.sqrt(count * effective))
    # neighbouring modes do not know of each other
    spectrum = torch.fft.rfftn(fields - mean, dim=(1, 2, 3))
    cross = (spectrum[:, 1, 2, 3] * spectrum[:, 2, 2, 3].conj()).mean().abs()
    assert cross / (modes[1, 2, 3] * modes[2, 2, 3]).sqrt() / N**3 < 5 / np.sqrt(effective)


def test_effective_size_is_that_of_an_autoregressive_chain():
    generator, x, chain = np.random.default_rng(1), 0.0, []
    for _ in range(40_000):
        x = 0.8 * x + generator.standard_normal()
        chain.append(x)
    assert langevin.effective_size(np.array(chain)) == pytest.approx(40_000 / 9, rel=0.15)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.37)])
@pytest.mark.parametrize("steps", [1, 3, 50, 200])
def test_a_chain_that_does_not_move_is_one_sample(steps, value):
    assert langevin.effective_size(np.full(steps, value, np.float32)) == 1
    assert langevin.effective_size(np.full(steps, value, np.float64)) == 1


@pytest.fixture(scope="module")
def snapshot():
    return zeldo.run(engine="cola:steps=3", box=62.5, n=N, seed=11, power="eisenstein-hu")[0]


@pytest.fixture(scope="module")
def truth():
    return zeldo.initial_conditions(box=62.5, n=N, seed=11, power="eisenstein-hu")


PLAIN = {"smoothing": 0.0, "bias": 1.0}
OPTIONS = {"engine": "cola:steps=3", "power": "eisenstein-hu"}


@pytest.fixture(scope="module")
def result(snapshot):
    return zeldo.reconstruct(snapshot, samples=10, **OPTIONS)


def test_initial_conditions_are_recovered(result, truth):
    found = assess(result, truth)
    for k, least in ((0.2, 0.99), (0.4, 0.95), (0.6, 0.8)):
        assert found.estimate.at(k)[0] > least
    assert found.sample_whiteness.variance == pytest.approx(1, abs=0.15)
    assert found.predicted and all(draw.correlation[0] > 0.999 for draw in found.predicted)
    ics = result.initial_conditions()
    assert Agreement.of(ics.delta_lin, truth.delta_lin, 62.5).at(0.2)[0] > 0.98


def test_redshift_space_bias_and_smoothing_are_undone(snapshot, truth):
    f = zeldo.differentiable("2lpt", box=62.5, n=N, power="eisenstein-hu")
    seen = Observation(torch.zeros(N, N, N), 0.1, smoothing=4.0, bias=1.7, axis=1)
    white = torch.from_numpy(Native(11).field(N))
    observation = Posterior(f, seen).predicted(white)
    plain = density(f(white)[0], N, 62.5)
    assert (observation - plain).norm() > 0.3 * plain.norm()
    options = {"engine": "2lpt", "power": "eisenstein-hu", "samples": 0, "n": N, "noise": 0.02, "effort": 0.3}
    found = zeldo.reconstruct(
        observation.numpy(), box=62.5, smoothing=4.0, bias=1.7, redshift_space="y", **options
    )
    right = Agreement.of(found.delta_lin(found.maximum), truth.delta_lin, 62.5)
    wrong = zeldo.reconstruct(observation.numpy(), box=62.5, **options)
    unaware = Agreement.of(wrong.delta_lin(wrong.maximum), truth.delta_lin, 62.5)
    assert right.at(0.1)[0] > 0.98
    assert abs(right.at(0.1)[1] - 1) < 0.2 < abs(unaware.at(0.1)[1] - 1)
    assert right.at(0.2)[0] > 0.9 > unaware.at(0.2)[0]


def test_a_density_is_that_of_matter_times_the_bias_and_smoothed_by_a_gaussian():
    """As observations are said to be made: exp(-k^2 R^2 / 2), whatever the prediction itself takes for it."""
    f = zeldo.differentiable("zeldovich", box=BOX, n=N, power="eisenstein-hu")
    white, bias, scale = torch.from_numpy(Native(3).field(N)), 1.7, 6.0
    plain, seen = (
        Posterior(f, Observation(torch.zeros(N, N, N), NOISE, **given)).predicted(white).numpy()
        for given in ({}, {"bias": bias, "smoothing": scale})
    )
    k = 2 * np.pi * np.fft.fftfreq(N, BOX / N)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + k[: N // 2 + 1] ** 2
    smooth = np.fft.irfftn(np.fft.rfftn(plain.astype(float)) * np.exp(-square * scale**2 / 2), s=3 * (N,))
    np.testing.assert_allclose(seen, bias * smooth, atol=1e-5)


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0])
def test_a_wave_along_the_line_of_sight_grows_by_bias_plus_growth_rate(bias):
    f = zeldo.differentiable("zeldovich", box=BOX, n=N, power="eisenstein-hu")
    wave = 1e-3 * torch.cos(2 * torch.pi * 2 * torch.arange(N) / N).expand(N, N, N)  # along the last axis
    matter = Posterior(f, Observation(torch.zeros(N, N, N), NOISE)).predicted(wave)
    seen = Posterior(f, Observation(torch.zeros(N, N, N), NOISE, bias=bias, axis=2)).predicted(wave)
    ratio = torch.fft.rfftn(seen)[0, 0, 2].real / torch.fft.rfftn(matter)[0, 0, 2].real
    rate = float(zeldo.growth(f.cosmology).f1(1.0))
    assert float(ratio) == pytest.approx(bias + rate, rel=5e-3)
    # the curvature of linear theory says the same
    along, across = (
        (Posterior(f, Observation(seen, NOISE, bias=bias, axis=axis)).curvature()[0, 0, 2] - 1) ** 0.5
        for axis in (2, 0)
    )
    assert float(along / across) == pytest.approx((bias + rate) / bias, rel=1e-4)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_killed_reconstruction_goes_on(tmp_path, snapshot, share):
    path = tmp_path / "state.npz"
    options = {**OPTIONS, "samples": 6, "effort": 0.03, "checkpoint": path, "checkpoint_minutes": 0}
    straight = zeldo.reconstruct(snapshot, **{**options, "checkpoint": None})

    def kill(done, total, text):
        if done / total > share:
            raise KilledError

    with pytest.raises(KilledError):
        zeldo.reconstruct(snapshot, progress=kill, **options)
    assert path.exists()
    later = []
    result = zeldo.reconstruct(
        snapshot, progress=lambda done, total, text: later.append(done / total), **options
    )
    assert not path.exists()
    assert sum(0 < value < share - 0.1 for value in later) == 0  # nothing is done twice
    if share > 0.8:  # the sampler goes on with the same numbers
        assert np.array_equal(result.white_noise, straight.white_noise)
        assert np.array_equal(result.samples.mean, straight.samples.mean)


def test_a_checkpoint_stays_until_the_result_is_written(tmp_path, snapshot, monkeypatch):
    def full(*_):
        raise zeldo.ZeldoError("the disk is full")

    path, output = tmp_path / "state.npz", tmp_path / "ics.npz"
    options = {**OPTIONS, "samples": 0, "effort": 0.01, "checkpoint": path, "output": output}
    with monkeypatch.context() as patched, pytest.raises(zeldo.ZeldoError, match="disk is full"):
        patched.setattr("zeldo.gradients.reconstruct.write_initial_conditions", full)
        zeldo.reconstruct(snapshot, **options)
    assert path.exists()
    result = zeldo.reconstruct(snapshot, **options)
    assert not path.exists()
    again = zeldo.files.reference.read_initial_conditions(output)
    np.testing.assert_array_equal(again.delta_lin, result.initial_conditions().delta_lin)


def test_a_checkpoint_belongs_to_one_power_one_error_and_one_seed(tmp_path, snapshot):
    """The content of files counts, and a noise of the size that a noiseless density is taken to have is another error."""
    path, power = tmp_path / "state.npz", tmp_path / "power.txt"
    k = np.geomspace(1e-4, 100, 500)
    p = zeldo.linear_power(snapshot.cosmology, "eisenstein-hu")(k)
    options = {"engine": "2lpt", "power": power, "mesh": N, "samples": 0, "effort": 0.01}
    options |= {"checkpoint": path, "checkpoint_minutes": 0}

    def tilted(slope):
        np.savetxt(power, np.column_stack([k, p * k**slope]))

    def kill(done, total, text):
        if done > 1:
            raise KilledError

    tilted(0.0)
    with pytest.raises(KilledError):
        zeldo.reconstruct(snapshot, progress=kill, **options)
    for other in ({"noise": 0.2}, {"seed": 8}):
        with pytest.raises(zeldo.InputError, match="another reconstruction"):
            zeldo.reconstruct(snapshot, **options, **other)
    tilted(0.1)
    with pytest.raises(zeldo.InputError, match="another reconstruction"):
        zeldo.reconstruct(snapshot, **options)
    tilted(0.0)
    assert zeldo.reconstruct(snapshot, **options).maximum.any()


def test_stages_never_fall_below_the_noise():
    f = zeldo.differentiable("zeldovich", box=BOX, n=N, power="eisenstein-hu")
    for noise in (0.01, 0.3, 2.0):
        plan = stages(Posterior(f, Observation(torch.zeros(N, N, N), noise)))
        assert plan[-1].noise == pytest.approx(noise)
        assert plan[-1].scale == 0
        assert all(stage.noise >= noise for stage in plan)


def test_white_noise_is_white():
    found = Whiteness.of(Native(1).field(32))
    assert found.variance == pytest.approx(1, abs=4 * np.sqrt(2 / 32**3))
    assert abs(found.skewness) < 4
    assert abs(found.kurtosis) < 4
    assert Whiteness.of(np.abs(Native(1).field(32))).skewness > 20


def test_the_command_writes_initial_conditions_and_a_report(tmp_path, snapshot, truth):
    """The truth may be another code's, of which the cosmology is given."""
    from zeldo.commands import main

    source, ics = zeldo.write(snapshot, tmp_path / "u.npz"), tmp_path / "ics.npz"
    known = tmp_path / "truth.npz"
    np.savez(known, delta_lin=truth.delta_lin, box=truth.box)
    words = ["reconstruct", source, "-o", ics, "--engine", "2lpt", "--samples", 4, "--effort", 0.02]
    words += ["--cosmology", "quijote"]
    words += ["--truth", known, "--report", tmp_path / "report", "--power", "eisenstein-hu"]
    assert main([str(word) for word in words]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "variance" in page and "r, best estimate" in page
    assert zeldo.initial_conditions(ics=ics).n == N


def test_a_truth_of_another_lattice_is_refused_before_the_search(tmp_path, snapshot, monkeypatch, capsys):
    from zeldo.commands import main
    from zeldo.files.reference import write_initial_conditions

    source = zeldo.write(snapshot, tmp_path / "u.npz")
    other = zeldo.initial_conditions(box=62.5, n=N // 2, seed=11, power="eisenstein-hu")
    known = write_initial_conditions(other, tmp_path / "truth.npz")
    monkeypatch.setattr("zeldo.gradients.reconstruct.Search", lambda *given: pytest.fail("it searches"))
    words = ["reconstruct", source, "--truth", known, "-o", tmp_path / "ics.npz"]
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr().err
    assert f"the truth has {N // 2}^3 points" in told and "give the truth of the same lattice" in told
    assert not (tmp_path / "ics.npz").exists()


def test_parameters_of_the_cosmology_go_by_name(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "u.npz")
    short = {"samples": 0, "effort": 0.01, **OPTIONS}
    found = zeldo.reconstruct(snapshot, omega_m=0.3, **short)
    assert found.initial_conditions().cosmology == zeldo.Universe.of(omega_m=0.3).cosmology
    density = np.random.default_rng(1).uniform(0.5, 1.5, (16, 16, 16))
    found = zeldo.reconstruct(density, box=30, cosmology="planck2018", n_s=0.9, **short)
    assert found.initial_conditions().cosmology == zeldo.Universe.of("planck2018", n_s=0.9).cosmology
    for call, words in (
        (lambda: zeldo.reconstruct(path, omega_m=0.3, **short), "omega_m"),
        (lambda: zeldo.reconstruct(snapshot, omegam=0.3, **short), "did you mean 'omega_m'?"),
    ):
        with pytest.raises(zeldo.InputError, match=re.escape(words)):
            call()


def test_redshift_space_takes_networks_that_predict_velocities(tmp_path):
    (snapshot,) = zeldo.run(engine="2lpt", box=31.25, n=8, seed=11, power="eisenstein-hu")
    torch.manual_seed(3)
    arguments = {"channels": 2, "levels": 2, "styles": 2}
    card = ModelCard("styled vnet", arguments, "jamieson2024", {}, (0, 3), (1, 5), (0.1, 0.5))
    save(StyledVNet(**arguments), tmp_path / "net.safetensors", card)
    options = {"power": "eisenstein-hu", "redshift_space": 2, "samples": 0, "effort": 0.01}
    assert zeldo.reconstruct(snapshot, engine=tmp_path / "net.safetensors", **options).maximum.any()
    with pytest.raises(zeldo.InputError, match="needs velocities"):
        zeldo.reconstruct(snapshot, engine="vnet:extrapolate=true", **options)


@pytest.mark.parametrize("words", [["-o", "ics.hdf5"], ["--report", "a file"]])
def test_places_for_results_are_checked_before_the_work(tmp_path, monkeypatch, capsys, words):
    from zeldo.commands import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    monkeypatch.setattr("zeldo.gradients.reconstruct.reconstruct", lambda *given, **more: pytest.fail("work"))
    assert main(["reconstruct", "u.npz", *words]) == 2
    assert words[1] in capsys.readouterr().err


def test_the_truth_may_be_a_snapshot_of_initial_conditions(tmp_path, monkeypatch, capsys):
    from zeldo.commands import main

    monkeypatch.chdir(tmp_path)
    tiny = ["--n", "8", "--box", "31.25", "--engine", "2lpt", "--power", "eisenstein-hu"]
    assert main(["run", *tiny, "-z", "0", "-z", "9", "-o", "u.hdf5"]) == 0
    options = ["--engine", "2lpt", "--power", "eisenstein-hu", "--samples", "0", "--effort", "0.1"]
    assert main(["reconstruct", "u_z0.hdf5", *options, "--truth", "u_z9.hdf5", "-o", "r.npz"]) == 0
    told = capsys.readouterr().out
    assert "k = 0.2 h/Mpc: r = " in told and "k = 0.1 h/Mpc" not in told  # the box has no such wave
    keys = {citation.key for citation in cite("r.npz")}
    assert {"bardsley2014", "robnik2023", "robnikseljak2023"} <= keys


@pytest.mark.parametrize("words", [["u.npz"], ["v.npz", "--truth", "u.npz"]])
def test_a_reconstruction_is_not_written_over_what_it_reads(tmp_path, monkeypatch, capsys, words):
    from zeldo.commands import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "u.npz").write_bytes(b"data")
    assert main(["reconstruct", *words, "-o", "u.npz"]) == 2
    assert "are the same file, u.npz" in capsys.readouterr().err
    assert (tmp_path / "u.npz").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "p3m"}, "p3m is not differentiable"),
        ({"noise": -1}, "noise"),
        ({"redshift_space": 3}, "redshift_space = 3 is not allowed: give x, y or z"),
        ({"samples": -1}, "samples"),
        ({"box": 50.0}, "brings its own box"),
        ({"smoothing": 4.0}, "smoothing = 4 is not allowed"),
        ({"bias": 1.5}, "bias = 1.5 is not allowed"),
        ({"checkpoint": "state.txt"}, "ends in .npz"),
        ({"smooth": 1}, "no argument 'smooth'"),
    ],
)
def test_bad_options_are_refused_in_one_line(snapshot, options, words):
    with pytest.raises(zeldo.InputError, match=words) as caught:
        zeldo.reconstruct(snapshot, **options)
    assert "\n" not in str(caught.value)


def test_particles_are_observed_where_they_are(snapshot):
    """A lattice that begins a cell farther on is the same density, a cell farther on."""
    given = {**dict.fromkeys(("box", "n", "redshift", "cosmology", "mesh", "axis")), **PLAIN}
    here, there = (observed(replace(snapshot, offset=(x, 0.0, 0.0)), **given).delta for x in (0.0, 1.0))
    np.testing.assert_allclose(there, np.roll(here, 2, axis=0), atol=1e-3)


def test_a_snapshot_that_is_not_finite_is_refused(snapshot):
    psi = snapshot.psi.copy()
    psi.flat[7] = np.nan
    with pytest.raises(zeldo.InputError, match=r"psi of this snapshot .* not finite"):
        zeldo.reconstruct(replace(snapshot, psi=psi))


def test_the_cosmology_of_a_file_that_lacks_it_is_the_one_given(snapshot, tmp_path):
    path = zeldo.write(snapshot, tmp_path / "u.gadget2")
    given = {**dict.fromkeys(("box", "n", "redshift", "mesh", "axis")), **PLAIN}
    seen = observed(path, cosmology="quijote", **given)
    assert seen.cosmology == snapshot.cosmology
    np.testing.assert_allclose(seen.delta, observed(snapshot, cosmology=None, **given).delta, atol=2e-3)


def test_a_snapshot_is_seen_on_the_lattice_and_along_the_line_of_sight_asked_for(snapshot):
    given = {**dict.fromkeys(("box", "redshift", "cosmology", "mesh")), **PLAIN}
    seen = observed(snapshot, n=8, axis=1, **given)
    moved = replace(snapshot, psi=redshift_space_points(snapshot, 1))
    assert (seen.n, seen.box, seen.redshift, len(seen.delta)) == (8, 62.5, snapshot.redshift, 2 * N)
    np.testing.assert_array_equal(seen.delta, observed(moved, n=8, axis=None, **given).delta)
    assert np.abs(seen.delta - observed(snapshot, n=8, axis=None, **given).delta).max() > 1


def test_of_a_universe_at_several_redshifts_the_one_asked_for_is_seen(tmp_path):
    path = tmp_path / "u.zarr"
    small = {"engine": "2lpt", "box": 40, "n": 16, "power": "eisenstein-hu"}
    snapshots = zeldo.run(**small, redshift=[3, 1, 0], output=path)
    given = {**dict.fromkeys(("box", "n", "cosmology", "mesh", "axis")), **PLAIN}
    for z, expected in zip((3.0, 1.0, None), snapshots, strict=True):
        seen = observed(path, redshift=z, **given)
        assert seen.redshift == expected.redshift
        np.testing.assert_array_equal(seen.delta, observed(expected, redshift=None, **given).delta)
    assert "choose one of 3, 1, 0" in refusal(lambda: observed(path, redshift=2.0, **given))
    zeldo.write(snapshots[0], tmp_path / "one.npz")
    assert "leave it out" in refusal(lambda: observed(tmp_path / "one.npz", redshift=3.0, **given))


def test_a_density_has_the_redshift_and_the_lattice_that_are_given():
    density = np.random.default_rng(1).uniform(0.5, 1.5, (8, 8, 8))
    for redshift, n, expected in ((None, None, (0.0, 4)), (1.5, 8, (1.5, 8))):
        given = {"box": 30.0, "cosmology": None, "mesh": None, "axis": None, **PLAIN}
        seen = observed(density, redshift=redshift, n=n, **given)
        assert (seen.redshift, seen.n) == expected


def test_a_density_without_noise_has_a_fifth_of_a_lattice_cells_error(result):
    """On a mesh of twice the lattice a cell holds an eighth of a particle, and its error is the root of eight larger."""
    assert result.posterior.observation.noise == pytest.approx(0.2 * 8**0.5)


def test_each_cell_counts_by_its_own_error(problem):
    relative = torch.linspace(0.5, 2, N**3).view(N, N, N)
    posterior = Linear(problem[0].function, replace(problem[0].observation, relative=relative))
    white = torch.from_numpy(Native(5).field(N))
    left = posterior.predicted(white) - posterior.observation.delta
    chi2 = (left / (NOISE * relative)).square().sum().item()
    assert posterior.observation.chi2(posterior.predicted(white)).item() == pytest.approx(
        chi2 / N**3, rel=1e-4
    )
    assert posterior.energy(white).item() == pytest.approx((chi2 + white.square().sum().item()) / 2, rel=1e-4)


def test_noise_may_make_a_density_negative():
    noisy = 1 + 0.7 * np.random.default_rng(1).standard_normal((8, 8, 8))
    seen = observed(noisy, box=50.0, n=4, redshift=None, cosmology=None, mesh=None, axis=None, **PLAIN)
    np.testing.assert_allclose(seen.delta, noisy / noisy.mean() - 1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("density", "words"),
    [
        (np.ones((8, 8, 4)), "shape"),
        (np.full((8, 8, 8), 3.0), "mean of the density is 3"),
        (np.ones((8, 8, 8)), "the density is the same everywhere"),
        (np.zeros((8, 8, 8)), "the density is the same everywhere"),
        (np.full((8, 8, 8), np.nan), "not finite"),
        (np.ma.masked_less(np.random.default_rng(2).uniform(0.5, 1.5, (8, 8, 8)), 1), "masked array"),
        (np.ones((18, 18, 18)) + 1e-3 * np.eye(18), "mesh of 18.3 are no lattice, .* give n, such as 8"),
        ("nowhere.npy", "does not exist"),
    ],
)
def test_densities_that_are_none_are_refused(density, words):
    with pytest.raises(zeldo.InputError, match=words):
        zeldo.reconstruct(density, box=50.0)


def test_search_counts_its_work(problem):
    seen = []
    search = Search(problem[0], False, 0.02, 4, 1, None, lambda done, total, text: seen.append((done, total)))
    search.chain(search.maximum())
    assert seen[-1][0] == seen[-1][1]


def test_a_step_without_a_finite_gradient_is_halved_before_it_goes_on():
    def target(x):
        assert torch.isfinite(x).all()
        return 1.0, torch.full_like(x, float("nan"))

    walker = langevin.Walker(torch.zeros(8), torch.eye(8)[0], 1.0, torch.ones(8), step=0.5)
    back = langevin.advance(target, walker, torch.Generator().manual_seed(1), adapt=True)
    assert back.step == 0.25 and torch.equal(back.u, -walker.u) and torch.equal(back.x, walker.x)
