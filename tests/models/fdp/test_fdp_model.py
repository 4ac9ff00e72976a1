"""FDP with networks whose answer is known: what comes out must be that answer, in Gy, in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS, MIRRORED, ORGANS
from models.fdp.condition import HI_UNIT
from models.fdp.frame import BOX, SPACING_MM, frame_of
from models.fdp.model import GRAPHS, FdpModel, PreparedFdp
from models.fdp.parameters import FdpParameters
from models.predictor import Estimate
from models.preference import NEUTRAL, Preference
from tests.models.fdp import anatomies
from tests.models.fdp.anatomies import (
    CENTRE_MM,
    HEAD_FIRST_SUPINE,
    Box,
    all_orientations,
    box_mask,
    patient,
    patient_grid,
    positions,
)

HI, PAROTID_R, PAROTID_L = 0, 1 + ORGANS.index("Parotid_R"), 1 + ORGANS.index("Parotid_L")
COUNT, COSINES, SINES = 8, slice(9, 13), slice(13, 17)

PARAMETERS = FdpParameters(
    channels=CHANNELS,
    box=BOX,
    spacing_mm=SPACING_MM,
    backbone="resunet",
    widths=(8, 8, 8),
    latent=16,
    style=8,
    masked=True,
    spread_factor=1.5,
    gantry_angles_deg=(0.0, 100.0),
)

Answer = Callable[[VoxelArray, VoxelArray, int], VoxelArray]
"""From channels ``(C, z, y, x)``, condition and number of the call to a box ``(z, y, x)`` over the highest level."""


def level(channels: VoxelArray, condition: VoxelArray, number: int) -> VoxelArray:
    return channels[CHANNELS.index("level")]


def tenth(channels: VoxelArray, condition: VoxelArray, number: int) -> VoxelArray:
    return np.full(BOX, 0.1, dtype=np.float32)


@dataclass
class KnownNetworks:
    """A backend that hands the channels on as features, and answers from them."""

    dose: Answer = level
    spread: Answer = tenth
    name: str = "known"
    encoded: list[VoxelArray] = field(default_factory=list)
    conditions: list[VoxelArray] = field(default_factory=list)

    def run(self, graph: str, inputs: Mapping[str, VoxelArray]) -> dict[str, VoxelArray]:
        if graph == "encoder":
            (channels,) = inputs.values()
            assert channels.shape == (1, len(CHANNELS), *BOX)
            self.encoded.append(channels)
            return {"fine": channels}
        assert graph == "proposer"
        assert set(inputs) == {"fine", "condition"}
        (channels,), (condition,) = inputs["fine"], inputs["condition"]
        number = len(self.conditions)
        self.conditions.append(condition)
        return {
            "dose": self.dose(channels, condition, number)[None, None],
            "spread": self.spread(channels, condition, number)[None, None],
        }


def prepared(networks: KnownNetworks, anatomy: Anatomy, mirror_average: bool = False) -> PreparedFdp:
    return FdpModel(PARAMETERS, networks, mirror_average).prepare(anatomy)


def estimate(networks: KnownNetworks, anatomy: Anatomy, wish: Preference = NEUTRAL) -> Estimate:
    return prepared(networks, anatomy).estimate(wish)


@cache
def usual() -> Anatomy:
    return patient()


@cache
def _usual_prepared(mirror_average: bool) -> PreparedFdp:
    return prepared(KnownNetworks(), usual(), mirror_average)


def usual_prepared(networks: KnownNetworks, mirror_average: bool = False) -> PreparedFdp:
    """The usual patient as prepared once: the features are the channels, whatever the networks answer."""
    return replace(_usual_prepared(mirror_average), model=FdpModel(PARAMETERS, networks, mirror_average))


def smooth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A cubic field over the highest level that is different in every direction; splines reproduce it."""
    u, v, w = (c - m for c, m in zip((x, y, z), CENTRE_MM, strict=True))
    return (0.6 + 2e-3 * u + 1e-8 * u**3) * (0.9 - 1e-3 * v) * (0.8 + 1e-3 * w - 2e-6 * w**2)


