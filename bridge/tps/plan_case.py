"""Plan a case in esapi_stub with the calls that a script makes in Eclipse: from objectives to an optimized dose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.case import PatientCase
from bridge.rt.errors import Failure, GeometryRefusal, PrescriptionRefusal, Refusal
from bridge.rt.prescription import Prescription
from bridge.rt.treatment_beam import TreatmentBeam
from bridge.rt.volume import Dose
from bridge.tps.esapi_port import EsapiPort
from bridge.tps.receipt import Receipt
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.beams import Beam, ExternalBeamMachineParameters
from esapi_stub.enums import CalculationType
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.planning import QUIET, PlanningEngine, Watch
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue, VVector
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["NINE_BEAMS_DEG", "PlannedCase", "plan_case", "treatment_beam"]

NINE_BEAMS_DEG = tuple(40.0 * number for number in range(9))
"""Gantry angles at equal distances, the first at 0."""

_PATIENT = "Patient"
_ENERGY_MV = 6.0
_MACHINE = ExternalBeamMachineParameters("esapi_stub", f"{_ENERGY_MV:g}X", 600, "STATIC", "")
_CALCULATIONS = (
    CalculationType.PhotonIMRTOptimization,
    CalculationType.PhotonLeafMotions,
    CalculationType.PhotonVolumeDose,
)
_SLIDING_WINDOW = (0.0, 1.0)
"""Meterset weights; the stub computes no leaf motions between."""


@dataclass(frozen=True, eq=False)
class PlannedCase:
    """What an optimization made of objectives.

    Attributes
    ----------
    receipt
        Which objectives the plan took, and which not and why: a plan that lacks some is not what was asked for.
    dose
        Optimized total dose, not normalized.
    beams
        In the order of the gantry angles that were asked for.
    fractions
        That the monitor units are for.
    engine
        Its name.
    objective_value
        The engine's own; lower is better.
    iterations
        How many the optimizer did.
    is_converged
        Whether it ended by itself, not for want of iterations.
    seconds
        By the clock, for each step.
    """

    receipt: Receipt
    dose: Dose
    beams: tuple[TreatmentBeam, ...]
    fractions: int
    engine: str
    objective_value: float
    iterations: int
    is_converged: bool
    seconds: Mapping[str, float]


def plan_case(
    case: PatientCase,
    objectives: ObjectiveSet,
    engine: PlanningEngine,
    gantry_angles_deg: Sequence[float] = NINE_BEAMS_DEG,
    watch: Watch = QUIET,
) -> PlannedCase:
    """Make a plan, hand the objectives over, optimize, and calculate the dose.

    Whether the objectives are approved and belong to the case is for the caller to know; see
    :func:`bridge.tps.same_case.require_same_case`.

    Parameters
    ----------
    case
        CT and structures; one is of kind external.
    objectives
        Their number of fractions holds, or else that of the case's prescription.
    engine
        What optimizes and calculates.
    gantry_angles_deg
        IEC 61217, in [0, 360), each once; couch and collimator are at 0, the isocentre is in the middle of the targets.
    watch
        Progress and cancelling of the optimization.

    Raises
    ------
    PrescriptionRefusal
        The number of fractions is not known (``fractions-unknown``): monitor units would mean nothing.
    Refusal
        No objective was taken (``objectives-refused``), the host refused a call (``planning-refused``), or the engine
        cannot plan this patient.
    Failure
        The optimization was cancelled (``planning-cancelled``), or the engine is not installed.
    """
    prescription = objectives.prescription
    fractions = prescription.fractions or (case.prescription.fractions if case.prescription else None)
    if fractions is None:
        raise PrescriptionRefusal(
            "fractions-unknown",
            "Neither the objectives nor the case say in how many fractions the dose is given, and monitor units are of "
            "one fraction. Give an RTPLAN that says it, or prescription.fractions in the settings.",
        )
    position = case.identity.patient_position
    stored = StoredStructureSet("CT", objectives.case.structure_set_uid, case.structures, case.ct, position)
    steps = _Steps()
    database = Database({_PATIENT: [stored]}, engine=engine, watch=steps.watching(watch))
    with _refusals(), Application.CreateApplication(database) as application:
        plan = _new_plan(application, prescription, fractions, gantry_angles_deg)
        receipt = EsapiPort(plan).hand_over(objectives)
        if all(outcome.objective is None for outcome in receipt.added):  # a normal tissue objective alone is no plan
            reasons = dict.fromkeys(filter(None, (receipt.reason, *(outcome.reason for outcome in receipt.refused))))
            raise Refusal("objectives-refused", f"The plan took none of the objectives: {'; '.join(reasons)}.")
        _set_models(plan)
        steps.done("hand-over")
        result = plan.Optimize()
        if not result.Success:
            raise Failure("planning-cancelled", "The optimization was cancelled; there is no plan.")
        steps.done("optimization")
        plan.CalculateLeafMotions()
        plan.CalculateDose()
        steps.done("dose")
        dose = plan.rt_dose
        assert dose is not None  # noqa: S101 - calculated two lines above
        return PlannedCase(
            receipt=receipt,
            dose=dose,
            beams=tuple(treatment_beam(plan, beam) for beam in plan.Beams),
            fractions=fractions,
            engine=engine.name,
            objective_value=result.TotalObjectiveFunctionValue,
            iterations=result.NumberOfIMRTOptimizerIterations,
            is_converged=plan.is_converged,
            seconds=steps.seconds,
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the host refuses into a refusal of ours."""
    try:
        yield
    except HostException as error:
        raise Refusal("planning-refused", f"esapi_stub refused the plan: {error}.") from error


