"""Objectives from bands of DVHs: organs by the rules for a dose, targets by template."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.rt.derive import subtract
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import StructureRefusal
from objective_extraction.band import LowerEdge, band_objectives
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
LOWER_HALF_IN = LowerEdge(ramp_dvh(6, "Larynx", 20.0, 70.0), ramp_dvh(6, "Larynx", 20.0, 50.0, volume_cc=10.0))
SETTINGS = ExtractionSettings()


def made(
    *edges: Dvh | LowerEdge, settings: ExtractionSettings = SETTINGS, structures=(HIGH, LOW, APART, HALF_IN)
) -> ObjectiveSet:
    lower = [LowerEdge(edge) if isinstance(edge, Dvh) else edge for edge in edges]
    return band_objectives(
        structures, LEVELS, lower, case=CASE, settings=settings, policy=DvhPolicy(), provenance=PROVENANCE
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


def test_an_organ_half_inside_a_target_is_asked_for_outside_it_and_for_the_maximum_of_the_whole() -> None:
    """As from a dose: seven points, a mean and the maximum share the priority of an organ."""
    found = made(LOWER, LOWER_HALF_IN)
    rest = [o for o in found.objectives if o.roi_name == "Larynx-PTV"]
    assert [o.dose_gy for o in rest if isinstance(o, PointObjective)][1:] == [48.5, 44.0, 38.0, 32.0, 26.0, 21.5]
    assert [o.dose_gy for o in rest if isinstance(o, MeanObjective)] == [35.0]
    (maximum,) = of(found, "Larynx")
    assert (maximum.volume_percent, maximum.origin.rule) == (0.0, "band-maximum")
    assert maximum.dose_gy == pytest.approx(70.0, abs=0.1)
    assert {o.priority for o in (*rest, maximum)} == {6.0}  # 50 / 9
    assert {o.priority for o in found.objectives if o.roi_name == "Parotid_L"} == {6.0}  # 50 / 8
    (recipe,) = (recipe for recipe in found.derived_structures if recipe.of == ("Larynx",))
    assert (recipe.name, recipe.operation, recipe.minus) == ("Larynx-PTV", "subtract", ("PTV_7000", "PTV_5600"))
    assert [f.code for f in found.findings] == ["organ-overlaps-target"]


@pytest.mark.parametrize("outside", [None, ramp_dvh(6, "Larynx", 20.0, 50.0, volume_cc=0.02)])
def test_an_organ_of_which_nothing_is_estimated_outside_the_targets_is_not_asked_for_anything(outside) -> None:
    found = made(LOWER, LowerEdge(ramp_dvh(6, "Larynx", 20.0, 70.0), outside))
    assert not [o for o in found.objectives if o.roi_name.startswith("Larynx")]
    assert [f.code for f in found.findings] == ["organ-overlaps-target", "inside-target"]


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
    assert made(LOWER, structures=(HIGH, LOW, APART)).findings == ()


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
    ):
        with pytest.raises(StructureRefusal) as refused:
            made(LOWER, structures=structures)
        assert refused.value.code == code


def test_a_name_that_is_taken_is_not_given_again() -> None:
    found = made(structures=(HIGH, LOW, box(9, "ptv_5600-ptv", "other", (0.0, 9.0), (0.0, 9.0))))
    (recipe,) = found.derived_structures
    assert recipe.of == ("PTV_5600",)
    assert recipe.name.casefold() != "ptv_5600-ptv"
    assert of(found, recipe.name)


@pytest.mark.parametrize(
    ("edges", "code"),
    [
        ((ramp_dvh(5, "Parotid_R", 5.0, 45.0),), "band-unknown"),  # the other side's curve under this side's number
        ((ramp_dvh(6, "Parotid_L", 5.0, 45.0),), "band-unknown"),
        ((ramp_dvh(1, "PTV_7000", 5.0, 45.0),), "band-no-organ"),
        ((LOWER, LOWER), "band-twice"),
        ((LowerEdge(LOWER, ramp_dvh(5, "Parotid_R", 5.0, 45.0)),), "band-unknown"),
    ],
)
def test_a_band_of_another_structure_is_refused(edges, code: str) -> None:
    with pytest.raises(StructureRefusal) as refused:
        made(*edges)
    assert refused.value.code == code


def test_a_dose_by_template_is_asked_for_the_same_as_a_band_beside_the_organs() -> None:
    """The same curves for the organs, once read from a dose and once from a band: the plans can be compared."""
    body = box(10, "BODY", "external", (-70.0, 70.0), (-50.0, 150.0), (-30.0, 60.0))
    structures = (body, HIGH, LOW, APART, HALF_IN)
    dose = ramp_dose(3.0)
    rest = subtract(HALF_IN, [HIGH, LOW], margin_mm=0.0, number=-1, name="Larynx-PTV")
    half_in = LowerEdge(
        compute_dvh(HALF_IN, dose, DvhPolicy()),
        replace(compute_dvh(rest, dose, DvhPolicy()), roi_number=6, roi_name="Larynx"),
    )
    settings = replace(SETTINGS, beside_organs="template")
    of_band = made(LOWER, half_in, structures=structures, settings=settings)
    targets = [ramp_dvh(1, "PTV_7000", 69.0, 71.0), ramp_dvh(2, "PTV_5600", 55.0, 71.0)]
    of_dose = extract_objectives(
        structures, LEVELS, dose, [*targets, LOWER, half_in.whole], case=CASE, dose_source="predicted",
        settings=settings, policy=DvhPolicy(), provenance=PROVENANCE,
    )  # fmt: skip
    assert {o.roi_name for o in of_band.objectives} >= {"Larynx-PTV", "Larynx", "Parotid_L", "PTV_5600-PTV"}
    assert of_dose.normal_tissue == of_band.normal_tissue
    assert of_dose.derived_structures == of_band.derived_structures
    assert [replace(o, origin=None) for o in of_dose.objectives] == [
        replace(o, origin=None) for o in of_band.objectives
    ]