def field_of(anatomy: Anatomy) -> Answer:
    """The smooth field in the frame of an anatomy; for one box."""
    frame = frame_of(anatomy)
    assert len(frame.starts) == 1
    z, y, x = np.meshgrid(*(axis.centres_mm for axis in frame.axes), indexing="ij")
    values = smooth(x, y, z).astype(np.float32)
    return lambda channels, condition, number: values


def within_frame(anatomy: Anatomy) -> np.ndarray:
    """Whether the centre of each voxel of the grid lies in the frame."""
    inside = np.ones(anatomy.grid.shape, dtype=bool)
    for axis, place in zip(reversed(frame_of(anatomy).axes), positions(anatomy.grid), strict=True):
        inside &= (place > axis.edges_mm[0]) & (place < axis.edges_mm[-1])
    return inside


def well_within(grid_anatomy: Anatomy, box: Box, by_mm: float) -> np.ndarray:
    shrunk = tuple((low + by_mm, high - by_mm) for low, high in box)
    return box_mask(grid_anatomy.grid, (shrunk[0], shrunk[1], shrunk[2])).values == 1


class TestPlace:
    @pytest.mark.parametrize("steps", [HEAD_FIRST_SUPINE, *all_orientations()[::12]])
    def test_the_dose_comes_back_to_the_grid_however_its_axes_run(self, steps: np.ndarray) -> None:
        """A field that is told to the network in patient coordinates is found in them again."""
        anatomy = patient(patient_grid(steps))
        got = estimate(KnownNetworks(dose=field_of(anatomy)), anatomy).dose_gy
        wanted = 70.0 * smooth(*positions(anatomy.grid)) * anatomy.body.values * within_frame(anatomy)
        assert got.shape == anatomy.grid.shape
        assert got.dtype == np.float32
        # up to half a voxel beyond the outermost centres, the last value goes on
        np.testing.assert_allclose(got, wanted, atol=0.5)
        inner = np.abs(positions(anatomy.grid)[2] - CENTRE_MM[2]) < 88
        np.testing.assert_allclose(got[inner], wanted[inner], atol=2e-3)

    @pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 2.5), (5.0, 5.0, 5.0), (2.5, 3.0, 1.25)])
    def test_the_dose_comes_back_to_fine_and_coarse_grids(self, spacing_mm: tuple[float, float, float]) -> None:
        small: dict[str, tuple[float, Box]] = {"PTV": (70.0, ((5, 25), (-10, 10), (-15, 15)))}
        anatomy = patient(
            patient_grid(HEAD_FIRST_SUPINE, spacing_mm, extent_mm=(120.0, 90.0, 90.0)),
            targets=small,
            organs={"SpinalCord": ((-10, 10), (20, 30), (-45, 45))},
            body=((-50, 50), (-40, 40), (-45, 45)),
        )
        got = estimate(KnownNetworks(dose=field_of(anatomy)), anatomy).dose_gy
        wanted = 70.0 * smooth(*positions(anatomy.grid)) * anatomy.body.values
        np.testing.assert_allclose(got, wanted, atol=2e-3)

    @pytest.mark.parametrize("steps", [HEAD_FIRST_SUPINE, *all_orientations()[3::15]])
    def test_a_network_that_gives_each_target_its_level_does_so_on_the_targets(self, steps: np.ndarray) -> None:
        """70 Gy to the left and 56 Gy to the right, as the channels had them: there and back through the frame."""
        anatomy = patient(patient_grid(steps))
        got = estimate(KnownNetworks(), anatomy).dose_gy
        x = positions(anatomy.grid)[0] - CENTRE_MM[0]
        high, low = well_within(anatomy, anatomies.HIGH, 8.0), well_within(anatomy, anatomies.LOW, 8.0)
        np.testing.assert_allclose(got[high], 70.0, rtol=0.03)
        np.testing.assert_allclose(got[low], 56.0, rtol=0.03)
        assert (x[high] > 0).all()
        assert (x[low] < 0).all()
        # ripples of the spline beyond the targets
        assert got[np.abs(x) > 60].max() < 1.0

    def test_nothing_is_shifted(self) -> None:
        """The centre of the dose of one target is that of the target, to a hundredth of a millimetre."""
        anatomy = patient(targets={"PTV": (70.0, anatomies.HIGH)})
        got = estimate(KnownNetworks(), anatomy).dose_gy
        near = well_within(anatomy, anatomies.HIGH, -12.0)
        centre = [np.average(place[near], weights=got[near]) for place in positions(anatomy.grid)]
        np.testing.assert_allclose(np.subtract(centre, CENTRE_MM), (28.0, 0.0, 0.0), atol=0.01)

    @pytest.mark.parametrize("steps", [HEAD_FIRST_SUPINE, all_orientations()[29]])
    def test_there_is_no_dose_outside_the_body(self, steps: np.ndarray) -> None:
        anatomy = patient(patient_grid(steps))
        got = estimate(KnownNetworks(dose=field_of(anatomy)), anatomy)
        assert got.uncertainty_gy is not None
        outside = anatomy.body.values == 0
        for values in (got.dose_gy, got.uncertainty_gy):
            assert not values[outside].any()
            assert (values[~outside & within_frame(anatomy)] > 0.1).all()

    def test_beyond_the_boxes_there_is_none_either(self) -> None:
        """192 mm of boxes around a target whose middle is 4 mm below that of 240 mm of body."""
        anatomy = usual()
        got = usual_prepared(KnownNetworks(dose=field_of(anatomy))).estimate(NEUTRAL).dose_gy
        z = positions(anatomy.grid)[2] - CENTRE_MM[2] + 4.0
        assert not got[np.abs(z) > 96].any()
        assert (got[(np.abs(z) < 96) & (anatomy.body.values == 1)] > 0.1).all()

    def test_a_long_target_is_predicted_in_boxes_that_fit_together(self) -> None:
        long: dict[str, tuple[float, Box]] = {"PTV": (60.0, ((0, 40), (-20, 20), (-140, 140)))}
        anatomy = patient(
            patient_grid(extent_mm=(240.0, 200.0, 400.0)), targets=long, body=((-80, 80), (-90, 80), (-200, 200))
        )
        networks = KnownNetworks()
        got = estimate(networks, anatomy).dose_gy
        assert len(networks.encoded) == len(frame_of(anatomy).starts) == 3
        np.testing.assert_allclose(got[well_within(anatomy, long["PTV"][1], 8.0)], 60.0, rtol=0.03)

    def test_negative_ripples_are_no_dose(self) -> None:
        got = usual_prepared(KnownNetworks(dose=lambda c, *_: c[0] - 0.2)).estimate(NEUTRAL).dose_gy
        assert got.min() == 0.0


