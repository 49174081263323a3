"""What an installation has, and whether it works: versions, threads, devices, caches, transforms, and a small run."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeldo.measuring.machine import versions
from zeldo.measuring.memory import available
from zeldo.measuring.threads import THREADS
from zeldo.version import __version__

NEEDED = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "ducc0",
    "torch",
    "camb",
    "h5py",
    "zarr",
    "pydantic",
    "matplotlib",
)
OPTIONAL = ("kdcount", "astropy", "hdf5plugin", "bigfile", "pynbody", "lightning-fabric", "codecarbon")
KERNEL = 500_000  # bytes, more than the machine code of a kernel has
# of 16^3 particles in 40 Mpc/h, seed 7, Eisenstein & Hu's power, five steps of COLA: P(k) of the third bin, (Mpc/h)^3
RUN = {"n": 16, "box": 40.0, "seed": 7, "power": "eisenstein-hu", "redshift": 0.0}
EXPECTED, TOLERANCE = 498.186, 1e-3
OK, NOTE, BROKEN = "ok", "note", "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        What it is.
    state : str
        "ok"; "note" for what is worth knowing; "broken" for what keeps zeldo from working.
    text : str
        What was found, and what to do where something is wrong.
    """

    name: str
    state: str
    text: str


def diagnose() -> list[Finding]:
    """Look at the installation and run a small test.

    Returns
    -------
    list of Finding
        Versions, threads, devices, caches, transforms, weights, and the result of the test.
    """
    checks: tuple[tuple[str, Callable[[], Finding | list[Finding]]], ...] = (
        ("versions", _versions),
        ("threads", _threads),
        ("memory", _memory),
        ("devices", _devices),
        ("compiled kernels", _cache),
        ("Fourier transforms", _transforms),
        ("weights", _weights),
        ("temporary files", _temporary),
        ("self-test", _self_test),
    )
    findings: list[Finding] = []
    for name, check in checks:
        try:
            found = check()
        except Exception as error:  # whatever it is, it is the finding
            found = Finding(name, BROKEN, f"{type(error).__name__}: {' '.join(str(error).split())}")
        findings += found if isinstance(found, list) else [found]
    return findings


def _versions() -> list[Finding]:
    needed, optional = versions(NEEDED), versions(OPTIONAL)
    missing = [package for package in NEEDED if package not in needed]
    there = ", ".join(f"{package} {number}" for package, number in needed.items())
    have = ", ".join(f"{package} {number}" for package, number in optional.items()) or "none"
    absent = ", ".join(package for package in OPTIONAL if package not in optional)
    system = (
        f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"
    )
    findings = [
        Finding("zeldo", OK, f"{__version__} in {Path(__file__).parent}"),
        Finding("system", OK, system),
        Finding("packages", BROKEN if missing else OK, there),
        Finding("optional packages", OK, have + (f"; not installed: {absent}" if absent else "")),
    ]
    if missing:
        findings.append(
            Finding("packages", BROKEN, f"missing: {', '.join(missing)}; install zeldo again with pip")
        )
    return findings


def _threads() -> Finding:
    import torch

    from zeldo.mesh import fft

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kernels, tensors = fft.threads(), torch.get_num_threads()
    setting = ", ".join(
        f"{name}={os.environ[name]}" for name in (*THREADS, "OMP_WAIT_POLICY") if name in os.environ
    )
    text = f"{cores} cores; kernels and transforms {kernels}, torch {tensors}" + (
        f"; {setting}" if setting else ""
    )
    if kernels > cores or tensors > cores:
        return Finding("threads", NOTE, f"{text}: more threads than cores; set NUMBA_NUM_THREADS={cores}")
    return Finding("threads", OK, text)


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, ValueError):
        return Finding("memory", NOTE, "this system does not say how much there is")
    return Finding("memory", OK, f"{total:.1f} GB, {available() / 1e9:.1f} GB free")


def _devices() -> Finding:
    import torch

    names = [
        f"cuda:{i} {torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 1e9:.0f} GB"
        for i in range(torch.cuda.device_count())
    ]
    if not names:
        return Finding("devices", OK, "CPU; torch sees no GPU")
    square = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    works = float(square[0, 0]) == 64
    return Finding("devices", OK if works else BROKEN, ", ".join(names))


def _cache() -> Finding:
    """Where Numba keeps machine code, by the cache of one kernel."""
    from zeldo.mesh import splines

    cache = splines._paint._cache
    place = getattr(cache, "cache_path", None)
    set_it = "set NUMBA_CACHE_DIR to a directory that is writable and has room"
    if place is None:
        return Finding(
            "compiled kernels", NOTE, f"no directory for them is writable, every run compiles anew: {set_it}"
        )
    kept = len(list(Path(place).glob("*.nbc"))) if Path(place).is_dir() else 0
    try:
        Path(place).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(KERNEL))
            file.flush()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Finding(
            "compiled kernels",
            NOTE,
            f"{kept} kept in {place}, and no more can be ({reason}), every run compiles others anew: {set_it}",
        )
    return Finding("compiled kernels", OK, f"{kept} kept in {place}, which is writable")


def _transforms() -> Finding:
    import numpy as np

    from zeldo.mesh import fft

    m = 128
    field = np.random.default_rng(1).standard_normal((m, m, m)).astype(np.float32)
    fft.forward(field)
    started = time.perf_counter()
    back = fft.inverse(fft.forward(field), m, scratch=True)
    seconds = time.perf_counter() - started
    error = float(np.abs(back - field).max())
    text = f"{m}^3 there and back in {1e3 * seconds:.0f} ms, error {error:.1g}"
    return Finding("Fourier transforms", OK if error < 1e-5 else BROKEN, text)


def _weights() -> Finding:
    from importlib.resources import files

    from zeldo.networks.weights import load

    names = sorted(
        path.name for path in files("zeldo.weights").iterdir() if path.name.endswith(".safetensors")
    )
    for name in names:
        load(str(files("zeldo.weights") / name))
    return Finding("weights", OK, f"{', '.join(names)} can be read")


def _temporary() -> Finding:
    with tempfile.TemporaryFile() as stream:
        stream.write(b"zeldo")
    return Finding("temporary files", OK, f"{tempfile.gettempdir()} is writable")


def _self_test() -> Finding:
    """A run whose answer is known."""
    started = time.perf_counter()
    power = self_test_power()
    seconds = time.perf_counter() - started
    difference = power / EXPECTED - 1
    text = f"P(k) of a small run is {power:.5g} (Mpc/h)^3, {difference:+.1e} from the stored number, in {seconds:.1f} s"
    return Finding("self-test", OK if abs(difference) < TOLERANCE else BROKEN, text)


def self_test_power() -> float:
    """P(k) of the run that the self-test compares, (Mpc/h)^3."""
    from zeldo.api import run
    from zeldo.statistics.spectra import power_spectrum

    options: dict[str, Any] = RUN
    (snapshot,) = run(engine="cola", steps=5, **options)
    return float(power_spectrum(snapshot).power[2])


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing is broken."""
    return all(finding.state != BROKEN for finding in findings)


def print_findings(findings: list[Finding]) -> None:
    """A line each."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = {OK: "ok    ", NOTE: "note  ", BROKEN: "BROKEN"}[finding.state]
        print(f"{mark}  {finding.name:<{width}}  {finding.text}")
