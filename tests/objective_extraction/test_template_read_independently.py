"""A reader that was written from the facts sheet alone finds in a template what the objective set asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from objective_extraction.eclipse_template import read_template, template_findings, write_template
from objective_extraction.objective_json import write_objective_set
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    PointObjective,
)
from tests.objective_extraction.cases import every_kind, objective_set, point
from tests.oracles import objective_template as oracle
from tests.oracles.objective_template import Asked
from tests.tps.objective_sets import extracted

LEFT, RIGHT = (f"Parotid gland, whole -- {side} {{it's}}" for side in ("left", "right"))


def asked(objective: Objective) -> Asked:
    name, priority = objective.roi_name, objective.priority
    match objective:
        case PointObjective():
            volume = objective.volume_percent
            return Asked(name, "point", objective.operator, priority, objective.dose_gy, volume)
        case MeanObjective():
            return Asked(name, "mean", None, priority, objective.dose_gy)
        case GeudObjective():
            return Asked(name, "geud", objective.operator, priority, objective.dose_gy, a=objective.a)
        case LineObjective():
            curve = tuple((one.volume_percent, one.dose_gy) for one in objective.curve)
            return Asked(name, "line", objective.operator, priority, curve=curve)


def several_lines() -> ObjectiveSet:
    """Two lines of one structure that differ in nothing but their points, and a third of another."""
    line = next(one for one in every_kind() if isinstance(one, LineObjective))
    other = replace(line, curve=tuple(replace(one, dose_gy=one.dose_gy / 2) for one in line.curve))
    return objective_set([line, other, replace(line, roi_name="Cord", roi_number=7, operator="lower")])


def both_parotids() -> ObjectiveSet:
    return objective_set([point(RIGHT, "upper", 30.0, 20.0, number=9), point(LEFT, "upper", 20.0, 20.0, number=5)])


@pytest.mark.parametrize("make", [objective_set, extracted, several_lines, both_parotids])
def test_the_reader_finds_the_same_objectives(make: Callable[[], ObjectiveSet], tmp_path: Path) -> None:
    given = make()
    write_template(given, tmp_path / "objectives.xml")
    write_objective_set(given, tmp_path / "objectives.json")
    table = json.loads((tmp_path / "objectives.json").read_bytes())["structure_ids"]
    names = {identifier: name for name, identifier in table.items()}
    found = oracle.read(tmp_path / "objectives.xml")
    assert max(len(one.structure) for one in found) <= 16
    by_structure = sorted(
        (asked(one) for one in given.objectives),
        key=lambda one: list(dict.fromkeys(o.roi_name for o in given.objectives)).index(one.structure),
    )
    assert [replace(one, structure=names.get(one.structure, one.structure)) for one in found] == by_structure


def test_a_left_parotid_stays_the_left_one(tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    write_template(both_parotids(), path)
    doses = {one.structure[-2:]: one.dose_gy for one in oracle.read(path)}
    assert doses == {"_L": 20.0, "_R": 30.0}
    assert {row.structure: row.dose_gy for row in read_template(path)} == {LEFT: 20.0, RIGHT: 30.0}


@pytest.mark.parametrize(
    ("normal_tissue", "read", "findings"),
    [
        (None, (False, False, 0.0), []),
        (NormalTissueObjective(80.0), (True, True, 80.0), []),
        (NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.05), (False, False, 0.0), ["template-without-nto"]),
    ],
    ids=["none", "automatic", "manual"],
)
def test_the_normal_tissue_objective_is_automatic_or_said_to_be_missing(
    normal_tissue: NormalTissueObjective | None, read: tuple[bool, bool, float], findings: list[str], tmp_path: Path
) -> None:
    given = replace(objective_set(), normal_tissue=normal_tissue)
    write_template(given, tmp_path / "objectives.xml")
    assert oracle.normal_tissue(tmp_path / "objectives.xml") == read
    assert [finding.code for finding in template_findings(given)] == findings
    described = (tmp_path / "objectives.xml").read_text(encoding="utf-8")
    assert ("Without its normal tissue objective" in described) == bool(findings)