class TestScale:
    @pytest.mark.parametrize("highest_gy", [70.0, 60.0, 20.0])
    def test_the_dose_is_over_the_highest_level(self, highest_gy: float) -> None:
        targets = {"high": (highest_gy, anatomies.HIGH), "low": (0.8 * highest_gy, anatomies.LOW)}
        anatomy = patient(targets=targets)
        got = estimate(KnownNetworks(dose=field_of(anatomy)), anatomy).dose_gy
        at_seventy = usual_prepared(KnownNetworks(dose=field_of(usual()))).estimate(NEUTRAL).dose_gy
        np.testing.assert_allclose(got, at_seventy * (highest_gy / 70.0), rtol=1e-5, atol=1e-5)

    def test_the_highest_level_counts_and_not_the_first(self) -> None:
        anatomy = patient(targets={"low": (50.0, anatomies.LOW), "high": (60.0, anatomies.HIGH)})
        got = estimate(KnownNetworks(), anatomy).dose_gy
        np.testing.assert_allclose(got[well_within(anatomy, anatomies.HIGH, 8.0)], 60.0, rtol=0.03)
        np.testing.assert_allclose(got[well_within(anatomy, anatomies.LOW, 8.0)], 50.0, rtol=0.03)

    def test_uncertainty_is_the_networks_scale_times_its_calibration(self) -> None:
        """0.1 of 70 Gy times 1.5 is 10.5 Gy; the dose knows nothing of the factor."""
        anatomy = usual()
        got = usual_prepared(KnownNetworks()).estimate(NEUTRAL)
        assert got.uncertainty_gy is not None
        wanted = 10.5 * anatomy.body.values * within_frame(anatomy)
        np.testing.assert_allclose(got.uncertainty_gy, wanted, rtol=1e-4, atol=1e-5)
        calibrated = FdpModel(PARAMETERS.model_copy(update={"spread_factor": 1.0}), KnownNetworks())
        again = replace(usual_prepared(KnownNetworks()), model=calibrated).estimate(NEUTRAL)
        np.testing.assert_array_equal(again.dose_gy, got.dose_gy)
        np.testing.assert_allclose(again.uncertainty_gy, got.uncertainty_gy / 1.5, rtol=1e-5)

    def test_uncertainty_is_never_negative(self) -> None:
        networks = KnownNetworks(spread=lambda c, *_: c[CHANNELS.index("target_high")])
        got = usual_prepared(networks).estimate(NEUTRAL)
        assert got.uncertainty_gy is not None
        assert got.uncertainty_gy.min() == 0.0


