"""Where the boxes lie: around the targets, wherever those are, and joined without a seam."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.case import Anatomy
from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from models.fdp.axes import Axis
from models.fdp.frame import BOX, MARGIN_MM, SPACING_MM, Frame, frame_of
from tests.models.fdp.anatomies import CENTRE_MM, Box, all_orientations, box_mask, patient, patient_grid
from tests.solids import prism, rectangle

MIDDLE_ZYX = np.array(CENTRE_MM[::-1])
SIDES_ZYX = ("z", "y", "x")


def only(box: Box, extent_mm: tuple[float, float, float] = (320.0, 240.0, 240.0), body: Box | None = None) -> Anatomy:
    """One target of 70 Gy, by default in a body as large as the grid."""
    half = [extent / 2 for extent in extent_mm]
    whole: Box = ((-half[0], half[0]), (-half[1], half[1]), (-half[2], half[2]))
    grid = patient_grid(extent_mm=extent_mm)
    return patient(grid, targets={"PTV": (70.0, box)}, organs={}, body=whole if body is None else body, hu=None)


def faces_zyx(box: Box) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array(box)[::-1].T
    return low + MIDDLE_ZYX, high + MIDDLE_ZYX


def room_zyx(frame: Frame, box: Box) -> np.ndarray:
    """Distance in mm of the target from each face of the boxes: before and behind, along z, y and x."""
    low, high = faces_zyx(box)
    edges = [axis.edges_mm for axis in frame.axes]
    return np.array([[a - e[0], e[-1] - b] for e, a, b in zip(edges, low, high, strict=True)])


edge = st.integers(-20, 20)
side = st.integers(2, 14)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.tuples(edge, edge, edge), st.tuples(side, side, side))
def test_the_boxes_hold_every_target_with_its_border(first: tuple[int, int, int], n: tuple[int, int, int]) -> None:
    box: Box = (
        (4.0 * first[0], 4.0 * (first[0] + n[0])),
        (4.0 * first[1] - 20, 4.0 * (first[1] + n[1]) - 20),
        (4.0 * first[2] - 20, 4.0 * (first[2] + n[2]) - 20),
    )
    frame = frame_of(only(box))
    room = room_zyx(frame, box)
    assert room[0].min() >= MARGIN_MM - 1e-6
    assert room[1:].min() >= 12.0 - 1e-6
    assert frame.shape == BOX
    assert frame.starts == (0,)
    np.testing.assert_allclose(frame.isocentre_mm, np.mean(faces_zyx(box), axis=0), atol=1e-6)


def test_the_voxels_of_the_frame_are_3_x_4_x_4_mm() -> None:
    frame = frame_of(patient())
    assert tuple(axis.step_mm for axis in frame.axes) == SPACING_MM == (3.0, 4.0, 4.0)
    assert frame.shape == BOX == (96, 80, 104)
    assert MARGIN_MM == 36.0


def test_the_isocentre_is_the_middle_of_all_targets_together() -> None:
    """From x = -40 to 44, y = -20 to 24 and z = -40 to 32 mm."""
    np.testing.assert_allclose(frame_of(patient()).isocentre_mm, MIDDLE_ZYX + np.array([-4.0, 2.0, 2.0]), atol=1e-6)


@pytest.mark.parametrize("steps", all_orientations()[::5])
def test_the_frame_does_not_depend_on_how_the_arrays_run(steps: np.ndarray) -> None:
    usual, other = frame_of(patient()), frame_of(patient(patient_grid(steps)))
    np.testing.assert_allclose(other.isocentre_mm, usual.isocentre_mm, atol=1e-6)
    for mine, theirs in zip(other.axes, usual.axes, strict=True):
        np.testing.assert_allclose(mine.centres_mm, theirs.centres_mm, atol=1e-6)


def test_across_the_boxes_lie_half_way_between_the_targets_and_the_body() -> None:
    """Target 60 mm left of the middle of the body and 20 mm before it: the boxes lie 30 and 10 mm beside theirs."""
    frame = frame_of(only(((40, 80), (-40, 0), (-20, 20))))
    centres = [float(axis.centres_mm.mean()) for axis in frame.axes]
    np.testing.assert_allclose(centres, MIDDLE_ZYX + np.array([0.0, -10.0, 30.0]), atol=1e-6)


def test_the_border_of_the_targets_comes_before_the_middle_of_the_body() -> None:
    """In y the target is 284 mm of the box's 320 mm: of the way to the middle of the body 6 mm can be gone, not 40."""
    box: Box = ((-20, 20), (-148, 136), (-20, 20))
    frame = frame_of(only(box, (320.0, 480.0, 240.0), body=((-160, 160), (-100, 240), (-120, 120))))
    assert room_zyx(frame, box)[1].tolist() == pytest.approx([12.0, 24.0])


