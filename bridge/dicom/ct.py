"""CT: a series of slices becomes one volume, once everything that could make it a wrong one has been looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bridge.dicom.instances import Instance
from bridge.dicom.orientation import axial_normal, require_patient_position, usual_orientation
from bridge.dicom.values import integer, numbers, optional_text, text
from bridge.rt.arrays import FloatArray
from bridge.rt.errors import DicomRefusal, GeometryRefusal, IdentityRefusal, error_context
from bridge.rt.findings import Finding
from bridge.rt.grid import POSITION_TOLERANCE_MM, Grid
from bridge.rt.volume import CtVolume

__all__ = ["SLICE_POSITION_TOLERANCE_MM", "CtSeries", "ct_series"]

SLICE_POSITION_TOLERANCE_MM = 0.02
"""How far a slice may lie from its place on a regular stack. Positions rounded to 0.01 mm pass; a table that was
moved by hand, or a changed slice spacing, does not."""

_Read = TypeVar("_Read")

_MINIMUM_SLICES = 3
_GAP = 1.5
"""A step longer than this many usual ones is a gap where slices are missing."""

_SPACING_TOLERANCE_MM = 1e-4
_COSINE_TOLERANCE = 1e-4

_LOWEST_HU, _AIR_BELOW_HU, _TISSUE_ABOVE_HU, _HIGHEST_HU = -4096.0, -500.0, -200.0, 31_000.0
"""A patient CT has some air below -500 HU and some tissue above -200 HU; the outer bounds are those of padding and of
the extended CT scale."""


@dataclass(frozen=True, eq=False)
class CtSeries:
    """A CT as a volume.

    Attributes
    ----------
    volume
        CT numbers in HU; the slice axis ascends along row direction x column direction.
    patient_position
        HFS, HFP, HFDR, HFDL, FFS, FFP, FFDR or FFDL.
    findings
        Oddities that do not forbid its use.
    """

    volume: CtVolume
    patient_position: str
    findings: tuple[Finding, ...]


def ct_series(slices: Sequence[Instance]) -> CtSeries:
    """Build the volume of one CT series.

    Parameters
    ----------
    slices
        All instances of the series, in any order.

    Raises
    ------
    GeometryRefusal
        ``ct-too-few``, ``ct-differs``, ``ct-duplicate-slice``, ``ct-gap``, ``ct-uneven``, ``ct-sheared``, and those
        of :mod:`bridge.dicom.orientation`.
    IdentityRefusal
        ``ct-series-mixed``: slices of different series, studies, patients or frames of reference.
    DicomRefusal
        A slice whose pixels cannot be turned into HU.
    """
    if len(slices) < _MINIMUM_SLICES:
        raise GeometryRefusal("ct-too-few", f"The CT has {len(slices)} slices; at least {_MINIMUM_SLICES} are needed.")
    _require_one_series(slices)
    first = slices[0].dataset
    orientation = numbers(first, "ImageOrientationPatient", 6)
    spacing = numbers(first, "PixelSpacing", 2)
    patient_position = require_patient_position(text(first, "PatientPosition"))
    with error_context({"sop_instance_uid": slices[0].header.sop_instance_uid}):
        normal = axial_normal(orientation)
        if spacing.min() <= 0:
            raise GeometryRefusal("ct-pixel-spacing", "Pixel Spacing must be positive.")
    _require_alike(slices, orientation, spacing, patient_position)

    positions = np.array([_in_context(item, _position) for item in slices])
    order = np.argsort(positions @ normal, kind="stable")
    step = _slice_step(positions[order], normal, [slices[int(n)] for n in order])
    affine = np.eye(4)
    # Pixel Spacing is (distance between rows, distance between columns), PS3.3 section 10.7.1.3
    affine[:3, 0] = step * normal
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = orientation[:3] * spacing[1]
    affine[:3, 3] = positions[order[0]]
    rows, columns = integer(first, "Rows"), integer(first, "Columns")
    grid = Grid((len(slices), rows, columns), affine, str(slices[0].header.frame_of_reference_uid))
    values = np.empty(grid.shape, dtype=np.float32)
    for k, n in enumerate(order):
        values[k] = _in_context(slices[int(n)], _hu)
    findings = _hu_findings(values)
    if not usual_orientation(orientation, patient_position):
        findings.append(
            Finding(
                "ct-orientation-unusual",
                "info",
                f"Rows and columns do not run as scanners have them for {patient_position}; the positions in the "
                "images are used as they stand.",
            )
        )
    return CtSeries(CtVolume(values, grid), patient_position, tuple(findings))


def _in_context(item: Instance, read: Callable[[Dataset], _Read]) -> _Read:
    with error_context({"sop_instance_uid": item.header.sop_instance_uid}):
        return read(item.dataset)


def _position(dataset: Dataset) -> FloatArray:
    return numbers(dataset, "ImagePositionPatient", 3)


def _require_one_series(slices: Sequence[Instance]) -> None:
    for what, values in (
        ("patients", {item.header.patient_key for item in slices}),
        ("studies", {item.header.study_instance_uid for item in slices}),
        ("series", {item.header.series_instance_uid for item in slices}),
        ("frames of reference", {item.header.frame_of_reference_uid for item in slices}),
    ):
        if len(values) > 1:
            raise IdentityRefusal("ct-series-mixed", f"The CT slices are of {len(values)} different {what}.")


def _require_alike(
    slices: Sequence[Instance], orientation: FloatArray, spacing: FloatArray, patient_position: str
) -> None:
    first = slices[0].dataset
    shape = integer(first, "Rows"), integer(first, "Columns")
    for item in slices:
        with error_context({"sop_instance_uid": item.header.sop_instance_uid}):
            here = item.dataset
            for what, same in (
                ("rows and columns", (integer(here, "Rows"), integer(here, "Columns")) == shape),
                ("pixel spacing", np.allclose(numbers(here, "PixelSpacing", 2), spacing, 0, _SPACING_TOLERANCE_MM)),
                ("orientation",
                 np.allclose(numbers(here, "ImageOrientationPatient", 6), orientation, 0, _COSINE_TOLERANCE)),
                ("patient position", text(here, "PatientPosition") == patient_position),
            ):  # fmt: skip
                if not same:
                    raise GeometryRefusal(
                        "ct-differs", f"A slice differs from the others in its {what}; is a scout among them?"
                    )


def _slice_step(positions: FloatArray, normal: FloatArray, slices: Sequence[Instance]) -> float:
    """Give the distance between slices, sorted along the normal, after checking that they form a regular stack."""
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    z = positions[:, 2]
    if steps.min() < POSITION_TOLERANCE_MM:
        n = int(steps.argmin())
        uids = " and ".join(item.header.sop_instance_uid for item in slices[n : n + 2])
        raise GeometryRefusal("ct-duplicate-slice", f"Two CT slices lie at z = {z[n]:.2f} mm: {uids}.")
    if steps.max() > _GAP * usual:
        n = int(steps.argmax())
        missing = max(1, round(float(steps[n]) / usual) - 1)
        raise GeometryRefusal(
            "ct-gap",
            f"The CT has a gap between z = {z[n]:.2f} and {z[n + 1]:.2f} mm: about {missing} "
            f"slice{'s' if missing > 1 else ''} missing at a spacing of {usual:.2f} mm. Send the whole series.",
        )
    regular = np.linspace(along[0], along[-1], len(along))
    deviation = np.abs(along - regular)
    if deviation.max() > SLICE_POSITION_TOLERANCE_MM:
        n = int(np.abs(steps - usual).argmax())
        raise GeometryRefusal(
            "ct-uneven",
            f"The CT slices are not evenly spaced: {steps[n]:.3f} mm between z = {z[n]:.2f} and {z[n + 1]:.2f} mm, "
            f"{usual:.3f} mm elsewhere. Resample the CT to one spacing in the planning system.",
        )
    lateral = positions - positions[0] - np.outer(along - along[0], normal)
    if np.linalg.norm(lateral, axis=1).max() > SLICE_POSITION_TOLERANCE_MM:
        raise GeometryRefusal(
            "ct-sheared", "The CT slices are shifted sideways against each other (gantry tilt?); reformat them."
        )
    return float((along[-1] - along[0]) / (len(along) - 1))


def _hu(dataset: Dataset) -> NDArray[np.float64]:
    """Give one slice in HU: rescale slope and intercept of that slice applied (PS3.3 C.11.1.1.2)."""
    for keyword, wanted in (("SamplesPerPixel", 1), ("BitsAllocated", 16)):
        if (found := integer(dataset, keyword)) != wanted:
            raise DicomRefusal("ct-pixel-format", f"{keyword} is {found}, expected {wanted} for a CT.")
    if optional_text(dataset, "PhotometricInterpretation") != "MONOCHROME2":
        raise DicomRefusal("ct-pixel-format", "The photometric interpretation of a CT must be MONOCHROME2.")
    rescale_type = optional_text(dataset, "RescaleType")
    if rescale_type not in ("", "HU"):
        raise DicomRefusal("ct-rescale", "The rescale type of the CT is not HU.")
    stored, signed = integer(dataset, "BitsStored"), integer(dataset, "PixelRepresentation")
    if not 8 <= stored <= 16 or integer(dataset, "HighBit") != stored - 1 or signed not in (0, 1):
        raise DicomRefusal("ct-pixel-format", "BitsStored, HighBit or PixelRepresentation is not one of a CT.")
    shape = integer(dataset, "Rows"), integer(dataset, "Columns")
    raw = np.frombuffer(dataset.PixelData, dtype="<i2" if signed else "<u2", count=shape[0] * shape[1]).reshape(shape)
    if stored < 16:
        unused = 16 - stored
        if not signed and (raw >> stored).any():
            raise DicomRefusal("ct-pixel-format", f"Pixels use more than the {stored} bits that BitsStored says.")
        raw = (raw << unused) >> unused  # carries the sign of a stored value into the unused bits
    slope, intercept = (float(numbers(dataset, keyword, 1)[0]) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise DicomRefusal("ct-rescale", "The rescale slope of the CT is 0.")
    return raw * slope + intercept


def _hu_findings(values: NDArray[np.float32]) -> list[Finding]:
    low, high = float(values.min()), float(values.max())
    if _LOWEST_HU <= low <= _AIR_BELOW_HU and _TISSUE_ABOVE_HU <= high <= _HIGHEST_HU:
        return []
    return [
        Finding(
            "ct-hu-range",
            "warning",
            f"CT numbers run from {low:.0f} to {high:.0f} HU; a patient with air around reaches from about -1000 to "
            "above 0. Check the rescale intercept.",
        )
    ]