class TestMirror:
    def test_the_mirrored_view_has_flipped_channels_with_the_parotids_exchanged(self) -> None:
        networks = KnownNetworks()
        prepared(networks, usual(), mirror_average=True)
        plain, mirrored = networks.encoded
        np.testing.assert_array_equal(mirrored, plain[:, list(MIRRORED)][..., ::-1])
        left, right = CHANNELS.index("Parotid_L"), CHANNELS.index("Parotid_R")
        np.testing.assert_array_equal(mirrored[0, left], plain[0, right][..., ::-1])
        assert plain[0, left].any()
        assert (plain[0, left] != plain[0, right]).any()

    def test_the_mirrored_view_has_the_wish_for_the_other_parotid_and_the_beams_from_the_other_side(self) -> None:
        networks = KnownNetworks()
        wish = Preference("test", oar_weights={"Parotid_L": 1.25, "Brainstem": 0.8})
        usual_prepared(networks, True).estimate(wish)
        plain, mirrored = networks.conditions
        assert (plain[PAROTID_L], plain[PAROTID_R]) == pytest.approx((1.0, 0.0))
        assert (mirrored[PAROTID_L], mirrored[PAROTID_R]) == pytest.approx((0.0, 1.0))
        assert plain[1] == mirrored[1] == pytest.approx(-1.0)
        np.testing.assert_allclose(mirrored[COSINES], plain[COSINES], atol=1e-6)
        np.testing.assert_allclose(mirrored[SINES], -plain[SINES], atol=1e-6)
        assert np.abs(plain[SINES]).max() > 0.3
        assert mirrored[COUNT] == plain[COUNT]

    def test_a_network_that_treats_both_sides_alike_gives_the_same_dose_with_and_without(self) -> None:
        """Parotids get what their own weights say: if any exchange were forgotten, the two views would disagree."""

        def fair(channels: VoxelArray, condition: VoxelArray, number: int) -> VoxelArray:
            left, right = (channels[CHANNELS.index(name)] for name in ("Parotid_L", "Parotid_R"))
            to_left, to_right = (0.3 - 0.1 * condition[place] for place in (PAROTID_L, PAROTID_R))
            return 0.5 * channels[0] + to_left * left + to_right * right

        wish = Preference("test", oar_weights={"Parotid_L": 1.25, "Parotid_R": 0.8})
        plain, both = (usual_prepared(KnownNetworks(fair), mirror).estimate(wish) for mirror in (False, True))
        np.testing.assert_allclose(both.dose_gy, plain.dose_gy, atol=1e-4)
        spared = well_within(usual(), anatomies.ORGANS["Parotid_L"], 8.0)
        dosed = well_within(usual(), anatomies.ORGANS["Parotid_R"], 8.0)
        np.testing.assert_allclose(both.dose_gy[spared], 0.2 * 70.0, rtol=0.06)
        np.testing.assert_allclose(both.dose_gy[dosed], 0.4 * 70.0, rtol=0.06)

    def test_a_network_that_favours_one_side_is_evened_out(self) -> None:
        """More dose to the right of the picture, of whatever view: in the mean of both there is no more of it."""
        ramp = np.broadcast_to(np.linspace(0.2, 0.8, BOX[2], dtype=np.float32), BOX)
        got = usual_prepared(KnownNetworks(lambda *_: ramp, lambda *_: ramp), True).estimate(NEUTRAL)
        inside = (usual().body.values == 1) & within_frame(usual())
        assert got.uncertainty_gy is not None
        np.testing.assert_allclose(got.dose_gy[inside], 35.0, atol=0.01)
        np.testing.assert_allclose(got.uncertainty_gy[inside], 52.5, atol=0.01)

    def test_the_answer_to_the_mirrored_view_is_turned_back(self) -> None:
        """Only the mirrored view speaks: its dose at the left of the picture is the patient's right."""
        left_of_picture = np.zeros(BOX, dtype=np.float32)
        left_of_picture[..., :30] = 1.0
        nothing = np.zeros(BOX, dtype=np.float32)
        networks = KnownNetworks(lambda c, w, number: left_of_picture if number else nothing)
        got = usual_prepared(networks, True).estimate(NEUTRAL)
        frame = frame_of(usual())
        x = positions(usual().grid)[0]
        inside = (usual().body.values == 1) & within_frame(usual())
        # voxels 0 to 29 of the mirrored picture are the last thirty of the patient's
        edge = float(frame.axes[2].edges_mm[-31])
        np.testing.assert_allclose(got.dose_gy[inside & (x > edge + 16)], 35.0, rtol=0.01)
        np.testing.assert_allclose(got.dose_gy[inside & (x < edge - 24)], 0.0, atol=0.5)