def test_only_the_body_beside_the_targets_says_where_its_middle_is() -> None:
    """Shoulders far below the target, all to the left, do not count."""
    anatomy = only(((-20, 20), (-20, 20), (-20, 20)), body=((-80, 80), (-80, 80), (-120, 120)))
    wide = np.maximum(anatomy.body.values, box_mask(anatomy.grid, ((0, 160), (-80, 80), (-120, -24))).values)
    shouldered = Anatomy(anatomy.grid, None, type(anatomy.body)(wide, anatomy.grid), anatomy.masks, {"PTV": 70.0})
    assert frame_of(shouldered).axes == frame_of(anatomy).axes


def test_drawn_targets_lay_the_same_boxes_on_whatever_grid_the_dose_is() -> None:
    """Targets that end within voxels of any grid, and half a slice beyond their planes along z.

    The body is counted in voxels, to 0.2 mm.
    """
    corner = MIDDLE_ZYX[::-1]
    x, y, z = (-31.3, 28.9) + corner[0], (-17.2, 22.1) + corner[1], np.arange(-20.0, 20.1, 2.0) + corner[2]
    target = prism([rectangle((x[0], x[1]), (y[0], y[1]))], z, name="PTV")
    body = prism([rectangle((x[0] - 61.7, x[1] + 44.0), (y[0] - 30.4, y[1] + 40.9))], z, name="BODY")
    frames = []
    for spacing_mm in (2.5, 4.0, 5.0):
        grid = patient_grid(spacing_mm=(spacing_mm,) * 3)
        frames.append(frame_of(Anatomy(grid, None, mask_of(body, grid), {"PTV": mask_of(target, grid)}, {"PTV": 70.0})))
    for frame in frames:
        middle = corner[::-1] + np.array([0.0, (-17.2 + 22.1) / 2, (-31.3 + 28.9) / 2])
        np.testing.assert_allclose(frame.isocentre_mm, middle, atol=1e-6)
        centres = [float(axis.centres_mm.mean()) for axis in frame.axes]
        np.testing.assert_allclose(centres, middle + np.array([0.0, 10.5 / 4, -17.7 / 4]), atol=0.2)


def test_a_long_target_takes_several_boxes() -> None:
    """400 mm and 36 mm on either side are 157.3 voxels of 3 mm, so 158: three boxes of 96, each half over the next."""
    box: Box = ((-20, 20), (-20, 20), (-200, 200))
    frame = frame_of(only(box, (320.0, 240.0, 480.0)))
    assert frame.shape == (158, 80, 104)
    assert frame.starts == (0, 31, 62)
    assert room_zyx(frame, box)[0].tolist() == pytest.approx([37.0, 37.0])


@pytest.mark.parametrize("half_mm", [106, 108, 110, 150, 180, 182, 200, 300])
def test_the_boxes_of_a_long_target_leave_nothing_out(half_mm: int) -> None:
    box: Box = ((-20, 20), (-20, 20), (-half_mm, half_mm))
    frame = frame_of(only(box, (320.0, 240.0, 640.0)))
    assert (frame.starts[0], frame.starts[-1]) == (0, frame.shape[0] - BOX[0])
    assert np.diff(frame.starts, append=frame.starts[-1] + 1).max() <= BOX[0] / 2
    assert room_zyx(frame, box)[0].min() >= MARGIN_MM - 1e-6
    # one box up to 216 mm: 288 mm less the two margins
    assert (len(frame.starts) == 1) == (half_mm <= 108)


