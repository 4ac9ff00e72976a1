"""The OpenKBP scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.openkbp import CRITERIA, dose_score, dvh_criteria


def test_the_dose_score_counts_errors_everywhere_over_possible_voxels_only() -> None:
    reference, predicted = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    predicted[0] = 3.0
    predicted[1, 1, 1] = -2.0
    possible = np.zeros((2, 2, 2), dtype=bool)
    possible[0, 0] = True
    assert dose_score(reference, predicted, possible) == pytest.approx((4 * 3 + 2) / 2)


def test_an_empty_mask_or_another_shape_is_refused() -> None:
    zeros = np.zeros((2, 2, 2))
    with pytest.raises(GeometryRefusal) as refused:
        dose_score(zeros, zeros, zeros.astype(bool))
    assert refused.value.code == "openkbp-shape"
    with pytest.raises(GeometryRefusal):
        dose_score(zeros, zeros[1:], zeros == 0)


def test_criteria_of_a_ramp() -> None:
    """101 voxels of 0 to 100 Gy: the percentile is the dose."""
    ramp = np.arange(101.0)
    everywhere = np.ones(101, dtype=bool)
    criteria = dvh_criteria(ramp, {"PTV70": everywhere, "Larynx": everywhere}, voxel_mm3=40.0)
    assert criteria == {
        "PTV70 D99": pytest.approx(1.0),
        "PTV70 D95": pytest.approx(5.0),
        "PTV70 D1": pytest.approx(99.0),
        # 100 mm3 are round(2.5) = 2 voxels: percentile 100 - 200 / 101, of 100 intervals
        "Larynx D0.1cc": pytest.approx(100.0 - 200.0 / 101.0),
        "Larynx mean": pytest.approx(50.0),
    }


@pytest.mark.parametrize(("voxel_mm3", "voxels"), [(250.0, 1), (100.0, 1), (66.0, 2), (28.6, 3), (10.0, 10)])
def test_the_near_maximum_takes_whole_voxels(voxel_mm3: float, voxels: int) -> None:
    ramp = np.arange(50.0)
    criteria = dvh_criteria(ramp, {"Mandible": np.ones(50, dtype=bool)}, voxel_mm3)
    assert criteria["Mandible D0.1cc"] == pytest.approx(np.percentile(ramp, 100 - voxels / 50 * 100))


def test_a_structure_smaller_than_the_near_maximum_gives_its_smallest_dose() -> None:
    criteria = dvh_criteria(np.array([7.0, 9.0]), {"Brainstem": np.array([True, True])}, voxel_mm3=20.0)
    assert criteria["Brainstem D0.1cc"] == 7.0


def test_there_are_23_criteria_and_absent_structures_have_none() -> None:
    dose = np.linspace(0.0, 70.0, 64).reshape(4, 4, 4)
    rois = {name.split()[0] for name in CRITERIA}
    everywhere = {roi: np.ones(dose.shape, dtype=bool) for roi in rois}
    assert list(dvh_criteria(dose, everywhere, 50.0)) == list(CRITERIA)
    assert len(CRITERIA) == 23
    assert dvh_criteria(dose, {"Larynx": np.zeros(dose.shape, dtype=bool)}, 50.0) == {}


def test_a_foreign_structure_is_refused() -> None:
    with pytest.raises(StructureRefusal) as refused:
        dvh_criteria(np.ones(3), {"PTV_7000": np.ones(3, dtype=bool)}, 50.0)
    assert refused.value.where == {"roi": "PTV_7000"}
