"""PatientReportData: one patient of a study, with what was asked, promised and achieved by two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.rt.arrays import FloatArray

__all__ = ["AskedPoint", "MethodCurves", "PatientReportData", "StructurePanel"]


@dataclass(frozen=True)
class AskedPoint:
    """A point objective: at most (upper) or at least ``dose_gy`` to ``volume_percent``."""

    operator: str
    dose_gy: float
    volume_percent: float


@dataclass(frozen=True, eq=False)
class MethodCurves:
    """One method for one structure; curves are D(v) at 0 to 100 %, shape ``(101,)``.

    Attributes
    ----------
    asked
        Point objectives of the structure.
    predicted_gy
        What stands for the prediction; None where the method predicts nothing of it.
    band_gy
        Lower and upper edge of an estimated band.
    achieved_gy
        Of the optimized plan.
    abs_mean_gy, signed_mean_gy
        Of achieved less predicted; None without a prediction, and where the two curves cannot be compared.
    not_compared
        Why not, in a sentence.
    """

    asked: Sequence[AskedPoint]
    predicted_gy: FloatArray | None
    band_gy: tuple[FloatArray, FloatArray] | None
    achieved_gy: FloatArray
    abs_mean_gy: float | None
    signed_mean_gy: float | None
    not_compared: str = ""


@dataclass(frozen=True, eq=False)
class StructurePanel:
    """One structure of the patient.

    Attributes
    ----------
    name
        As it is shown.
    volume_cc
        Of the structure.
    prescribed_gy
        Of a target, else None.
    first, baseline
        The two methods.
    reference_gy
        DVH of the plan that came with the data.
    """

    name: str
    volume_cc: float
    prescribed_gy: float | None
    first: MethodCurves
    baseline: MethodCurves
    reference_gy: FloatArray | None


@dataclass(frozen=True, eq=False)
class PatientReportData:
    """One patient, ready to be shown.

    Attributes
    ----------
    patient, cohort
        Id, and name of the folder that the patient is of.
    levels_gy
        Prescriptions by target.
    first, baseline, sources
        Labels of the methods, and what they are: model, version, hash, preference.
    panels
        Targets first.
    goals
        Of the protocol: what, and for each plan by its label what it reached and whether the goal is met.
    findings
        By the method's label: severity, code and text.
    settings, provenance
        As of the report of the study.
    back
        Link to that.
    """

    patient: str
    cohort: str
    levels_gy: Mapping[str, float]
    first: str
    baseline: str
    sources: tuple[str, str]
    panels: tuple[StructurePanel, ...]
    goals: Sequence[tuple[str, Mapping[str, tuple[float, bool]]]]
    findings: Sequence[tuple[str, str, str, str]]
    settings: Sequence[tuple[str, str]]
    provenance: Sequence[tuple[str, str]]
    back: str
