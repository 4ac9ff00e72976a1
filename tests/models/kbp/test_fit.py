"""Learning DVHs that are a known function of geometry, and saying how sure it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.structure import Structure
from models.geometric.parameters import GeometricParameters
from models.kbp.curves import VOLUMES_PERCENT
from models.kbp.estimate import estimate_organ, unknown_regions, unusual_features
from models.kbp.evaluation import score_organ
from models.kbp.fit import FEWEST_PLANS, OrganPlan, fit_organ, principal_components
from models.kbp.parameters import KbpParameters, OrganModel
from tests.models.kbp.plans import HIGHEST_GY, OVERLAP, organ_plans

EXPECTED = GeometricParameters(
    near_weight=0.5, near_mm=15.0, far_mm=60.0, axial_stretch=1.0, axial_mm=7.0, scale=1.0, sparing={}
)


def learned(plans: list[OrganPlan]) -> OrganModel:
    fitted = fit_organ("Organ", plans)
    assert fitted is not None
    return fitted[0]


def test_a_dose_that_follows_from_geometry_is_foreseen_exactly() -> None:
    model = learned(organ_plans(60))
    for plan in organ_plans(10, seed=9):
        band = estimate_organ("Organ", model, plan.geometry)
        np.testing.assert_allclose(band.middle_gy, plan.dose_gy, atol=0.02)
        assert (band.upper_gy - band.lower_gy).max() < 0.05
        assert band.overlap == pytest.approx(plan.geometry.regions["overlap"].share)


def test_the_band_is_one_standard_deviation_of_a_new_plan() -> None:
    """The scatter is one number for the whole curve, so each patient is inside or outside as a whole: 68 %."""
    model = learned(organ_plans(300, scatter=0.05, overlap=0.0))
    plans = organ_plans(800, seed=9, scatter=0.05, overlap=0.0)
    pairs = [(estimate_organ("Organ", model, plan.geometry), plan) for plan in plans]
    score = score_organ(model.plans, pairs)
    assert score.within_band == pytest.approx(0.683, abs=0.05)
    # mean |N(0, s)| is s sqrt(2 / pi), with s the scatter times the mean expected dose of 0.65 x 70 Gy
    assert score.mean_abs_gy == pytest.approx(0.05 * 0.65 * HIGHEST_GY * np.sqrt(2 / np.pi), rel=0.15)
    assert abs(score.mean_dose_gy) < 0.5


def test_a_case_of_60_gy_is_a_case_of_70_gy_scaled() -> None:
    model = learned(organ_plans(60, scatter=0.05))
    high, low = (organ_plans(1, seed=3, highest_gy=level)[0] for level in (70.0, 60.0))
    for edge in ("lower_gy", "middle_gy", "upper_gy"):
        one, other = (getattr(estimate_organ("Organ", model, plan.geometry), edge) for plan in (high, low))
        np.testing.assert_allclose(other, one * 60.0 / 70.0)


def test_curves_never_rise_and_never_fall_below_zero() -> None:
    model = learned(organ_plans(40, scatter=0.4))
    for plan in organ_plans(20, seed=5):
        band = estimate_organ("Organ", model, plan.geometry)
        for curve in (band.lower_gy, band.middle_gy, band.upper_gy):
            assert (np.diff(curve) <= 0).all()
            assert curve.min() >= 0
        assert (band.lower_gy <= band.middle_gy).all()
        assert (band.middle_gy <= band.upper_gy).all()


def test_as_a_dvh_the_band_keeps_curve_and_mean() -> None:
    plan = organ_plans(1, seed=3)[0]
    band = estimate_organ("Organ", learned(organ_plans(40, scatter=0.05)), plan.geometry)
    parotid = Structure(4, "Parotid left", "organ", (), "2.25.1", 3.0, "Organ")
    dvh = band.dvh(parotid, DvhPolicy())
    assert (dvh.roi_number, dvh.roi_name, dvh.coverage) == (4, "Parotid left", 1.0)
    np.testing.assert_allclose(dvh.curve(VOLUMES_PERCENT), band.middle_gy)
    assert dvh.mean_gy == pytest.approx(band.middle_gy.mean())
    lower, upper = band.dvh(parotid, DvhPolicy(), "lower"), band.dvh(parotid, DvhPolicy(), "upper")
    assert lower.mean_gy < dvh.mean_gy < upper.mean_gy


def test_the_part_outside_targets_has_a_band_of_its_own() -> None:
    """Without the target's part the curve is that of the field alone, to which the dose is 0.6 of the expected one."""
    model = learned(organ_plans(60))
    plan = organ_plans(1, seed=9)[0]
    band = estimate_organ("Organ", model, plan.geometry)
    share = plan.geometry.regions["overlap"].share
    assert band.outside is not None
    assert band.outside.volume_cc == pytest.approx((1.0 - share) * band.volume_cc)
    assert (band.outside.overlap, band.outside.outside, band.outside.organ) == (0.0, None, "Organ")
    np.testing.assert_allclose(band.outside.middle_gy, HIGHEST_GY * plan.dvhs["in_field"], atol=0.02)
    mean_inside = sum(level * part for level, part in plan.geometry.regions["overlap"].levels.items()) * OVERLAP
    assert band.middle_gy.mean() == pytest.approx(
        share * mean_inside + (1.0 - share) * band.outside.middle_gy.mean(), abs=0.2
    )