class TestJoined:
    FRAME = Frame((Axis(0.0, 3.0, 225), Axis(0.0, 4.0, 80), Axis(0.0, 4.0, 104)), (0, 43, 86, 129), (0.0, 0.0, 0.0))

    def test_a_field_that_is_cut_comes_back(self) -> None:
        field = np.random.default_rng(0).random(self.FRAME.shape, dtype=np.float32)
        boxes = self.FRAME.boxes(field)
        assert [box.shape for box in boxes] == [BOX] * 4
        np.testing.assert_allclose(self.FRAME.joined({0: boxes}), field, rtol=1e-5)

    def test_channels_are_cut_along_z(self) -> None:
        field = np.broadcast_to(np.arange(225, dtype=np.float32)[None, :, None, None], (2, *self.FRAME.shape))
        for start, box in zip(self.FRAME.starts, self.FRAME.boxes(field), strict=True):
            assert box.shape == (2, *BOX)
            assert box[1, :, 3, 5].tolist() == list(range(start, start + 96))

    def test_where_boxes_disagree_the_nearer_to_its_middle_counts_more_and_there_is_no_step(self) -> None:
        """Boxes of 0, 1, 0, 1: along z each share is between, and no slice differs from the next by a jump."""
        boxes = [np.full(BOX, float(number % 2), dtype=np.float32) for number in range(4)]
        along = self.FRAME.joined({0: boxes})[:, 10, 20]
        # slice 60: 36 from the far end of box 0, 18 from the near end of box 1
        assert along[60] == pytest.approx(18 / (36 + 18))
        assert along[:43].tolist() == [0.0] * 43
        assert along[-43:].tolist() == [1.0] * 43
        assert np.abs(np.diff(along)).max() < 0.06
        assert 0.0 <= along.min() <= along.max() <= 1.0

    def test_boxes_of_two_offsets_count_alike_where_both_reach_and_alone_where_one_does(self) -> None:
        """In a frame with a voxel more on each side: ones from its beginning, threes from two voxels further on."""
        roomy = Frame(
            (Axis(0.0, 3.0, 227), Axis(0.0, 4.0, 82), Axis(0.0, 4.0, 106)), self.FRAME.starts, (0.0, 0.0, 0.0)
        )
        field = np.random.default_rng(0).random(roomy.shape, dtype=np.float32)
        cut = {offset: roomy.boxes(field, offset) for offset in (0, 2)}
        # in the corners between the beginning of the one and the end of the other there is neither
        anywhere = np.zeros(roomy.shape, dtype=bool)
        anywhere[:-2, :-2, :-2] = anywhere[2:, 2:, 2:] = True
        np.testing.assert_allclose(roomy.joined(cut), np.where(anywhere, field, 0.0), rtol=1e-5)
        levels = {offset: [np.full(BOX, 1.0 + offset, dtype=np.float32)] * 4 for offset in (0, 2)}
        along = roomy.joined(levels)[:, 40, 50]
        assert along[:2].tolist() == [1.0, 1.0]
        assert along[-2:].tolist() == [3.0, 3.0]
        np.testing.assert_allclose(along[2:-2], 2.0, rtol=1e-6)

    def test_a_box_too_few_is_not_joined(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            self.FRAME.joined({0: [np.zeros(BOX, dtype=np.float32)] * 3})


class TestTooLarge:
    """320 and 416 mm across, less 12 mm of border on either side; 600 mm long."""

    EXTENT = (440.0, 360.0, 640.0)

    @pytest.mark.parametrize("half_xyz", [(196, 20, 20), (20, 148, 20), (20, 20, 300), (196, 148, 300)])
    def test_the_largest_targets_fit(self, half_xyz: tuple[int, int, int]) -> None:
        x, y, z = half_xyz
        box: Box = ((-x, x), (-y, y), (-z, z))
        room = room_zyx(frame_of(only(box, self.EXTENT)), box)
        assert room[0].min() >= MARGIN_MM - 1e-6
        assert room[1:].min() >= 12.0 - 1e-6

    @pytest.mark.parametrize("half_xyz", [(200, 20, 20), (20, 152, 20), (20, 20, 304)])
    def test_larger_ones_are_refused_with_their_size(self, half_xyz: tuple[int, int, int]) -> None:
        x, y, z = half_xyz
        with pytest.raises(ModelRefusal) as raised:
            frame_of(only(((-x, x), (-y, y), (-z, z)), self.EXTENT))
        assert raised.value.code == "target-extent"
        assert f"{2 * z} x {2 * y} x {2 * x} mm (z, y, x)" in raised.value.message
        assert "600 x 296 x 392 mm" in raised.value.message

    def test_two_targets_far_apart_are_too_wide_together(self) -> None:
        targets: dict[str, tuple[float, Box]] = {
            "a": (70.0, ((-212, -192), (0, 20), (0, 20))),
            "b": (60.0, ((192, 212), (0, 20), (0, 20))),
        }
        with pytest.raises(ModelRefusal, match="424 mm"):
            frame_of(patient(patient_grid(extent_mm=self.EXTENT), targets=targets, organs={}))


def test_a_margin_adds_voxels_on_every_side() -> None:
    plain, wide = frame_of(patient()), frame_of(patient(), (4, 5, 6))
    assert wide.shape == (BOX[0] + 8, BOX[1] + 10, BOX[2] + 12)
    assert wide.isocentre_mm == plain.isocentre_mm
    for more, less, n in zip(wide.axes, plain.axes, (4, 5, 6), strict=True):
        np.testing.assert_allclose(more.centres_mm[n:-n], less.centres_mm, atol=1e-9)


def test_a_target_thinner_than_half_a_voxel_has_a_frame_around_it() -> None:
    box: Box = ((40.0, 41.0), (-20, 20), (-20, 20))
    frame = frame_of(only(box))
    # known to the voxel: it lies in the one from 40 to 44 mm
    assert frame.isocentre_mm[2] == pytest.approx(CENTRE_MM[0] + 42.0)
    assert room_zyx(frame, box)[1:].min() >= 12.0


def test_a_tilted_grid_has_no_frame() -> None:
    anatomy = patient()
    c, s = np.cos(0.02), np.sin(0.02)
    affine = anatomy.grid.affine.copy()
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    grid = Grid(anatomy.grid.shape, affine, anatomy.grid.frame_of_reference_uid)
    masks = {name: type(mask)(mask.values, grid) for name, mask in anatomy.masks.items()}
    tilted = Anatomy(grid, None, type(anatomy.body)(anatomy.body.values, grid), masks, anatomy.target_levels_gy)
    with pytest.raises(GeometryRefusal, match="tilted"):
        frame_of(tilted)