class _Steps:
    """Seconds by the clock since the last step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, step: str) -> None:
        """Say that a step has ended."""
        now = time.perf_counter()
        self.seconds[step] = now - self._last
        self._last = now

    def watching(self, watch: Watch) -> Watch:
        """Take the first report of an optimization for the end of the influence, which the engine computes first."""

        def progress(iteration: int, objective_value: float) -> None:
            if "influence" not in self.seconds:
                self.done("influence")
            watch.progress(iteration, objective_value)

        return replace(watch, progress=progress)


def _new_plan(
    application: Application, prescription: Prescription, fractions: int, gantry_angles_deg: Sequence[float]
) -> ExternalPlanSetup:
    patient = application.OpenPatientById(_PATIENT)
    assert patient is not None  # noqa: S101 - the caller's database has this patient alone
    patient.BeginModifications()
    course = patient.AddCourse()
    course.Id = "Bridge"
    plan = course.AddExternalPlanSetup(patient.StructureSets[0])
    plan.Id = "Optimized"
    plan.SetPrescription(fractions, DoseValue(prescription.highest_gy / fractions, DoseValue.DoseUnit.Gy), 1.0)
    isocentre = _isocentre(plan, prescription)
    for gantry_deg in gantry_angles_deg:
        beam = plan.AddSlidingWindowBeam(_MACHINE, _SLIDING_WINDOW, 0.0, gantry_deg, 0.0, isocentre)
        beam.Id = f"G{gantry_deg:g}"
    return plan


def _set_models(plan: ExternalPlanSetup) -> None:
    """Choose what is installed, after the hand-over, which may take the dose model away to unlock the structures."""
    for calculation in _CALCULATIONS:
        model, *_ = plan.GetModelsForCalculationType(calculation)
        plan.SetCalculationModel(calculation, model)


def _isocentre(plan: ExternalPlanSetup, prescription: Prescription) -> VVector:
    """Give the middle of the prescribed targets, each weighing as much as its volume."""
    numbers = {level.roi_number for level in prescription.levels}
    targets = [s for s in plan.StructureSet.Structures if s.ROINumber in numbers and not s.IsEmpty]
    whole = sum(target.Volume for target in targets)
    if not whole > 0:
        raise GeometryRefusal("no-target", "None of the prescribed targets has contours in this structure set.")
    centres = [(target.CenterPoint, target.Volume / whole) for target in targets]
    return VVector(
        sum(centre.x * part for centre, part in centres),
        sum(centre.y * part for centre, part in centres),
        sum(centre.z * part for centre, part in centres),
    )


def treatment_beam(plan: ExternalPlanSetup, beam: Beam) -> TreatmentBeam:
    """Give an optimized beam of a fixed gantry angle as it is written in an RTPLAN."""
    (fluence,) = [part for part in plan.fluence if part.beam == beam.Id]
    used = fluence.weights > 0
    first, isocentre = beam.ControlPoints[0], beam.IsocenterPosition
    return TreatmentBeam(
        number=beam.BeamNumber,
        name=beam.Id,
        gantry_deg=first.GantryAngle,
        collimator_deg=first.CollimatorAngle,
        couch_deg=first.PatientSupportAngle,
        isocentre_mm=(isocentre.x, isocentre.y, isocentre.z),
        energy_mv=_ENERGY_MV,
        outline_mm=_outline_mm(fluence.x_mm, fluence.y_mm, used if used.any() else ~used),
        monitor_units=beam.Meterset.Value,
    )


def _outline_mm(x_mm: FloatArray, y_mm: FloatArray, used: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Give the outline of the beamlets that are used. Their width is the distance between two; one alone has none."""
    apart = np.concatenate([np.diff(np.unique(np.round(at, 3))) for at in (x_mm, y_mm)])
    half = float(apart.min()) / 2.0 if len(apart) else 0.0
    x, y = x_mm[used], y_mm[used]
    return float(x.min()) - half, float(y.min()) - half, float(x.max()) + half, float(y.max()) + half
