"""Plan a case with the calls of ESAPI, and write RTPLAN and RTDOSE: python plan_phantom.py DICOM_DIR OUT.

From the line that opens the patient to the one that normalizes, names and parameters are ESAPI's.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from bridge import __version__
from bridge.dicom.assemble import collect, read_case
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.rt.case import PatientCase
from bridge.rt.provenance import Provenance
from bridge.tps.plan_case import treatment_beam
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.beams import ExternalBeamMachineParameters
from esapi_stub.engine.engine import PencilBeamEngine
from esapi_stub.enums import (
    CalculationType,
    DoseValuePresentation,
    OptimizationConvergenceOption,
    OptimizationObjectiveOperator,
    OptimizationOption,
    VolumePresentation,
)
from esapi_stub.options import OptimizationOptionsIMRT
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.planning import PlanningEngine
from esapi_stub.values import DoseValue, VRect

FRACTIONS = 35


def gray(dose: float) -> DoseValue:
    """Give a dose of so many Gy."""
    return DoseValue(dose, DoseValue.DoseUnit.Gy)


def plan_patient(application: Application, patient_id: str) -> ExternalPlanSetup:
    """Make a course and a plan, ask for objectives of each kind, optimize, calculate and normalize."""
    patient = application.OpenPatientById(patient_id)
    patient.BeginModifications()
    structure_set = patient.StructureSets[0]
    structures = {structure.Id: structure for structure in structure_set.Structures}
    target, parotid = structures["PTV_7000"], structures["Parotid_L"]

    course = patient.AddCourse()
    course.Id = "Bridge"
    plan = course.AddExternalPlanSetup(structure_set)
    plan.Id = "IMRT9"

    machine = ExternalBeamMachineParameters("Linac", "6X", 600, "STATIC", "")
    for number in range(9):
        beam = plan.AddStaticBeam(
            machine, VRect[float](-100.0, -100.0, 100.0, 100.0), 0.0, number * 40.0, 0.0, target.CenterPoint
        )
        beam.Id = f"G{number * 40}"

    # what is installed; the names differ from site to site
    for calculation in (
        CalculationType.PhotonIMRTOptimization,
        CalculationType.PhotonLeafMotions,
        CalculationType.PhotonVolumeDose,
    ):
        model, *_ = plan.GetModelsForCalculationType(calculation)
        plan.SetCalculationModel(calculation, model)

    plan.SetPrescription(FRACTIONS, gray(70.0 / FRACTIONS), 1.0)  # before the objectives; 1.0 is 100 %
    setup = plan.OptimizationSetup
    upper, lower = OptimizationObjectiveOperator.Upper, OptimizationObjectiveOperator.Lower
    setup.AddPointObjective(target, lower, gray(70.0), 98.0, 120.0)
    setup.AddPointObjective(target, upper, gray(73.5), 0.0, 120.0)
    setup.AddMeanDoseObjective(parotid, gray(24.0), 60.0)
    setup.AddEUDObjective(parotid, upper, gray(26.0), 4.0, 50.0)
    setup.AddNormalTissueObjective(80.0, 5.0, 105.0, 60.0, 0.05)

    options = OptimizationOptionsIMRT(
        200,
        OptimizationOption.RestartOptimization,
        OptimizationConvergenceOption.TerminateIfConverged,
        "Millennium 120",
    )
    if not plan.Optimize(options).Success:
        raise SystemExit("The optimization did not go to its end.")
    plan.CalculateLeafMotions()
    if not plan.CalculateDose().Success:
        raise SystemExit("There is no dose.")

    # normalized so that 98 % of the target gets 70 Gy
    plan.DoseValuePresentation = DoseValuePresentation.Absolute
    plan.PlanNormalizationValue = 100.0
    covered = plan.GetDoseAtVolume(target, 98.0, VolumePresentation.Relative, DoseValuePresentation.Absolute)
    plan.PlanNormalizationValue = 100.0 * covered.Dose / plan.TotalDose.Dose

    for structure in (target, parotid):
        dvh = plan.GetDVHCumulativeData(structure, DoseValuePresentation.Absolute, VolumePresentation.Relative, 0.1)
        print(f"{structure.Id}: mean {dvh.MeanDose}, maximum {dvh.MaxDose}")
    for beam in plan.Beams:
        print(f"{beam.Id}: {beam.Meterset.Value:.0f} MU")
    application.SaveModifications()
    return plan


def write(plan: ExternalPlanSetup, case: PatientCase, out: Path) -> None:
    """Write the plan's beams and its dose as DICOM, in the case's study."""
    now = datetime.now(UTC)
    provenance = Provenance(__version__, "", "", "", case.input_uids, now, {})
    uids = {kind: derived_uid(case.identity.structure_set_uid, now.isoformat(), kind) for kind in ("plan", "dose")}
    dose = plan.rt_dose  # bridge.rt.volume.Dose, in Gy: compare it, extract objectives from it
    out.mkdir(parents=True, exist_ok=True)
    write_rtplan(
        case.identity,
        (),
        provenance,
        label=plan.Id,
        fractions=FRACTIONS,
        frame_of_reference_uid=dose.grid.frame_of_reference_uid,
        sop_instance_uid=uids["plan"],
        series_instance_uid=derived_uid(uids["plan"], "series"),
        path=out / "rtplan.dcm",
        beams=[treatment_beam(plan, beam) for beam in plan.Beams],
    )
    write_rtdose(
        dose,
        case.identity,
        provenance,
        plan_uid=uids["plan"],
        bits=32,
        sop_instance_uid=uids["dose"],
        series_instance_uid=derived_uid(uids["dose"], "series"),
        path=out / "rtdose.dcm",
        label="Plan by script",
    )


def main(dicom_dir: Path, out: Path, engine: PlanningEngine) -> None:
    """Plan the case in one folder, and write plan and dose into another."""
    case = read_case(collect(dicom_dir)).case
    # Eclipse has a database; the stub is given one: a patient with his structures and CT, and what calculates
    stored = StoredStructureSet(
        "CT_1", case.identity.structure_set_uid, case.structures, case.ct, case.identity.patient_position
    )
    with Application.CreateApplication(Database({"P1": [stored]}, engine=engine)) as application:
        write(plan_patient(application, "P1"), case, out)
    print(f"written: {out / 'rtplan.dcm'}, {out / 'rtdose.dcm'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), PencilBeamEngine())
