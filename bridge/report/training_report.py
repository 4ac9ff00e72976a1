"""The report of a knowledge-based model's training: which plans lie apart, in numbers and in plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bridge.report.case_tables import Column, Row, Table, fixed
from bridge.report.page import rendered, study_css
from bridge.report.regression_figure import regression_figure
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE
from models.kbp.fit import FLAG_COOKS_DISTANCE, FLAG_LEVERAGE, FLAG_STUDENTIZED, PlanInfluence

__all__ = ["TRAINING_BANNER", "TrainingReportData", "render_training_report"]

TRAINING_BANNER = f"TRAINING OF A MODEL - {NOT_FOR_CLINICAL_USE}"


@dataclass(frozen=True)
class TrainingReportData:
    """What is reported of a training.

    Attributes
    ----------
    model
        Id.
    source
        What the plans are.
    software
        Program and version.
    command
        How it is done again.
    plans
        Number of plans.
    plans_by_organ
        How many have each organ.
    too_few
        Organs that were left out, with the number of their plans.
    influences
        How each plan lies in each regression.
    """

    model: str
    source: str
    software: str
    command: str
    plans: int
    plans_by_organ: Mapping[str, int]
    too_few: Mapping[str, int]
    influences: tuple[PlanInfluence, ...]


def render_training_report(data: TrainingReportData) -> str:
    """Give the HTML of the report; figures are of the regressions that have a feature.

    Raises
    ------
    Failure
        The extra ``[report]`` is not installed (``report-extra-missing``).
    """
    regressions = _regressions(data.influences)
    organs = [
        (organ, [(_caption(plans), regression_figure(plans)) for plans in found])
        for organ, found in ((name, [r for r in regressions if r[0].organ == name]) for name in data.plans_by_organ)
        if found
    ]
    return rendered(
        "training_report.html.j2",
        title=f"Plans that {data.model} learned from",
        banner=TRAINING_BANNER,
        css=study_css(),
        data=data,
        organs=organs,
        counted=_counted(data),
        flagged=_flagged(data.influences),
        limits=(FLAG_STUDENTIZED, FLAG_LEVERAGE, FLAG_COOKS_DISTANCE),
    )


def _regressions(influences: Sequence[PlanInfluence]) -> list[list[PlanInfluence]]:
    """Give the plans of each component that geometry explains anything of."""
    groups = groupby(influences, key=lambda row: (row.organ, row.region, row.component))
    return [found for _, group in groups if (found := list(group))[0].feature]


def _counted(data: TrainingReportData) -> Table:
    columns = (Column("Organ", is_number=False), Column("Plans"), Column("Flagged in a regression"))
    rows = [
        Row((organ, str(plans), str(len({row.plan for row in data.influences if row.organ == organ and row.flagged}))))
        for organ, plans in data.plans_by_organ.items()
    ]
    rows += [Row((organ, str(plans), "too few plans")) for organ, plans in data.too_few.items()]
    return Table(f"{data.plans} plans", columns, tuple(rows))


def _flagged(influences: Sequence[PlanInfluence]) -> Table:
    """List what is flagged, plan by plan, the plan with the most first."""
    found: dict[str, list[PlanInfluence]] = {}
    for row in influences:
        if row.flagged:
            found.setdefault(row.plan, []).append(row)
    means = {
        (plans[0].organ, plans[0].region, plans[0].component): float(np.mean([plan.leverage for plan in plans]))
        for plans in (list(group) for _, group in groupby(influences, key=lambda r: (r.organ, r.region, r.component)))
    }
    columns = (
        Column("Plan", is_number=False), Column("Organ", is_number=False), Column("Region", is_number=False),
        Column("Component"), Column("Studentized residual"), Column("Leverage over its mean"),
        Column("Cook's distance"),
    )  # fmt: skip
    rows = [
        Row(
            (
                plan,
                row.organ,
                row.region.replace("_", "-"),
                str(row.component),
                fixed(row.studentized, 1),
                fixed(row.leverage / means[row.organ, row.region, row.component], 1),
                fixed(row.cooks_distance, 2),
            )
        )
        for plan, flagged in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        for row in flagged
    ]
    return Table("Flagged plans, those flagged most often first", columns, tuple(rows))


def _caption(plans: Sequence[PlanInfluence]) -> str:
    first = plans[0]
    return (
        f"{first.organ}, {first.region.replace('_', '-')}, component {first.component} of the DVH: {len(plans)} plans."
    )
