"""Regions and fields of box-shaped patients, whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.grid import Grid
from bridge.rt.volume import Mask
from models.geometric.parameters import GeometricParameters
from models.kbp.regions import REGIONS, measure_organ, voxels_of
from tests.models.anatomies import box_anatomy

EXPECTED = GeometricParameters(
    near_weight=0.5, near_mm=15.0, far_mm=60.0, axial_stretch=1.0, axial_mm=7.0, scale=1.0, sparing={}
)
SHAPE = (40, 50, 50)
TARGET = (slice(10, 25), slice(20, 30), slice(20, 30))
ALL = (slice(None),) * 3
CROSS = (0.0, 90.0, 180.0, 270.0)


def anatomy(organs: dict[str, tuple[slice, slice, slice]], **targets) -> Anatomy:
    given = targets or {"PTV": (60.0, TARGET)}
    return box_anatomy(given, SHAPE, (3.0, 3.0, 3.0), organs, body=ALL)


def regions_of(where: tuple[slice, slice, slice], gantry: tuple[float, ...] = CROSS) -> dict[str, float]:
    case = anatomy({"organ": where})
    geometry = measure_organ(case, "organ", voxels_of(case, ["organ"], gantry, EXPECTED))
    assert geometry is not None
    return {region: round(one.share, 6) for region, one in geometry.regions.items()}


def test_an_organ_inside_the_target_is_overlap() -> None:
    assert regions_of((slice(12, 20), slice(22, 26), slice(22, 26))) == {"overlap": 1.0}


def test_shares_are_those_of_the_voxels() -> None:
    """Slices 5 to 30, of which 10 to 25 are in the target: 20 x 4 x 4 voxels' slices beyond its ends are out of field,
    but for the aperture's margin of a slice on each side."""
    found = regions_of((slice(5, 30), slice(23, 27), slice(23, 27)))
    assert found["overlap"] == pytest.approx(15 / 25)
    assert 0.0 < found["in_field"] <= 4 / 25
    assert sum(found.values()) == pytest.approx(1.0)


def test_in_front_of_the_target_is_in_the_field_and_beside_two_fields_is_not() -> None:
    assert regions_of((slice(12, 20), slice(2, 8), slice(23, 27))) == {"in_field": 1.0}
    diagonal = (slice(12, 20), slice(2, 8), slice(2, 8))
    assert regions_of(diagonal) == {"out_of_field": 1.0}
    assert regions_of(diagonal, (0.0, 90.0, 180.0, 270.0, 315.0)) == {"in_field": 1.0}  # from the patient's right front


def test_between_two_targets_one_hides_behind_the_leaves() -> None:
    """From the front the strip between two targets side by side is within the jaws and outside the aperture."""
    left, right = (slice(10, 25), slice(20, 30), slice(5, 12)), (slice(10, 25), slice(20, 30), slice(38, 45))
    case = anatomy({"organ": (slice(14, 20), slice(22, 28), slice(23, 27))}, A=(60.0, left), B=(60.0, right))
    for gantry, expected in (((0.0,), {"transmission"}), ((0.0, 90.0), {"in_field"})):
        geometry = measure_organ(case, "organ", voxels_of(case, ["organ"], gantry, EXPECTED))
        assert geometry is not None
        assert set(geometry.regions) == expected


def test_far_above_the_target_no_field_goes() -> None:
    case = anatomy({"organ": (slice(34, 40), slice(20, 30), slice(20, 30))})
    voxels = voxels_of(case, ["organ"], CROSS, EXPECTED)
    geometry = measure_organ(case, "organ", voxels)
    assert geometry is not None
    assert set(geometry.regions) == {"out_of_field"}
    assert geometry.regions["out_of_field"].conformal.max() == 0.0


