"""What a study keeps of a patient: every number that any table or figure needs, in one file that appears whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.rt import whole_file
from bridge.rt.errors import ModelRefusal, StorageFailure
from bridge.rt.plan_metrics import Conformity
from bridge.workflow.cohort.study import Study
from models.library.measures import PlanMeasures
from objective_extraction.slack import ObjectiveSlack
from objective_extraction.variability.deviation import Deviation, PredictedCurve

__all__ = [
    "VOLUMES_PERCENT",
    "Curves",
    "FindingEntry",
    "MethodResult",
    "PatientResult",
    "PlanQuality",
    "StructureEntry",
    "as_bytes",
    "patient_file",
    "read_patient_result",
    "read_study",
    "write_file",
]

VOLUMES_PERCENT = tuple(range(101))
"""Of all stored curves."""

Curves = Mapping[str, tuple[float, ...]]
"""By structure name: D(v) in Gy at :data:`VOLUMES_PERCENT`, rounded to 0.001 Gy."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StructureEntry(_Part):
    """A structure whose DVHs are kept.

    Attributes
    ----------
    name
        As in the curves.
    kind
        ``"outside"`` is the part of an organ outside all targets.
    organ
        Of such a part, the organ's name.
    volume_cc
        Of the contours.
    """

    name: str
    kind: Literal["target", "organ", "outside"]
    organ: str | None
    volume_cc: float


class PlanQuality(_Part):
    """How good a dose is, whatever was promised.

    Attributes
    ----------
    measures
        Dose parameters, homogeneity, and what became of the protocol's goals.
    conformity
        Of the highest target at its prescription; None where no part of the body gets it.
    """

    measures: PlanMeasures
    conformity: Conformity | None


class FindingEntry(_Part):
    """Something that a person should know."""

    code: str
    severity: str
    message: str


class MethodResult(_Part):
    """One method for one patient.

    Attributes
    ----------
    name
        Of the method.
    predicted
        What stands for the prediction, then its curves.
    upper
        Upper edges of a band, to be drawn; empty for a dose.
    achieved
        Curves of the optimized dose.
    deviations
        What stands for the prediction, then by structure: achieved less predicted.
    not_compared
        Structures whose DVHs cannot be held against each other, with the reasons.
    derived
        Name of the structure that each structure made for objectives is a part of.
    slack
        Every objective and what the plan reached of it.
    promised, planned
        Quality of the predicted dose, where there is one, and of the optimized one.
    factor
        By which the optimized dose was scaled.
    iterations, stop, objective_value
        Of the optimization.
    not_estimated
        Organs that the patient has and the method says nothing of.
    findings
        Of prediction and extraction.
    """

    name: str
    predicted: Mapping[PredictedCurve, Curves]
    upper: Curves
    achieved: Curves
    deviations: Mapping[PredictedCurve, Mapping[str, Deviation]]
    not_compared: Mapping[str, str]
    derived: Mapping[str, str]
    slack: tuple[ObjectiveSlack, ...]
    promised: PlanQuality | None
    planned: PlanQuality
    factor: float
    iterations: int
    stop: str
    objective_value: float
    not_estimated: tuple[str, ...]
    findings: tuple[FindingEntry, ...]


class PatientResult(_Part):
    """One patient.

    Attributes
    ----------
    id
        ``pt_N``.
    study_sha256, source_sha256
        Of the study's conditions, and of the patient's files.
    levels_gy
        Prescriptions by target, highest first.
    structures
        Targets, organs, and organs outside targets.
    methods
        In the order of the study.
    reference
        Quality of the plan that came with the data.
    reference_curves
        Its DVHs.
    """

    format: Literal["fdp-bridge-cohort-patient"] = "fdp-bridge-cohort-patient"
    version: Literal[1] = 1
    id: str
    study_sha256: str
    source_sha256: str
    levels_gy: Mapping[str, float]
    structures: tuple[StructureEntry, ...]
    methods: tuple[MethodResult, ...]
    reference: PlanQuality
    reference_curves: Curves

    def method(self, name: str) -> MethodResult:
        """Give what one method made of the patient."""
        return next(method for method in self.methods if method.name == name)


def patient_file(folder: Path, patient_id: str) -> Path:
    """Give the file of a patient in the folder of a study."""
    return folder / "patients" / f"{patient_id}.json"


def as_bytes(content: BaseModel) -> bytes:
    """Give the bytes of a file: the same content gives the same bytes."""
    return (json.dumps(content.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode()


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a study whole.

    Raises
    ------
    StorageFailure
        It cannot be written (``cohort-unwritable``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write_whole(path, content)
    except OSError as error:
        raise StorageFailure(
            "cohort-unwritable", f"{path.name} cannot be written: {error.strerror}.", file=path.name
        ) from error


def read_patient_result(path: Path) -> PatientResult:
    """Read a patient.

    Raises
    ------
    ModelRefusal
        The file is not what a study writes, or that of another patient (``cohort-file``).
    """
    try:
        result = PatientResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(path) from error
    if result.id != path.stem:  # it becomes part of the paths of reports
        raise _damaged(path)
    return result


def read_study(path: Path) -> Study:
    """Read the conditions of a study; raises as :func:`read_patient_result`."""
    try:
        return Study.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelRefusal:
    return ModelRefusal(
        "cohort-file",
        f"{path.name} is not a file that this version of a study writes; delete it, and it is made again.",
        file=path.name,
    )
