"""FDP with networks whose answer is known: what comes out must be that answer, in Gy, in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.arrays import VoxelArray
from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS, MIRRORED
from models.fdp.frame import BOX, frame_of
from models.fdp.model import FdpModel
from models.preference import NEUTRAL, Preference
from tests.models.fdp import anatomies
from tests.models.fdp.anatomies import (
    CENTRE_MM,
    HEAD_FIRST_SUPINE,
    Box,
    all_orientations,
    patient,
    patient_grid,
    positions,
)
from tests.models.fdp.known_networks import (
    COSINES,
    COUNT,
    PARAMETERS,
    PAROTID_L,
    PAROTID_R,
    SINES,
    KnownNetworks,
    estimate,
    field_of,
    prepared,
    smooth,
    usual,
    usual_prepared,
    well_within,
    within_frame,
)


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
        """288 mm of boxes around a target whose middle is 4 mm below that of 400 mm of body."""
        short: dict[str, tuple[float, Box]] = {"PTV": (60.0, ((0, 40), (-20, 20), (-40, 32)))}
        anatomy = patient(
            patient_grid(extent_mm=(240.0, 200.0, 400.0)), targets=short, body=((-80, 80), (-90, 80), (-200, 200))
        )
        got = estimate(KnownNetworks(dose=field_of(anatomy)), anatomy).dose_gy
        z = positions(anatomy.grid)[2] - CENTRE_MM[2] + 4.0
        assert not got[np.abs(z) > 144].any()
        assert (got[(np.abs(z) < 144) & (anatomy.body.values == 1)] > 0.1).all()

    def test_a_long_target_is_predicted_in_boxes_that_fit_together(self) -> None:
        long: dict[str, tuple[float, Box]] = {"PTV": (60.0, ((0, 40), (-20, 20), (-200, 200)))}
        anatomy = patient(
            patient_grid(extent_mm=(240.0, 200.0, 480.0)), targets=long, body=((-80, 80), (-90, 80), (-240, 240))
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
        back = mirrored[..., ::-1]  # two voxels further on along every axis than the plain one
        both = plain[..., 2:, 2:, 2:], back[..., :-2, :-2, :-2]
        np.testing.assert_array_equal(both[1], both[0][:, list(MIRRORED)])
        left, right = CHANNELS.index("Parotid_L"), CHANNELS.index("Parotid_R")
        np.testing.assert_array_equal(both[1][0, left], both[0][0, right])
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
        """More dose to the right of the picture, of whatever view: in the mean of both there is no more of it.

        The mirrored box lies two voxels further on, so that all doses are higher by half of what those two make.
        """
        ramp = np.broadcast_to(np.linspace(0.2, 0.8, BOX[2], dtype=np.float32), BOX)
        middle = 0.5 + (ramp[0, 0, 1] - ramp[0, 0, 0])
        got = usual_prepared(KnownNetworks(lambda *_: ramp, lambda *_: ramp), True).estimate(NEUTRAL)
        inside = (usual().body.values == 1) & within_frame(usual())
        assert got.uncertainty_gy is not None
        np.testing.assert_allclose(got.dose_gy[inside], 70.0 * middle, atol=0.01)
        np.testing.assert_allclose(got.uncertainty_gy[inside], 105.0 * middle, atol=0.01)

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

    @pytest.mark.parametrize("position", ["FFS", "HFP", "HFDR"])
    def test_those_of_training_come_into_every_patient_as_into_those_of_training(self, position: str) -> None:
        supine, other = KnownNetworks(), KnownNetworks()
        estimate(supine, patient(gantry_deg=None))
        estimate(other, patient(gantry_deg=None, position=position))
        assert np.abs(supine.encoded[0] - other.encoded[0]).max() < 2e-3
        np.testing.assert_allclose(other.conditions[0], supine.conditions[0], atol=1e-6)

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


def test_what_the_scope_says_goes_with_every_estimate() -> None:
    before = prepared(KnownNetworks(), patient(hu=None))
    for wish in (NEUTRAL, Preference("test", oar_weight=1.1)):
        assert [finding.code for finding in before.estimate(wish).findings] == ["ct-not-given"]


def test_what_is_out_of_scope_is_refused_before_any_network_runs() -> None:
    networks = KnownNetworks()
    with pytest.raises(ModelRefusal, match="CT numbers"):
        prepared(networks, patient(hu=1064.0))
    assert networks.encoded == []
