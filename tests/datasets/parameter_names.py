"""Names of parameters as the codes' own sources have them: facts, by which exported parameter files are judged.

MP-Gadget 636f017 (gadget/params.c), Gadget-4 (register_parameters in src/data/allvars.cc, and Template-Config.sh), SWIFT
8a8f0d7 (calls of parser_get_param and parser_get_opt_param in src and swift.c). A code stops at a parameter that it needs
and does not find; MP-Gadget and Gadget-4 stop at one that they do not know, too.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MP_GADGET_NEEDED = _words(
    """InitCondFile OutputDir OutputList Omega0 TimeLimitCPU CoolingOn DensityIndependentSphOn SnapshotWithFOF BlackHoleOn
    MetalReturnOn StarformationOn WindOn MassiveNuLinRespOn"""
)
MP_GADGET_KNOWN = MP_GADGET_NEEDED | _words(
    """SnapshotFileBase FOFFileBase EnergyFile CpuFile CMBTemperature OmegaBaryon OmegaLambda Omega_fld w0_fld wa_fld
    Omega_ur HubbleParam OutputPotential OutputTimebins ShowBacktrace MaxMemSizePerNode AutoSnapshotTime TimeMax
    MaxDomainTimeBinDepth DomainOverDecompositionFactor RandomParticleOffset DomainUseGlobalSorting ErrTolIntAccuracy
    ErrTolForceAcc BHOpeningAngle MaxBHOpeningAngle TreeRcut TreeUseBH SplitGravityTimestepsOn Asmth Nmesh
    ShortRangeForceWindowType MaxSizeTimestep MinSizeTimestep MaxRMSDisplacementFac PartAllocFactor RadiationOn
    HydroOn DensityOn TreeGravOn GravitySoftening FastParticleType"""
)
GADGET4_NEEDED = _words(
    """InitCondFile OutputDir SnapshotFileBase OutputListFilename OutputListOn Omega0 OmegaBaryon OmegaLambda Hubble
    HubbleParam BoxSize MaxMemSize TimeOfFirstSnapshot CpuTimeBetRestartFile TimeBetStatistics TimeBegin TimeMax
    TimeBetSnapshot UnitVelocity_in_cm_per_s UnitLength_in_cm UnitMass_in_g GravityConstantInternal ErrTolIntAccuracy
    ErrTolTheta ErrTolThetaMax ErrTolForceAcc MaxSizeTimestep MinSizeTimestep ArtBulkViscConst CourantFac DesNumNgb
    TopNodeFactor ActivePartFracForNewDomainDecomp MaxNumNgbDeviation ComovingIntegrationOn ICFormat SnapFormat
    NumFilesPerSnapshot MaxFilesWithConcurrentIO TypeOfOpeningCriterion TimeLimitCPU InitGasTemp MinEgySpec
    SofteningComovingClass0 SofteningMaxPhysClass0 SofteningClassOfPartType0 SofteningClassOfPartType1
    SofteningClassOfPartType2 SofteningClassOfPartType3 SofteningClassOfPartType4 SofteningClassOfPartType5"""
)  # with one class of softening and six types, and nothing else: it knows no more
GADGET4_OPTIONS = _words(
    """PERIODIC NTYPES RANDOMIZE_DOMAINCENTER SELFGRAVITY PMGRID ASMTH RCUT NSOFTCLASSES DOUBLEPRECISION IDS_32BIT
    IDS_48BIT IDS_64BIT POSITIONS_IN_32BIT POSITIONS_IN_64BIT FMM MULTIPOLE_ORDER HIERARCHICAL_GRAVITY"""
)
SWIFT_NEEDED = _words(
    """InternalUnitSystem:UnitMass_in_cgs InternalUnitSystem:UnitLength_in_cgs InternalUnitSystem:UnitVelocity_in_cgs
    InternalUnitSystem:UnitCurrent_in_cgs InternalUnitSystem:UnitTemp_in_cgs Cosmology:Omega_cdm Cosmology:Omega_lambda
    Cosmology:Omega_b Cosmology:h Cosmology:a_begin Cosmology:a_end TimeIntegration:dt_min TimeIntegration:dt_max
    Gravity:mesh_side_length Gravity:eta Gravity:MAC Gravity:theta_cr Gravity:epsilon_fmm
    Gravity:max_physical_DM_softening Gravity:comoving_DM_softening Snapshots:basename Statistics:delta_time
    InitialConditions:file_name InitialConditions:periodic"""
)
SWIFT_KNOWN = SWIFT_NEEDED | _words(
    """Cosmology:Omega_r Cosmology:w_0 Cosmology:w_a Snapshots:subdir Snapshots:scale_factor_first Snapshots:delta_time
    Snapshots:output_list_on Snapshots:output_list Statistics:scale_factor_first InitialConditions:cleanup_h_factors
    InitialConditions:cleanup_velocity_factors InitialConditions:remap_ids"""
)
