"""Sliders become conditions: each to its own organ, homogeneity against what is usual, nothing beyond training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from models.fdp.channels import ORGANS
from models.fdp.condition import HI_UNIT
from models.fdp.frame import BOX, frame_of
from models.fdp.model import FdpModel
from models.preference import NEUTRAL, Preference
from tests.models.fdp import anatomies
from tests.models.fdp.anatomies import (
    CENTRE_MM,
    Box,
    patient,
    patient_grid,
)
from tests.models.fdp.known_networks import (
    HI,
    PARAMETERS,
    PAROTID_L,
    PAROTID_R,
    Answer,
    KnownNetworks,
    prepared,
    usual_prepared,
)


class TestWishes:
    def test_without_one_the_condition_says_nothing_of_it(self) -> None:
        networks = KnownNetworks()
        usual_prepared(networks).estimate(NEUTRAL)
        assert not networks.conditions[0][:8].any()
        assert len(networks.conditions) == 1

    @pytest.mark.parametrize("organ", ORGANS)
    def test_each_weight_goes_to_its_own_organ(self, organ: str) -> None:
        networks = KnownNetworks()
        whole = patient(organs=dict.fromkeys(ORGANS, anatomies.ORGANS["SpinalCord"]))
        before = replace(usual_prepared(networks), anatomy=whole)
        got = before.estimate(Preference("test", oar_weights={organ: 1.25}))
        wanted = np.zeros(8)
        wanted[1 + ORGANS.index(organ)] = 1.0
        np.testing.assert_allclose(networks.conditions[0][:8], wanted, atol=1e-6)
        assert got.findings == ()

    def test_the_common_weight_goes_to_all_and_is_multiplied_into_single_ones(self) -> None:
        networks = KnownNetworks()
        wish = Preference("test", oar_weight=1.25, oar_weights={"Parotid_L": 0.8})
        usual_prepared(networks).estimate(wish)
        wanted = np.array([0.0, 1, 1, 1, 0, 1, 1, 1])
        np.testing.assert_allclose(networks.conditions[0][:8], wanted, atol=1e-6)

    @pytest.mark.parametrize(("asked", "held"), [(2.0, 1.45), (1.46, 1.45), (0.69, 0.7), (0.0, 0.7)])
    def test_weights_beyond_training_are_held_and_that_is_said(self, asked: float, held: float) -> None:
        networks = KnownNetworks()
        got = usual_prepared(networks).estimate(Preference("test", oar_weights={"Parotid_L": asked}))
        assert networks.conditions[0][PAROTID_L] == pytest.approx(np.log(held) / np.log(1.25), abs=1e-6)
        (finding,) = got.findings
        where = {"roi": "Parotid_L", "wish": "oar_weight.Parotid_L", "asked": f"{asked:.2f}", "used": f"{held:.2f}"}
        assert (finding.code, finding.severity, dict(finding.where)) == ("preference-limited", "warning", where)
        assert f"{asked:.2f}" in finding.message
        assert f"{held:.2f}" in finding.message

    @pytest.mark.parametrize("weight", [1.45, 0.7, 1.0])
    def test_weights_up_to_the_limits_are_not_remarked(self, weight: float) -> None:
        assert usual_prepared(KnownNetworks()).estimate(Preference("test", oar_weight=weight)).findings == ()

    def test_limits_are_remarked_for_the_organs_that_the_patient_has(self) -> None:
        got = usual_prepared(KnownNetworks()).estimate(Preference("test", oar_weight=1.6))
        assert {finding.where["roi"] for finding in got.findings} == set(anatomies.ORGANS)

    def test_a_wish_for_an_organ_that_the_patient_does_not_have_is_not_asked_for_and_that_is_said(self) -> None:
        """Through the style it would change the dose of everything else."""
        networks, neutral = KnownNetworks(), KnownNetworks()
        wish = Preference("test", oar_weight=1.2, oar_weights={"Larynx": 1.3, "Esophagus": 1.0, "Parotid_L": 1.1})
        got = usual_prepared(networks).estimate(wish)
        usual_prepared(neutral).estimate(replace(wish, oar_weights={"Parotid_L": 1.1}))
        np.testing.assert_array_equal(networks.conditions[0], neutral.conditions[0])
        (finding,) = got.findings
        assert (finding.code, finding.severity, dict(finding.where)) == (
            "preference-without-structure", "warning", {"roi": "Larynx"},
        )  # fmt: skip


def ramp(anatomy: Anatomy, axis: int, step: float) -> Answer:
    """A dose that rises by ``step`` every 4 mm along an axis (z, y, x), and is 1 in the middle of the high target.

    Splines reproduce it. In n layers of voxels of 4 mm the index is (n - 1) steps: a layer holds more than 2 %.
    """
    centre_mm = CENTRE_MM[2 - axis] + np.mean(anatomies.HIGH[2 - axis])
    along = 1.0 + step * (frame_of(anatomy).axes[axis].centres_mm - centre_mm) / 4.0
    shape = [-1 if number == axis else 1 for number in range(3)]
    values = np.broadcast_to(along.astype(np.float32).reshape(shape), BOX)
    return lambda *_: values


def usual_ramp() -> Answer:
    """Of the usual patient: ten layers along y, so that the neutral index is 0.15."""
    return ramp(anatomies.patient(), 1, 0.15 / 9)


class TestHomogeneity:
    def test_neutral_is_d2_less_d98_over_d50_of_the_highest_target(self) -> None:
        targets: dict[str, tuple[float, Box]] = {"PTV": (70.0, ((12, 44), (-24, 24), (-32, 32)))}
        anatomy = patient(targets=targets)
        networks = KnownNetworks(ramp(anatomy, 1, 0.01))
        assert prepared(networks, anatomy).neutral_hi == pytest.approx(0.11, abs=1e-5)

    def test_it_is_that_of_the_patients_own_voxels(self) -> None:
        """Eight layers of 8 mm have 56 mm between the middles of the first and the last; sixteen of 4 mm have 60."""
        anatomy = patient(
            patient_grid(spacing_mm=(8.0, 8.0, 8.0)), targets={"PTV": (70.0, ((16, 40), (-32, 32), (-32, 32)))}
        )
        networks = KnownNetworks(ramp(anatomy, 1, 0.01))
        assert prepared(networks, anatomy).neutral_hi == pytest.approx(0.14, abs=1e-5)

    def test_the_other_targets_do_not_count(self) -> None:
        """Along x, where the other one lies beside it, the high target has eight layers."""
        networks = KnownNetworks(ramp(anatomies.patient(), 2, 0.01))
        assert usual_prepared(networks).neutral_hi == pytest.approx(0.07, abs=1e-5)

    def test_what_of_the_target_lies_in_the_air_does_not_count(self) -> None:
        """The skin runs through the ten layers along y: six lie behind it, one is half in the body."""
        anatomy = patient(body=((-80, 80), (-6, 92), (-120, 120)))
        networks = KnownNetworks(ramp(anatomy, 1, 0.01))
        assert prepared(networks, anatomy).neutral_hi == pytest.approx(0.06, abs=2e-3)

    @pytest.mark.parametrize("offset", [-0.045, -0.02, 0.0, 0.03, 0.07])
    def test_a_wish_is_told_against_the_neutral_index(self, offset: float) -> None:
        networks = KnownNetworks(usual_ramp())
        got = usual_prepared(networks).estimate(Preference("test", hi=0.15 + offset))
        neutral, wish = networks.conditions
        assert not neutral[:8].any()
        assert wish[HI] == pytest.approx(offset / HI_UNIT, abs=1e-4)
        assert not wish[1:8].any()
        assert got.findings == ()

    def test_a_model_of_labelled_plans_is_held_where_these_end(self) -> None:
        """Each organ at its own end, one without labels at its usual dose, homogeneity at what plans reached."""
        networks = KnownNetworks(usual_ramp())
        limits = {organ: (0.8, 1.6) for organ in ORGANS if organ != "Parotid_R"}
        parameters = PARAMETERS.model_copy(update={"hi_steps": (-0.2, 3.0), "weight_limits": limits})
        model = FdpModel(parameters, networks, mirror_average=False)
        got = replace(usual_prepared(networks), model=model).estimate(Preference("test", hi=0.02, oar_weight=2.0))
        asked = networks.conditions[-1]
        assert asked[HI] == pytest.approx(-0.2)
        assert asked[PAROTID_L] == pytest.approx(np.log(1.6) / np.log(1.25), abs=1e-6)
        assert asked[PAROTID_R] == 0.0
        assert {finding.code for finding in got.findings} == {"preference-limited"}

    @pytest.mark.parametrize(("asked", "steps", "held"), [(0.02, -1.0, 0.1), (0.09, -1.0, 0.1), (0.4, 1.5, 0.225)])
    def test_a_wish_beyond_training_is_held_and_that_is_said(self, asked: float, steps: float, held: float) -> None:
        networks = KnownNetworks(usual_ramp())
        got = usual_prepared(networks).estimate(Preference("test", hi=asked))
        assert networks.conditions[-1][HI] == pytest.approx(steps)
        (finding,) = got.findings
        assert (finding.code, finding.severity) == ("preference-limited", "warning")
        for number in (asked, 0.15, held):
            assert f"{number:.3f}" in finding.message
        assert finding.where == {"wish": "hi", "asked": f"{asked:.3f}", "used": f"{held:.3f}"}

    def test_the_neutral_index_is_asked_for_once(self) -> None:
        networks = KnownNetworks(usual_ramp())
        before = usual_prepared(networks)
        for hi in (0.12, 0.14, 0.16):
            before.estimate(Preference("test", hi=hi))
        assert len(networks.conditions) == 1 + 3

    def test_a_highest_target_that_fills_no_voxel_of_the_frame_has_an_index_all_the_same(self) -> None:
        """A boost of 1.6 mm beside a large target: its fullest voxels count, as they do for the frame."""
        targets: dict[str, tuple[float, Box]] = {
            "boost": (70.0, ((12, 13.6), (-20, 20), (-32, 32))),
            "PTV": (56.0, ((16, 44), (-20, 20), (-32, 32))),
        }
        networks = KnownNetworks(lambda *_: np.full(BOX, 0.9, dtype=np.float32))
        before = prepared(networks, patient(targets=targets))
        assert before.neutral_hi == pytest.approx(0.0, abs=1e-6)
        (finding,) = before.estimate(Preference("test", hi=0.02)).findings
        assert networks.conditions[-1][HI] == pytest.approx(0.4, abs=1e-4)
        # the network spreads voxels that the target fills by half, of which there is none
        assert (finding.code, finding.severity) == ("preference-limited", "warning")
        assert "thinner than half a voxel" in finding.message
