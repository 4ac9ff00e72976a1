"""Scores of a model on patients: who is counted, and who could not be."""

from __future__ import annotations

import pytest

from bridge.rt.errors import StructureRefusal
from models.geometric.parameters import GeometricParameters
from models.kbp.evaluation import score_organs
from models.kbp.fit import OrganPlan, fit_organ
from models.kbp.parameters import KbpParameters
from models.kbp.training import ObservedPlan
from tests.models.kbp.plans import organ_plans

EXPECTED = GeometricParameters(
    near_weight=0.5, near_mm=15.0, far_mm=60.0, axial_stretch=1.0, axial_mm=7.0, scale=1.0, sparing={}
)


def observed(organs: dict[str, OrganPlan], outside_body: tuple[str, ...] = ()) -> ObservedPlan:
    return ObservedPlan("a patient", (0.0,), (70.0,), organs, outside_body)


@pytest.fixture(scope="module")
def parameters() -> KbpParameters:
    """Two organs that were never inside a target, and that get what the geometry says."""
    organs = {}
    for name in ("Larynx", "Lips"):
        fitted = fit_organ(name, organ_plans(30, overlap=0.0))
        assert fitted is not None
        organs[name] = fitted[0]
    return KbpParameters(gantry_angles_deg=(0.0,), expected_dose=EXPECTED, organs=organs)


def test_patients_in_whom_an_organ_cannot_be_estimated_are_counted(parameters: KbpParameters) -> None:
    """Three outside the target, two with an unknown overlap, one with the organ outside the body, one without it."""
    patients = [
        *(observed({"Larynx": plan}) for plan in organ_plans(3, seed=1, overlap=0.0)),
        *(observed({"Larynx": plan}) for plan in organ_plans(2, seed=2)),
        observed({}, ("Larynx",)),
        observed({}),
    ]
    found = score_organs(parameters, patients)
    (larynx,) = found.organs
    assert (larynx.organ, larynx.plans, larynx.n, larynx.not_estimated) == ("Larynx", 30, 3, 3)
    assert larynx.mean_abs_gy == pytest.approx(0.0, abs=0.02)
    assert found.mean_abs_gy == larynx.mean_abs_gy
    assert found.never_estimated == {}


def test_an_organ_that_could_be_estimated_in_nobody_is_named(parameters: KbpParameters) -> None:
    unknown, known = organ_plans(1, seed=2)[0], organ_plans(1, seed=1, overlap=0.0)[0]
    found = score_organs(parameters, [observed({"Larynx": known, "Lips": unknown}), observed({}, ("Lips",))])
    assert [one.organ for one in found.organs] == ["Larynx"]
    assert found.never_estimated == {"Lips": 2}


def test_nobody_to_measure_on_is_refused(parameters: KbpParameters) -> None:
    for patients in ([], [observed({}, ("Larynx",))], [observed({"Tongue": organ_plans(1)[0]})]):
        with pytest.raises(StructureRefusal) as refused:
            score_organs(parameters, patients)
        assert refused.value.code == "kbp-no-organ"
