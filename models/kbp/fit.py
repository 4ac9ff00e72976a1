"""Learning the DVHs of one organ from plans: components, regressions, and how each plan lies to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray
from models.kbp.features import features_of
from models.kbp.parameters import Components, OrganModel, RegionModel, Regression, Scaling
from models.kbp.regions import REGIONS, OrganGeometry, Region
from models.kbp.regression import Fit, influence, stepwise

__all__ = [
    "FEWEST_PLANS",
    "FEWEST_PLANS_OF_REGION",
    "FLAG_COOKS_DISTANCE",
    "FLAG_LEVERAGE",
    "FLAG_STUDENTIZED",
    "OrganPlan",
    "PlanInfluence",
    "fit_organ",
]

FEWEST_PLANS = 20
"""Plans with an organ before anything is said of it, and with a region before it is regressed."""

FEWEST_PLANS_OF_REGION = 5
"""Plans with a region before its mean is used."""

DVH_COMPONENTS = 3
GEOMETRY_COMPONENTS = 3

REGRESSED: tuple[Region, ...] = ("in_field",)
"""Regions whose DVHs are explained by geometry; of the others, mean and spread of the training plans are taken."""

_LEAST_CC = 0.2
"""A region of less is a few voxels: predicted where it is there, and not learned from."""

FLAG_STUDENTIZED, FLAG_LEVERAGE, FLAG_COOKS_DISTANCE = 3.0, 3.0, 1.0
"""Beyond which a plan is flagged: its studentized residual, its leverage over the mean of all, its Cook's distance."""


@dataclass(frozen=True, eq=False)
class OrganPlan:
    """One organ in one plan.

    Attributes
    ----------
    plan
        Name of the plan, for the outlier statistics only.
    geometry
        Of the organ.
    dvhs
        For each region its curve ``(100,)``: dose over the highest level, in the overlap over the level of the target.
    dose_gy
        Curve of the whole organ.
    """

    plan: str
    geometry: OrganGeometry
    dvhs: Mapping[Region, FloatArray]
    dose_gy: FloatArray


@dataclass(frozen=True)
class PlanInfluence:
    """Where one plan lies in the regression of one component: a point of the regression and of the residual plot.

    Attributes
    ----------
    organ, region, component, plan
        What it is about; components count from 1.
    feature, feature_value
        The feature that joined first, scaled: the abscissa of a regression plot. Empty and 0 without features.
    observed, fitted
        Score of the plan's DVH: ordinate of both plots, and abscissa of the residual plot.
    leverage, studentized, cooks_distance
        See :class:`models.kbp.regression.Influence`.
    flagged
        Beyond :data:`FLAG_STUDENTIZED`, :data:`FLAG_LEVERAGE` or :data:`FLAG_COOKS_DISTANCE`.
    """

    organ: str
    region: Region
    component: int
    plan: str
    feature: str
    feature_value: float
    observed: float
    fitted: float
    leverage: float
    studentized: float
    cooks_distance: float
    flagged: bool


def fit_organ(organ: str, plans: Sequence[OrganPlan]) -> tuple[OrganModel, list[PlanInfluence]] | None:
    """Learn one organ; None where there are fewer plans than it takes."""
    if len(plans) < FEWEST_PLANS:
        return None
    regions: dict[Region, RegionModel] = {}
    rows: list[PlanInfluence] = []
    for region in REGIONS:
        usable = [
            plan for plan in plans if region in plan.dvhs and plan.geometry.regions[region].volume_cc >= _LEAST_CC
        ]
        if len(usable) >= FEWEST_PLANS_OF_REGION:
            regions[region], found = _fit_region(organ, region, usable)
            rows += found
    return (OrganModel(plans=len(plans), regions=regions), rows) if regions else None


def principal_components(curves: FloatArray, count: int) -> Components:
    """Give the mean and the strongest components of curves ``(n, 100)``, fewer where the curves have fewer."""
    mean = curves.mean(axis=0)
    _, strength, vectors = np.linalg.svd(curves - mean, full_matrices=False)
    count = min(count, int((strength > 1e-9 * max(strength[0], 1e-9)).sum()))
    kept = vectors[:count]
    # a component points either way; one way of writing it down makes the same plans the same file
    kept = kept * np.sign(kept[np.arange(count), np.abs(kept).argmax(axis=1)])[:, None]
    return Components(mean=mean.tolist(), vectors=kept.tolist())


