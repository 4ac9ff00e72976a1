from __future__ import annotations

import pytest

from bridge.rt.errors import StructureRefusal
from bridge.rt.laterality import require_sides, side_findings
from bridge.rt.structure import Structure
from tests.solids import circle, empty, structure


def at(x_mm: float, standard_name: str | None, number: int = 1, name: str = "") -> Structure:
    planes = {0.0: [circle(5.0, (x_mm, 0.0))], 3.0: [circle(4.0, (x_mm, 2.0))]}
    return structure(planes, number=number, name=name or f"roi {number}", standard_name=standard_name)


def test_left_is_plus_x() -> None:
    require_sides([at(40.0, "Parotid_L", 1), at(-40.0, "Parotid_R", 2)])
    with pytest.raises(StructureRefusal) as raised:
        require_sides([at(-40.0, "Parotid_L", 1, "one"), at(40.0, "Parotid_R", 2, "other")])
    assert raised.value.code == "laterality"
    assert raised.value.where == {"left": "one", "right": "other"}
    assert "x = -40.0 mm against 40.0 mm" in raised.value.message


def test_a_pair_far_to_one_side_is_compared_with_each_other_not_with_zero() -> None:
    require_sides([at(140.0, "Lens_L", 1), at(100.0, "Lens_R", 2)])
    with pytest.raises(StructureRefusal):
        require_sides([at(100.0, "Lens_L", 1), at(140.0, "Lens_R", 2)])


def test_a_pair_at_the_same_place_is_refused() -> None:
    with pytest.raises(StructureRefusal):
        require_sides([at(3.0, "Lens_L", 1), at(3.0, "Lens_R", 2)])


def test_the_centre_is_that_of_the_area_not_of_the_contours() -> None:
    """Many small islands on the wrong side do not outweigh the organ."""
    islands = [circle(0.5, (-60.0, y)) for y in range(0, 20, 2)]
    left = structure({0.0: [circle(10.0, (20.0, 0.0)), *islands]}, number=1, name="L", standard_name="Lung_L")
    require_sides([left, at(-20.0, "Lung_R", 2)])


def test_what_is_no_pair_is_left_alone() -> None:
    require_sides([])
    require_sides([at(-40.0, "Parotid_L"), empty(2, "Parotid_R")])
    require_sides([at(-40.0, "Parotid_L"), at(40.0, None, 2, "Parotid_R")])
    require_sides([at(-40.0, "Parotid_L"), at(40.0, "Lens_R", 2), at(0.0, "SpinalCord", 3)])


BODY = structure({0.0: [circle(90.0, (12.0, 0.0))], 3.0: [circle(90.0, (12.0, 0.0))]}, number=9, kind="external")


@pytest.mark.parametrize(
    ("x_mm", "name", "doubtful"),
    [
        (60.0, "Parotid_L", False), (-60.0, "Parotid_L", True), (60.0, "Parotid_R", True), (-60.0, "Parotid_R", False),
        (3.0, "Lens_L", False), (1.0, "Lens_L", True), (21.0, "Lens_R", False), (23.0, "Lens_R", True),
        (-60.0, "SpinalCord", False), (-60.0, None, False),
    ],
)  # fmt: skip
def test_an_organ_that_stands_alone_is_compared_with_the_middle_of_the_body(
    x_mm: float, name: str | None, doubtful: bool
) -> None:
    """The body's middle is at x = 12 mm, and 10 mm to the wrong side of it are allowed."""
    assert [finding.code for finding in side_findings([BODY, at(x_mm, name)])] == ["side-doubtful"] * doubtful


def test_without_a_body_there_is_no_middle() -> None:
    assert side_findings([at(-60.0, "Parotid_L")]) == ()
