"""DVHs and objectives of any dose that comes as a file: a planning system's, a predicted or an optimized one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bridge import __version__
from bridge.dicom.assemble import collect, read_case
from bridge.dicom.read_dose import DoseObject, read_dose_object
from bridge.dicom.structure_set import StructureSet, read_structure_set
from bridge.report.tables import dvh_json
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import IdentityRefusal
from bridge.rt.findings import Finding
from bridge.rt.metrics import structure_metrics
from bridge.rt.prescribe import find_prescription
from bridge.rt.provenance import Provenance
from bridge.rt.structure import Structure
from bridge.workflow.naming import name_structures
from bridge.workflow.pipeline import uncovered
from bridge.workflow.predict import dvh_policy, extraction_settings, structure_names
from config.settings import Settings
from objective_extraction.eclipse_template import write_template
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_json import write_objective_set
from objective_extraction.objective_set import CaseReference, ObjectiveSet

__all__ = ["Measured", "extract_files", "measure_files"]


@dataclass(frozen=True, eq=False)
class Measured:
    """DVHs of a given dose."""

    dvhs: tuple[Dvh, ...]
    findings: tuple[Finding, ...]
    policy: DvhPolicy
    provenance: Provenance

    def as_json(self) -> dict[str, object]:
        """Give the contents of ``dvh.json``."""
        metrics = {dvh.roi_number: structure_metrics(dvh) for dvh in self.dvhs if not dvh.is_empty}
        content = dvh_json(self.dvhs, metrics, self.provenance)
        return {**content, "findings": [finding.as_dict() for finding in self.findings]}


def measure_files(dose_file: Path, structures_file: Path, settings: Settings) -> Measured:
    """Compute the DVH of every structure of an RTSTRUCT, also of empty ones, in the dose of an RTDOSE.

    Raises
    ------
    IdentityRefusal
        Dose and structures are of two patients.
    GeometryRefusal
        They are in different frames of reference.
    DicomRefusal
        A file cannot be read safely.
    """
    dose, structure_set = _read_pair(dose_file, structures_file)
    policy = dvh_policy(settings)
    dvhs = tuple(compute_dvh(structure, dose.dose, policy) for structure in structure_set.structures)
    findings = (*structure_set.findings, *_named_twice(structure_set.structures), *uncovered(dvhs))
    return Measured(dvhs, findings, policy, _provenance(dose, structure_set, settings))


def extract_files(
    dose_file: Path, structures_file: Path, ct_folder: Path | None, out: Path, settings: Settings
) -> ObjectiveSet:
    """Extract objectives from the dose of an RTDOSE; write JSON to ``out`` and the template beside it as XML.

    Parameters
    ----------
    ct_folder
        With the CT and the RTSTRUCT, to check one against the other; None trusts the structure set as it is.

    Raises
    ------
    Refusal
        As :func:`measure_files`, and where no prescription is found.
    """
    dose, structure_set = _read_pair(dose_file, structures_file)
    if ct_folder is not None:
        read_case([*{*collect(ct_folder), structures_file}])
    structures, naming = name_structures(structure_set.structures, structure_names(settings))
    prescription, prescribing = find_prescription(
        structures, (), settings.prescription.fractions, settings.prescription.levels
    )
    objectives = extract_objectives(
        structures,
        prescription,
        dose.dose,
        (),
        case=CaseReference(
            structure_set.sop_instance_uid, dose.study_instance_uid, dose.dose.grid.frame_of_reference_uid
        ),
        dose_source=dose.origin.source,
        settings=extraction_settings(settings),
        policy=dvh_policy(settings),
        provenance=_provenance(dose, structure_set, settings),
    )
    findings = (*structure_set.findings, *naming, *prescribing, *objectives.findings)
    objectives = replace(objectives, findings=findings)
    write_objective_set(objectives, out)
    write_template(objectives, out.with_suffix(".xml"))
    return objectives


def _read_pair(dose_file: Path, structures_file: Path) -> tuple[DoseObject, StructureSet]:
    dose, structure_set = read_dose_object(dose_file), read_structure_set(structures_file)
    if dose.patient_key != structure_set.patient_key:
        raise IdentityRefusal(
            "two-patients",
            "The dose and the structure set carry different Patient IDs.",
            dose=dose.sop_instance_uid,
            structure_set=structure_set.sop_instance_uid,
        )
    named = dose.referenced_structure_set_uid
    if named is not None and named != structure_set.sop_instance_uid:
        raise IdentityRefusal(
            "other-structure-set",
            "The dose was computed on another structure set than the one given.",
            dose_names=named,
            given=structure_set.sop_instance_uid,
        )
    return dose, structure_set


def _named_twice(structures: Sequence[Structure]) -> list[Finding]:
    """Tell which structures can only be told apart by their number."""
    names = Counter(structure.name for structure in structures)
    return [
        Finding(
            "roi-name-repeated",
            "warning",
            f"{count} structures are named {name!r}; tell them by number.",
            {"roi": name},
        )
        for name, count in names.items()
        if count > 1
    ]


def _provenance(dose: DoseObject, structure_set: StructureSet, settings: Settings) -> Provenance:
    return Provenance(
        software_version=__version__,
        model_id=dose.origin.model_id,
        model_sha256=dose.origin.model_sha256,
        config_sha256=settings.sha256,
        input_uids={dose.sop_instance_uid: dose.sha256, structure_set.sop_instance_uid: structure_set.sha256},
        created_utc=datetime.now(UTC),
        preference={},
    )
