from __future__ import annotations

import json

import numpy as np
import pytest

from bridge.report.tables import dvh_json
from bridge.rt.dvh import Dvh, DvhPolicy
from tests.report.synthetic_case import provenance

NOTHING = np.zeros(0)


def even_dvh(volume_cc: float = 70.0) -> Dvh:
    """70 cc in which every dose from 0 to 70 Gy is equally common."""
    return Dvh(4, "Cord", (np.arange(7000) + 0.5) / 100, np.full(7000, 0.01), volume_cc, DvhPolicy("none", 0.5))


def only_structure(document: dict[str, object]) -> dict[str, object]:
    plain = json.loads(json.dumps(document, allow_nan=False))
    assert len(plain["structures"]) == 1
    structure: dict[str, object] = plain["structures"][0]
    return structure


def test_curve_and_histogram_are_the_closed_form() -> None:
    structure = only_structure(dvh_json([even_dvh()], {4: {"mean_gy": 35.0}}))
    curve, histogram = structure.pop("curve"), structure.pop("cumulative_histogram")
    assert structure == {
        "roi_number": 4,
        "roi_name": "Cord",
        "status": "complete",
        "volume_cc": 70.0,
        "volume_inside_dose_grid_cc": pytest.approx(70.0),
        "coverage_fraction": pytest.approx(1.0),
        "end_caps": "none",
        "between_planes": "prism",
        "sample_mm": 0.5,
        "metrics": {"mean_gy": 35.0},
    }
    assert curve["volume_percent"] == list(range(101))  # type: ignore[index]
    assert curve["dose_gy"] == pytest.approx(70.0 * (1 - np.arange(101) / 100), abs=0.0051)  # type: ignore[index]
    assert histogram["dose_step_gy"] == 0.1  # type: ignore[index]
    volumes = histogram["volume_percent"]  # type: ignore[index]
    assert volumes == pytest.approx(100 * np.clip(1 - np.arange(len(volumes)) * 0.1 / 70, 0, 1), abs=0.01)
    assert (volumes[0], volumes[-1], len(volumes)) == (100.0, 0.0, 701)


@pytest.mark.parametrize(
    ("dvh", "status"),
    [
        (Dvh(1, "Larynx", NOTHING, NOTHING, 0.0, DvhPolicy()), "empty"),
        (Dvh(1, "Lung", NOTHING, NOTHING, 12.5, DvhPolicy("half_slice", 2.0)), "outside_dose_grid"),
    ],
)
def test_nothing_is_invented_for_a_structure_without_dose(dvh: Dvh, status: str) -> None:
    structure = only_structure(dvh_json([dvh], {}))
    assert structure["status"] == status
    assert structure["metrics"] is structure["curve"] is structure["cumulative_histogram"] is None
    assert (structure["coverage_fraction"], structure["volume_cc"]) == (0.0, dvh.volume_cc)


def test_a_structure_cut_by_the_dose_grid_says_so() -> None:
    structure = only_structure(dvh_json([even_dvh(140.0)], {}))
    assert structure["status"] == "partly_outside_dose_grid"
    assert structure["coverage_fraction"] == pytest.approx(0.5)
    assert structure["metrics"] is None


def test_what_is_not_a_number_becomes_null() -> None:
    metrics = {"hi_icru83": float("nan"), "hi_d5_d95": float("inf"), "mean_gy": 0.0}
    structure = only_structure(dvh_json([even_dvh()], {4: metrics}))
    assert structure["metrics"] == {"hi_icru83": None, "hi_d5_d95": None, "mean_gy": 0.0}


def test_a_structure_without_dose_is_at_zero_not_below() -> None:
    cold = Dvh(4, "Lens", np.zeros(10), np.full(10, 0.1), 1.0, DvhPolicy("none", 0.5))
    structure = only_structure(dvh_json([cold], {}))
    assert structure["curve"]["dose_gy"] == [0.0] * 101  # type: ignore[index]
    assert structure["cumulative_histogram"]["volume_percent"] == [100.0, 0.0]  # type: ignore[index]


def test_provenance_goes_along() -> None:
    document = json.loads(json.dumps(dvh_json([], {}, provenance()), allow_nan=False))
    assert (document["format"], document["version"], document["structures"]) == ("fdp-bridge-dvh", 1, [])
    assert document["provenance"]["model_id"] == "geometric-1"
    assert document["provenance"]["created_utc"] == "2026-01-31T12:30:00+00:00"
