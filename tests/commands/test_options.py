"""Every option reaches the function behind its command."""

import importlib

import pytest

from zeldo.commands import main


class AskedError(BaseException):
    pass


READING = {
    "ids": "k-major",
    "length": "kpc/h",
    "velocities": "peculiar",
    "particle_type": 2,
    "box": 30.0,
    "redshift": 0.5,
}
UNIVERSE = {
    "omega_m": 0.3,
    "omega_b": 0.04,
    "h": 0.7,
    "n_s": 0.95,
    "sigma_8": 0.8,
    "w0": -0.9,
    "wa": 0.1,
    "box": 30.0,
    "n": 12,
    "seed": 3,
    "fixed": True,
    "flip": True,
    "phases": "ngenic",
    "power": "eisenstein-hu",
}
RUN = {"engine": "cola", "steps": 4, "mesh_factor": 2.0, "extrapolate": True, "memory": "3GB"}
GIVEN = {
    "run": ("zeldo.api", "run", {**RUN, **UNIVERSE}),
    "plan": ("zeldo.api", "plan", {**RUN, **UNIVERSE}),
    "measure": (
        "zeldo.measures",
        "measure",
        {"axis": "x", "mesh": 12, "linking_length": 0.3, "minimum": 9, "memory": "3GB"}
        | {"subtract_shot_noise": True, **READING},
    ),
    "halos": ("zeldo.measures", "halos", {"linking_length": 0.3, "minimum": 9, "memory": "3GB", **READING}),
    "show": (
        "zeldo.measures",
        "show",
        {"start": 3.0, "thickness": 2.0, "axis": "x", "pixels": 32, "dpi": 99, "memory": "3GB"}
        | {"projection": True, **READING},
    ),
    "reconstruct": (
        "zeldo.gradients.reconstruct",
        "reconstruct",
        {
            "engine": "2lpt",
            "power": "eisenstein-hu",
            "box": 60.0,
            "n": 12,
            "redshift": 0.5,
            "mesh": 20,
            "noise": 0.4,
            "smoothing": 1.5,
            "bias": 1.7,
            "redshift_space": "y",
            "effort": 0.3,
            "samples": 5,
            "seed": 11,
            "device": "torch",
            "checkpoint_minutes": 3.0,
        },
    ),
    "compare": (
        "zeldo.comparing",
        "compare",
        {"steps": 4, "mesh_factor": 2.0, "extrapolate": True, "mesh": 20, "memory": "3GB", **UNIVERSE},
    ),
    "export-ics": (
        "zeldo.datasets.exporting",
        "export_initial_conditions",
        {"code": "swift", "start_redshift": 31.0, "order": 1, "mesh_factor": 1.5, "softening": 0.03},
    ),
}


PLACES = {
    "run": [],
    "plan": [],
    "measure": ["file"],
    "halos": ["file"],
    "show": ["file"],
    "reconstruct": ["file"],
    "compare": ["--engine", "cola"],
    "export-ics": ["out"],
}


FIRST = {
    "halos": ("source", "linking_length", "minimum"),
    "export-ics": ("ics", "output", "code"),
}  # given by their places


@pytest.mark.parametrize("command", GIVEN)
def test_every_option_reaches_the_function_behind_the_command(command, monkeypatch, tmp_path):
    module, name, options = GIVEN[command]
    seen = {}

    def asked(*values, **named):
        seen.update(dict(zip(FIRST.get(command, ()), values, strict=False)), **named)
        raise AskedError

    monkeypatch.setattr(importlib.import_module(module), name, asked)
    monkeypatch.chdir(tmp_path)
    words = [
        word
        for key, value in options.items()
        for word in (f"--{key.replace('_', '-')}", *([] if value is True else [str(value)]))
    ]
    usual = ["--power", "eisenstein-hu", "-n", "8"] if command == "export-ics" else []
    with pytest.raises(AskedError):
        main([command, *PLACES[command], *words, *usual])
    assert {key: seen.get(key) for key in options} == options


def test_a_unit_and_a_precision_reach_the_file(monkeypatch, tmp_path):
    from zeldo.files import converting

    seen = {}

    def asked(*values, **named):
        seen.update(named)
        raise AskedError

    monkeypatch.setattr(converting, "convert", asked)
    with pytest.raises(AskedError):
        main(["convert", "a.hdf5", "b.gadget", "--unit", "kpc/h", "--precision", "double", "--files", "2"])
    assert seen["write_options"] == {"unit": "kpc/h", "precision": "double", "files": 2}
