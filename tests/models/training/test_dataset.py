"""Boxes of patients: whatever is done to them, CT, structures, beams and dose stay together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from models.fdp.channels import CHANNELS, CT_CHANNEL
from models.training import dataset
from models.training.cut import Cut, turned
from models.training.dataset import ROIS, Augmentation, Patient, sample_box
from tests.models.training import small

BODY = CHANNELS.index("body")
LEVEL = CHANNELS.index("level")
NOTHING = Augmentation(mirror=0.0, ct_dropout=0.0)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch)


in_small_boxes = pytest.mark.usefixtures("_small")


def marked(spot: tuple[slice, slice, slice]) -> Patient:
    """A patient with nothing but one spot, in the level, in the dose and in PTV70."""
    plain = small.patient()
    channels, dose = np.zeros_like(plain.channels), np.zeros_like(plain.dose)
    channels[(LEVEL, *spot)] = 1.0
    dose[spot] = 1.0
    return replace(plain, channels=channels, dose=dose, regions=small.regions_of({"PTV70": spot}, dose.shape))


def centre(values: torch.Tensor) -> np.ndarray:
    return np.array(ndimage.center_of_mass(values.double().numpy()))


@in_small_boxes
def test_without_chance_the_box_lies_in_the_middle_and_nothing_is_changed() -> None:
    patient = small.patient()
    sample = sample_box([patient, patient], [1, 0], None, Augmentation(1.0, 1.0, 1.0))
    middle = (slice(4, 20), slice(4, 20), slice(4, 28))
    assert sample.channels.shape == (2, len(CHANNELS), *small.BOX)
    for part in (0, 1):
        np.testing.assert_array_equal(sample.channels[part].numpy(), patient.channels[(slice(None), *middle)])
        np.testing.assert_array_equal(sample.dose[part, 0].numpy(), patient.dose[middle])
        for number, name in enumerate(ROIS):
            inside = (patient.regions[middle] & 1 << 1 + ROIS.index(name)) > 0
            np.testing.assert_array_equal(sample.rois[part, number].numpy(), inside)
        np.testing.assert_array_equal(sample.where[part, 0].numpy(), patient.regions[middle] & 1)
    assert (sample.patients, sample.cuts) == ((1, 0), (Cut(middle),) * 2)
    assert sample.highest_gy.tolist() == [70.0, 70.0]


@in_small_boxes
def test_a_shifted_box_is_where_it_says_and_every_place_can_come() -> None:
    patient, rng = small.patient(), np.random.default_rng(0)
    places = set()
    for _ in range(60):
        sample = sample_box([patient], [0], rng, NOTHING)
        z, y, x = (slice(start, start + n) for start, n in zip(sample.cuts[0].starts, small.BOX, strict=True))
        np.testing.assert_array_equal(sample.dose[0, 0].numpy(), patient.dose[z, y, x])
        np.testing.assert_array_equal(sample.channels[0].numpy(), patient.channels[:, z, y, x])
        np.testing.assert_array_equal(sample.where[0, 0].numpy(), patient.regions[z, y, x] & 1)
        places |= set(enumerate(sample.cuts[0].starts))
    assert places == {(axis, start) for axis in range(3) for start in range(9)}


@in_small_boxes
def test_the_mirror_swaps_the_parotids_in_channels_and_structures_and_turns_the_dose_around() -> None:
    patient = small.patient()
    plain = sample_box([patient], [0], np.random.default_rng(5), NOTHING)
    seen = sample_box([patient], [0], np.random.default_rng(5), Augmentation(mirror=1.0, ct_dropout=0.0))
    assert seen.cuts == (replace(plain.cuts[0], mirrored=True),)
    assert torch.equal(seen.dose, plain.dose.flip(-1))
    assert torch.equal(seen.where, plain.where.flip(-1))
    other = {"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}
    for number, name in enumerate(CHANNELS):
        source = CHANNELS.index(other.get(name, name))
        assert torch.equal(seen.channels[0, number], plain.channels[0, source].flip(-1)), name
    for number, name in enumerate(ROIS):
        source = ROIS.index(other.get(name, name))
        assert torch.equal(seen.rois[0, number], plain.rois[0, source].flip(-1)), name
    # and the right one is still on the side of low x
    right, left = (centre(seen.rois[0, ROIS.index(name)])[2] for name in ("Parotid_R", "Parotid_L"))
    assert right < left


@in_small_boxes
def test_a_lost_ct_is_zero_and_nothing_else_changes() -> None:
    patient = small.patient()
    plain = sample_box([patient], [0], np.random.default_rng(5), NOTHING)
    lost = sample_box([patient], [0], np.random.default_rng(5), Augmentation(mirror=0.0, ct_dropout=1.0))
    assert not lost.channels[:, CT_CHANNEL].any()
    assert plain.channels[:, CT_CHANNEL].all()
    others = [number for number in range(len(CHANNELS)) if number != CT_CHANNEL]
    assert torch.equal(lost.channels[:, others], plain.channels[:, others])
    assert torch.equal(lost.dose, plain.dose)
    assert torch.equal(lost.rois, plain.rois)


@in_small_boxes
def test_the_patient_himself_is_never_changed() -> None:
    patient = small.patient()
    before = [array.copy() for array in (patient.channels, patient.dose, patient.regions)]
    sample = sample_box([patient], [0], np.random.default_rng(1), Augmentation(1.0, 1.0, 1.0))
    sample.channels[:] = 9.0
    sample.dose[:] = 9.0
    for array, was in zip((patient.channels, patient.dose, patient.regions), before, strict=True):
        np.testing.assert_array_equal(array, was)


@in_small_boxes
@pytest.mark.parametrize("seed", range(6))
def test_a_spot_stays_together_under_shift_mirror_and_turn(seed: int) -> None:
    patient = marked(np.s_[10:14, 10:14, 12:17])
    sample = sample_box([patient], [0], np.random.default_rng(seed), Augmentation(0.5, 0.5, 1.0, 25.0))
    torch.testing.assert_close(sample.channels[0, LEVEL], sample.dose[0, 0])
    in_roi, in_dose = centre(sample.rois[0, ROIS.index("PTV70")]), centre(sample.dose[0, 0])
    np.testing.assert_allclose(in_roi, in_dose, atol=0.35)
    assert float(sample.dose.sum()) == pytest.approx(4 * 4 * 5, rel=0.05)  # a turn keeps volumes


@in_small_boxes
def test_all_the_same_seed_gives_the_same_boxes() -> None:
    patients = [small.patient(seed) for seed in (1, 2)]
    drawn = [sample_box(patients, [0, 1], np.random.default_rng(3), Augmentation(rotate=0.7)) for _ in range(2)]
    assert drawn[0].cuts == drawn[1].cuts
    for name in ("channels", "dose", "where", "rois"):
        assert torch.equal(getattr(drawn[0], name), getattr(drawn[1], name))


SMALLER = (8, 16, 12)


@pytest.mark.parametrize("size", [SMALLER, (8, 8, 8), (24, 16, 32)])
def test_a_box_of_another_size_lies_in_the_patient_where_it_says(size: tuple[int, int, int]) -> None:
    patient, rng = small.patient(), np.random.default_rng(0)
    starts = set()
    for _ in range(40):
        sample = sample_box([patient], [0], rng, NOTHING, size)
        assert sample.channels.shape == (1, len(CHANNELS), *size)
        assert sample.dose.shape == sample.where.shape == (1, 1, *size)
        assert sample.rois.shape == (1, len(ROIS), *size)
        spans = list(zip(sample.cuts[0].starts, size, patient.dose.shape, strict=True))
        assert all(0 <= start <= start + wanted <= n for start, wanted, n in spans)
        z, y, x = (slice(start, start + wanted) for start, wanted, _ in spans)
        np.testing.assert_array_equal(sample.dose[0, 0].numpy(), patient.dose[z, y, x])
        np.testing.assert_array_equal(sample.channels[0].numpy(), patient.channels[:, z, y, x])
        np.testing.assert_array_equal(sample.where[0, 0].numpy(), patient.regions[z, y, x] & 1)
        starts.add(sample.cuts[0].starts)
    assert len(starts) >= 7  # along one axis at least it wanders
    middle = sample_box([patient], [0], None, None, size)
    wanted = tuple((n - side) // 2 for n, side in zip(patient.dose.shape, size, strict=True))
    assert middle.cuts[0].starts == wanted


def only_counted(*voxels: tuple[int, int, int]) -> Patient:
    plain = small.patient()
    regions = plain.regions & ~np.uint16(1)
    for voxel in voxels:
        regions[voxel] |= 1
    return replace(plain, regions=regions)


@pytest.mark.parametrize(
    ("voxel", "starts"),
    [
        ((12, 12, 16), (8, 8, 12)),  # in the middle
        ((20, 4, 30), (12, 4, 19)),  # half way there: (16, 8, 23)
        ((0, 22, 0), (2, 13, 4)),  # (6, 17, 8)
    ],
)
def test_a_box_lies_half_way_between_the_middle_and_a_counted_voxel(
    voxel: tuple[int, int, int], starts: tuple[int, int, int]
) -> None:
    sample = sample_box([only_counted(voxel)], [0], np.random.default_rng(0), NOTHING, (8, 8, 8))
    assert sample.cuts[0].starts == starts


def test_a_box_does_not_lie_beyond_the_end_however_far_out_the_voxel() -> None:
    for voxel, starts in (((23, 23, 31), (4, 4, 8)), ((0, 0, 0), (0, 0, 0))):
        sample = sample_box([only_counted(voxel)], [0], np.random.default_rng(0), NOTHING, (20, 20, 24))
        assert sample.cuts[0].starts == starts


@pytest.mark.parametrize("size", [(25, 8, 8), (8, 25, 8), (8, 8, 33)])
@pytest.mark.parametrize("seed", [None, 0])
def test_a_box_larger_than_the_patient_is_no_box(size: tuple[int, int, int], seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    with pytest.raises(ValueError, match="does not fit"):
        sample_box([small.patient()], [0], rng, NOTHING, size)


def test_each_counted_voxel_can_be_the_one_and_the_others_never_are() -> None:
    patient = only_counted((12, 12, 16), (20, 4, 30), (0, 22, 0))
    rng = np.random.default_rng(0)
    drawn = {sample_box([patient], [0], rng, NOTHING, (8, 8, 8)).cuts[0].starts for _ in range(40)}
    assert drawn == {(8, 8, 12), (12, 4, 19), (2, 13, 4)}


def test_a_small_box_at_random_is_full_of_counted_voxels() -> None:
    """The plan counts dose but for two voxels along the border, and boxes keep to the middle."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        assert bool(sample_box([small.patient()], [0], rng, NOTHING, (8, 8, 8)).where.all())


