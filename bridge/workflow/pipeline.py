"""The bridge in a few verbs: prepare, predict, measure, extract. No files, no network, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bridge import __version__
from bridge.rt.anatomy import anatomy_of, external_of
from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.findings import Finding
from bridge.rt.laterality import require_sides
from bridge.rt.prescribe import find_prescription
from bridge.rt.prescription import Prescription
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from config.structure_names import Ambiguous, StructureNames
from models.predictor import DosePredictor, Prediction, Preference
from objective_extraction.extract import ExtractionSettings, extract_objectives
from objective_extraction.objectives import ObjectiveSet

__all__ = ["CaseResult", "measure", "name_structures", "predict_case", "prepare"]


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
        One for every structure with contours, in structure order.
    objectives
        What the planner's optimizer is asked for.
    provenance
        Versions, hashes and inputs.
    """

    case: PatientCase
    prediction: Prediction
    dvhs: tuple[Dvh, ...]
    objectives: ObjectiveSet
    provenance: Provenance


def name_structures(case: PatientCase, names: StructureNames) -> PatientCase:
    """Give every organ its TG-263 name where the site's table has exactly one, and check left against right.

    Raises
    ------
    StructureRefusal
        A left and a right organ lie the other way round.
    """
    matched: dict[int, str] = {}
    findings: list[Finding] = []
    for structure in case.structures:
        if structure.kind != "organ" or structure.is_empty:
            continue
        match = names.match(structure.name)
        if isinstance(match, Ambiguous):
            findings.append(
                Finding(
                    "name-ambiguous",
                    "warning",
                    f"{structure.name!r} could be {' or '.join(match.candidates)}; it is not used as an organ until "
                    "the site's name table says which.",
                    {"roi": structure.name},
                )
            )
        elif match is not None:
            matched[structure.number] = match.standard_name
    for standard_name in sorted(set(matched.values())):
        claimants = [s for s in case.structures if matched.get(s.number) == standard_name]
        if len(claimants) > 1:
            shown = ", ".join(repr(structure.name) for structure in claimants)
            findings.append(
                Finding(
                    "name-claimed-twice",
                    "warning",
                    f"{shown} would all be {standard_name}; none of them is used under that name.",
                    {"roi": standard_name},
                )
            )
            for structure in claimants:
                del matched[structure.number]
    structures = tuple(replace(s, standard_name=matched.get(s.number)) for s in case.structures)
    require_sides(structures)
    return replace(case, structures=structures, findings=(*case.findings, *findings))


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
    named = name_structures(case, names)
    prescription, findings = find_prescription(named.structures, plan_doses, fractions, configured_levels)
    return replace(named, prescription=prescription, findings=(*named.findings, *findings))


def measure(structures: Sequence[Structure], dose: Dose, policy: DvhPolicy) -> tuple[Dvh, ...]:
    """Compute the DVH of every structure with contours."""
    return tuple(compute_dvh(structure, dose, policy) for structure in structures if not structure.is_empty)


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
    )
    dvhs = measure(case.structures, prediction.dose, dvh_policy)
    objectives = extract_objectives(
        case.structures,
        _prescribed(case),
        prediction.dose,
        external=external_of(case),
        settings=extraction,
        policy=dvh_policy,
        provenance=provenance,
        study_instance_uid=case.identity.study_instance_uid,
        structure_set_uid=case.identity.structure_set_uid,
        dose_source="predicted",
    )
    return CaseResult(case, prediction, dvhs, objectives, provenance)


def _prescribed(case: PatientCase) -> Prescription:
    assert case.prescription is not None  # noqa: S101 - anatomy_of refused a case without one
    return case.prescription
