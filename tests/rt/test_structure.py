from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import GeometryRefusal
from bridge.rt.structure import Plane, Structure, loop_area_mm2
from tests.solids import circle, empty, prism, rectangle, structure

SQUARE = rectangle((0.0, 10.0), (0.0, 10.0))


class TestArea:
    def test_shoelace(self) -> None:
        assert loop_area_mm2(rectangle((-3.0, 4.0), (10.0, 12.0))) == pytest.approx(14.0)
        assert loop_area_mm2(np.array([(0.0, 0.0), (6.0, 0.0), (0.0, 3.0)])) == pytest.approx(9.0)
        assert loop_area_mm2(circle(5.0, (100.0, -200.0))) == pytest.approx(25.0 * np.pi)

    def test_neither_sense_nor_start_matter(self) -> None:
        loop = np.array([(0.0, 0.0), (7.0, 1.0), (6.0, 5.0), (1.0, 4.0)])
        area = loop_area_mm2(loop)
        assert area == pytest.approx(24.0)
        assert loop_area_mm2(loop[::-1]) == pytest.approx(area)
        assert loop_area_mm2(np.roll(loop, 2, axis=0)) == pytest.approx(area)


class TestSlabs:
    def test_even_planes(self) -> None:
        drawn = prism([SQUARE], [0.0, 3.0, 6.0])
        np.testing.assert_allclose(drawn.slab_edges_mm("half_slice"), [[-1.5, 1.5], [1.5, 4.5], [4.5, 7.5]])
        np.testing.assert_allclose(drawn.slab_edges_mm("none"), [[0.0, 1.5], [1.5, 4.5], [4.5, 6.0]])

    def test_uneven_planes_meet_half_way_and_end_by_their_own_spacing(self) -> None:
        drawn = prism([SQUARE], [0.0, 1.0, 3.0, 7.0])
        np.testing.assert_allclose(drawn.slab_edges_mm("half_slice"), [[-0.5, 0.5], [0.5, 2.0], [2.0, 5.0], [5.0, 9.0]])
        np.testing.assert_allclose(drawn.slab_edges_mm("none"), [[0.0, 0.5], [0.5, 2.0], [2.0, 5.0], [5.0, 7.0]])

    def test_a_missing_plane_is_bridged(self) -> None:
        np.testing.assert_allclose(
            prism([SQUARE], [0.0, 3.0, 9.0, 12.0]).slab_edges_mm("none"), [[0, 1.5], [1.5, 6], [6, 10.5], [10.5, 12]]
        )

    @pytest.mark.parametrize("end_caps", ["half_slice", "none"])
    def test_a_single_plane_is_a_slice_thick(self, end_caps: str) -> None:
        drawn = structure({7.0: [SQUARE]}, thickness_mm=2.5)
        np.testing.assert_allclose(drawn.slab_edges_mm(end_caps), [[5.75, 8.25]])  # type: ignore[arg-type]

    def test_two_planes(self) -> None:
        drawn = prism([SQUARE], [2.0, 6.0])
        np.testing.assert_allclose(drawn.slab_edges_mm("none"), [[2.0, 4.0], [4.0, 6.0]])
        np.testing.assert_allclose(drawn.slab_edges_mm("half_slice"), [[0.0, 4.0], [4.0, 8.0]])


class TestStructure:
    def test_the_standard_name_is_the_label_where_there_is_one(self) -> None:
        assert structure({}, name="Parotis li", standard_name="Parotid_L").label == "Parotid_L"
        assert structure({}, name="Parotis li").label == "Parotis li"

    def test_empty_means_no_contour_at_all(self) -> None:
        assert empty().is_empty
        assert structure({0.0: [], 3.0: []}).is_empty
        assert not structure({0.0: [], 3.0: [SQUARE]}).is_empty

    def test_bounds_are_those_of_the_contours(self) -> None:
        drawn = structure({-9.0: [], 0.0: [SQUARE], 3.0: [SQUARE + 5.0, SQUARE - 20.0], 6.0: []})
        low, high = drawn.bounds_mm()
        np.testing.assert_allclose(low, [-20.0, -20.0, 0.0])
        np.testing.assert_allclose(high, [15.0, 15.0, 3.0])

    def test_an_empty_one_has_no_bounds(self) -> None:
        with pytest.raises(GeometryRefusal, match="Heart") as refused:
            empty(name="Heart").bounds_mm()
        assert refused.value.code == "structure-empty"

    def test_its_points_are_its_own(self) -> None:
        loop = SQUARE.copy()
        plane = Plane(0, (loop,))
        loop[0, 0] = 99.0
        assert plane.loops[0][0, 0] == 0.0
        with pytest.raises(ValueError, match="read-only"):
            plane.loops[0][0, 0] = 1.0
        assert isinstance(plane.z_mm, float)


class TestRefusals:
    @pytest.mark.parametrize(
        "loop",
        [
            pytest.param(SQUARE[:2], id="two points"),
            pytest.param(SQUARE[:1], id="a point"),
            pytest.param(np.zeros((4, 3)), id="three coordinates"),
            pytest.param(np.zeros(8), id="flat"),
            pytest.param(np.array([(0.0, 0.0), (1.0, np.nan), (1.0, 1.0)]), id="NaN"),
            pytest.param(np.array([(0.0, 0.0), (np.inf, 0.0), (1.0, 1.0)]), id="infinite"),
        ],
    )
    def test_a_contour_that_encloses_nothing(self, loop: np.ndarray) -> None:
        with pytest.raises(GeometryRefusal, match=r"12\.50 mm") as refused:
            Plane(12.5, (SQUARE, loop))
        assert refused.value.code == "contour-shape"

    @pytest.mark.parametrize("z_mm", [np.nan, np.inf])
    def test_a_plane_at_no_height(self, z_mm: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            Plane(z_mm, (SQUARE,))
        assert refused.value.code == "plane-position"

    @pytest.mark.parametrize("heights", [(0.0, 3.0, 3.0), (3.0, 0.0), (0.0, 6.0, 3.0)])
    def test_planes_that_do_not_ascend(self, heights: tuple[float, ...]) -> None:
        planes = tuple(Plane(z, (SQUARE,)) for z in heights)
        with pytest.raises(GeometryRefusal, match="Cord") as refused:
            Structure(1, "Cord", "organ", planes, "2.25.1", 3.0)
        assert refused.value.code == "plane-order"
        assert refused.value.where == {"roi": "Cord"}

    @pytest.mark.parametrize("thickness_mm", [0.0, -3.0, np.nan, np.inf])
    def test_no_slice_thickness(self, thickness_mm: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            structure({0.0: [SQUARE]}, thickness_mm=thickness_mm)
        assert refused.value.code == "slice-thickness"
