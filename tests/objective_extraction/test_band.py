"""Objectives from bands of DVHs: lines under the band, targets by template."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import StructureRefusal
from objective_extraction.band import band_objectives
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_json import read_objective_set, write_objective_set
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import LineObjective, MeanObjective, PointObjective
from objective_extraction.settings import ExtractionSettings
from tests.objective_extraction.cases import CASE, PROVENANCE, box, prescription, ramp_dose, ramp_dvh

HIGH = box(1, "PTV_7000", "target", (0.0, 20.0), (0.0, 20.0))
LOW = box(2, "PTV_5600", "target", (0.0, 60.0), (0.0, 20.0))  # a third of it is the high one
APART = box(5, "Parotid_L", "organ", (0.0, 20.0), (40.0, 60.0))
HALF_IN = box(6, "Larynx", "organ", (-20.0, 20.0), (0.0, 20.0))
LEVELS = prescription((1, "PTV_7000", 70.0), (2, "PTV_5600", 56.0))
LOWER = ramp_dvh(5, "Parotid_L", 5.0, 45.0)
LOWER_HALF_IN = ramp_dvh(6, "Larynx", 20.0, 70.0)
SETTINGS = ExtractionSettings()


def made(*edges, settings: ExtractionSettings = SETTINGS, structures=(HIGH, LOW, APART, HALF_IN)) -> ObjectiveSet:
    return band_objectives(
        structures, LEVELS, edges, case=CASE, settings=settings, policy=DvhPolicy(), provenance=PROVENANCE
    )


def of(found: ObjectiveSet, name: str) -> list[PointObjective]:
    return [o for o in found.objectives if o.roi_name == name and isinstance(o, PointObjective)]


def test_an_organs_points_lie_on_the_lower_edge() -> None:
    points = of(made(LOWER), "Parotid_L")
    assert [p.volume_percent for p in points] == [0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0]
    for point in points[1:]:
        assert point.dose_gy == pytest.approx(45.0 - 40.0 * point.volume_percent / 100.0, abs=0.011)
    assert {(p.operator, p.origin.rule) for p in points} == {("upper", "band-point")}
    assert all(p.origin.sentence.startswith("Lower edge of the estimated band.") for p in points)


def test_a_margin_lies_under_the_edge() -> None:
    points = of(made(LOWER, settings=replace(SETTINGS, margin_percent=10.0)), "Parotid_L")
    assert points[3].dose_gy == pytest.approx(0.9 * 29.0, abs=0.011)
    assert points[3].origin.predicted_gy == pytest.approx(29.0, abs=0.011)


def test_as_a_line_the_whole_edge_is_asked_for_and_points_of_it_lie_on_it() -> None:
    found = made(LOWER, settings=replace(SETTINGS, organ_form="line"))
    (line,) = (o for o in found.objectives if isinstance(o, LineObjective))
    assert (line.roi_number, line.operator, line.priority) == (5, "upper", SETTINGS.organ_total_priority / 2)
    assert line.origin.rule == "band-line"
    (point,) = line.sampled((25.0,))
    assert point.dose_gy == pytest.approx(35.0, abs=0.02)


def test_the_priority_falls_with_the_part_inside_targets() -> None:
    """Half of the larynx is inside the high target: its seven points and its mean share 25 instead of 50."""
    found = made(LOWER, LOWER_HALF_IN)
    assert {o.priority for o in found.objectives if o.roi_name == "Parotid_L"} == {6.0}
    assert {o.priority for o in found.objectives if o.roi_name == "Larynx"} == {3.0}


def test_a_parallel_organ_is_asked_for_the_mean_of_the_edge() -> None:
    found = made(LOWER, LOWER_HALF_IN, settings=replace(SETTINGS, mean_objective_for=("Parotid_L",)))
    (mean,) = (o for o in found.objectives if isinstance(o, MeanObjective))
    assert (mean.roi_number, mean.roi_name, mean.dose_gy, mean.origin.rule) == (5, "Parotid_L", 25.0, "band-mean")
    standard = replace(APART, name="Parotis li", standard_name="Parotid_L")
    found = made(ramp_dvh(5, "Parotis li", 5.0, 45.0), structures=(HIGH, LOW, standard))
    assert [o.roi_name for o in found.objectives if isinstance(o, MeanObjective)] == ["Parotis li"]


def test_an_organ_that_is_not_asked_for_anything_is_named() -> None:
    found = made(ramp_dvh(5, "Parotid_L", 0.0, 1.0))
    assert [(f.code, f.where["roi"]) for f in found.findings] == [
        ("organ-low-dose", "Parotid_L"), ("band-missing", "Larynx"),
    ]  # fmt: skip
    assert made(LOWER, LOWER_HALF_IN).findings == ()


def test_targets_are_asked_for_what_the_template_says() -> None:
    high = [(p.operator, p.volume_percent, p.dose_gy) for p in of(made(), "PTV_7000")]
    assert high == [
        ("lower", 98.0, 66.5), ("lower", 95.0, 70.0), ("upper", 0.0, 77.0), ("upper", 2.0, 74.9), ("upper", 5.0, 73.5),
    ]  # fmt: skip
    found = made()
    low = [(p.operator, p.volume_percent, p.dose_gy) for p in of(found, "PTV_5600")]
    assert low == [("lower", 98.0, 53.2), ("lower", 95.0, 56.0)]
    rest = of(found, "PTV_5600-PTV")
    assert [(p.roi_number, p.volume_percent, p.dose_gy) for p in rest] == [
        (None, 0.0, 77.0), (None, 2.0, 74.9), (None, 5.0, 73.5),
    ]  # fmt: skip
    (recipe,) = found.derived_structures
    assert (recipe.name, recipe.of, recipe.minus) == ("PTV_5600-PTV", ("PTV_5600",), ("PTV_7000",))
    assert all(o.origin.predicted_gy is None for o in found.objectives)
    assert found.normal_tissue is not None
    assert found.normal_tissue.is_automatic


def test_a_target_inside_a_hotter_one_is_asked_for_coverage_alone() -> None:
    inside = box(2, "PTV_5600", "target", (5.0, 15.0), (5.0, 15.0))
    found = made(structures=(HIGH, inside))
    assert found.derived_structures == ()
    assert [p.operator for p in of(found, "PTV_5600")] == ["lower", "lower"]


def test_the_set_goes_out_and_comes_back(tmp_path) -> None:
    found = made(LOWER, LOWER_HALF_IN)
    write_objective_set(found, tmp_path / "objectives.json")
    assert read_objective_set(tmp_path / "objectives.json") == found


def test_what_does_not_fit_the_case_is_refused() -> None:
    for structures, code in (
        ((HIGH, APART), "target-missing"),
        ((HIGH, LOW), "band-unknown"),
        ((HIGH, LOW, APART, box(9, "ptv_5600-ptv", "organ", (0.0, 9.0), (0.0, 9.0))), "derived-name"),
    ):
        with pytest.raises(StructureRefusal) as refused:
            made(LOWER, structures=structures)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("edges", "code"),
    [
        ((ramp_dvh(5, "Parotid_R", 5.0, 45.0),), "band-unknown"),  # the other side's curve under this side's number
        ((ramp_dvh(6, "Parotid_L", 5.0, 45.0),), "band-unknown"),
        ((ramp_dvh(1, "PTV_7000", 5.0, 45.0),), "band-no-organ"),
        ((LOWER, LOWER), "band-twice"),
    ],
)
def test_a_band_of_another_structure_is_refused(edges, code: str) -> None:
    with pytest.raises(StructureRefusal) as refused:
        made(*edges)
    assert refused.value.code == code


def test_a_dose_by_template_is_asked_for_the_same_as_a_band_beside_the_organs() -> None:
    """The same curves for the organs, once read from a dose and once from a band: the plans can be compared."""
    body = box(10, "BODY", "external", (-70.0, 70.0), (-50.0, 150.0), (-30.0, 60.0))
    structures = (body, HIGH, LOW, APART)
    settings = replace(SETTINGS, beside_organs="template")
    of_band = made(LOWER, structures=structures, settings=settings)
    targets = [ramp_dvh(1, "PTV_7000", 69.0, 71.0), ramp_dvh(2, "PTV_5600", 55.0, 71.0)]
    of_dose = extract_objectives(
        structures, LEVELS, ramp_dose(), [*targets, LOWER], case=CASE, dose_source="predicted", settings=settings,
        policy=DvhPolicy(), provenance=PROVENANCE,
    )  # fmt: skip
    assert of_dose.normal_tissue == of_band.normal_tissue
    assert of_dose.derived_structures == of_band.derived_structures
    assert [replace(o, origin=None) for o in of_dose.objectives] == [
        replace(o, origin=None) for o in of_band.objectives
    ]
