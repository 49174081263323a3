"""Parameter files of N-body codes for runs from exported initial conditions: matter and dark energy, no radiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions

MPC, MASS, KM = 3.085678e24, 1.989e43, 1e5  # in CGS: the units of Gadget's files
MPC_SWIFT, MASS_SWIFT = 3.08567758e24, 1.98841e43
SOFTENING = 1 / 40  # Plummer-equivalent, of the lattice spacing
HOURS = 48  # of a run
BOX_IN_MEMORY = 4000  # MB a process, of Gadget-4


@dataclass(frozen=True)
class Job:
    """A run that an N-body code is to make.

    Parameters
    ----------
    ics : InitialConditions
        The universe.
    start : float
        Redshift of the particles.
    redshifts : sequence of float
        Of the snapshots, from high to low.
    mesh : int
        Points per side of the long-range force.
    softening : float
        Plummer-equivalent, Mpc/h.
    """

    ics: InitialConditions
    start: float
    redshifts: Sequence[float]
    mesh: int
    softening: float

    @property
    def scale_factors(self) -> list[float]:
        return [1 / (1 + z) for z in self.redshifts]


@dataclass(frozen=True)
class Code:
    """What a code reads.

    Parameters
    ----------
    format : str
        The format of its initial conditions.
    particles : str
        The name of their file.
    write : callable
        The texts of its parameter files by name, from a `Job`.
    run : str
        How it is started.
    """

    format: str
    particles: str
    write: Callable[[Job], dict[str, str]]
    run: str


def _mp_gadget(job: Job) -> dict[str, str]:
    c, dark = job.ics.cosmology, job.ics.cosmology.omega_de
    constant = (c.w0, c.wa) == (-1.0, 0.0)
    values = {
        "InitCondFile": "IC",
        "OutputDir": "output",
        "OutputList": ",".join(f"{a:.8g}" for a in job.scale_factors),
        "TimeMax": f"{max(job.scale_factors):.8g}",
        "TimeLimitCPU": HOURS * 3600,
        "Nmesh": job.mesh,
        "GravitySoftening": f"{job.softening / job.ics.spacing:.6g}",
        "Omega0": c.omega_m,
        "OmegaBaryon": c.omega_b,
        "OmegaLambda": f"{dark:.10g}" if constant else 0,
        "Omega_fld": 0 if constant else f"{dark:.10g}",
        "w0_fld": c.w0,
        "wa_fld": c.wa,
        "HubbleParam": c.h,
        "RadiationOn": 0,
        **dict.fromkeys(
            (
                "CoolingOn",
                "StarformationOn",
                "BlackHoleOn",
                "MetalReturnOn",
                "WindOn",
                "HydroOn",
                "DensityOn",
            ),
            0,
        ),
        "DensityIndependentSphOn": 0,
        "MassiveNuLinRespOn": 0,
        "SnapshotWithFOF": 0,
    }
    text = "# zeldo export-ics: MP-GenIC is not needed, MP-Gadget starts from IC\n"
    if not constant:
        # before, its Hubble rate had the dark energy once more as curvature, and 3 (1 + w) with the wrong sign
        text += "# dark energy with w0 and wa is right in MP-Gadget since 27 February 2024, commit 9045f4f3\n"
    return {"mp-gadget.param": text + "".join(f"{name} = {value}\n" for name, value in values.items())}


def _gadget4(job: Job) -> dict[str, str]:
    c, n = job.ics.cosmology, job.ics.n
    if (c.w0, c.wa) != (-1.0, 0.0):
        raise InputError(f"Gadget-4 has no w0 = {c.w0:g}, wa = {c.wa:g}: export for mp-gadget or swift")
    first = 1 / (1 + job.start)
    values = {
        "InitCondFile": "./ics",
        "OutputDir": "./output",
        "SnapshotFileBase": "snapshot",
        "OutputListFilename": "./outputs.txt",
        "ICFormat": 3,
        "SnapFormat": 3,
        "TimeLimitCPU": HOURS * 3600,
        "CpuTimeBetRestartFile": 7200,
        "MaxMemSize": BOX_IN_MEMORY,
        "TimeBegin": f"{first:.10g}",
        "TimeMax": f"{max(job.scale_factors):.8g}",
        "ComovingIntegrationOn": 1,
        "Omega0": c.omega_m,
        "OmegaLambda": f"{c.omega_de:.10g}",
        "OmegaBaryon": c.omega_b,
        "HubbleParam": c.h,
        "Hubble": 100.0,
        "BoxSize": job.ics.box,
        "OutputListOn": 1,
        "TimeBetSnapshot": 0.0,
        "TimeOfFirstSnapshot": 0.0,
        "TimeBetStatistics": 0.5,
        "NumFilesPerSnapshot": 1,
        "MaxFilesWithConcurrentIO": 1,
        "ErrTolIntAccuracy": 0.02,
        "CourantFac": 0.3,
        "MaxSizeTimestep": 0.02,
        "MinSizeTimestep": 0.0,
        "TypeOfOpeningCriterion": 1,
        "ErrTolTheta": 0.5,
        "ErrTolThetaMax": 0.9,
        "ErrTolForceAcc": 0.002,
        "TopNodeFactor": 3.0,
        "ActivePartFracForNewDomainDecomp": 0.01,
        "DesNumNgb": 64,
        "MaxNumNgbDeviation": 1,
        "UnitLength_in_cm": f"{MPC:g}",
        "UnitMass_in_g": f"{MASS:g}",
        "UnitVelocity_in_cm_per_s": f"{KM:g}",
        "GravityConstantInternal": 0,
        "SofteningComovingClass0": f"{job.softening:.6g}",
        "SofteningMaxPhysClass0": f"{job.softening:.6g}",
        **{f"SofteningClassOfPartType{kind}": 0 for kind in range(6)},
        "ArtBulkViscConst": 1.0,
        "MinEgySpec": 0,
        "InitGasTemp": 0,
    }
    options = ["PERIODIC", "SELFGRAVITY", "RANDOMIZE_DOMAINCENTER", f"PMGRID={job.mesh}", "NTYPES=6"]
    options += ["NSOFTCLASSES=1", "DOUBLEPRECISION=1", "IDS_64BIT" if n**3 >= 2**32 else "IDS_32BIT"]
    text = "% zeldo export-ics: build Gadget-4 with Config.sh\n"
    return {
        "gadget4.param": text + "".join(f"{name:<34}{value}\n" for name, value in values.items()),
        "Config.sh": "".join(f"{option}\n" for option in options),
        "outputs.txt": "".join(f"{a:.10g} 1\n" for a in job.scale_factors),
    }


SWIFT = "swift --cosmology --self-gravity --threads=$(nproc) swift.yml"


def _swift(job: Job) -> dict[str, str]:
    c, h = job.ics.cosmology, job.ics.cosmology.h
    soft = job.softening / h
    text = f"""# zeldo export-ics: {SWIFT}
