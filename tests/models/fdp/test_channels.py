"""What the network is shown of a patient of boxes whose every number is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import Structure
from models.fdp.axes import Axis
from models.fdp.channels import CHANNELS, CT_CHANNEL, MIRRORED, ORGANS, channels_of, organ_masks
from models.fdp.frame import Frame
from tests.models.fdp import anatomies
from tests.models.fdp.anatomies import (
    CENTRE_MM,
    HEAD_FIRST_SUPINE,
    Box,
    all_orientations,
    mirrored_patient,
    patient,
    patient_grid,
)
from tests.solids import prism, rectangle

SHAPE = (80, 60, 80)
FRAME = Frame(
    (
        Axis(CENTRE_MM[2] - 79 / 2 * 3.0, 3.0, SHAPE[0]),
        Axis(CENTRE_MM[1] - 59 / 2 * 4.0, 4.0, SHAPE[1]),
        Axis(CENTRE_MM[0] - 79 / 2 * 4.0, 4.0, SHAPE[2]),
    ),
    (0, 16),
    (CENTRE_MM[2], CENTRE_MM[1], CENTRE_MM[0]),
)
"""240 x 240 x 320 mm about the centre: in y and x its voxels are those of the usual grid."""

ANGLES = (0.0, 100.0)

Z, Y, X = np.meshgrid(
    *(axis.centres_mm - middle for axis, middle in zip(FRAME.axes, FRAME.isocentre_mm, strict=True)), indexing="ij"
)


def share(box: Box) -> np.ndarray:
    """The exact part of each voxel of the frame that lies in a box."""
    parts = []
    for (low, high), centre, step in zip(box, (X, Y, Z), (4.0, 4.0, 3.0), strict=True):
        parts.append(np.clip(np.minimum(centre + step / 2, high) - np.maximum(centre - step / 2, low), 0, step) / step)
    return np.asarray(parts[0] * parts[1] * parts[2])


@cache
def usual() -> Anatomy:
    return patient(bone_hu=1800.0)


@cache
def shown() -> dict[str, np.ndarray]:
    return dict(zip(CHANNELS, channels_of(usual(), FRAME, ANGLES), strict=True))


def of(anatomy: Anatomy, angles: tuple[float, ...] = ANGLES) -> dict[str, np.ndarray]:
    return dict(zip(CHANNELS, channels_of(anatomy, FRAME, angles), strict=True))


def test_the_channels_have_an_order_that_never_changes() -> None:
    """A trained network knows them by their place only."""
    assert CHANNELS == (
        "level", "target", "target_high", "Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx",
        "Bone_Mandible", "body", "ct", "distance", "distance_high", "plate", "plate_attenuated",
        "plate_high_attenuated",
    )  # fmt: skip
    assert CHANNELS[CT_CHANNEL] == "ct"
    channels = channels_of(usual(), FRAME, ANGLES)
    assert channels.shape == (17, *SHAPE)
    assert channels.dtype == np.float32
    assert np.isfinite(channels).all()


def test_in_the_mirror_the_parotids_change_places_and_nothing_else() -> None:
    left, right = CHANNELS.index("Parotid_L"), CHANNELS.index("Parotid_R")
    wanted = list(range(17))
    wanted[left], wanted[right] = right, left
    assert list(MIRRORED) == wanted


class TestStructures:
    @pytest.mark.parametrize("organ", sorted(anatomies.ORGANS))
    def test_every_organ_lies_in_its_own_channel(self, organ: str) -> None:
        np.testing.assert_allclose(shown()[organ], share(anatomies.ORGANS[organ]), atol=1e-5)

    def test_the_left_parotid_lies_to_the_left(self) -> None:
        """To the left x grows: this is the one mistake that no other number here would show."""
        assert np.average(X, weights=shown()["Parotid_L"]) == pytest.approx(60.0, abs=1e-3)
        assert np.average(X, weights=shown()["Parotid_R"]) == pytest.approx(-58.0, abs=1e-3)

    @pytest.mark.parametrize("organ", ["Esophagus", "Larynx", "Bone_Mandible"])
    def test_an_organ_that_is_not_there_is_zero(self, organ: str) -> None:
        assert not shown()[organ].any()

    def test_every_organ_can_be_shown(self) -> None:
        """Each name of the model in turn, alone: its channel and no other."""
        for organ in ORGANS:
            masks = organ_masks(patient(organs={organ: ((40, 60), (40, 60), (40, 60))}, hu=None), FRAME)
            assert list(masks) == list(ORGANS)
            assert {name for name, mask in masks.items() if mask.any()} == {organ}

    def test_other_structures_are_not_shown(self) -> None:
        more = {**anatomies.ORGANS, "Lens_L": ((20, 40), (-80, -60), (60, 80))}
        with_lens = channels_of(patient(organs=more, bone_hu=1800.0), FRAME, ANGLES)  # type: ignore[arg-type]
        np.testing.assert_array_equal(with_lens, np.stack(list(shown().values())))

    def test_body(self) -> None:
        np.testing.assert_allclose(shown()["body"], share(anatomies.BODY), atol=1e-5)


class TestTargets:
    def test_levels_are_over_the_highest(self) -> None:
        """70 and 56 Gy: 1 and 0.8, times the part of the voxel."""
        wanted = np.maximum(share(anatomies.HIGH), 0.8 * share(anatomies.LOW))
        np.testing.assert_allclose(shown()["level"], wanted, atol=1e-5)
        np.testing.assert_allclose(shown()["target_high"], share(anatomies.HIGH), atol=1e-5)
        np.testing.assert_allclose(shown()["target"], share(anatomies.HIGH) + share(anatomies.LOW), atol=1e-5)

    def test_only_their_ratio_is_shown(self) -> None:
        """35 and 28 Gy look as 70 and 56 Gy do."""
        half = {name: (level / 2, box) for name, (level, box) in anatomies.TARGETS.items()}
        got = channels_of(patient(targets=half, bone_hu=1800.0), FRAME, ANGLES)
        np.testing.assert_array_equal(got, np.stack(list(shown().values())))

    def test_the_order_of_the_targets_means_nothing(self) -> None:
        turned = dict(reversed(anatomies.TARGETS.items()))
        got = channels_of(patient(targets=turned, bone_hu=1800.0), FRAME, ANGLES)
        np.testing.assert_allclose(got, np.stack(list(shown().values())), atol=1e-6)

    def test_targets_of_the_highest_level_are_one(self) -> None:
        both = {"a": (60.0, anatomies.HIGH), "b": (60.0, anatomies.LOW)}
        got = of(patient(targets=both, hu=None))
        np.testing.assert_array_equal(got["target_high"] > 0, got["target"] > 0)
        np.testing.assert_array_equal(got["distance_high"], got["distance"])
        np.testing.assert_array_equal(got["plate_high_attenuated"], got["plate_attenuated"])

    def test_a_target_within_another_keeps_its_level_and_the_sum_stays_one(self) -> None:
        inner: Box = ((12, 28), (-8, 8), (-12, 12))
        got = of(patient(targets={"low": (50.0, anatomies.HIGH), "high": (60.0, inner)}, hu=None))
        np.testing.assert_allclose(got["level"], np.maximum(share(inner), 50 / 60 * share(anatomies.HIGH)), atol=1e-5)
        np.testing.assert_allclose(got["target"], share(anatomies.HIGH), atol=1e-5)
        np.testing.assert_allclose(got["target_high"], share(inner), atol=1e-5)

    def test_border_voxels_of_two_targets_that_touch_are_whole(self) -> None:
        """They meet at x = 14, in the middle of a voxel from 12 to 16 mm."""
        touching: dict[str, tuple[float, Box]] = {
            "a": (60.0, ((14, 44), (-20, 20), (-30, 30))),
            "b": (54.0, ((-40, 14), (-20, 20), (-30, 30))),
        }
        got = of(patient(patient_grid(spacing_mm=(2.0, 4.0, 4.0)), targets=touching, hu=None))
        meeting = (X == 14.0) & (np.abs(Y) < 18) & (np.abs(Z) < 28)
        np.testing.assert_allclose(got["target"][meeting], 1.0, atol=1e-5)
        np.testing.assert_allclose(got["target_high"][meeting], 0.5, atol=1e-5)

    @pytest.mark.parametrize("meet_x", [13.0, 13.5, 14.9])
    def test_so_they_are_where_the_border_lies_within_a_voxel_of_the_patient(self, meet_x: float) -> None:
        """Two targets fill each a part of the voxels between them: together they fill all."""
        touching: dict[str, tuple[float, Box]] = {
            "a": (60.0, ((meet_x, 44), (-20, 20), (-32, 32))),
            "b": (54.0, ((-40, meet_x), (-20, 20), (-32, 32))),
        }
        got = of(patient(patient_grid(spacing_mm=(4.0, 4.0, 4.0)), targets=touching, hu=None))
        np.testing.assert_allclose(got["target"], share(((-40, 44), (-20, 20), (-32, 32))), atol=1e-5)

    def test_targets_that_end_together_count_once_there(self) -> None:
        """All three share a side at x = 42, in the middle of a voxel: it is no wider for that."""
        outer: Box = ((-6, 42), (-20, 20), (-32, 32))
        nested = {"low": (54.0, outer), "middle": (57.0, outer), "high": (60.0, ((10, 42), (-20, 20), (-32, 32)))}
        got = of(patient(targets=nested, hu=None))  # type: ignore[arg-type]
        np.testing.assert_allclose(got["target"], share(outer), atol=1e-5)


def test_drawn_structures_are_shown_as_drawn_on_whatever_grid_the_dose_is() -> None:
    """Boxes of contours: on voxels of 2.5 and 5 mm the patient is one, and every voxel of the frame holds its part."""
    boxes = {"PTV_High": anatomies.HIGH, "PTV_Low": anatomies.LOW, **anatomies.ORGANS}
    got = []
    for spacing_mm in (2.5, 5.0):
        grid = patient_grid(spacing_mm=(spacing_mm,) * 3)
        masks = {name: mask_of(drawn_box(box), grid) for name, box in boxes.items()}
        anatomy = Anatomy(grid, None, mask_of(drawn_box(anatomies.BODY), grid), masks, usual().target_levels_gy, ANGLES)
        got.append(channels_of(anatomy, FRAME, ANGLES))
    np.testing.assert_array_equal(got[0], got[1])
    shown_as = dict(zip(CHANNELS, got[0], strict=True))
    for name in anatomies.ORGANS:
        np.testing.assert_allclose(shown_as[name], share(anatomies.ORGANS[name]), atol=1e-5)
    np.testing.assert_allclose(shown_as["body"], share(anatomies.BODY), atol=1e-5)
    np.testing.assert_allclose(shown_as["target"], share(anatomies.HIGH) + share(anatomies.LOW), atol=1e-5)


def drawn_box(box: Box) -> Structure:
    """A box as contours every 2 mm, in the frame of the patients of boxes."""
    (x0, x1), (y0, y1), (z0, z1) = (np.array(side) + middle for side, middle in zip(box, CENTRE_MM, strict=True))
    return prism([rectangle((x0, x1), (y0, y1))], np.arange(z0 + 1.0, z1, 2.0))


class TestDistances:
    @pytest.mark.parametrize(
        ("point", "mm"),
        [
            ((46, 2, 1.5), 2), ((54, 2, 1.5), 10), ((74, 2, 1.5), 30), ((42, 2, 1.5), -2), ((38, 2, 1.5), -6),
            ((30, 22, 1.5), 2), ((30, 50, 1.5), 30), ((30, -42, 1.5), 22), ((30, 14, 1.5), -6),
        ],
    )  # fmt: skip
    def test_they_are_millimetres_from_the_surface_negative_inside(
        self, point: tuple[float, float, float], mm: float
    ) -> None:
        """Straight before the faces of the high target at x = 44, y = 20 and y = -20."""
        x, y, z = point
        (at,) = np.argwhere((x == X) & (y == Y) & (z == Z))
        assert shown()["distance_high"][tuple(at)] * 50.0 == pytest.approx(mm, abs=1e-3)

    def test_along_z_they_are_right_to_half_a_slice(self) -> None:
        column = (X == 30.0) & (Y == 2.0) & (np.abs(Z) > 34) & (np.abs(Z) < 75)
        np.testing.assert_allclose(shown()["distance_high"][column] * 50.0, np.abs(Z[column]) - 32.0, atol=1.51)

    def test_off_the_corners_they_are_those_of_a_box(self) -> None:
        apart = [np.maximum(np.abs(c - m) - h, 0) for c, m, h in ((X, 28, 16), (Y, 0, 20), (Z, 0, 32))]
        wanted = np.clip(np.sqrt(np.sum(np.square(apart), axis=0)) / 50.0, 0.0, 1.0)
        outside = shown()["target_high"] == 0
        assert np.abs(shown()["distance_high"] - wanted)[outside].max() * 50.0 < 2.5

    def test_they_end_at_50_mm(self) -> None:
        far = (X < -40.0) | (Z > 90.0)
        np.testing.assert_array_equal(shown()["distance_high"][far], 1.0)
        assert shown()["distance"].max() == 1.0
        assert -1.0 <= shown()["distance"].min() < shown()["distance"].max()

    def test_the_distance_from_all_targets_is_the_nearer_one(self) -> None:
        low = of(patient(targets={"only": (56.0, anatomies.LOW)}, hu=None))["distance"]
        outside = shown()["target"] == 0
        np.testing.assert_allclose(
            shown()["distance"][outside], np.minimum(shown()["distance_high"], low)[outside], atol=1e-5
        )

    def test_a_target_that_fills_no_voxel_is_far_from_everywhere(self) -> None:
        got = of(patient(targets={"thin": (60.0, ((13, 14), (-20, 20), (-30, 30)))}, hu=None))
        np.testing.assert_array_equal(got["distance"], 1.0)
        assert got["target_high"].max() == pytest.approx(0.25)
        assert not got["plate"].any()


class TestCt:
    def test_it_is_in_thousands_of_hounsfield_units_within_the_body(self) -> None:
        """Tissue of 40 HU; 1800 HU are held at 1500; air outside the body is not seen."""
        body, bone = share(anatomies.BODY), share(anatomies.ORGANS["SpinalCord"])
        got = shown()["ct"]
        np.testing.assert_allclose(got[(body == 1) & (bone == 0)], 0.04, atol=1e-5)
        np.testing.assert_allclose(got[bone == 1], 1.5, atol=1e-5)
        np.testing.assert_array_equal(got[body == 0], 0.0)

    def test_numbers_below_air_are_air(self) -> None:
        """Scanners pad with -1024, -2000 and less."""
        padded, air = (of(patient(bone_hu=hu))["ct"] for hu in (-3024.0, -1000.0))
        np.testing.assert_array_equal(padded, air)
        assert air.min() == pytest.approx(-1.0)

    def test_without_one_it_is_zero_and_all_else_is_the_same(self) -> None:
        got = of(patient(hu=None))
        assert not got["ct"].any()
        for name in set(CHANNELS) - {"ct"}:
            np.testing.assert_array_equal(got[name], shown()[name])


class TestPlates:
    def test_there_is_none_outside_the_body(self) -> None:
        outside = shown()["body"] == 0
        for name in ("plate", "plate_attenuated", "plate_high_attenuated"):
            assert not shown()[name][outside].any()

    def test_attenuation_is_that_of_the_depth(self) -> None:
        """From above through the skin at y = -100: 0.45 % a millimetre, at the slant of each ray."""
        got = of(usual(), (0.0,))
        hit = (got["plate"] > 0) & (np.abs(Y) < 88) & (np.abs(X) < 70) & (np.abs(Z) < 100)
        depth = (Y + 100.0) * np.sqrt(1 + (X / (1000.0 + Y)) ** 2)
        ratio = got["plate_attenuated"][hit] / got["plate"][hit]
        np.testing.assert_allclose(ratio, np.exp(-0.0045 * depth[hit]), rtol=4e-3)
        np.testing.assert_allclose(got["plate"][hit], (1000.0 / (1000.0 + Y[hit])) ** 2, rtol=1e-5)

    def test_the_plate_of_the_high_target_is_a_part_of_that_of_all(self) -> None:
        assert (shown()["plate_high_attenuated"] <= shown()["plate_attenuated"] + 1e-6).all()
        got = of(usual(), (0.0,))
        left, right = (X > 12) & (X < 40) & (np.abs(Y) < 80), (X < -12) & (X > -36) & (np.abs(Y) < 80)
        middle = np.abs(Z) < 24
        assert (got["plate_high_attenuated"][left & middle] > 0).all()
        assert not got["plate_high_attenuated"][right & middle].any()
        assert (got["plate_attenuated"][right & middle] > 0).all()

    @pytest.mark.parametrize(
        ("position", "gantry_deg"),
        [("HFS", 90), ("FFS", 270), ("HFP", 270), ("FFP", 90), ("HFDR", 0), ("HFDL", 180), ("FFDR", 0), ("FFDL", 180)],
    )
    def test_the_beam_comes_from_the_patients_left_however_he_lies(self, position: str, gantry_deg: float) -> None:
        """On its way from the left at x = 80 to the right at x = -80 it loses half."""
        got = of(patient(position=position), (float(gantry_deg),))
        wanted = of(usual(), (90.0,))
        for name in ("plate", "plate_attenuated", "plate_high_attenuated"):
            np.testing.assert_allclose(got[name], wanted[name], atol=2e-3)
        axis = (np.abs(Y) < 4) & (np.abs(Z) < 4)
        left, right = (got["plate_attenuated"][axis & (x == X)].mean() for x in (78.0, -78.0))
        assert left == pytest.approx(np.exp(-0.0045 * 2.0) / 0.922**2, rel=0.01)
        assert right == pytest.approx(np.exp(-0.0045 * 158.0) / 1.078**2, rel=0.01)


class TestGrids:
    @pytest.mark.parametrize("steps", [all_orientations()[number] for number in (5, 14, 23, 32, 47)])
    def test_the_same_patient_in_another_order_of_voxels_looks_the_same(self, steps: np.ndarray) -> None:
        got = of(patient(patient_grid(steps), bone_hu=1800.0))
        for name in CHANNELS:
            np.testing.assert_allclose(got[name], shown()[name], atol=1e-4, err_msg=name)

    @pytest.mark.parametrize("spacing_mm", [(2.0, 4.0, 4.0), (4.0, 2.0, 2.0), (4.0, 4.0, 1.0)])
    def test_the_same_patient_in_finer_voxels_looks_the_same(self, spacing_mm: tuple[float, float, float]) -> None:
        got = of(patient(patient_grid(HEAD_FIRST_SUPINE, spacing_mm), bone_hu=1800.0))
        for name in CHANNELS:
            np.testing.assert_allclose(got[name], shown()[name], atol=1e-4, err_msg=name)

    def test_the_patient_in_the_mirror_looks_as_the_mirrored_channels(self) -> None:
        """Left for right in the body, the names, and the beams: what training and averaging build upon."""
        mirror = mirrored_patient(usual())
        assert mirror.gantry_angles_deg is not None
        got = channels_of(mirror, FRAME, mirror.gantry_angles_deg)
        wanted = np.stack(list(shown().values()))[list(MIRRORED)][..., ::-1]
        assert np.abs(got - wanted).max() < 2e-3
        assert np.abs(got - np.stack(list(shown().values()))).max() > 0.9
