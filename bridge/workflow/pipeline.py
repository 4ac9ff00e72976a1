"""The bridge in a few verbs: prepare, predict, measure, extract. No files, no network, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bridge import __version__
from bridge.rt.anatomy import anatomy_of
from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.findings import Finding, each_once
from bridge.rt.prescribe import find_prescription
from bridge.rt.prescription import Prescription
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from bridge.workflow.naming import name_structures
from config.structure_names import StructureNames
from models.checks import check_spacing
from models.predictor import DosePredictor, Prediction
from models.preference import Preference
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import CaseReference, ObjectiveSet
from objective_extraction.settings import ExtractionSettings

__all__ = ["CaseResult", "measure", "predict_case", "prepare", "uncovered"]


@dataclass(frozen=True, eq=False)
class CaseResult:
    """All that the bridge works out about one case.

    Attributes
    ----------
    case
        With standard names, prescription and all findings so far.
    prediction
        Predicted dose and what made it.
    dvhs
        One for every structure, in structure order.
    objectives
        What the planner's optimizer is asked for, with every warning about case and dose: they are what a person
        approves and what goes to the planning system.
    provenance
        Versions, hashes and inputs.
    voxel_sd_gy
        Mean predicted standard deviation of the voxel doses in each structure, by ROI number; empty where the model
        predicts none.
    """

    case: PatientCase
    prediction: Prediction
    dvhs: tuple[Dvh, ...]
    objectives: ObjectiveSet
    provenance: Provenance
    voxel_sd_gy: Mapping[int, float] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that a person should know, each once: of the case, of its dose, and of the objectives."""
        return each_once((*self.case.findings, *self.objectives.findings))


def prepare(
    case: PatientCase,
    plan_doses: Sequence[tuple[int, float]],
    fractions: int | None,
    names: StructureNames,
    configured_levels: Mapping[str, float],
) -> PatientCase:
    """Name the structures and find the prescription.

    Parameters
    ----------
    case
        As read.
    plan_doses, fractions
        From the RTPLAN where one came: ``(ROI number, total dose in Gy)``.
    names
        The site's table of structure names.
    configured_levels
        Target name to Gy, the last resort.

    Raises
    ------
    PrescriptionRefusal, StructureRefusal
        No usable target, contradictory levels, or swapped sides.
    """
    structures, naming = name_structures(case.structures, names)
    prescription, prescribing = find_prescription(structures, plan_doses, fractions, configured_levels)
    findings = (*case.findings, *naming, *prescribing)
    return replace(case, structures=structures, prescription=prescription, findings=findings)


def measure(structures: Sequence[Structure], dose: Dose, policy: DvhPolicy) -> tuple[Dvh, ...]:
    """Compute the DVH of every structure; one without contours gets an empty one."""
    return tuple(compute_dvh(structure, dose, policy) for structure in structures)


def uncovered(dvhs: Sequence[Dvh], grid: str = "the dose grid") -> list[Finding]:
    """Tell which structures reach beyond the grid of a dose."""
    return [
        Finding(
            "dvh-coverage",
            "warning",
            f"{100 * dvh.coverage:.1f} % of {dvh.roi_name!r} lies inside {grid}; its DVH is that of this part.",
            {"roi": dvh.roi_name},
        )
        for dvh in dvhs
        if dvh.volume_cc > 0 and dvh.coverage < 1 - 1e-6
    ]


def predict_case(
    case: PatientCase,
    predictor: DosePredictor,
    preference: Preference,
    *,
    dose_grid_mm: float,
    dvh_policy: DvhPolicy,
    extraction: ExtractionSettings,
    config_sha256: str,
) -> CaseResult:
    """Predict the dose of a prepared case, measure it, and extract objectives.

    Raises
    ------
    Refusal
        Whatever the rooms below refuse: the case is not predicted in part.
    """
    check_spacing(predictor.card, case.ct.grid)
    anatomy, findings = anatomy_of(case, dose_grid_mm)
    prediction = predictor.predict(anatomy, preference)
    case = replace(case, findings=(*case.findings, *findings, *prediction.findings))
    provenance = Provenance(
        software_version=__version__,
        model_id=prediction.model_id,
        model_sha256=prediction.model_sha256,
        config_sha256=config_sha256,
        input_uids=case.input_uids,
        created_utc=datetime.now(UTC),
        preference=preference.as_dict(),
        preference_used={
            one.where["wish"]: float(one.where["used"])
            for one in prediction.findings
            if one.code == "preference-limited" and "used" in one.where
        },
    )
    dvhs = measure(case.structures, prediction.dose, dvh_policy)
    objectives = extract_objectives(
        case.structures,
        _prescribed(case),
        prediction.dose,
        dvhs,
        case=CaseReference(
            case.identity.structure_set_uid, case.identity.study_instance_uid, anatomy.grid.frame_of_reference_uid
        ),
        dose_source="predicted",
        settings=extraction,
        policy=dvh_policy,
        provenance=provenance,
    )
    warnings = (finding for finding in case.findings if finding.severity == "warning")
    objectives = replace(objectives, findings=each_once((*warnings, *objectives.findings)))
    voxel_sd_gy = _voxel_sd_gy(case.structures, prediction, dvh_policy)
    return CaseResult(case, prediction, dvhs, objectives, provenance, voxel_sd_gy)


def _voxel_sd_gy(structures: Sequence[Structure], prediction: Prediction, policy: DvhPolicy) -> dict[int, float]:
    if prediction.uncertainty_gy is None:
        return {}
    spread = Dose(prediction.uncertainty_gy, prediction.dose.grid)
    # a mean needs no more samples than the quick way takes
    dvhs = prepare_dvhs(structures, spread.grid, policy).dvhs(spread)
    return {dvh.roi_number: dvh.mean_gy for dvh in dvhs if not dvh.is_empty}


def _prescribed(case: PatientCase) -> Prescription:
    assert case.prescription is not None  # noqa: S101 - anatomy_of refused a case without one
    return case.prescription