class TestBeams:
    def test_the_network_hears_of_the_plans_own_beams(self) -> None:
        networks = KnownNetworks()
        estimate(networks, patient(gantry_deg=(90.0,)))
        (condition,) = networks.conditions
        np.testing.assert_allclose(condition[COSINES], [0, -1, 0, 1], atol=1e-6)
        np.testing.assert_allclose(condition[SINES], [1, 0, -1, 0], atol=1e-6)

    def test_where_there_are_none_those_of_training_are_taken_and_that_is_said(self) -> None:
        unknown, known = KnownNetworks(), KnownNetworks()
        assumed = estimate(unknown, patient(gantry_deg=None))
        given = estimate(known, patient(gantry_deg=(0.0, 100.0)))
        np.testing.assert_array_equal(unknown.encoded[0], known.encoded[0])
        np.testing.assert_array_equal(unknown.conditions[0], known.conditions[0])
        assert [finding.code for finding in assumed.findings] == ["beams-assumed"]
        assert given.findings == ()

    @pytest.mark.parametrize(
        ("position", "angles"),
        [
            ("FFS", (330.0, 250.0)), ("HFP", (210.0, 290.0)), ("FFP", (150.0, 70.0)), ("HFDR", (300.0, 20.0)),
            ("HFDL", (120.0, 200.0)), ("FFDR", (60.0, 340.0)), ("FFDL", (240.0, 160.0)),
        ],
    )  # fmt: skip
    def test_beams_that_enter_the_patient_alike_are_told_alike(
        self, position: str, angles: tuple[float, float]
    ) -> None:
        """From anterior left, 30 and 110 degrees for a patient who lies as those of training did."""
        alike, other = KnownNetworks(), KnownNetworks()
        prepared(alike, patient(gantry_deg=(30.0, 110.0)), True).estimate(NEUTRAL)
        prepared(other, patient(gantry_deg=angles, position=position), True).estimate(NEUTRAL)
        for here, there in zip(alike.encoded, other.encoded, strict=True):
            assert np.abs(here - there).max() < 2e-3
        for here, there in zip(alike.conditions, other.conditions, strict=True):
            np.testing.assert_allclose(there, here, atol=1e-6)


