"""Differentiable universes: the values of the engines, derivatives of central differences, adjoint against autograd."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, jacfwd, jvp, vjp, vmap

import zeldo
from refusals import refusal
from zeldo.engines.pm import ParticleMesh
from zeldo.gradients import statistics
from zeldo.initial.phases import Native
from zeldo.mesh.torch_gravity import TorchGravity
from zeldo.networks.card import ModelCard
from zeldo.networks.styled import StyledVNet
from zeldo.networks.tasks.correction import Correction
from zeldo.networks.weights import save
from zeldo.statistics.spectra import bins

N, BOX = 16, 60.0
ENGINES = [
    "zeldovich",
    "2lpt",
    "cola:steps=4",
    "cola:steps=3,mesh_factor=2,sharpening=1.5,nbody_start=49",
    "pm:steps=4,sharpening=2,nbody_start=49",
    "pm:steps=7,stepper=fastpm",
]
MESH = ENGINES[2:]
PARAMETERS = ("omega_m", "omega_b", "h", "n_s", "sigma_8", "w0", "wa")


def noise(seed=5, n=N, dtype=torch.float64):
    return torch.from_numpy(Native(seed).field(n)).to(dtype)


def random(shape, seed, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(shape))).to(dtype)


def weighted(evolved, dtype=torch.float64):
    """A number that depends on everything."""
    psi, vel = evolved
    total = (random(psi.shape, 1, dtype) * psi).sum()
    return total if vel is None else total + (random(psi.shape, 2, dtype) * vel / 100).sum()


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def agrees(gradient, function, steps=(1e-6, 3e-7, 1e-7, 2e-8), within=1e-6):
    """Whether a derivative is the central difference of some step: cloud-in-cell has kinks, which large ones meet."""
    with torch.no_grad():
        return any(
            abs(gradient.item() * 2 * h / (function(h) - function(-h)).item() - 1) < within for h in steps
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_those_of_the_engine(engine, dtype):
    (snapshot,) = zeldo.run(engine=engine, box=BOX, n=N, seed=5, redshift=0.2)
    psi, vel = zeldo.differentiable(engine, box=BOX, n=N, redshift=0.2, dtype=dtype)(noise(dtype=dtype))
    assert relative(psi, torch.from_numpy(snapshot.psi)) < 3e-6
    assert relative(vel, torch.from_numpy(snapshot.vel)) < 3e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_derivatives_by_white_noise_and_cosmology_are_central_differences(engine):
    f = zeldo.differentiable(engine, box=BOX, n=N, redshift=0.3, dtype=torch.float64, w0=-0.9, wa=0.1)
    x, along = noise(), random((N, N, N), 3)
    base = f.cosmology.to_dict()
    point = {name: torch.tensor(base[name], dtype=torch.float64, requires_grad=True) for name in PARAMETERS}
    x.requires_grad_()
    by_noise, *by_cosmology = torch.autograd.grad(weighted(f(x, **point)), (x, *point.values()))
    x = x.detach()
    assert agrees((by_noise * along).sum(), lambda h: weighted(f(x + h * along, **base)))
    for name, slope in zip(PARAMETERS, by_cosmology, strict=True):
        if engine in MESH[1:] and name not in ("omega_m", "w0"):
            continue  # the others reach the particles by the linear field alone, which is the same
        assert agrees(slope, lambda h, name=name: weighted(f(x, **{**base, name: base[name] + h}))), name


@pytest.mark.parametrize("engine", ["vnet:extrapolate=true", "emulator:extrapolate=true"])
def test_networks_have_derivatives_too(engine):
    box = N * 1.953125
    f = zeldo.differentiable(engine, box=box, n=N, dtype=torch.float64)
    x, along = noise(seed=6), random((N, N, N), 3)  # a kink lies within 1e-7 of seed 5
    point = {
        name: torch.tensor(f.cosmology.to_dict()[name], dtype=torch.float64)
        for name in ("omega_m", "sigma_8")
    }
    for value in (x, *point.values()):
        value.requires_grad_()
    by_noise, by_omega, _ = torch.autograd.grad(weighted(f(x, **point)), (x, *point.values()))
    x, base = x.detach(), {name: float(value) for name, value in point.items()}
    assert agrees((by_noise * along).sum(), lambda h: weighted(f(x + h * along, **base)))
    assert agrees(by_omega, lambda h: weighted(f(x, **{**base, "omega_m": base["omega_m"] + h})))
    (snapshot,) = zeldo.run(engine=engine, box=box, n=N, seed=6)
    assert relative(f(x)[0], torch.from_numpy(snapshot.psi)) < 0.01  # layers in bfloat16 there


def test_a_network_with_redshift_has_derivatives_too(tmp_path):
    """Displacement and velocity, its derivative by D; Omega_m enters by the style, by D and by the units."""
    path = tmp_path / "jamieson2024.safetensors"
    torch.manual_seed(3)
    arguments = {"channels": 2, "styles": 2}
    card = ModelCard("styled vnet", arguments, "jamieson2024", {}, (0, 3), (1.9, 2.0), (0.1, 0.5))
    save(StyledVNet(**arguments), path, card, half=False)
    f = zeldo.differentiable(path, box=N * 1.953125, n=N, redshift=0.3, dtype=torch.float64)
    x, along = noise(), random((N, N, N), 3)
    by_noise, by_omega = grad(lambda x, o: weighted(f(x, omega_m=o)), argnums=(0, 1))(
        x, torch.tensor(0.3, dtype=torch.float64)
    )
    assert agrees((by_noise * along).sum(), lambda h: weighted(f(x + h * along, omega_m=0.3)))
    assert agrees(by_omega, lambda h: weighted(f(x, omega_m=0.3 + h)))
    # single precision, and no derivative asked for
    single = zeldo.differentiable(path, box=N * 1.953125, n=N, redshift=0.3)
    for made, expected in zip(single(x.float(), omega_m=0.45), f(x, omega_m=0.45), strict=True):
        assert relative(made.double(), expected) < 1e-4


@pytest.mark.parametrize("engine", MESH)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_the_adjoint_is_autograd(engine, dtype, tolerance):
    """Of squares: with weights of either sign the derivative with a parameter all but cancels, and rounding is left."""
    x = noise(dtype=dtype).requires_grad_()
    omega = torch.tensor(0.31, dtype=torch.float64, requires_grad=True)
    found = []
    for gradient in ("adjoint", "autograd"):
        f = zeldo.differentiable(engine, box=BOX, n=N, gradient=gradient, dtype=dtype)
        psi, vel = f(x, omega_m=omega)
        found.append(torch.autograd.grad(psi.square().mean() + (vel / 100).square().mean(), (x, omega)))
    for adjoint, expected in zip(*found, strict=True):
        assert relative(adjoint, expected) < tolerance


def test_an_output_at_the_start_and_one_step_are_differentiable_too():
    for engine, redshift in (("pm:steps=1", 9.0), ("cola:steps=1", 9.0), ("pm:steps=1", 4.0)):
        found = []
        for gradient in ("adjoint", "autograd"):
            f = zeldo.differentiable(
                engine, box=BOX, n=N, redshift=redshift, gradient=gradient, dtype=torch.float64
            )
            found.append(grad(lambda x, f=f: weighted(f(x)))(noise()))
        assert relative(*found) < 1e-12


def test_psi_alone_needs_no_velocity():
    f = zeldo.differentiable("pm:steps=3", box=BOX, n=N, dtype=torch.float64)
    g = zeldo.differentiable("pm:steps=3", box=BOX, n=N, dtype=torch.float64, gradient="autograd")
    of_psi = [grad(lambda x, f=f: (f(x)[0] ** 2).sum())(noise()) for f in (f, g)]
    assert relative(*of_psi) < 1e-12


@pytest.mark.parametrize("gradient", ["adjoint", "autograd"])
def test_transforms_of_torch_func_work(gradient):
    f = zeldo.differentiable("cola:steps=2", box=BOX, n=8, gradient=gradient, dtype=torch.float64)
    x, along = noise(n=8), random((8, 8, 8), 3)

    def loss(x, omega=0.3):
        return weighted(f(x, omega_m=omega)) ** 2

    by_x = grad(loss)(x)
    assert jvp(loss, (x,), (along,))[1].item() == pytest.approx((by_x * along).sum().item(), rel=1e-9)
    assert torch.allclose(vjp(loss, x)[1](torch.ones((), dtype=torch.float64))[0], by_x)
    assert torch.allclose(vmap(grad(loss))(torch.stack([x, -x]))[0], by_x, rtol=1e-9)
    product = jvp(grad(loss), (x,), (along,))[1]
    step = 1e-7
    change = (grad(loss)(x + step * along) - grad(loss)(x - step * along)) / (2 * step)
    assert relative(product, change) < 1e-5
    omega = torch.tensor(0.3, dtype=torch.float64)
    curvature = jvp(grad(lambda o: loss(x, o)), (omega,), (torch.ones_like(omega),))[1]
    change = (grad(lambda o: loss(x, o))(omega + 1e-6) - grad(lambda o: loss(x, o))(omega - 1e-6)) / 2e-6
    assert curvature.item() == pytest.approx(change.item(), rel=1e-5)


@pytest.mark.parametrize("engine", ["emulator", "emulator:fast"])
def test_emulators_have_jacobians_and_hessians(engine):
    f = zeldo.differentiable(engine, box=16, n=8, power="eisenstein-hu", dtype=torch.float64)
    x, omega = noise(n=8), torch.tensor(0.3, dtype=torch.float64)

    def loss(o):
        return f(x, omega_m=o)[1].square().mean()

    assert agrees(jacfwd(loss)(omega), lambda h: loss(omega + h))
    assert agrees(hessian(loss)(omega), lambda h: grad(loss)(omega + h), within=1e-5)


def test_delta_lin_may_be_given_in_place_of_white_noise():
    f = zeldo.differentiable("2lpt", box=BOX, n=N)
    x = noise(dtype=torch.float32)
    delta = f.delta_lin(x)
    ics = zeldo.initial_conditions(box=BOX, n=N, seed=5)
    assert relative(delta, torch.from_numpy(ics.delta_lin)) < 1e-5
    assert torch.equal(f.evolve(delta)[0], f(x)[0])


def test_statistics_are_those_of_snapshots():
    (s,) = zeldo.run(engine="cola", box=BOX, n=N, redshift=0.5)
    psi, vel = torch.from_numpy(s.psi).double(), torch.from_numpy(s.vel).double()
    assert statistics.power_spectrum(psi, BOX)[1].numpy() == pytest.approx(
        zeldo.power_spectrum(s).power, rel=1e-5
    )
    seen = statistics.redshift_space(psi, vel, s.redshift, s.cosmology)
    k, poles = statistics.multipoles(seen, BOX)
    expected = zeldo.redshift_space_multipoles(s)
    assert k == pytest.approx(expected.k)
    for pole, name in zip(poles, ("monopole", "quadrupole", "hexadecapole"), strict=True):
        assert np.abs(pole.numpy() - getattr(expected, name)).max() < 1e-5 * expected.monopole.max()
    expected = zeldo.equilateral_bispectrum(s)
    assert statistics.equilateral_bispectrum(psi, BOX)[1].numpy() == pytest.approx(
        expected.bispectrum, rel=1e-4
    )


def test_the_bispectrum_of_a_lattice_has_the_wavenumbers_of_snapshots():
    (s,) = zeldo.run(engine="zeldovich", box=BOX, n=N)
    psi = torch.from_numpy(s.psi).double()
    for options in ({}, {"width": 2.0, "k_max": 5.5 * 2 * np.pi / BOX}):
        k, values = statistics.equilateral_bispectrum(psi, BOX, **options)
        expected = zeldo.equilateral_bispectrum(s, **options)
        assert k == pytest.approx(expected.k[:, 0], rel=1e-6) and len(values) == len(k)


STATISTICS = {
    "density": lambda psi, vel, c: statistics.density(psi, N, BOX) ** 3,
    "power": lambda psi, vel, c: torch.log(statistics.power_spectrum(psi, BOX)[1]),
    "multipoles": lambda psi, vel, c: statistics.multipoles(statistics.redshift_space(psi, vel, 0.3, c), BOX)[
        1
    ],
    "bispectrum": lambda psi, vel, c: statistics.equilateral_bispectrum(psi, BOX)[1],
}


@pytest.mark.parametrize("name", STATISTICS)
def test_derivatives_of_statistics_are_central_differences(name):
    f = zeldo.differentiable("cola:steps=3", box=BOX, n=N, redshift=0.3, dtype=torch.float64)

    def total(x, omega):
        psi, vel = f(x, omega_m=omega)
        return STATISTICS[name](psi, vel, f.varied({"omega_m": omega})).sum()

    x, along, omega = noise(), random((N, N, N), 3), torch.tensor(0.3, dtype=torch.float64)
    by_noise, by_omega = grad(total, argnums=(0, 1))(x, omega)
    assert agrees((by_noise * along).sum(), lambda h: total(x + h * along, omega))
    assert agrees(by_omega, lambda h: total(x, omega + h))


def test_a_parameter_may_be_a_tensor_of_one_number():
    f = zeldo.differentiable("cola:steps=2", box=BOX, n=8, power="eisenstein-hu")
    x = noise(n=8, dtype=torch.float32)
    values = (0.3, torch.tensor(0.3), torch.tensor([0.3]))
    expected, *found = (f(x, omega_m=value, sigma_8=value + 0.5)[1] for value in values)
    assert all(relative(vel, expected) < 1e-6 for vel in found)


@pytest.mark.parametrize("engine", ["2lpt", "cola:steps=2"])
def test_fields_are_finite_real_numbers(engine):
    f = zeldo.differentiable(engine, box=BOX, n=8, power="eisenstein-hu")
    good = noise(n=8, dtype=torch.float32)
    for call, name in ((f, "white noise"), (f.delta_lin, "white noise"), (f.evolve, "delta_lin")):
        for bad in (torch.nan, -torch.inf):
            line = refusal(lambda call=call, bad=bad: call(torch.where(good > 2, bad, good)))
            assert line == f"{name} holds values that are not finite: check where it comes from"
        for wrong, kind in ((good + 0j, "tensor of torch.complex64"), ("a", "str"), (None, "NoneType")):
            line = refusal(lambda call=call, wrong=wrong: call(wrong))
            assert line.startswith(f"{name} is a {kind}: give ")
    assert torch.equal(f(good.numpy())[0], f(good)[0])


@pytest.mark.parametrize("engine", ["2lpt", "cola:steps=2", "emulator:fast"])
def test_a_function_that_was_called_is_copied(engine):
    f = zeldo.differentiable(engine, box=16, n=8, power="eisenstein-hu")
    x = noise(n=8, dtype=torch.float32)
    psi, _ = f(x, omega_m=0.3)
    for copied in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert torch.equal(copied(x, omega_m=0.3)[0], psi)


def test_the_device_may_be_given_as_an_option_of_the_engine_or_beside_it():
    options = {"box": BOX, "n": 8, "power": "eisenstein-hu"}
    functions = (
        zeldo.differentiable("pm:steps=2,device=torch", **options),
        zeldo.differentiable("pm:steps=2", device="torch", **options),
    )
    assert all(isinstance(f.physics.gravity, TorchGravity) for f in functions)
    by_engine, beside = (f(noise(n=8, dtype=torch.float32))[0] for f in functions)
    assert torch.equal(by_engine, beside)


@pytest.mark.parametrize("chosen", [torch.device("meta"), torch.autocast("cpu", dtype=torch.bfloat16)])
def test_what_a_caller_has_chosen_in_torch_does_not_matter(chosen):
    """ "meta" stands for a GPU that somebody chose by torch.set_default_device."""

    def everything():
        options = {"box": 32, "n": N, "power": "eisenstein-hu"}
        (snapshot,) = zeldo.run(engine="emulator:fast", seed=5, **options)
        f, white_noise = zeldo.differentiable("emulator:fast", **options), noise().requires_grad_()
        (slope,) = torch.autograd.grad(f(white_noise, omega_m=0.31)[0].square().sum(), white_noise)
        return torch.from_numpy(snapshot.psi), slope

    expected = everything()
    with chosen:
        found = everything()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_network_is_not_called_outside_of_its_card():
    options = {"box": 8 * 1.953125, "n": 8, "power": "eisenstein-hu"}
    f, far = (zeldo.differentiable(f"emulator{more}", **options) for more in ("", ":extrapolate=true"))
    x = torch.zeros(8, 8, 8)
    with pytest.raises(zeldo.InputError, match="is outside the range"):
        f(x, omega_m=0.9)
    assert far(x, omega_m=0.9)[0].shape == (3, 8, 8, 8)


def test_a_network_for_another_revision_of_its_dynamics_is_refused_as_in_a_run(monkeypatch):
    monkeypatch.setattr(ParticleMesh, "revision", 2)
    options = {"box": 8 * 1.953125, "n": 8, "power": "eisenstein-hu"}
    line = refusal(lambda: zeldo.differentiable("emulator", **options))
    assert "learned to correct revision 1 of pm, which has revision 2 now: train it again" in line
    assert zeldo.differentiable("emulator:extrapolate=true", **options).n == 8


def test_a_task_whose_inputs_are_no_tensors_is_refused(monkeypatch):
    monkeypatch.setattr(Correction, "encode", lambda *_: np.zeros(1))
    f = zeldo.differentiable("emulator", box=8 * 1.953125, n=8, power="eisenstein-hu")
    assert "correction encodes tensors as ndarray, through which no deriv" in refusal(
        lambda: f(torch.zeros(8, 8, 8))
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zeldo.differentiable("p3m", box=BOX, n=N), "p3m is not differentiable: take"),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, gradient="symbolic"), "adjoint or autograd"),
        (lambda: zeldo.differentiable("pm", box=BOX), "differentiable needs the argument 'n': give n=..."),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, seed=3), "no parameter 'seed'"),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, device="tpu9"), "device 'tpu9' cannot be used"),
        (lambda: zeldo.differentiable("pm:device=tpu9", box=BOX, n=N), "device 'tpu9' cannot be used"),
        (lambda: zeldo.differentiable("pm:checkpoint=a.npz", box=BOX, n=N), "only runs keep checkpoints"),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, dtype=torch.float16), "float32 or"),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, redshift=20), "redshift"),
        (
            lambda: zeldo.differentiable("pm", box=BOX, n=N, redshift=[0, 1]),
            r"\[0, 1\] is not allowed: give a number",
        ),
        (lambda: zeldo.differentiable("pm", box=BOX, n=N, steps=5), "options of an engine follow its name"),
        (lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(torch.zeros(8, 8, 8)), "white noise has shape"),
        (lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(torch.zeros(N, N, N), omega=0.3), "no parameter"),
        (lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(torch.zeros(N, N, N), omega_m=3), "omega_m"),
        (
            lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(torch.zeros(N, N, N), h="much"),
            "h = 'much' is not allowed: give a number",
        ),
        (
            lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(torch.zeros(N, N, N), h=torch.ones(2)),
            r"h has shape \(2,\): give one number",
        ),
        (
            lambda: zeldo.differentiable("2lpt", box=BOX, n=N)(
                torch.zeros(N, N, N), sigma_8=torch.tensor(1j)
            ),
            "sigma_8 is of type torch.complex64: give a real number",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(call, words):
    with pytest.raises(zeldo.InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_emulator_that_is_differentiated_is_the_emulator_of_runs():
    """Its linear input is filtered for the growth on the lattice, as its dynamics are."""
    universe = {"n": 16, "box": 32.0, "power": "eisenstein-hu"}
    engine = "emulator:fast,extrapolate=true,precision=float32"
    f = zeldo.differentiable(engine, **universe)
    (snapshot,) = zeldo.run(engine=engine, seed=3, redshift=0, **universe)
    with torch.no_grad():
        evolved = f(torch.from_numpy(Native(3).field(16)))
    for mine, true in zip(evolved, (snapshot.psi, snapshot.vel), strict=True):
        assert (mine.numpy() - true).std() < 1e-4 * true.std()


def test_a_spectrum_in_inference_mode_leaves_later_derivatives_alone():
    """Both keep the same bins of a mesh."""
    bins.cache_clear()
    with torch.inference_mode():
        bins(8)
    psi = torch.full((3, 4, 4, 4), 0.1, requires_grad=True)
    statistics.power_spectrum(psi, 10.0)[1].sum().backward()
    assert torch.isfinite(psi.grad).all()