def test_levels_of_the_overlap_and_the_highest_where_targets_overlap() -> None:
    inner = (slice(12, 20), slice(22, 28), slice(22, 28))
    case = anatomy({"organ": (slice(12, 20), slice(22, 28), slice(20, 28))}, high=(70.0, inner), low=(56.0, TARGET))
    geometry = measure_organ(case, "organ", voxels_of(case, ["organ"], CROSS, EXPECTED))
    assert geometry is not None
    assert geometry.highest_gy == 70.0
    assert geometry.regions["overlap"].levels == pytest.approx({70.0: 6 / 8, 56.0: 2 / 8})


def test_open_fields_give_the_level_on_average_and_fall_off_with_depth() -> None:
    case = anatomy(
        {"front": (slice(12, 20), slice(2, 8), slice(24, 26)), "back": (slice(12, 20), slice(42, 48), slice(24, 26))}
    )
    voxels = voxels_of(case, ["front", "back"], (0.0,), EXPECTED)
    targets = voxels.level_gy > 0
    assert voxels.conformal[targets].mean() == pytest.approx(1.0)
    front, back = (measure_organ(case, name, voxels) for name in ("front", "back"))
    assert front is not None
    assert back is not None
    # 40 slabs of 3 mm deeper and 120 mm further from the source: exp(-0.0045 x 120) ((1000 - 60) / (1000 + 60))^2
    ratio = back.regions["in_field"].conformal.mean() / front.regions["in_field"].conformal.mean()
    assert ratio == pytest.approx(np.exp(-0.0045 * 120.0) * (940.0 / 1060.0) ** 2, rel=0.02)


def test_doses_are_relative_to_the_highest_level() -> None:
    where = {"organ": (slice(12, 20), slice(8, 18), slice(20, 30))}
    curves = []
    for level in (70.0, 50.0):
        case = anatomy(where, PTV=(level, TARGET))
        geometry = measure_organ(case, "organ", voxels_of(case, ["organ"], CROSS, EXPECTED))
        assert geometry is not None
        curves.append((geometry.regions["in_field"].expected, geometry.regions["in_field"].conformal))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-5)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1)])
def test_the_order_of_slices_and_axes_does_not_matter(axes: tuple[int, int, int]) -> None:
    """The same patient on a grid that runs from head to foot, also with its rows along the columns."""
    case = anatomy({"organ": (slice(5, 30), slice(8, 27), slice(23, 27))})
    grid = case.grid
    flipped = grid.affine.copy()
    flipped[:, 3] = grid.affine @ [grid.shape[0] - 1, 0, 0, 1]
    flipped[:3, 0] *= -1
    shape = (grid.shape[axes[0]], grid.shape[axes[1]], grid.shape[axes[2]])
    other = Grid(shape, flipped[:, [*axes, 3]], grid.frame_of_reference_uid)

    def turned(mask: Mask) -> Mask:
        return Mask(np.transpose(mask.values[::-1], axes).copy(), other)

    masks = {name: turned(mask) for name, mask in case.masks.items()}
    same = Anatomy(other, None, turned(case.body), masks, case.target_levels_gy)
    one, two = (measure_organ(c, "organ", voxels_of(c, ["organ"], CROSS, EXPECTED)) for c in (case, same))
    assert one is not None
    assert two is not None
    assert one.numbers == pytest.approx(two.numbers)
    for region in REGIONS:
        assert (region in one.regions) == (region in two.regions)
        if region in one.regions:
            np.testing.assert_allclose(one.regions[region].expected, two.regions[region].expected, rtol=1e-5)
            np.testing.assert_allclose(one.regions[region].conformal, two.regions[region].conformal, rtol=1e-5)


def test_an_organ_outside_the_body_is_none() -> None:
    case = box_anatomy(
        {"PTV": (60.0, TARGET)}, SHAPE, (3.0, 3.0, 3.0), {"organ": (slice(0, 5), slice(0, 5), slice(0, 5))},
        body=(slice(None), slice(10, 40), slice(10, 40)),
    )  # fmt: skip
    assert measure_organ(case, "organ", voxels_of(case, ["organ"], CROSS, EXPECTED)) is None
