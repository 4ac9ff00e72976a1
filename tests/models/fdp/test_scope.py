"""What FDP refuses, what it only remarks, and where exactly the line between lies."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.findings import Finding
from bridge.rt.volume import CtVolume, Mask
from models.fdp.scope import scope_findings
from tests.models.fdp import anatomies
from tests.models.fdp.anatomies import HIGH, Box, all_orientations, box_mask, patient, patient_grid

NINE = tuple(40.0 * number for number in range(9))


def usual(**changes: object) -> Anatomy:
    """A patient that nothing is to be said about, but for the changes."""
    return patient(**{"gantry_deg": NINE, **changes})  # type: ignore[arg-type]


def codes(anatomy: Anatomy) -> list[str]:
    return [finding.code for finding in scope_findings(anatomy, [NINE])]


def refusal(anatomy: Anatomy) -> ModelRefusal:
    with pytest.raises(ModelRefusal) as raised:
        scope_findings(anatomy, [NINE])
    return raised.value


def one(anatomy: Anatomy) -> Finding:
    (finding,) = scope_findings(anatomy, [NINE])
    return finding


@pytest.mark.parametrize("steps", all_orientations()[::7])
def test_of_a_usual_patient_there_is_nothing_to_say(steps: np.ndarray) -> None:
    assert codes(usual(grid=patient_grid(steps))) == []


def remark(anatomy: Anatomy, code: str, severity: str) -> str:
    """Give the message of the only finding, which is about the target."""
    finding = one(anatomy)
    assert (finding.code, finding.severity, dict(finding.where)) == (code, severity, {"roi": "PTV"})
    return finding.message


class TestCt:
    def test_without_one_that_is_said(self) -> None:
        finding = one(usual(hu=None))
        assert (finding.code, finding.severity) == ("ct-not-given", "warning")

    @pytest.mark.parametrize("hu", [-150.0, 0.0, 250.0])
    def test_tissue_is_let_pass(self, hu: float) -> None:
        assert codes(usual(hu=hu)) == []

    @pytest.mark.parametrize(("hu", "why"), [(-151.0, "air"), (251.0, "bone"), (1064.0, "stored values"), (-1000, "")])
    def test_numbers_that_are_not_those_of_tissue_are_refused(self, hu: float, why: str) -> None:
        """1064 is tissue of 40 HU without its rescale intercept of -1024."""
        error = refusal(usual(hu=hu))
        assert error.code == "ct-numbers", why
        assert f"above {hu:.0f} HU" in error.message

    def test_the_median_is_that_of_the_body_and_not_of_the_air_around_it(self) -> None:
        """Half of the grid is air, and less than half of the body metal."""
        anatomy = usual(hu=40.0)
        assert (anatomy.body.values >= 0.5).mean() < 0.5
        assert anatomy.ct is not None
        numbers = anatomy.ct.values.copy()
        inside = np.flatnonzero(anatomy.body.values >= 0.5)
        numbers.flat[inside[: int(0.49 * inside.size)]] = 3000.0
        mostly_tissue = Anatomy(
            anatomy.grid, CtVolume(numbers, anatomy.grid), anatomy.body, anatomy.masks, anatomy.target_levels_gy, NINE
        )
        assert codes(mostly_tissue) == []

    def test_a_ct_that_lies_upside_down_or_beside_the_body_is_refused(self) -> None:
        """The median inside the body is air where contours and CT numbers do not belong together."""
        anatomy = usual(hu=40.0, body=((40, 160), (-100, 92), (-120, 120)))
        ct = patient(body=((-160, 20), (-100, 92), (-120, 120))).ct
        moved = Anatomy(anatomy.grid, ct, anatomy.body, anatomy.masks, anatomy.target_levels_gy, NINE)
        assert refusal(moved).code == "ct-numbers"


class TestTargets:
    @pytest.mark.parametrize(("right_mm", "inside"), [(80, True), (28, True), (24, False), (12, False), (-20, False)])
    def test_a_target_that_lies_mostly_outside_the_body_is_refused(self, right_mm: float, inside: bool) -> None:
        """The high target reaches from x = 12 to 44 mm; a body that ends at 28 mm holds half of it."""
        anatomy = usual(targets={"PTV": (70.0, HIGH)}, body=((-80, right_mm), (-100, 92), (-120, 120)))
        if inside:
            assert codes(anatomy) == []
        else:
            error = refusal(anatomy)
            assert error.code == "target-outside-body"
            assert error.where == {"roi": "PTV"}
            assert f"{max(0.0, (right_mm - 12) / 32) * 100:.0f} %" in error.message

    @pytest.mark.parametrize("steps", all_orientations()[::11])
    @pytest.mark.parametrize("side", [1, -1])
    @pytest.mark.parametrize(("gap_mm", "said"), [(0, True), (12, True), (16, False), (40, False)])
    def test_a_target_near_the_end_of_the_body_is_remarked(
        self, steps: np.ndarray, side: int, gap_mm: int, said: bool
    ) -> None:
        """The body ends at 120 mm above and below; slices of 4 mm."""
        ends = sorted((side * (120 - gap_mm), side * (60 - gap_mm)))
        box: Box = (HIGH[0], HIGH[1], (ends[0], ends[1]))
        anatomy = usual(grid=patient_grid(steps), targets={"PTV": (70.0, box)})
        if not said:
            assert codes(anatomy) == []
            return
        assert f"reaches to {gap_mm} mm" in remark(anatomy, "target-at-edge", "warning")

    def test_fifteen_millimetres_are_enough(self) -> None:
        grid = patient_grid(spacing_mm=(4.0, 4.0, 3.0))
        at = {gap: usual(grid=grid, targets={"PTV": (70.0, (HIGH[0], HIGH[1], (60, 120 - gap)))}) for gap in (12, 15)}
        assert codes(at[12]) == ["target-at-edge"]
        assert codes(at[15]) == []

    def test_a_body_that_ends_before_the_target_is_remarked_as_no_distance_at_all(self) -> None:
        """A fifth of the target lies beyond the end of the body."""
        finding = one(
            usual(targets={"PTV": (70.0, (HIGH[0], HIGH[1], (40, 80)))}, body=((-80, 80), (-100, 92), (-120, 72)))
        )
        assert finding.code == "target-at-edge"
        assert "reaches to 0 mm" in finding.message

    def with_crumb(self, voxels: int) -> Anatomy:
        """A target of 8 x 10 x 16 voxels, and a row of some far from it."""
        anatomy = usual(targets={"PTV": (70.0, HIGH)})
        crumb = box_mask(anatomy.grid, ((-60, -60 + 4 * voxels), (60, 64), (60, 64))).values
        masks = {**anatomy.masks, "PTV": Mask(np.maximum(anatomy.masks["PTV"].values, crumb), anatomy.grid)}
        return Anatomy(anatomy.grid, anatomy.ct, anatomy.body, masks, anatomy.target_levels_gy, NINE)

    @pytest.mark.parametrize(("voxels", "said"), [(1, True), (25, True), (26, False), (30, False)])
    def test_a_crumb_beside_a_target_is_remarked(self, voxels: int, said: bool) -> None:
        """1280 voxels: 2 % are 25.6."""
        anatomy = self.with_crumb(voxels)
        if not said:
            assert codes(anatomy) == []
            return
        assert f"2 pieces, the smallest of {voxels} voxels" in remark(anatomy, "target-pieces", "info")

    def test_every_target_is_looked_at(self) -> None:
        targets: dict[str, tuple[float, Box]] = {
            "PTV_High": (70.0, HIGH),
            "PTV_Low": (56.0, (HIGH[0], HIGH[1], (60, 120))),
            "PTV_Mid": (63.0, (HIGH[0], HIGH[1], (-120, -60))),
        }
        found = scope_findings(usual(targets=targets), [NINE])
        assert [(finding.code, finding.where["roi"]) for finding in found] == [
            ("target-at-edge", "PTV_Low"),
            ("target-at-edge", "PTV_Mid"),
        ]


class TestSite:
    def test_without_any_organ_of_the_head_and_neck_it_is_refused(self) -> None:
        pelvis: dict[str, Box] = {"Bladder": ((-20, 20), (40, 80), (0, 40)), "Rectum": ((-20, 20), (60, 90), (40, 80))}
        error = refusal(usual(organs=pelvis))
        assert error.code == "site-unknown"
        assert "Parotid_L" in error.message

    def test_organs_without_a_voxel_are_none(self) -> None:
        empty: dict[str, Box] = dict.fromkeys(anatomies.ORGANS, ((0, 0), (0, 0), (0, 0)))
        assert refusal(usual(organs=empty)).code == "site-unknown"

    def test_with_a_single_one_the_site_is_doubted(self) -> None:
        """A spinal cord is drawn in other sites too."""
        finding = one(usual(organs={"SpinalCord": anatomies.ORGANS["SpinalCord"]}))
        assert (finding.code, finding.severity) == ("site-uncertain", "warning")
        assert "'SpinalCord'" in finding.message

    def test_two_are_enough(self) -> None:
        two = {name: anatomies.ORGANS[name] for name in ("SpinalCord", "Parotid_L")}
        assert codes(usual(organs=two)) == []


class TestBeams:
    @pytest.mark.parametrize("none", [None, ()])
    def test_beams_that_are_not_known_are_assumed_and_that_is_said(self, none: tuple[float, ...] | None) -> None:
        finding = one(usual(gantry_deg=none))
        assert (finding.code, finding.severity) == ("beams-assumed", "warning")
        assert "gantry 0, 40, 80, 120, 160, 200, 240, 280, 320 degrees" in finding.message

    @pytest.mark.parametrize(
        "angles",
        [
            NINE[::-1],
            NINE[4:] + NINE[:4],
            tuple(angle + 360.0 for angle in NINE),
            tuple(angle - 360.0 for angle in NINE),
            tuple(angle + 0.9 for angle in NINE),
            tuple(angle - 0.9 for angle in NINE),
            (359.1, *NINE[1:]),
            (360.0, *NINE[1:]),
            (0.9, 39.1, *NINE[2:]),
        ],
    )
    def test_those_of_training_are_known_in_any_order_by_whole_turns_and_to_one_degree(
        self, angles: tuple[float, ...]
    ) -> None:
        assert codes(usual(gantry_deg=angles)) == []

    @pytest.mark.parametrize(
        "angles",
        [
            (1.1, *NINE[1:]),
            (358.9, *NINE[1:]),
            NINE[:-1],
            (*NINE, 180.0),
            (0.0, 0.0, *NINE[2:]),
            tuple(angle + 20.0 for angle in NINE),
            (0.0,),
        ],
    )
    def test_others_are_remarked(self, angles: tuple[float, ...]) -> None:
        finding = one(usual(gantry_deg=angles))
        assert (finding.code, finding.severity) == ("beams-outside-training", "warning")
        assert f"has {len(angles)} beam angles, the training plans had 9" in finding.message

    def test_those_of_any_set_of_training_plans_are_known(self) -> None:
        five = tuple(72.0 * number for number in range(5))
        assert scope_findings(usual(gantry_deg=five[::-1]), [NINE, five]) == ()
        (finding,) = scope_findings(usual(gantry_deg=five[:4]), [NINE, five])
        assert "the training plans had 9 or 5 (gantry 0, 40, 80" in finding.message
        assert "; or 0, 72, 144, 216, 288 degrees" in finding.message
        (assumed,) = scope_findings(usual(gantry_deg=()), [NINE, five])
        assert (assumed.code, "72" in assumed.message) == ("beams-assumed", False)

    @pytest.mark.parametrize(
        ("position", "known"),
        [
            ("HFS", True), ("FFS", True),  # left for right maps nine even beams from 0 on themselves
            ("HFP", False), ("FFP", False), ("HFDR", False), ("HFDL", False), ("FFDR", False), ("FFDL", False),
        ],
    )  # fmt: skip
    def test_what_counts_is_where_they_enter_the_patient(self, position: str, known: bool) -> None:
        """Training patients lie head first and supine; a prone one gets the beams of gantry 0 from behind."""
        assert codes(usual(position=position)) == ([] if known else ["beams-outside-training"])

    def test_a_prone_patient_can_have_the_beams_of_training(self) -> None:
        assert codes(usual(position="HFP", gantry_deg=tuple(angle + 180.0 for angle in NINE))) == []


def test_all_that_is_to_be_said_is_said_at_once() -> None:
    anatomy = usual(
        hu=None,
        gantry_deg=None,
        targets={"PTV": (70.0, (HIGH[0], HIGH[1], (60, 120)))},
        organs={"SpinalCord": anatomies.ORGANS["SpinalCord"]},
    )
    assert codes(anatomy) == ["ct-not-given", "target-at-edge", "site-uncertain", "beams-assumed"]