def test_all_the_same_seed_gives_the_same_smaller_boxes() -> None:
    patients = [small.patient(seed) for seed in (1, 2)]
    one, two, other = (
        sample_box(patients, [0, 1], np.random.default_rng(seed), Augmentation(rotate=0.7), SMALLER)
        for seed in (3, 3, 4)
    )
    assert one.cuts == two.cuts
    for name in ("channels", "dose", "where", "rois"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert one.cuts != other.cuts


def with_body(body: tuple[slice, slice, slice]) -> Patient:
    plain = small.patient()
    channels = plain.channels.copy()
    channels[BODY] = 0.0
    channels[(BODY, *body)] = 0.5
    return replace(plain, channels=channels)


@in_small_boxes
def test_a_whole_patient_is_the_body_and_no_more_air_than_sides_in_steps_of_eight_need() -> None:
    body = np.s_[9:14, 9:16, 10:19]  # 5 x 7 x 9 voxels, inside every box of 16 x 16 x 24
    patient, rng = with_body(body), np.random.default_rng(0)
    places = set()
    for _ in range(60):
        sample = sample_box([patient], [0], rng, NOTHING, None)
        assert sample.dose.shape[-3:] == (8, 8, 16)
        cut = sample.cuts[0]
        assert cut.kept is not None
        z, y, x = (slice(start + s.start, start + s.stop) for start, s in zip(cut.starts, cut.kept, strict=True))
        np.testing.assert_array_equal(sample.channels[0].numpy(), patient.channels[:, z, y, x])
        np.testing.assert_array_equal(sample.dose[0, 0].numpy(), patient.dose[z, y, x])
        assert sample.channels[0, BODY].sum() == patient.channels[BODY].astype(float).sum()
        places.add(z.start)
    assert places == {6, 7, 8, 9}  # each way the body fits
    middle = sample_box([patient], [0], None, None, None).cuts[0]
    assert (middle.starts, middle.kept) == ((4, 4, 4), np.s_[3:11, 4:12, 3:19])


@in_small_boxes
@pytest.mark.parametrize("angle_deg", [80.0, 130.0])
def test_a_whole_patient_is_turned_without_losing_a_corner(angle_deg: float) -> None:
    """All the box is body: at 80 degrees its corners reach far beyond it."""
    patient = marked(np.s_[10:14, 5:8, 5:9])  # the spot is in a corner
    patient.channels[BODY] = 1.0
    box = np.s_[4:20, 4:20, 4:28]
    whole = Cut(box, turned_rad=np.deg2rad(angle_deg), roomy=True)
    channels, dose, _, rois = dataset._seen(patient, whole)
    assert float(channels[BODY].sum()) == pytest.approx(16 * 16 * 24, rel=0.02)
    assert float(dose.sum()) == pytest.approx(4 * 3 * 4, rel=0.05)
    np.testing.assert_allclose(centre(rois[ROIS.index("PTV70")]), centre(dose[0]), atol=0.35)
    assert float(dataset._seen(patient, replace(whole, roomy=False))[1].sum()) < 0.9 * 4 * 3 * 4


@in_small_boxes
def test_a_body_as_large_as_the_box_is_the_whole_box() -> None:
    for seed in range(5):
        sample = sample_box([small.patient()], [0], np.random.default_rng(seed), NOTHING, None)
        assert sample.dose.shape[-3:] == small.BOX


MIDDLE = np.s_[4:20, 4:20, 4:28]


def seen(turned_rad: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    channels, dose, where, rois = dataset._seen(small.patient(), Cut(MIDDLE, turned_rad=turned_rad))
    return channels, dose, torch.cat([where > 0, rois])


@pytest.mark.parametrize("turns", [0, 1, -2])
def test_whole_turns_change_nothing(turns: int) -> None:
    for found, plain in zip(seen(turns * 2 * np.pi), seen(), strict=True):
        torch.testing.assert_close(found, plain, atol=1e-4, rtol=0)


def test_a_quarter_turn_moves_voxels_to_their_places_and_leaves_air_far_from_targets_behind() -> None:
    channels, dose, bits = seen()
    turned_channels, turned_dose, turned_bits = seen(np.pi / 2)
    ny, nx = small.BOX[1:]
    y, x = np.meshgrid(np.arange(ny), np.arange(nx), indexing="ij")
    # a point (dy, dx) from the middle comes from (dx, -dy)
    from_y, from_x = (ny - 1) / 2 + (x - (nx - 1) / 2), (nx - 1) / 2 - (y - (ny - 1) / 2)
    inside = (from_y >= 0) & (from_y < ny) & (from_x >= 0) & (from_x < nx)
    assert inside.sum() == ny * ny
    source = (slice(None), slice(None), from_y[inside].astype(int), from_x[inside].astype(int))
    there = torch.from_numpy(inside)
    torch.testing.assert_close(turned_channels[:, :, there], channels[source], atol=1e-4, rtol=0)
    torch.testing.assert_close(turned_dose[:, :, there], dose[source], atol=1e-4, rtol=0)
    assert torch.equal(turned_bits[:, :, there], bits[source])
    for number, name in enumerate(CHANNELS):
        air = 1.0 if name in ("distance", "distance_high") else 0.0
        torch.testing.assert_close(
            turned_channels[number][:, ~there],
            torch.full_like(turned_channels[number][:, ~there], air),
            atol=1e-5,
            rtol=0,
        )
    assert not turned_bits[:, :, ~there].any()  # nothing counts there
    assert not turned_dose[:, :, ~there].any()


def test_turns_add_up() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    blob = torch.exp(-((y - 7.5 - 2) ** 2 + (x - 11.5 - 3) ** 2) / 8.0).expand(1, 4, 16, 24)
    two = turned(turned(blob, np.deg2rad(40.0)), np.deg2rad(40.0))
    torch.testing.assert_close(two, turned(blob, np.deg2rad(80.0)), atol=0.08, rtol=0)
    offset = centre(two[0])[1:] - [7.5, 11.5]
    cos, sin = np.cos(np.deg2rad(80.0)), np.sin(np.deg2rad(80.0))
    np.testing.assert_allclose(offset, [cos * 2 - sin * 3, sin * 2 + cos * 3], atol=0.1)


def test_turns_are_as_often_and_as_large_as_they_may_be() -> None:
    patients = [small.patient(seed) for seed in (1, 2)]
    rng = np.random.default_rng(0)
    wanted = Augmentation(rotate=0.5, rotate_deg=10.0)
    cuts = [cut for _ in range(200) for cut in sample_box(patients, [0, 1], rng, wanted, SMALLER).cuts]
    turns = np.rad2deg([cut.turned_rad for cut in cuts if cut.turned_rad])
    assert 0.42 < len(turns) / len(cuts) < 0.58
    assert -10.0 <= turns.min() < -9.0
    assert 9.0 < turns.max() <= 10.0
