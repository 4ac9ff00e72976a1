from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from bridge.dicom.ct import CtSeries, ct_series
from bridge.dicom.instances import read_instance
from bridge.dicom.orientation import STANDARD_ORIENTATIONS
from bridge.dicom.phantom import PhantomCase
from bridge.rt.errors import BridgeError, DicomRefusal, GeometryRefusal, IdentityRefusal
from tests.phantom import PATIENT_POSITIONS, STRUCTURES, edit, write_small_phantom


def read(phantom: PhantomCase, without: tuple[int, ...] = ()) -> CtSeries:
    paths = [path for n, path in enumerate(phantom.ct_paths) if n not in without]
    return ct_series([read_instance(path) for path in reversed(paths)])


def refused(phantom: PhantomCase, without: tuple[int, ...] = ()) -> BridgeError:
    with pytest.raises(BridgeError) as error:
        read(phantom, without)
    assert isinstance(error.value, (GeometryRefusal, DicomRefusal, IdentityRefusal))
    return error.value


@pytest.mark.parametrize("patient_position", PATIENT_POSITIONS)
def test_every_voxel_is_where_it_was_painted(tmp_path: Path, patient_position: str) -> None:
    phantom = write_small_phantom(tmp_path, patient_position=patient_position)
    ct = read(phantom)
    assert ct.patient_position == patient_position
    assert ct.findings == ()
    assert ct.volume.grid.matches(phantom.grid)
    assert ct.volume.grid.spacing_mm == pytest.approx((3.0, 2.2, 1.7))
    # the organ is the only thing at 40 HU: its voxels' centroid is that of the shape
    cord = STRUCTURES[3]
    organ = np.argwhere(ct.volume.values == 40.0).astype(float)
    centroid = ct.volume.grid.positions_mm(organ).mean(axis=0)
    assert np.abs(centroid - cord.centre_mm).max() < 0.75  # half a pixel, as the painting is not antialiased
    head_first = patient_position.startswith("HF")
    assert np.sign(ct.volume.grid.affine[2, 0]) == (1 if head_first else -1)


def test_standard_orientations_follow_from_gravity_and_gantry() -> None:
    down = {"S": (0, 1, 0), "P": (0, -1, 0), "DR": (-1, 0, 0), "DL": (1, 0, 0)}
    for name, orientation in STANDARD_ORIENTATIONS.items():
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        assert tuple(column) == down[name[2:]], name
        assert np.cross(row, column).tolist() == [0, 0, 1 if name.startswith("HF") else -1], name


def test_rescale_is_applied_slice_by_slice(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path)
    before = read(phantom).volume.values

    def other_scale(dataset: Dataset) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").astype(int) - 1024  # HU
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, "0.5", "-100"
        dataset.PixelData = ((pixels + 100) * 2).astype("<i2").tobytes()

    edit(phantom.ct_paths[5], other_scale)
    assert (read(phantom).volume.values == before).all()


