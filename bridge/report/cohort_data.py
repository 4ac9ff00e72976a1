"""CohortReportData: all that the report of a study shows, given by whoever computed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.rt.arrays import FloatArray
from objective_extraction.variability.comparison import Comparison, PairedTest
from objective_extraction.variability.definitions import OrganVariability

__all__ = [
    "REFERENCE",
    "REFERENCE_LABEL",
    "Better",
    "CohortReportData",
    "ComparisonStatement",
    "DefinitionsStatement",
    "MethodStatement",
    "OrganDifferences",
    "PreferenceRow",
    "QualityRow",
    "SlackRow",
    "WorstCase",
]

Better = Literal["lower", "higher"]

REFERENCE, REFERENCE_LABEL = "reference", "plan of the data"
"""Key and label of the plan that came with the data, beside those of the methods."""


@dataclass(frozen=True)
class MethodStatement:
    """One way of predicting.

    Attributes
    ----------
    name
        Key of all mappings by method.
    label
        In headings and legends.
    source
        Model, version, hash and preference.
    """

    name: str
    label: str
    source: str


@dataclass(frozen=True)
class ComparisonStatement:
    """A comparison of two methods, and whom it had to leave out.

    Attributes
    ----------
    title
        What is compared.
    first, second
        Labels; the second one is the baseline.
    comparison
        None where no organ has enough patients.
    left_out
        By organ, how many patients who have it are not compared, by the reason: ``"no estimate"``, ``"curve of another
        part"``, ``"cannot be compared"``.
    too_few
        By organ, the number of patients where these are too few to compare.
    """

    title: str
    first: str
    second: str
    comparison: Comparison | None
    left_out: Mapping[str, Mapping[str, int]]
    too_few: Mapping[str, int]


@dataclass(frozen=True)
class DefinitionsStatement:
    """One method and one of its curves by every definition of variability."""

    title: str
    rows: tuple[OrganVariability, ...]


@dataclass(frozen=True)
class QualityRow:
    """One measure of plan quality over the patients in whom all plans have it.

    Attributes
    ----------
    name, unit, better
        What it is, and which way is better.
    n
        Patients.
    means, sds
        By method, and of the plan that came with the data under ``"reference"``; one patient has no SD.
    test
        First method less baseline; None with too few patients. Its means are in the measure's own direction, its wins
        are the patients in whom the first is better.
    """

    name: str
    unit: str
    better: Better
    n: int
    means: Mapping[str, float]
    sds: Mapping[str, float | None]
    test: PairedTest | None

    @property
    def is_worse(self) -> bool:
        """Whether the first method's plans are worse than the baseline's, beyond the interval of the difference."""
        if self.test is None:
            return False
        low, high = self.test.difference_interval_gy
        return low > 0.0 if self.better == "lower" else high < 0.0


@dataclass(frozen=True)
class SlackRow:
    """The objectives of one kind over all patients: what plans reached of what was asked.

    Attributes
    ----------
    method, kind
        Of whom, and which.
    n
        Objectives.
    missed_percent
        Of them that are missed by more than a tolerance that the report states.
    mean_gy
        Achieved less requested.
    mean_missed_gy, worst_gy
        By how much they are missed on average, those that are met counting 0, and at the most.
    """

    method: str
    kind: str
    n: int
    missed_percent: float
    mean_gy: float
    mean_missed_gy: float
    worst_gy: float


@dataclass(frozen=True)
class PreferenceRow:
    """What a preference promised and what its plans became, means over patients.

    Attributes
    ----------
    method
        Its name.
    organs_gy, hi, d95_gy
        Predicted and achieved: mean of the organs' mean doses (None where no patient has organs), homogeneity and D95%
        of the highest target.
    """

    method: str
    organs_gy: tuple[float, float] | tuple[None, None]
    hi: tuple[float, float]
    d95_gy: tuple[float, float]


@dataclass(frozen=True, eq=False)
class OrganDifferences:
    """Achieved less predicted D(v) of one organ, of the first method and of the baseline, on the same patients.

    Attributes
    ----------
    organ
        Its name.
    first_gy, second_gy
        Shape ``(n, 99)``, at 1 to 99 % of the volume.
    """

    organ: str
    first_gy: FloatArray
    second_gy: FloatArray


@dataclass(frozen=True)
class WorstCase:
    """An organ of a patient whose plan is far from the promise.

    Attributes
    ----------
    patient, organ, method
        Which; the method by its label.
    abs_mean_gy, signed_mean_gy
        Mean |e(v)| and mean e(v).
    link
        Of the patient's own report, relative to that of the study.
    """

    patient: str
    organ: str
    method: str
    abs_mean_gy: float
    signed_mean_gy: float
    link: str


@dataclass(frozen=True, eq=False)
class CohortReportData:
    """A study, ready to be shown.

    Attributes
    ----------
    cohort, n
        Name of the folder with the patients, and how many were studied.
    left_out
        Patients who were not, with the reasons.
    methods
        The baseline last.
    first, baseline
        Names of the methods of the headline.
    comparisons
        That of the headline first.
    definitions
        Of every method and curve.
    quality, scorecard, slack, preferences
        Plan quality; for every goal and method how many plans meet it, of how many; objectives; preferences.
    organs
        Differences for the figures, in the order of the headline.
    worst
        Worst first.
    settings
        What was done, as pairs of a heading and a text: the methods section.
    provenance
        Versions and hashes, as pairs.
    """

    cohort: str
    n: int
    left_out: Sequence[tuple[str, str]]
    methods: tuple[MethodStatement, ...]
    first: str
    baseline: str
    comparisons: tuple[ComparisonStatement, ...]
    definitions: tuple[DefinitionsStatement, ...]
    quality: tuple[QualityRow, ...]
    scorecard: Mapping[str, Mapping[str, tuple[int, int]]]
    slack: tuple[SlackRow, ...]
    preferences: tuple[PreferenceRow, ...]
    organs: tuple[OrganDifferences, ...]
    worst: tuple[WorstCase, ...]
    settings: Sequence[tuple[str, str]]
    provenance: Sequence[tuple[str, str]]

    def label(self, method: str) -> str:
        """Give the label of a method, or of the plan that came with the data."""
        return {REFERENCE: REFERENCE_LABEL, **{one.name: one.label for one in self.methods}}[method]

    @property
    def headline(self) -> ComparisonStatement:
        """The comparison that the report begins with."""
        return self.comparisons[0]
