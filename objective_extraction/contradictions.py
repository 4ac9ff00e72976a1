"""Pairs of objectives of one structure that no dose can meet together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

from bridge.rt.findings import Finding
from objective_extraction.objectives import CurvePoint, GeudObjective, LineObjective, MeanObjective, Objective

__all__ = ["contradictions"]


def contradictions(name: str, objectives: Sequence[Objective]) -> list[Finding]:
    """Name each demand on a structure that a limit on it excludes.

    A DVH never rises, so ``D`` Gy to ``V`` % are at least ``D`` to any smaller volume, and at least a generalized mean
    of ``D (V / 100)^(1 / a)``; and the generalized mean of exponent ``a`` grows with ``a``, up to the maximum. With a
    negative ``a`` it is at most ``U (1 - V / 100)^(1 / a)`` where all but ``V`` % get at most ``U`` Gy.
    """
    demands = [one for one in objectives if not isinstance(one, MeanObjective) and one.operator == "lower"]
    limits = [one for one in objectives if isinstance(one, MeanObjective) or one.operator == "upper"]
    found = []
    for demand, limit in product(demands, limits):
        told = next((f"{least} and for {most}" for least, most in _excluded(demand, limit)), None)
        if told is not None:
            message = f"{name!r} is asked for {told}; both cannot be met."
            found.append(Finding("objectives-contradict", "warning", message, {"roi": name}))
    return found


def _excluded(demand: Objective, limit: Objective) -> Iterator[tuple[str, str]]:
    """Give the parts of a demand and of a limit that exclude each other, in words."""
    if isinstance(limit, MeanObjective | GeudObjective):
        a, is_mean = (1.0, True) if isinstance(limit, MeanObjective) else (limit.a, False)
        most = f"at most {limit.dose_gy:g} Gy {'on average' if is_mean else f'as gEUD (a = {a:g})'}"
        if isinstance(demand, GeudObjective):
            if demand.dose_gy > limit.dose_gy:
                yield _least_geud(demand), most
            return
        for point in _points(demand):
            if point.dose_gy * (point.volume_percent / 100) ** (1 / a) > limit.dose_gy:
                yield _least(point), most
        return
    for upper in _points(limit):
        most = f"at most {upper.dose_gy:g} Gy at {upper.volume_percent:g} %"
        if isinstance(demand, GeudObjective):
            if demand.dose_gy > _most_geud(demand.a, upper):
                yield _least_geud(demand), most
            continue
        for lower in _points(demand):
            is_at_same = upper.volume_percent == lower.volume_percent
            is_colder = upper.dose_gy <= lower.dose_gy if is_at_same else upper.dose_gy < lower.dose_gy
            if upper.volume_percent <= lower.volume_percent and is_colder:
                yield _least(lower), most


def _points(objective: Objective) -> Sequence[CurvePoint]:
    """Give the points of a curve, or the one point that a point objective is."""
    if isinstance(objective, LineObjective):
        return objective.curve
    if isinstance(objective, MeanObjective | GeudObjective):
        return ()
    return (CurvePoint(objective.volume_percent, objective.dose_gy),)


def _most_geud(a: float, upper: CurvePoint) -> float:
    """Give what a generalized mean cannot exceed below an upper point, however hot the volume that may be hotter."""
    colder = 1 - upper.volume_percent / 100
    if colder == 1:
        return upper.dose_gy
    return upper.dose_gy * colder ** (1 / a) if a < 0 < colder else math.inf


def _least(point: CurvePoint) -> str:
    return f"at least {point.dose_gy:g} Gy at {point.volume_percent:g} %"


def _least_geud(demand: GeudObjective) -> str:
    return f"at least {demand.dose_gy:g} Gy as gEUD (a = {demand.a:g})"