def test_twelve_bit_signed_pixels_keep_their_sign(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path)

    def twelve_bits(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 1
        dataset.RescaleIntercept = "0"
        pixels = np.frombuffer(dataset.PixelData, "<u2").astype(int) - 1024
        dataset.PixelData = (pixels & 0x0FFF).astype("<u2").tobytes()

    before = read(phantom).volume.values
    edit(phantom.ct_paths[0], twelve_bits)
    assert (read(phantom).volume.values == before).all()


@pytest.mark.parametrize(("gone", "missing", "z"), [((4,), 1, "407.50"), ((4, 5, 6), 3, "407.50")])
def test_a_gap_says_where_and_how_much(tmp_path: Path, gone: tuple[int, ...], missing: int, z: str) -> None:
    error = refused(write_small_phantom(tmp_path), without=gone)
    assert error.code == "ct-gap"
    assert f"z = {z}" in error.message
    assert f"about {missing} slice" in error.message


def test_rounding_to_a_hundredth_passes_and_an_uneven_step_does_not(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path)
    z = float(read_instance(phantom.ct_paths[6]).header.z_mm or 0)

    def move(to: float) -> Callable[[Dataset], None]:
        return lambda dataset: setattr(
            dataset, "ImagePositionPatient", [*dataset.ImagePositionPatient[:2], f"{to:.3f}"]
        )

    edit(phantom.ct_paths[6], move(z + 0.01))
    assert read(phantom).volume.grid.matches(phantom.grid)
    edit(phantom.ct_paths[6], move(z + 0.05))
    assert refused(phantom).code == "ct-uneven"
    edit(phantom.ct_paths[6], move(z + 3.0))
    assert refused(phantom).code == "ct-duplicate-slice"


def test_slice_thickness_is_not_the_slice_spacing(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path, modify=lambda dataset: setattr(dataset, "SliceThickness", "1.25"))
    assert read(phantom).volume.grid.spacing_mm[0] == pytest.approx(3.0)


def on(path_index: int, change: Callable[[Dataset], None]) -> Callable[[PhantomCase], None]:
    return lambda phantom: edit(phantom.ct_paths[path_index], change)


def on_all(change: Callable[[Dataset], None]) -> Callable[[PhantomCase], None]:
    def apply(phantom: PhantomCase) -> None:
        for path in phantom.ct_paths:
            edit(path, change)

    return apply


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def remove(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: delattr(dataset, keyword)


def shear(phantom: PhantomCase) -> None:
    for n, path in enumerate(phantom.ct_paths):
        edit(path, lambda dataset, n=n: setattr(  # type: ignore[misc]
            dataset, "ImagePositionPatient",
            [dataset.ImagePositionPatient[0], f"{float(dataset.ImagePositionPatient[1]) + 0.3 * n:.3f}",
             dataset.ImagePositionPatient[2]]))  # fmt: skip


def oblique(dataset: Dataset) -> None:
    c, s = np.cos(np.radians(5)), np.sin(np.radians(5))
    dataset.ImageOrientationPatient = [1, 0, 0, 0, f"{c:.8f}", f"{s:.8f}"]


def turned_in_plane(dataset: Dataset) -> None:
    c, s = np.cos(np.radians(5)), np.sin(np.radians(5))
    dataset.ImageOrientationPatient = [f"{c:.8f}", f"{s:.8f}", 0, f"{-s:.8f}", f"{c:.8f}", 0]


def other_size(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (on(3, put("SeriesInstanceUID", "1.2.3")), "ct-series-mixed"),
        (on(3, put("FrameOfReferenceUID", "1.2.3")), "ct-series-mixed"),
        (on(3, put("StudyInstanceUID", "1.2.3")), "ct-series-mixed"),
        (on(3, put("PatientID", "PHANTOM-2")), "ct-series-mixed"),
        (on(3, other_size), "ct-differs"),
        (on(3, put("PixelSpacing", ["2.2", "1.8"])), "ct-differs"),
        (on(3, put("PatientPosition", "HFP")), "ct-differs"),
        (on(3, put("ImageOrientationPatient", [-1, 0, 0, 0, -1, 0])), "ct-differs"),
        (on_all(put("PatientPosition", "SITTING")), "patient-position"),
        (on_all(remove("PatientPosition")), "attribute-missing"),
        (on_all(oblique), "orientation-oblique"),
        (on_all(turned_in_plane), "orientation-oblique"),
        (on_all(put("ImageOrientationPatient", [1, 0, 0, 0, 0, 1])), "orientation-oblique"),
        (on_all(put("ImageOrientationPatient", [2, 0, 0, 0, 1, 0])), "orientation-invalid"),
        (on_all(put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0])), "orientation-invalid"),
        (shear, "ct-sheared"),
        (on_all(put("PixelSpacing", ["0", "1.7"])), "ct-pixel-spacing"),
        (on(3, put("PhotometricInterpretation", "MONOCHROME1")), "ct-pixel-format"),
        (on(3, put("BitsStored", 12)), "ct-pixel-format"),
        (on(3, put("RescaleType", "US")), "ct-rescale"),
        (on(3, put("RescaleSlope", "0")), "ct-rescale"),
        (on(3, remove("RescaleSlope")), "attribute-missing"),
        (on(3, remove("RescaleIntercept")), "attribute-missing"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, spoil: Callable[[PhantomCase], None], code: str) -> None:
    phantom = write_small_phantom(tmp_path)
    spoil(phantom)
    error = refused(phantom)
    assert error.code == code
    assert "PHANTOM" not in str(error)


def test_pixels_beyond_their_bits_are_refused(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path)

    def spoil(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = 8, 7

    edit(phantom.ct_paths[3], spoil)
    assert refused(phantom).code == "ct-pixel-format"


def test_two_slices_are_no_volume(tmp_path: Path) -> None:
    assert refused(write_small_phantom(tmp_path), without=tuple(range(10))).code == "ct-too-few"


def test_implausible_ct_numbers_are_pointed_out(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path, modify=lambda dataset: setattr(dataset, "RescaleIntercept", "0"))
    assert [finding.code for finding in read(phantom).findings] == ["ct-hu-range"]


def test_an_orientation_that_no_scanner_gives_is_used_and_pointed_out(tmp_path: Path) -> None:
    phantom = write_small_phantom(tmp_path, modify=lambda dataset: setattr(dataset, "PatientPosition", "FFS"))
    ct = read(phantom)
    assert [finding.code for finding in ct.findings] == ["ct-orientation-unusual"]
    assert ct.volume.grid.matches(phantom.grid)