InternalUnitSystem:
  UnitMass_in_cgs:     {MASS_SWIFT:g}
  UnitLength_in_cgs:   {MPC_SWIFT:.9g}
  UnitVelocity_in_cgs: 1e5
  UnitCurrent_in_cgs:  1
  UnitTemp_in_cgs:     1

Cosmology:
  Omega_cdm:      {c.omega_m - c.omega_b:.10g}
  Omega_lambda:   {c.omega_de:.10g}
  Omega_b:        {c.omega_b:.10g}
  h:              {h:.10g}
  w_0:            {c.w0:g}
  w_a:            {c.wa:g}
  a_begin:        {1 / (1 + job.start):.10g}
  a_end:          {max(job.scale_factors):.10g}

TimeIntegration:
  dt_min:     1e-8
  dt_max:     1e-2

Gravity:
  eta:          0.025
  MAC:          adaptive
  theta_cr:     0.7
  epsilon_fmm:  0.001
  comoving_DM_softening:     {soft:.6g}
  max_physical_DM_softening: {soft:.6g}
  mesh_side_length:          {job.mesh}

Snapshots:
  subdir:              output
  basename:            snap
  output_list_on:      1
  output_list:         outputs.txt
  delta_time:          1.1
  scale_factor_first:  {min(job.scale_factors):.10g}

Statistics:
  delta_time:          1.1
  scale_factor_first:  {1 / (1 + job.start):.10g}

InitialConditions:
  file_name:                 ics.hdf5
  periodic:                  1
  cleanup_h_factors:         0
  cleanup_velocity_factors:  0
"""
    outputs = "# Scale Factor\n" + "".join(f"{a:.10g}\n" for a in job.scale_factors)
    return {"swift.yml": text, "outputs.txt": outputs}


CODES = {
    "mp-gadget": Code("bigfile", "IC", _mp_gadget, "mpirun MP-Gadget mp-gadget.param"),
    "gadget-4": Code("gadget-hdf5", "ics.hdf5", _gadget4, "mpirun Gadget4 gadget4.param"),
    "swift": Code("swift", "ics.hdf5", _swift, SWIFT),
}
