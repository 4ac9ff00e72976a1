"""Extraction from doses whose DVHs are straight lines: D(v) = high - v (high - low)."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.prescription import Prescription
from bridge.rt.short_ids import short_id
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from objective_extraction.derived_names import shortened
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import LineObjective, MeanObjective, PointObjective
from objective_extraction.settings import ExtractionSettings, TargetUpperLimit
from tests.objective_extraction.cases import CASE, PROVENANCE, box, prescription, ramp_dose, ramp_dvh

BODY = box(10, "BODY", "external", (-70.0, 70.0), (-50.0, 150.0), (-30.0, 60.0))
PTV = box(1, "PTV_70", "target", (-20.0, 20.0), (68.0, 74.0))
PTV_DVH = ramp_dvh(1, "PTV_70", 69.0, 73.0)
RX = prescription((1, "PTV_70", 70.0))
CORD = box(5, "Cord", "organ", (-10.0, 10.0), (10.0, 50.0), standard_name="SpinalCord")
NO_DOSE = ramp_dvh(5, "Cord", 0.0, 1.0)


def extracted(
    structures: list[Structure],
    dvhs: list[Dvh],
    rx: Prescription = RX,
    settings: ExtractionSettings | None = None,
    dose: Dose | None = None,
) -> ObjectiveSet:
    return extract_objectives(
        structures,
        rx,
        dose or ramp_dose(),
        dvhs,
        case=CASE,
        dose_source="given",
        settings=settings or ExtractionSettings(),
        policy=DvhPolicy(),
        provenance=PROVENANCE,
    )


def points(given: ObjectiveSet, name: str) -> list[tuple[str, float, float]]:
    return [
        (o.operator, o.volume_percent, o.dose_gy)
        for o in given.objectives
        if isinstance(o, PointObjective) and o.roi_name == name
    ]


def codes(given: ObjectiveSet) -> list[str]:
    return [finding.code for finding in given.findings]


class TestOrgan:
    def test_the_points_lie_on_the_curve(self) -> None:
        cord = ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=20.0)
        given = extracted([PTV, CORD], [PTV_DVH, cord])
        # D0.03cc: 0.03 of 20 cc is 0.15 %, 0.06 Gy of 40 below the maximum
        assert points(given, "Cord") == [
            ("upper", 0.0, 49.94), ("upper", 5.0, 48.0), ("upper", 20.0, 42.0), ("upper", 40.0, 34.0),
            ("upper", 60.0, 26.0), ("upper", 80.0, 18.0), ("upper", 95.0, 12.0),
        ]  # fmt: skip
        one = next(o for o in given.objectives if o.roi_name == "Cord")
        assert (one.roi_number, one.standard_name, one.origin.rule) == (5, "SpinalCord", "organ-curve")
        assert one.origin.predicted_gy == pytest.approx(49.94, abs=1e-6)
        assert one.origin.sentence == "D0.03cc is 49.94 Gy."

    def test_seven_points_share_a_priority_of_50(self) -> None:
        given = extracted([PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 10.0, 50.0)])
        assert {o.priority for o in given.objectives if o.roi_name == "Cord"} == {7.0}

    def test_points_within_1_gy_of_the_one_kept_before_are_dropped(self) -> None:
        given = extracted([PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 10.0, 13.0, volume_cc=300.0)])
        # 13, 12.85, 12.4, 11.8, 11.2, 10.6, 10.15: steps of 1 Gy or more from 13 are 11.8 and 10.6
        assert [(v, d) for _, v, d in points(given, "Cord")] == [(0.0, 13.0), (40.0, 11.8), (80.0, 10.6)]
        assert {o.priority for o in given.objectives if o.roi_name == "Cord"} == {17.0}

    def test_points_at_2_gy_and_below_are_left_out(self) -> None:
        given = extracted([PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 0.0, 6.0, volume_cc=300.0)])
        # 6, 5.7, 4.8, 3.6, 2.4, 1.2, 0.3
        assert [(v, d) for _, v, d in points(given, "Cord")] == [(0.0, 6.0), (20.0, 4.8), (40.0, 3.6), (60.0, 2.4)]

    def test_an_organ_out_of_the_way_has_no_objectives_and_a_finding(self) -> None:
        given = extracted([PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 0.0, 1.5)])
        assert points(given, "Cord") == []
        assert "organ-low-dose" in codes(given)

    def test_in_a_very_small_organ_nothing_is_asked_twice(self) -> None:
        # 0.03 cc is 15 % of 0.2 cc and no maximum; D2% is 50 - 0.8 Gy
        given = extracted([PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 10.0, 50.0, volume_cc=0.2)])
        assert [(v, d) for _, v, d in points(given, "Cord")][:2] == [(0.0, 49.2), (5.0, 48.0)]
        assert "points-not-monotone" not in codes(given)

    def test_a_parallel_organ_gets_its_mean_too(self) -> None:
        parotid = box(6, "Parotid li", "organ", (-10.0, 10.0), (10.0, 50.0), standard_name="Parotid_L")
        given = extracted([PTV, parotid], [PTV_DVH, ramp_dvh(6, "Parotid li", 10.0, 50.0)])
        mean = [o for o in given.objectives if isinstance(o, MeanObjective)]
        assert [(o.roi_name, o.dose_gy, o.priority, o.origin.rule) for o in mean] == [
            ("Parotid li", 30.0, 6.0, "organ-mean")
        ]

    def test_a_margin_lowers_every_dose_by_its_part_and_is_told(self) -> None:
        given = extracted(
            [PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 10.0, 50.0)], settings=ExtractionSettings(margin_percent=3.0)
        )
        assert points(given, "Cord")[2] == ("upper", 20.0, 40.74)
        origin = given.objectives[-1].origin
        assert (origin.margin_percent, origin.predicted_gy) == (3.0, pytest.approx(12.0))
        assert "3 % lower" in origin.sentence
        assert points(given, "PTV_70") == points(extracted([PTV], [PTV_DVH]), "PTV_70")

    def test_the_whole_curve_can_be_one_line(self) -> None:
        given = extracted(
            [PTV, CORD], [PTV_DVH, ramp_dvh(5, "Cord", 10.0, 50.0)], settings=ExtractionSettings(organ_form="line")
        )
        line = next(o for o in given.objectives if isinstance(o, LineObjective))
        assert (len(line.curve), line.priority, line.operator) == (100, 50.0, "upper")
        assert [(p.volume_percent, p.dose_gy) for p in (line.curve[0], line.curve[49], line.curve[-1])] == [
            (99.0, 10.4), (50.0, 30.0), (0.0, 49.94),
        ]  # fmt: skip

    def test_empty_and_partly_covered_organs_are_told(self) -> None:
        nothing = Structure(7, "Larynx", "organ", (), CORD.frame_of_reference_uid, 3.0)
        half = ramp_dvh(5, "Cord", 10.0, 50.0, coverage=0.55)
        given = extracted([PTV, CORD, nothing], [PTV_DVH, half])
        partly = next(f for f in given.findings if f.code == "partly-outside-dose-grid")
        assert "55.0 %" in partly.message
        assert [f.where["roi"] for f in given.findings if f.code == "structure-empty"] == ["Larynx"]


class TestTarget:
    def test_a_good_dose_is_asked_for_as_it_is(self) -> None:
        # 69 to 73 Gy: D98 69.08, D95 69.2, D5 72.8, D2 72.92; D0.03cc is 73 less 0.006
        given = extracted([PTV], [PTV_DVH])
        assert points(given, "PTV_70") == [
            ("lower", 98.0, 69.08),
            ("lower", 95.0, 70.0),
            ("upper", 0.0, 72.99),
            ("upper", 2.0, 72.92),
            ("upper", 5.0, 72.8),
        ]
        assert {o.priority for o in given.objectives} == {100.0}
        assert codes(given) == ["no-ring"]

    @pytest.mark.parametrize("structures", [[PTV, BODY], [PTV]])
    def test_a_ring_without_volumes_is_neither_made_nor_missed(self, structures: list[Structure]) -> None:
        given = extracted(structures, [PTV_DVH], settings=ExtractionSettings(ring_volumes_percent=()))
        assert given.derived_structures == ()
        assert codes(given) == []

    def test_a_cold_dose_is_asked_for_its_prescription_and_told(self) -> None:
        given = extracted([PTV], [ramp_dvh(1, "PTV_70", 60.0, 64.0)])
        # 95 % and 100 % of 70 Gy; uppers not below 103 %, and the points that say the same once
        assert points(given, "PTV_70") == [("lower", 98.0, 66.5), ("lower", 95.0, 70.0), ("upper", 0.0, 72.1)]
        assert codes(given)[0] == "target-not-covered"
        assert given.objectives[0].origin.predicted_gy == pytest.approx(60.08)

    def test_coverage_of_exactly_95_percent_is_covered(self) -> None:
        at_limit = Dvh(1, "PTV_70", np.array([66.5, 66.5]), np.array([5.0, 5.0]), 10.0, DvhPolicy())
        assert "target-not-covered" not in codes(extracted([PTV], [at_limit]))

    def test_a_hot_dose_is_clipped_to_the_protocol_and_told(self) -> None:
        given = extracted([PTV], [ramp_dvh(1, "PTV_70", 76.0, 84.0)])
        # 110, 107, 105 % of 70 Gy; no target is asked for more than its prescription
        assert points(given, "PTV_70") == [
            ("lower", 98.0, 70.0),
            ("upper", 0.0, 77.0),
            ("upper", 2.0, 74.9),
            ("upper", 5.0, 73.5),
        ]
        assert "hot-spot" in codes(given)

    def test_80_49_of_70_gy_is_no_hot_spot_and_80_51_is(self) -> None:
        for highest, hot in ((80.49, False), (80.52, True)):
            dvh = ramp_dvh(1, "PTV_70", 70.0, highest, volume_cc=1000.0)
            assert ("hot-spot" in codes(extracted([PTV], [dvh]))) is hot

    def test_a_lower_level_may_be_as_hot_as_the_next_higher_one_beside_it(self) -> None:
        low = box(2, "PTV_56", "target", (-20.0, 20.0), (50.0, 68.0))
        rx = prescription((1, "PTV_70", 70.0), (2, "PTV_56", 56.0))
        given = extracted([PTV, low], [PTV_DVH, ramp_dvh(2, "PTV_56", 54.0, 70.0)], rx)
        assert points(given, "PTV_56") == [
            ("lower", 98.0, 54.32), ("lower", 95.0, 56.0),
            ("upper", 0.0, 69.98), ("upper", 2.0, 69.68), ("upper", 5.0, 69.2),
        ]  # fmt: skip
        assert given.derived_structures == ()

    def test_a_nested_lower_level_is_kept_homogeneous_outside_the_higher_one_only(self) -> None:
        # the dose is y Gy/mm: PTV_56 from 50 to 80 mm holds PTV_70 from 68 to 74 mm across its whole width
        around = box(2, "PTV_56", "target", (-20.0, 20.0), (50.0, 80.0))
        rx = prescription((1, "PTV_70", 70.0), (2, "PTV_56", 56.0))
        given = extracted([PTV, around], [PTV_DVH], rx)
        recipe = given.derived_structures[0]
        assert (recipe.name, recipe.operation, recipe.of, recipe.minus) == (
            "PTV_56-PTV", "subtract", ("PTV_56",), ("PTV_70",),
        )  # fmt: skip
        assert [operator for operator, _, _ in points(given, "PTV_56")] == ["lower", "lower"]
        uppers = points(given, "PTV_56-PTV")
        # 24 mm are left: D5% is 80 - 1.2 = 78.8, clipped to 105 % of 70
        assert uppers[-1] == ("upper", 5.0, 73.5)
        upper = next(o for o in given.objectives if o.roi_name == "PTV_56-PTV")
        assert upper.origin.predicted_gy == pytest.approx(80.0, abs=0.4)
        assert upper.roi_number is None

    def test_a_target_without_contours_or_dose_is_refused(self) -> None:
        nothing = Structure(1, "PTV_70", "target", (), PTV.frame_of_reference_uid, 3.0)
        for structures in ([nothing, CORD], [CORD]):
            with pytest.raises(StructureRefusal) as refused:
                extracted(structures, [NO_DOSE])
            assert refused.value.code == "target-missing"
        far = box(1, "PTV_70", "target", (500.0, 520.0), (68.0, 74.0))
        with pytest.raises(StructureRefusal) as refused:
            extracted([far], [])
        assert refused.value.code == "target-outside-dose"

    def test_limits_below_what_coverage_needs_are_told_as_a_contradiction(self) -> None:
        tight = ExtractionSettings(target_upper_limits=(TargetUpperLimit(5.0, 99.0),))
        given = extracted([PTV], [ramp_dvh(1, "PTV_70", 71.0, 75.0)], settings=tight)
        assert "objectives-contradict" in codes(given)

    @pytest.mark.parametrize(("highest_gy", "narrow"), [(72.5, True), (73.1, False)])
    def test_a_dose_more_homogeneous_than_any_plan_is_told(self, highest_gy: float, narrow: bool) -> None:
        """Lower 70 Gy against an upper of D0.03cc: 4 % of 70 Gy are 2.8 Gy."""
        given = extracted([PTV], [ramp_dvh(1, "PTV_70", 70.0, highest_gy, volume_cc=1000.0)])
        assert ("target-window-narrow" in codes(given)) is narrow


class TestOverlap:
    # 40 mm of y, 6 mm of them in the target: 15 %
    organ = box(5, "Larynx", "organ", (-20.0, 20.0), (34.0, 74.0), standard_name="Larynx")

    def test_the_part_outside_gets_the_curve_and_the_whole_its_maximum(self) -> None:
        given = extracted([PTV, self.organ], [PTV_DVH])
        assert points(given, "Larynx") == [("upper", 0.0, pytest.approx(74.0, abs=0.4))]
        # 34 to 68 mm are left: D20% is 68 - 0.2 x 34
        left = {volume: dose for _, volume, dose in points(given, "Larynx-PTV")}
        assert left[20.0] == pytest.approx(61.2, abs=0.05)
        assert left[80.0] == pytest.approx(40.8, abs=0.05)
        mean = next(o for o in given.objectives if isinstance(o, MeanObjective))
        assert (mean.roi_name, mean.roi_number) == ("Larynx-PTV", None)
        assert mean.dose_gy == pytest.approx(51.0, abs=0.05)
        assert len({o.priority for o in given.objectives if "Larynx" in o.roi_name}) == 1
        told = next(f for f in given.findings if f.code == "organ-overlaps-target")
        assert "15.0 %" in told.message

    def test_5_percent_is_not_above_5_percent(self) -> None:
        just = box(5, "Larynx", "organ", (-20.0, 20.0), (-46.0, 74.0))
        assert extracted([PTV, just], [PTV_DVH]).derived_structures == ()
        more = box(5, "Larynx", "organ", (-20.0, 20.0), (-45.0, 74.0))
        assert [d.name for d in extracted([PTV, more], [PTV_DVH]).derived_structures] == ["Larynx-PTV"]

    def test_an_organ_inside_a_target_has_no_upper_objectives(self) -> None:
        inside = box(5, "Larynx", "organ", (-10.0, 10.0), (69.0, 73.0))
        given = extracted([PTV, inside], [PTV_DVH])
        assert points(given, "Larynx") == []
        assert "inside-target" in codes(given)

    def test_a_derived_name_is_short_and_new(self) -> None:
        long = box(5, "Constrictor_superior", "organ", (-20.0, 20.0), (34.0, 74.0))
        taken = box(6, "Constrictor_-PTV", "other", (-20.0, 20.0), (34.0, 68.0))
        given = extracted([PTV, long, taken], [PTV_DVH])
        assert [structure.name for structure in given.derived_structures] == [short_id("Constrictor_superior-PTV_2")]

    def test_an_organ_asked_to_stay_colder_than_its_shared_part_is_told(self) -> None:
        # the dose that was read spares the organ although 15 % of it lie in the target
        given = extracted([PTV, self.organ], [PTV_DVH, ramp_dvh(5, "Larynx", 10.0, 60.0, volume_cc=48.0)])
        told = next(f for f in given.findings if f.code.startswith("overlap-"))
        # 7.2 cc are shared, the target has 20 cc and may leave 5 % of them, 1 cc, cold
        assert told.code == "overlap-contradicts"
        assert "7.20 cc" in told.message
        assert told.where == {"roi": "Larynx", "target": "PTV_70"}


class TestRing:
    def test_the_ring_is_bounded_by_the_body_and_named(self) -> None:
        given = extracted([PTV, BODY], [PTV_DVH])
        recipe = given.derived_structures[0]
        assert (recipe.name, recipe.of, recipe.within, recipe.inner_mm, recipe.outer_mm) == (
            "Ring_PTV", ("PTV_70",), "BODY", 3.0, 30.0,
        )  # fmt: skip
        asked = points(given, "Ring_PTV")
        # y reaches from 68 - 30 to 74 + 30 mm, and the shell is symmetric about 71 mm
        assert [volume for _, volume, _ in asked] == [0.0, 10.0, 50.0]
        assert asked[0][2] == pytest.approx(104.0, abs=1.0)
        assert asked[2][2] == pytest.approx(71.0, abs=0.5)
        assert {o.priority for o in given.objectives if o.roi_name == "Ring_PTV"} == {10.0}
        assert "hot-spot" in codes(given)

    def test_without_a_body_there_is_no_ring_and_a_finding(self) -> None:
        given = extracted([PTV], [PTV_DVH])
        assert given.derived_structures == ()
        assert codes(given) == ["no-ring"]


def test_a_dose_of_another_frame_of_reference_is_refused() -> None:
    dose = ramp_dose()
    other = Dose(dose.values, type(dose.grid)(dose.grid.shape, dose.grid.affine, "2.25.9"))
    with pytest.raises(GeometryRefusal):
        extracted([PTV], [], dose=other)


def test_the_set_carries_what_it_was_made_from() -> None:
    given = extracted([PTV], [PTV_DVH])
    assert (given.case, given.dose_source, given.provenance, given.prescription) == (CASE, "given", PROVENANCE, RX)


def test_extraction_is_repeatable() -> None:
    structures = [PTV, CORD, BODY]
    assert extracted(structures, [PTV_DVH]).sha256 == extracted(structures, [PTV_DVH]).sha256


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Parotid_L", "Parotid_L-PTV"),
        ("Glnd_Submand_L", "Glnd_Subma_L-PTV"),
        ("Glnd_Submand_R", "Glnd_Subma_R-PTV"),
        ("Bone_Mandible", "Bone_Mandibl-PTV"),
        ("Parotid gland left", "Parotid gl_L-PTV"),
        ("Parotid gland right", "Parotid gl_R-PTV"),
    ],
)
def test_a_shortened_name_keeps_its_side(name: str, short: str) -> None:
    assert shortened(f"{name}-PTV") == short
    assert len(short) <= 16


def test_a_shortened_name_keeps_its_dose_level() -> None:
    names = [shortened(f"PTV_High_Risk_{level}-PTV") for level in ("5600", "7000")]
    assert ["5600" in names[0], "7000" in names[1]] == [True, True]
    assert max(map(len, names)) <= 16