def _fit_region(organ: str, region: Region, plans: Sequence[OrganPlan]) -> tuple[RegionModel, list[PlanInfluence]]:
    curves = np.stack([plan.dvhs[region] for plan in plans])
    dvh = principal_components(curves, DVH_COMPONENTS)
    scores = dvh.scores(curves)
    regressed = region in REGRESSED and len(plans) >= FEWEST_PLANS
    none: list[str] = []
    names, raw, expected, conformal = (
        _features(region, plans) if regressed else (none, np.zeros((len(plans), 0)), None, None)
    )
    scaled = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    observed = [scores[:, component] for component in range(scores.shape[1])]
    fits = [stepwise(scaled, column) for column in observed]
    used = sorted({names[j] for one in fits for j in one.chosen})
    left = curves - np.stack([dvh.curve(row) for row in scores])
    model = RegionModel(
        plans=len(plans),
        dvh=dvh,
        scores=tuple(_regression(one, names) for one in fits),
        unexplained=tuple(np.sqrt((left**2).sum(axis=0) / (len(plans) - 1)).tolist()),
        expected=expected if used else None,
        conformal=conformal if used else None,
        features={name: _scaling(raw[:, names.index(name)]) for name in used},
    )
    rows = [
        row
        for component, (one, column) in enumerate(zip(fits, observed, strict=True), start=1)
        for row in _influences(organ, region, component, plans, names, scaled, column, one)
    ]
    return model, rows


def _scaling(values: FloatArray) -> Scaling:
    return Scaling(
        centre=float(values.mean()), spread=float(values.std()), low=float(values.min()), high=float(values.max())
    )


def _features(region: Region, plans: Sequence[OrganPlan]) -> tuple[list[str], FloatArray, Components, Components]:
    """Give names and values ``(n, m)`` of all features that differ at all, and the components of the geometry."""
    of_region = [plan.geometry.regions[region] for plan in plans]
    expected = principal_components(np.stack([one.expected for one in of_region]), GEOMETRY_COMPONENTS)
    conformal = principal_components(np.stack([one.conformal for one in of_region]), GEOMETRY_COMPONENTS)
    rows = [features_of(one, plan.geometry, expected, conformal) for one, plan in zip(of_region, plans, strict=True)]
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    names = [name for name, column in values.items() if column.std() > 1e-9 * (1.0 + np.abs(column).max())]
    columns = [values[name] for name in names]
    return names, np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0)), expected, conformal


def _regression(one: Fit, names: Sequence[str]) -> Regression:
    return Regression(
        features=tuple(names[j] for j in one.chosen),
        coefficients=tuple(one.coefficients.tolist()),
        sigma=one.sigma,
        inverse_normal=tuple(tuple(row) for row in one.inverse_normal.tolist()),
    )


def _influences(
    organ: str, region: Region, component: int, plans: Sequence[OrganPlan], names: Sequence[str], scaled: FloatArray,
    observed: FloatArray, one: Fit,
) -> list[PlanInfluence]:  # fmt: skip
    found = influence(scaled, observed, one)
    first = one.chosen[0] if one.chosen else None
    mean_leverage = (len(one.chosen) + 1) / len(plans)
    return [
        PlanInfluence(
            organ=organ,
            region=region,
            component=component,
            plan=plan.plan,
            feature="" if first is None else names[first],
            feature_value=0.0 if first is None else float(scaled[i, first]),
            observed=float(observed[i]),
            fitted=float(found.fitted[i]),
            leverage=float(found.leverage[i]),
            studentized=float(found.studentized[i]),
            cooks_distance=float(found.cooks_distance[i]),
            flagged=bool(
                abs(found.studentized[i]) > FLAG_STUDENTIZED
                or found.leverage[i] > FLAG_LEVERAGE * mean_leverage
                or found.cooks_distance[i] > FLAG_COOKS_DISTANCE
            ),
        )
        for i, plan in enumerate(plans)
    ]
