"""Volumes that tell contours which were edited: the tolerance by hand, and that nothing goes without one."""

from __future__ import annotations

from dataclasses import replace
from math import nan, pi

import pytest

from bridge.rt.errors import Refusal
from objective_extraction.objective_json import objective_set_from_json, objective_set_to_json
from objective_extraction.structure_volume import StructureVolume, structure_volumes
from tests.objective_extraction.cases import box, objective_set
from tests.solids import empty
from tests.tps.objective_sets import extracted, structures

GIVEN = objective_set()


def test_the_volume_is_that_between_the_outermost_planes() -> None:
    """A box of 20 x 30 mm on planes from 0 to 30 mm."""
    (made,) = structure_volumes([box(5, "Parotid_L", "organ", (0.0, 20.0), (0.0, 30.0)), empty(7, "Undrawn")])
    assert (made.roi_number, made.roi_name, made.volume_cc) == (5, "Parotid_L", 18.0)


@pytest.mark.parametrize("radius_cm", [0.15, 1.0, 4.5])
def test_the_tolerance_is_two_percent_and_a_shell_of_a_third_of_a_millimetre(radius_cm: float) -> None:
    volume_cc = 4.0 / 3.0 * pi * radius_cm**3
    side_mm = 10.0 * (volume_cc / 3.0) ** 0.5
    (made,) = structure_volumes([box(1, "Box", "organ", (0.0, side_mm), (0.0, side_mm))])
    assert made.volume_cc == pytest.approx(volume_cc, abs=1e-4)
    assert made.tolerance_cc == pytest.approx(0.02 * volume_cc + 4.0 * pi * radius_cm**2 * 0.03, abs=1e-4)


def test_what_eclipse_is_known_to_differ_by_fits_and_an_edit_does_not() -> None:
    """Stanley et al. (2021): -33 % of a sphere of 3 mm at worst, and -4.7 % of 20 mm on average."""
    small, large, parotid = (StructureVolume(1, "S", v, t) for v, t in ((0.0141, 0.0088), (4.19, 0.461), (30.0, 2.0)))
    assert small.fits(0.67 * 0.0141)
    assert large.fits(0.953 * 4.19)
    assert [parotid.fits(found) for found in (28.01, 31.99, 27.99, 32.01, nan)] == [True, True, False, False, False]


def test_extraction_says_the_volume_of_every_structure_that_is_drawn() -> None:
    made = extracted()
    assert {one.roi_number: one.volume_cc for one in made.structure_volumes} == {
        1: 24.0, 2: 48.0, 3: 24.0, 4: 18.0, 5: 464.64,
    }  # fmt: skip
    assert objective_set_from_json(objective_set_to_json(made)) == made


def test_needed_are_those_of_objectives_and_of_recipes_alone() -> None:
    made = objective_set()
    assert [one.roi_name for one in made.needed_structures] == ["PTV_70", "Parotid_L", "BODY"]
    assert [one.roi_name for one in replace(made, objectives=(), derived_structures=()).needed_structures] == []
    assert [one.name for one in structures()] == [one.roi_name for one in extracted().needed_structures]


@pytest.mark.parametrize("lacking", ["PTV_70", "BODY"])
def test_a_needed_structure_without_volume_is_refused(lacking: str) -> None:
    volumes = tuple(one for one in GIVEN.structure_volumes if one.roi_name != lacking)
    with pytest.raises(Refusal, match=lacking) as refused:
        replace(GIVEN, structure_volumes=volumes)
    assert refused.value.code == "volume-unknown"


def test_two_volumes_of_one_structure_are_refused() -> None:
    with pytest.raises(Refusal, match="volume-unknown"):
        replace(GIVEN, structure_volumes=(*GIVEN.structure_volumes, GIVEN.structure_volumes[0]))


@pytest.mark.parametrize("numbers", [(nan, 1.0), (-1.0, 1.0), (1.0, nan), (1.0, -1.0), (float("inf"), 1.0)])
def test_an_impossible_volume_is_refused(numbers: tuple[float, float]) -> None:
    with pytest.raises(Refusal, match="volume-range"):
        StructureVolume(1, "Cord", *numbers)


def test_objectives_of_a_version_without_volumes_are_refused() -> None:
    old = objective_set_to_json(GIVEN).replace('"version": "1.1"', '"version": "1.0"')
    with pytest.raises(Refusal, match=r"only '1\.1' is understood"):
        objective_set_from_json(old)