class TestWishes:
    def test_without_one_the_condition_says_nothing_of_it(self) -> None:
        networks = KnownNetworks()
        usual_prepared(networks).estimate(NEUTRAL)
        assert not networks.conditions[0][:8].any()
        assert len(networks.conditions) == 1

    @pytest.mark.parametrize("organ", ORGANS)
    def test_each_weight_goes_to_its_own_organ(self, organ: str) -> None:
        networks = KnownNetworks()
        got = usual_prepared(networks).estimate(Preference("test", oar_weights={organ: 1.25}))
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
        assert (finding.code, finding.severity, dict(finding.where)) == (
            "preference-limited", "warning", {"roi": "Parotid_L"},
        )  # fmt: skip
        assert f"{asked:.2f}" in finding.message
        assert f"{held:.2f}" in finding.message

    @pytest.mark.parametrize("weight", [1.45, 0.7, 1.0])
    def test_weights_up_to_the_limits_are_not_remarked(self, weight: float) -> None:
        assert usual_prepared(KnownNetworks()).estimate(Preference("test", oar_weight=weight)).findings == ()

    def test_limits_are_remarked_for_the_organs_that_the_patient_has(self) -> None:
        got = usual_prepared(KnownNetworks()).estimate(Preference("test", oar_weight=1.2, oar_weights={"Larynx": 2.0}))
        assert got.findings == ()
        got = usual_prepared(KnownNetworks()).estimate(Preference("test", oar_weight=1.6))
        assert {finding.where["roi"] for finding in got.findings} == set(anatomies.ORGANS)


def striped(channels: VoxelArray, condition: VoxelArray, number: int) -> VoxelArray:
    """In the high target 0.9, 1.0 and 1.05 in equal layers of rows, whatever the wish."""
    y = np.arange(BOX[1])[:, None] % 3
    values = np.choose(y, np.array([0.9, 1.0, 1.05], dtype=np.float32)[:, None, None])
    return np.asarray(np.broadcast_to(values, BOX) * (channels[CHANNELS.index("target_high")] > 0), dtype=np.float32)


class TestHomogeneity:
    """The neutral index of :func:`striped` is (1.05 - 0.9) / 1.0 = 0.15."""

    def test_neutral_is_d2_less_d98_over_d50_of_the_highest_target(self) -> None:
        targets: dict[str, tuple[float, Box]] = {"PTV": (70.0, ((12, 44), (-24, 24), (-32, 32)))}
        assert prepared(KnownNetworks(striped), patient(targets=targets)).neutral_hi == pytest.approx(0.15, abs=1e-6)

    def test_the_other_targets_do_not_count(self) -> None:
        """A dose of the levels is the same in all of the high target's whole voxels, and 0.8 in the other."""

        def levels(channels: VoxelArray, *_: object) -> VoxelArray:
            return np.where(channels[CHANNELS.index("target_high")] > 0, 1.0, 0.8).astype(np.float32)

        assert usual_prepared(KnownNetworks(levels)).neutral_hi == pytest.approx(0.0, abs=1e-6)

    @pytest.mark.parametrize("offset", [-0.045, -0.02, 0.0, 0.03, 0.07])
    def test_a_wish_is_told_against_the_neutral_index(self, offset: float) -> None:
        networks = KnownNetworks(striped)
        got = usual_prepared(networks).estimate(Preference("test", hi=0.15 + offset))
        neutral, wish = networks.conditions
        assert not neutral[:8].any()
        assert wish[HI] == pytest.approx(offset / HI_UNIT, abs=1e-4)
        assert not wish[1:8].any()
        assert got.findings == ()

    @pytest.mark.parametrize(("asked", "steps", "held"), [(0.02, -1.0, 0.1), (0.09, -1.0, 0.1), (0.4, 1.5, 0.225)])
    def test_a_wish_beyond_training_is_held_and_that_is_said(self, asked: float, steps: float, held: float) -> None:
        networks = KnownNetworks(striped)
        got = usual_prepared(networks).estimate(Preference("test", hi=asked))
        assert networks.conditions[-1][HI] == pytest.approx(steps)
        (finding,) = got.findings
        assert (finding.code, finding.severity) == ("preference-limited", "warning")
        for number in (asked, 0.15, held):
            assert f"{number:.3f}" in finding.message

    def test_the_neutral_index_is_asked_for_once(self) -> None:
        networks = KnownNetworks(striped)
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
        before.estimate(Preference("test", hi=0.02))
        assert networks.conditions[-1][HI] == pytest.approx(0.4, abs=1e-4)


