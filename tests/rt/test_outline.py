from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.outline import outlined
from bridge.rt.rasterize import mask_of
from bridge.rt.volume import Mask

FRAME = "1.2.826.0.1.3680043.8.498.5"
SHAPE = (6, 8, 9)
GRID = Grid.axial(SHAPE, (3.0, 4.0, 5.0), (-7.0, 11.0, 2.0), FRAME)


def voxels() -> np.ndarray:
    inside = np.zeros(SHAPE, dtype=np.float32)
    inside[1, 1:6, 2:8] = 1.0
    inside[1, 3, 4] = 0.0  # a hole
    inside[2, 1, 1] = inside[2, 2, 2] = inside[2, 6, 7] = 1.0  # voxels that touch at a corner, and an island
    inside[4, 0, 0] = 1.0  # at the edge of the grid, beyond an empty slice
    return inside


def test_contours_hold_the_voxels_of_the_mask_and_nothing_else() -> None:
    structure = outlined(Mask(voxels(), GRID), 7, "Larynx", "organ")
    areas = [plane.region.area for plane in structure.planes]
    np.testing.assert_allclose(areas, voxels()[1:5].sum(axis=(1, 2)) * 4.0 * 5.0)
    np.testing.assert_allclose(structure.z_mm, [5.0, 8.0, 11.0, 14.0])
    low, high = structure.bounds_mm()
    np.testing.assert_allclose(low, [-9.5, 9.0, 5.0])
    np.testing.assert_allclose(high, [-7.0 + 7.5 * 5.0, 11.0 + 6.5 * 4.0, 14.0])
    assert structure.standard_name == "Larynx"


def test_rasterised_on_its_own_grid_the_mask_comes_back() -> None:
    structure = outlined(Mask(voxels(), GRID), 7, "PTV", "target")
    np.testing.assert_allclose(mask_of(structure, GRID).values, voxels(), atol=1e-6)
    assert structure.standard_name is None


def test_a_voxel_that_is_inside_by_half_counts_whole() -> None:
    part = np.zeros(SHAPE, dtype=np.float32)
    part[2, 3, 4], part[2, 5, 5] = 0.5, 0.49
    structure = outlined(Mask(part, GRID), 1, "PTV", "target")
    assert [plane.region.area for plane in structure.planes] == [20.0]


def test_a_mask_without_voxels_is_refused() -> None:
    with pytest.raises(StructureRefusal, match="no voxel") as raised:
        outlined(Mask(np.zeros(SHAPE, dtype=np.float32), GRID), 7, "Larynx", "organ")
    assert raised.value.code == "structure-empty"
