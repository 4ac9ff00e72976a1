"""Extraction end to end: contours of cylinders in doses that rise linearly, against the closed forms of their DVHs.

Every cylinder stands on z. In a dose that rises along y its DVH is that of circular segments; in one that rises along
z it is a straight line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.prescription import Prescription
from bridge.rt.short_ids import short_id
from bridge.rt.structure import RoiKind, Structure
from bridge.rt.volume import Dose
from objective_extraction.eclipse_template import read_template, write_template
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_json import read_objective_set, write_objective_set
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import MeanObjective, PointObjective
from objective_extraction.settings import ExtractionSettings
from tests.objective_extraction.cases import CASE, PROVENANCE, prescription, ramp_dvh
from tests.solids import circle, circular_segment, empty, grid_around, linear_dose, structure, uniform_dose

GRID = grid_around(64.0, (4.0, 4.0, 4.0))
GY_PER_MM = 0.5
TOLERANCE_GY = 0.1
"""0.2 mm of the dose gradient."""

Z_MM = (-30.0, 30.0)


def cylinder(
    number: int,
    name: str,
    kind: RoiKind,
    radius_mm: float,
    centre_mm: tuple[float, float] = (0.0, 0.0),
    z_mm: tuple[float, float] = Z_MM,
    standard_name: str | None = None,
) -> Structure:
    heights = np.arange(z_mm[0], z_mm[1] + 0.1, 3.0)
    loop = circle(radius_mm, centre_mm, points=90)
    return structure(
        {float(z): [loop] for z in heights}, number=number, name=name, kind=kind, standard_name=standard_name
    )


def along_y(at_origin_gy: float) -> Dose:
    return linear_dose(GRID, (0.0, GY_PER_MM, 0.0), at_origin_gy)


def along_z(at_origin_gy: float) -> Dose:
    return linear_dose(GRID, (0.0, 0.0, GY_PER_MM), at_origin_gy)


def segment_mm2(radius_mm: float, y_mm: float) -> float:
    """Area of a disc about the origin with y of ``y_mm`` or more."""
    return float(circular_segment(np.array(radius_mm), np.array(y_mm)))


def y_of_area(area_above: Callable[[float], float], area_mm2: float) -> float:
    """The y above which an area lies, by bisection of a closed form."""
    low, high = -200.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if area_above(middle) > area_mm2 else (low, middle)
    return low


def extracted(
    structures: Sequence[Structure],
    dose: Dose,
    rx: Prescription,
    settings: ExtractionSettings | None = None,
    dvhs: Sequence[Dvh] = (),
) -> ObjectiveSet:
    return extract_objectives(
        structures, rx, dose, dvhs, case=CASE, dose_source="predicted", settings=settings or ExtractionSettings(),
        policy=DvhPolicy(), provenance=PROVENANCE,
    )  # fmt: skip


def points(given: ObjectiveSet, name: str, operator: str = "upper") -> dict[float, float]:
    return {
        o.volume_percent: o.dose_gy
        for o in given.objectives
        if isinstance(o, PointObjective) and o.roi_name == name and o.operator == operator
    }


def codes(given: ObjectiveSet, roi: str) -> list[str]:
    return [finding.code for finding in given.findings if finding.where.get("roi") == roi]


PTV = cylinder(1, "PTV_60", "target", 8.0, (0.0, 40.0))
RX = prescription((1, "PTV_60", 60.0))


def test_an_organ_gets_the_doses_of_its_circular_segments() -> None:
    organ = cylinder(5, "Cord", "organ", 15.0, (0.0, -20.0))
    given = extracted([PTV, organ], along_y(40.0), RX)  # 30 Gy in the organ's middle
    # D0.03cc: 30 mm³ of a height of 60 mm are 0.5 mm²
    expected = {0.0: 30.0 + GY_PER_MM * y_of_area(lambda y: segment_mm2(15.0, y), 0.5)}
    for volume in (5.0, 20.0, 40.0, 60.0, 80.0, 95.0):
        area = volume / 100.0 * math.pi * 15.0**2
        expected[volume] = 30.0 + GY_PER_MM * y_of_area(lambda y: segment_mm2(15.0, y), area)
    assert points(given, "Cord") == pytest.approx(expected, abs=TOLERANCE_GY)
    assert given.derived_structures == ()


def test_the_mean_of_a_parallel_organ_is_the_dose_in_its_middle() -> None:
    organ = cylinder(5, "Glandula", "organ", 15.0, (10.0, -20.0), standard_name="Parotid_R")
    given = extracted([PTV, organ], along_y(40.0), RX)
    (mean,) = [o for o in given.objectives if isinstance(o, MeanObjective)]
    assert (mean.roi_name, mean.standard_name) == ("Glandula", "Parotid_R")
    assert mean.dose_gy == pytest.approx(30.0, abs=0.03)


class TestOverlap:
    # contours at 15 mm and above lie in the target, so 13.5 mm is where the part outside ends
    organ = cylinder(5, "Larynx", "organ", 10.0, standard_name="Larynx")
    target = cylinder(1, "PTV_60", "target", 20.0, z_mm=(15.0, 45.0))

    def test_the_part_outside_has_the_straight_dvh_of_what_is_left(self) -> None:
        given = extracted([self.target, self.organ], along_z(45.0), RX)
        (recipe,) = given.derived_structures
        assert (recipe.name, recipe.operation, recipe.of, recipe.minus, recipe.margin_mm) == (
            "Larynx-PTV", "subtract", ("Larynx",), ("PTV_60",), 0.0,
        )  # fmt: skip
        top, bottom = 45.0 + 13.5 * GY_PER_MM, 45.0 - 30.0 * GY_PER_MM
        left = points(given, "Larynx-PTV")
        expected = {volume: top - volume / 100.0 * (top - bottom) for volume in (5.0, 20.0, 40.0, 60.0, 80.0, 95.0)}
        near_maximum = left.pop(0.0)
        assert near_maximum == pytest.approx(top, abs=TOLERANCE_GY)
        assert left == pytest.approx(expected, abs=0.03)
        (mean,) = [o for o in given.objectives if isinstance(o, MeanObjective)]
        assert (mean.roi_name, mean.dose_gy) == ("Larynx-PTV", pytest.approx((top + bottom) / 2.0, abs=0.03))
        # the whole keeps its maximum, at 30 mm
        assert points(given, "Larynx") == {0.0: pytest.approx(60.0, abs=TOLERANCE_GY)}
        (told,) = [finding for finding in given.findings if finding.code == "organ-overlaps-target"]
        assert told.message.startswith("28.6 % of 'Larynx' lies inside PTV_60")  # 6 of 21 planes

    def test_the_same_volume_in_two_targets_counts_once_and_parts_in_two_add_up(self) -> None:
        # 1 of 21 planes is 4.8 %, 2 are 9.5 %
        low, high = (-45.0, -30.0), (30.0, 45.0)
        rx = prescription((1, "PTV_A", 60.0), (2, "PTV_B", 60.0))
        first = cylinder(1, "PTV_A", "target", 20.0, z_mm=high)
        twice = extracted([first, cylinder(2, "PTV_B", "target", 20.0, z_mm=high), self.organ], along_z(45.0), rx)
        assert twice.derived_structures == ()
        apart = extracted([first, cylinder(2, "PTV_B", "target", 20.0, z_mm=low), self.organ], along_z(45.0), rx)
        assert [(d.name, d.minus) for d in apart.derived_structures] == [("Larynx-PTV", ("PTV_A", "PTV_B"))]

    def test_an_organ_wholly_inside_has_no_structure_of_its_own(self) -> None:
        inside = cylinder(5, "Larynx", "organ", 5.0, z_mm=(21.0, 39.0))
        given = extracted([self.target, inside], along_z(45.0), RX)
        assert given.derived_structures == ()
        assert not [o for o in given.objectives if o.roi_name.startswith("Larynx")]
        assert codes(given, "Larynx") == ["organ-overlaps-target", "inside-target"]

    def test_a_sliver_outside_makes_no_structure(self) -> None:
        # 0.001 mm all round are 2 pi 20 x 30 x 0.001 = 3.8 mm³: no planning system would find a volume there
        sliver = cylinder(5, "Larynx", "organ", 20.001, z_mm=(15.0, 45.0))
        given = extracted([self.target, sliver], along_z(45.0), RX)
        assert given.derived_structures == ()
        assert "inside-target" in codes(given, "Larynx")

    def test_a_setting_of_0_percent_leaves_touching_structures_alone(self) -> None:
        # a tenth of a mm of 20: under the thousandth that counts as touching
        beside = cylinder(5, "Larynx", "organ", 20.0, (0.0, -39.9), z_mm=(15.0, 45.0))
        given = extracted([self.target, beside], along_z(45.0), RX, ExtractionSettings(overlap_percent=0.0))
        assert given.derived_structures == ()
        assert 0.0 in points(given, "Larynx")

    def test_the_dvh_of_a_derived_structure_is_its_own(self) -> None:
        # the caller's own derived structure has the number -1 too
        foreign = ramp_dvh(-1, "CTV+", 1.0, 2.0)
        structures = [self.target, self.organ]
        assert points(extracted(structures, along_z(45.0), RX, dvhs=[foreign]), "Larynx-PTV") == points(
            extracted(structures, along_z(45.0), RX), "Larynx-PTV"
        )


class TestNestedTargets:
    inner = cylinder(1, "PTV_70", "target", 10.0)
    outer = cylinder(2, "PTV_56", "target", 20.0)
    rx = prescription((1, "PTV_70", 70.0), (2, "PTV_56", 56.0))

    def test_lower_on_the_whole_and_upper_on_the_remainder(self) -> None:
        given = extracted([self.inner, self.outer], along_y(65.0), self.rx)  # 55 to 75 Gy
        (recipe,) = given.derived_structures
        assert (recipe.name, recipe.of, recipe.minus) == ("PTV_56-PTV", ("PTV_56",), ("PTV_70",))
        assert points(given, "PTV_56") == {}
        assert points(given, "PTV_70") == {0.0: 72.1}  # 70 Gy at most: 103 % of its own level

        def whole(y: float) -> float:
            return segment_mm2(20.0, y)

        def rest(y: float) -> float:
            return segment_mm2(20.0, y) - segment_mm2(10.0, y)

        def dose_at(area_above: Callable[[float], float], percent: float) -> float:
            return 65.0 + GY_PER_MM * y_of_area(area_above, percent / 100.0 * area_above(-200.0))

        # D98% and D95% are 56.05 and 56.95 Gy: all of the prescription is asked for, and no more
        assert 56.0 < dose_at(whole, 98.0) < dose_at(whole, 95.0)
        assert points(given, "PTV_56", "lower") == {98.0: 56.0}
        asked = points(given, "PTV_56-PTV")
        assert asked[2.0] == pytest.approx(dose_at(rest, 2.0), abs=TOLERANCE_GY)
        assert asked[5.0] == pytest.approx(dose_at(rest, 5.0), abs=TOLERANCE_GY)
        assert dose_at(rest, 5.0) - dose_at(whole, 5.0) > 3 * TOLERANCE_GY  # the two could not be confused

    def test_three_levels_are_cut_by_all_hotter_ones(self) -> None:
        middle = cylinder(3, "PTV_63", "target", 15.0)
        rx = prescription((1, "PTV_70", 70.0), (2, "PTV_56", 56.0), (3, "PTV_63", 63.0))
        given = extracted([self.outer, middle, self.inner], along_y(65.0), rx)
        assert [(d.name, d.of, d.minus) for d in given.derived_structures] == [
            ("PTV_63-PTV", ("PTV_63",), ("PTV_70",)),
            ("PTV_56-PTV", ("PTV_56",), ("PTV_70", "PTV_63")),
        ]
        # the limits of a level are those of the next one: 110 % of 63 Gy for 56 Gy
        assert "69.30 Gy, 110 % of the next higher level of 63 Gy" in next(
            o.origin.sentence for o in given.objectives if o.roi_name == "PTV_56-PTV"
        )

    def test_a_lower_level_wholly_inside_a_hotter_one_has_no_upper(self) -> None:
        rx = prescription((1, "PTV_70", 56.0), (2, "PTV_56", 70.0))
        given = extracted([self.inner, self.outer], along_y(65.0), rx)
        assert points(given, "PTV_70") == {}
        assert set(points(given, "PTV_70", "lower")) <= {98.0, 95.0}
        assert "inside-target" in codes(given, "PTV_70")

    def test_equal_levels_do_not_cut_each_other(self) -> None:
        rx = prescription((1, "PTV_70", 70.0), (2, "PTV_56", 70.0))
        assert extracted([self.inner, self.outer], along_y(65.0), rx).derived_structures == ()


class TestDoseGrid:
    # voxel centres reach to 64 mm
    def test_a_part_outside_counts_for_nothing(self) -> None:
        organ = cylinder(5, "Cord", "organ", 10.0, z_mm=(-30.0, 90.0))
        given = extracted([PTV, organ], along_z(45.0), RX)
        (told,) = [f for f in given.findings if f.code == "partly-outside-dose-grid"]
        part = float(told.message.split(" %")[0]) / 100.0
        assert part == pytest.approx((64.0 + 30.0) / 120.0, abs=0.005)
        # of the part from -30 to 64 mm, not of the organ to 90 mm
        assert points(given, "Cord")[20.0] == pytest.approx(45.0 + GY_PER_MM * (64.0 - 0.2 * 94.0), abs=0.2)
        assert points(given, "Cord")[80.0] == pytest.approx(45.0 + GY_PER_MM * (64.0 - 0.8 * 94.0), abs=0.2)

    def test_an_organ_outside_has_a_finding_and_no_objective(self) -> None:
        organ = cylinder(5, "Cord", "organ", 10.0, z_mm=(90.0, 120.0))
        given = extracted([PTV, organ], along_z(45.0), RX)
        assert codes(given, "Cord") == ["outside-dose-grid"]
        assert not [o for o in given.objectives if o.roi_name == "Cord"]

    def test_an_organ_without_contours_is_told_of_and_left_out(self) -> None:
        given = extracted([PTV, empty(7, "Lens_L")], along_z(45.0), RX)
        assert codes(given, "Lens_L") == ["structure-empty"]

    def test_a_cold_organ_is_told_of_by_its_near_maximum(self) -> None:
        organ = cylinder(5, "Foot", "organ", 10.0)
        given = extracted([PTV, organ], uniform_dose(GRID, 1.5), RX)
        (told,) = [f for f in given.findings if f.code == "organ-low-dose"]
        assert told.message == "D0.03cc of 'Foot' is 1.50 Gy, not above 2 Gy; it has no objectives."


class TestRing:
    def test_the_ring_has_the_dvh_of_an_annulus(self) -> None:
        body = cylinder(9, "BODY", "external", 60.0)
        target = cylinder(1, "PTV_60", "target", 20.0)
        given = extracted([target, body], along_y(60.0), RX)
        assert str(given.derived_structures[0]) == "Ring_PTV = 3 to 30 mm around PTV_60 in BODY"

        def annulus(y: float) -> float:
            return segment_mm2(50.0, y) - segment_mm2(23.0, y)

        tenth = 60.0 + GY_PER_MM * y_of_area(annulus, 0.1 * annulus(-200.0))
        asked = points(given, "Ring_PTV")
        assert asked == {
            0.0: pytest.approx(60.0 + 50.0 * GY_PER_MM, abs=0.3),
            10.0: pytest.approx(tenth, abs=0.15),
            50.0: pytest.approx(60.0, abs=0.15),
        }

    def test_the_body_bounds_it(self) -> None:
        body = cylinder(9, "BODY", "external", 30.0)
        target = cylinder(1, "PTV_60", "target", 20.0)
        given = extracted([target, body], along_y(60.0), RX)
        assert points(given, "Ring_PTV")[0.0] == pytest.approx(60.0 + 30.0 * GY_PER_MM, abs=0.3)

    def test_a_body_that_is_all_target_leaves_no_ring(self) -> None:
        target = cylinder(1, "PTV_60", "target", 20.0)
        given = extracted([target, cylinder(9, "BODY", "external", 20.0)], along_y(60.0), RX)
        assert given.derived_structures == ()
        assert codes(given, "Ring_PTV") == ["structure-empty"]

    def test_a_name_that_is_taken_is_numbered(self) -> None:
        body = cylinder(9, "BODY", "external", 60.0)
        given = extracted([PTV, body, cylinder(6, "Ring_PTV", "other", 60.0)], along_y(40.0), RX)
        assert [d.name for d in given.derived_structures] == ["Ring_PTV_2"]


def test_derived_names_are_short_and_all_different() -> None:
    target = cylinder(1, "PTV_60", "target", 20.0, z_mm=(15.0, 45.0))
    names = [f"Constrictor_{part}" for part in ("superior", "medius", "inferior")]
    organs = [cylinder(5 + n, name, "organ", 10.0) for n, name in enumerate(names)]
    given = extracted([target, *organs], along_z(45.0), RX)
    assert [(d.name, d.of) for d in given.derived_structures] == [
        ("Constrictor_-PTV", (names[0],)),
        (short_id("Constrictor_medius-PTV_2"), (names[1],)),
        (short_id("Constrictor_inferior-PTV_2"), (names[2],)),
    ]
    assert all(len(d.name) <= 16 for d in given.derived_structures)


def test_a_roi_number_of_0_is_a_number() -> None:
    given = extracted([PTV, cylinder(0, "Cord", "organ", 15.0, (0.0, -20.0))], along_y(40.0), RX)
    assert {o.roi_number for o in given.objectives if o.roi_name == "Cord"} == {0}


def test_files_hold_what_was_extracted(tmp_path: Path) -> None:
    structures = [
        cylinder(1, "PTV_60", "target", 20.0, z_mm=(15.0, 45.0)), cylinder(9, "BODY", "external", 60.0),
        cylinder(5, "Larynx", "organ", 10.0, standard_name="Larynx"), cylinder(6, "Cord", "organ", 6.0, (0.0, 40.0)),
    ]  # fmt: skip
    given = extracted(structures, along_z(45.0), RX)
    write_objective_set(given, tmp_path / "objectives.json")
    assert read_objective_set(tmp_path / "objectives.json") == given
    write_template(given, tmp_path / "objectives.xml")
    rows = read_template(tmp_path / "objectives.xml")
    written = {(r.structure, r.kind, r.operator, r.dose_gy, r.volume_percent, r.priority) for r in rows}
    operators = {"upper": "0", "lower": "1"}
    assert written == {
        (o.roi_name, "0", operators[o.operator], o.dose_gy, o.volume_percent, o.priority)
        if isinstance(o, PointObjective)
        else (o.roi_name, "2", "99", o.dose_gy, None, o.priority)  # type: ignore[union-attr]
        for o in given.objectives
    }
    assert len(rows) == len(given.objectives)
    assert all(row.priority == int(row.priority) for row in rows)