class TestFolder:
    def folder(self, path: Path, **changes: object) -> Path:
        content = PARAMETERS.model_dump(mode="json") | changes
        (path / "parameters.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def test_the_graphs_are_opened_from_the_folder(self, tmp_path: Path) -> None:
        opened: list[tuple[Path, tuple[str, ...]]] = []

        def open_backend(folder: Path, graphs: tuple[str, ...]) -> KnownNetworks:
            opened.append((folder, graphs))
            return KnownNetworks()

        model = FdpModel.from_folder(self.folder(tmp_path), open_backend, mirror_average=True)
        assert model.parameters == PARAMETERS
        assert model.mirror_average
        assert opened == [(tmp_path, GRAPHS)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"channels": [*CHANNELS[:5], "Parotid_L", "Parotid_R", *CHANNELS[7:]]},
            {"channels": CHANNELS[:-1]},
            {"box": [64, 64, 96]},
            {"spacing_mm": [3.0, 4.0, 4.5]},
        ],
    )
    def test_a_model_for_other_channels_or_another_frame_is_refused(
        self, tmp_path: Path, changes: dict[str, object]
    ) -> None:
        """Exchanged parotids have the right shape: only their names tell."""
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(self.folder(tmp_path, **{k: list(v) for k, v in changes.items()}), self.never)  # type: ignore[call-overload]
        assert raised.value.code == "model-frame"

    @pytest.mark.parametrize(
        "changes", [{"spread_factor": 0.0}, {"spread_factor": float("nan")}, {"gantry_angles_deg": []}, {"more": 1}]
    )
    def test_parameters_that_make_no_sense_are_refused(self, tmp_path: Path, changes: dict[str, object]) -> None:
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(self.folder(tmp_path, **changes), self.never)
        assert raised.value.code == "parameters-invalid"

    def test_a_folder_without_parameters_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelRefusal) as raised:
            FdpModel.from_folder(tmp_path, self.never)
        assert raised.value.code == "parameters-invalid"

    @staticmethod
    def never(folder: Path, graphs: tuple[str, ...]) -> KnownNetworks:
        raise AssertionError("nothing is opened that is refused")


def test_what_the_scope_says_goes_with_every_estimate() -> None:
    before = prepared(KnownNetworks(), patient(hu=None))
    for wish in (NEUTRAL, Preference("test", oar_weight=1.1)):
        assert [finding.code for finding in before.estimate(wish).findings] == ["ct-not-given"]


def test_what_is_out_of_scope_is_refused_before_any_network_runs() -> None:
    networks = KnownNetworks()
    with pytest.raises(ModelRefusal, match="CT numbers"):
        prepared(networks, patient(hu=1064.0))
    assert networks.encoded == []