def test_an_organ_in_no_target_or_wholly_in_one_is_not_divided() -> None:
    model = learned(organ_plans(40))
    apart = organ_plans(1, seed=3, overlap=0.0)[0].geometry
    assert estimate_organ("Organ", model, apart).outside is None
    region = organ_plans(1, seed=3)[0].geometry.regions["overlap"]
    within = replace(apart, regions={"overlap": replace(region, share=1.0)})
    band = estimate_organ("Organ", model, within)
    assert (band.outside, band.overlap) == (None, 1.0)


@pytest.mark.parametrize("standard_name", ["Parotid_R", None])
def test_a_band_is_not_the_dvh_of_another_structure(standard_name: str | None) -> None:
    band = estimate_organ("Parotid_L", learned(organ_plans(40)), organ_plans(1, seed=3)[0].geometry)
    with pytest.raises(StructureRefusal) as refused:
        band.dvh(Structure(4, "Parotid_L", "organ", (), "2.25.1", 3.0, standard_name), DvhPolicy())
    assert refused.value.code == "band-of-another"


def test_an_organ_of_too_few_plans_is_not_learned() -> None:
    assert fit_organ("Organ", organ_plans(FEWEST_PLANS - 1)) is None
    assert fit_organ("Organ", organ_plans(FEWEST_PLANS)) is not None


def test_a_region_of_too_few_plans_is_unknown_and_one_of_few_is_a_mean() -> None:
    without = organ_plans(30, overlap=0.0)
    model = learned(without + organ_plans(4, seed=1))
    plan = organ_plans(1, seed=2)[0]
    assert unknown_regions(model, plan.geometry) == ("overlap",)
    model = learned(without + organ_plans(5, seed=1))
    assert unknown_regions(model, plan.geometry) == ()
    assert model.regions["overlap"].plans == 5
    assert all(score.features == () for score in model.regions["overlap"].scores)


def test_a_region_of_a_few_voxels_is_not_learned_from() -> None:
    plans = organ_plans(30)
    small = [
        replace(
            plan,
            geometry=replace(
                plan.geometry,
                regions={**plan.geometry.regions, "overlap": replace(plan.geometry.regions["overlap"], volume_cc=0.1)},
            ),
        )
        for plan in plans
    ]
    assert "overlap" not in learned(small).regions


def test_a_geometry_outside_the_training_plans_is_noticed() -> None:
    model = learned(organ_plans(40, scatter=0.05))
    usual = organ_plans(1, seed=3)[0].geometry
    assert unusual_features(model, usual) == ()
    region = replace(usual.regions["in_field"], expected=usual.regions["in_field"].expected + 2.0)
    unusual = replace(usual, regions={**usual.regions, "in_field": region})
    assert ("in_field", "expected_1") in unusual_features(model, unusual)


def test_a_plan_with_twice_the_dose_is_flagged_and_its_point_is_off_the_line() -> None:
    plans = organ_plans(40, scatter=0.02)
    odd = replace(plans[7], dvhs={**plans[7].dvhs, "in_field": 2.0 * plans[7].dvhs["in_field"]})
    fitted = fit_organ("Organ", [*plans[:7], odd, *plans[8:]])
    assert fitted is not None
    rows = [row for row in fitted[1] if (row.region, row.component) == ("in_field", 1)]
    assert len(rows) == 40
    assert "plan 7" in [row.plan for row in rows if row.flagged]
    worst = max(rows, key=lambda row: abs(row.studentized))
    assert worst.plan == "plan 7"
    assert abs(worst.observed - worst.fitted) > 3 * np.median([abs(row.observed - row.fitted) for row in rows])


def test_two_directions_of_variation_have_two_components() -> None:
    rng = np.random.default_rng(0)
    a, b = np.sin(np.arange(100) / 9.0), np.cos(np.arange(100) / 17.0)
    curves = 3.0 + rng.normal(size=(30, 1)) * a + rng.normal(size=(30, 1)) * b
    found = principal_components(curves, 3)
    assert len(found.vectors) == 2
    np.testing.assert_allclose(np.array(found.vectors) @ np.array(found.vectors).T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose([found.curve(row) for row in found.scores(curves)], curves, atol=1e-9)
    assert len(principal_components(np.ones((5, 100)), 3).vectors) == 0


def test_the_same_plans_in_another_order_make_the_same_file(tmp_path: Path) -> None:
    plans = organ_plans(40, scatter=0.05)
    for name, ordered in (("one", plans), ("other", plans[::-1])):
        organs = {"Organ": learned(ordered)}
        KbpParameters(gantry_angles_deg=(0.0,), expected_dose=EXPECTED, organs=organs).write(tmp_path / name)
    assert (tmp_path / "one").read_text() == (tmp_path / "other").read_text()
    assert KbpParameters.read(tmp_path / "one").organs["Organ"].plans == 40
