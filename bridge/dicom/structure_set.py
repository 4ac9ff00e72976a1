"""RTSTRUCT: structures with their contours, keyed by ROI number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from bridge.dicom.contours import Contour, planes_of, spacing_findings
from bridge.dicom.instances import Instance, read_instance
from bridge.dicom.values import has_value, integer, items, numbers, optional_text, text, uid
from bridge.rt.errors import GeometryRefusal, StructureRefusal, error_context
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.structure import Plane, RoiKind, Structure

__all__ = ["StructureSet", "read_structure_set", "structure_set_of"]

_CLOSED = {"CLOSED_PLANAR": False, "CLOSEDPLANAR_XOR": True}
_NOT_A_REGION = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")

_KINDS: dict[str, RoiKind] = {
    "PTV": "target",
    "CTV": "target",
    "GTV": "target",
    "ORGAN": "organ",
    "AVOIDANCE": "organ",
    "EXTERNAL": "external",
    "SUPPORT": "support",
    "FIXATION": "support",
}
"""RT ROI Interpreted Type (PS3.3 C.8.8.8.1) to what a structure is for; all other types are ``other``."""


@dataclass(frozen=True, eq=False)
class StructureSet:
    """A structure set as read.

    Attributes
    ----------
    structures
        In ROI number order; those without contours are there, empty.
    findings
        What was left out or looks odd.
    sop_instance_uid, label
        Of the RTSTRUCT.
    patient_key
        See :class:`bridge.dicom.headers.InstanceHeader`.
    referenced_series_uids
        Image series that it names.
    sha256
        Of the file.
    """

    structures: tuple[Structure, ...]
    findings: tuple[Finding, ...]
    sop_instance_uid: str
    label: str
    patient_key: str
    referenced_series_uids: frozenset[str]
    sha256: str


def read_structure_set(path: Path, grid: Grid | None = None, slice_thickness_mm: float | None = None) -> StructureSet:
    """Read an RTSTRUCT file.

    Parameters
    ----------
    grid
        Grid of the CT that it was drawn on, or None where there is no CT: the positions of the planes are then not
        compared with slices.
    slice_thickness_mm
        Thickness of a structure drawn on a single plane; by default the CT's slice spacing or, without CT, the
        usual distance between planes.

    Raises
    ------
    DicomRefusal
        The file is not a whole RTSTRUCT, or an attribute is missing or not valid.
    GeometryRefusal
        ``frame-of-reference``: drawn in another frame than the grid's; ``contour-tilted``, ``contour-points``,
        ``slice-thickness-unknown``.
    StructureRefusal
        ``roi-number-repeated``, ``roi-number-unknown``, ``roi-name-missing``, ``roi-type-conflict``,
        ``contour-type``.
    """
    return structure_set_of(read_instance(path, RTStructureSetStorage), grid, slice_thickness_mm)


def structure_set_of(
    instance: Instance, grid: Grid | None = None, slice_thickness_mm: float | None = None
) -> StructureSet:
    """Interpret an RTSTRUCT; see :func:`read_structure_set`."""
    dataset = instance.dataset
    with error_context({"sop_instance_uid": instance.header.sop_instance_uid}):
        rois = _by_number(items(dataset, "StructureSetROISequence"), "ROINumber")
        contours = _by_number(items(dataset, "ROIContourSequence"), "ReferencedROINumber")
        _require_known(contours, rois)
        findings: list[Finding] = []
        kinds = _roi_kinds(items(dataset, "RTROIObservationsSequence"), rois, findings)
        drawn: dict[int, tuple[str, str, tuple[Plane, ...]]] = {}
        for number, roi in sorted(rois.items()):
            name = optional_text(roi, "ROIName")
            with error_context({"roi": name or number}):
                frame = uid(roi, "ReferencedFrameOfReferenceUID")
                if grid is not None and frame != grid.frame_of_reference_uid:
                    raise GeometryRefusal(
                        "frame-of-reference",
                        f"Structure {name!r} was drawn in frame of reference {frame}, but the CT is in "
                        f"{grid.frame_of_reference_uid}. Send the CT that it was drawn on.",
                    )
                planes, found = _planes(items(contours[number], "ContourSequence", required=False)
                                        if number in contours else [], name)  # fmt: skip
                findings += found
                if not planes:
                    findings.append(
                        Finding("roi-empty", "info", f"{name or number} has no closed contours.", {"roi": name})
                    )
                elif not name:
                    raise StructureRefusal("roi-name-missing", f"ROI number {number} has contours but no name.")
                findings += spacing_findings(planes, name, _slices_z_mm(grid))
                drawn[number] = name, frame, planes
        thickness = slice_thickness_mm or _slice_thickness_mm(grid, [planes for _, _, planes in drawn.values()])
        structures = tuple(
            Structure(number, name, kinds.get(number, "other"), planes, frame, thickness)
            for number, (name, frame, planes) in drawn.items()
        )
        return StructureSet(
            structures,
            tuple(findings),
            instance.header.sop_instance_uid,
            optional_text(dataset, "StructureSetLabel"),
            instance.header.patient_key,
            _referenced_series(dataset),
            instance.sha256,
        )


def _by_number(sequence: Sequence[Dataset], keyword: str) -> dict[int, Dataset]:
    found: dict[int, Dataset] = {}
    for item in sequence:
        number = integer(item, keyword)
        if number in found:
            raise StructureRefusal(
                "roi-number-repeated", f"ROI number {number} occurs twice; export the structure set again.", roi=number
            )
        found[number] = item
    return found


def _require_known(contours: dict[int, Dataset], rois: dict[int, Dataset]) -> None:
    unknown = sorted(set(contours) - set(rois))
    if unknown:
        raise StructureRefusal(
            "roi-number-unknown",
            f"There are contours for ROI number {unknown[0]}, which the structure set does not define "
            f"({len(unknown)} such); export it again.",
            roi=unknown[0],
        )


def _roi_kinds(
    observations: Sequence[Dataset], rois: dict[int, Dataset], findings: list[Finding]
) -> dict[int, RoiKind]:
    """Read what each ROI is for; several observations of one ROI must agree."""
    types: dict[int, str] = {}
    for observation in observations:
        number = integer(observation, "ReferencedROINumber")
        interpreted = optional_text(observation, "RTROIInterpretedType").upper()
        if number not in rois:
            findings.append(
                Finding(
                    "roi-observation-unknown", "warning", f"An observation is about ROI {number}, which is not there."
                )
            )
        elif interpreted and types.setdefault(number, interpreted) != interpreted:
            raise StructureRefusal(
                "roi-type-conflict",
                f"ROI number {number} is of two types, {types[number]} and {interpreted}; correct it in the TPS.",
                roi=number,
            )
    return {number: _KINDS.get(interpreted, "other") for number, interpreted in types.items()}


def _planes(sequence: Sequence[Dataset], roi: str) -> tuple[tuple[Plane, ...], list[Finding]]:
    closed: list[Contour] = []
    ignored: Counter[str] = Counter()
    for item in sequence:
        geometric_type = text(item, "ContourGeometricType")
        if geometric_type in _NOT_A_REGION:
            ignored[geometric_type] += 1
        elif geometric_type in _CLOSED:
            closed.append(Contour(_points_mm(item, roi), _CLOSED[geometric_type]))
        else:
            raise StructureRefusal(
                "contour-type", f"A contour of {roi!r} is of a type that PS3.3 C.8.8.6 does not define.", roi=roi
            )
    planes, findings = planes_of(closed, roi)
    if ignored:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        findings.append(
            Finding("contour-not-closed", "info", f"{roi}: {counts} bound no region and were left out.", {"roi": roi})
        )
    return planes, findings


def _points_mm(contour: Dataset, roi: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    data = numbers(contour, "ContourData")
    count = integer(contour, "NumberOfContourPoints")
    if data.size != 3 * count:
        raise GeometryRefusal(
            "contour-points",
            f"A contour of {roi!r} has {data.size} coordinates where {count} points need {3 * count}.",
            roi=roi,
        )
    return data.reshape(count, 3)


def _slices_z_mm(grid: Grid | None) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    if grid is None:
        return None
    k = np.arange(grid.shape[0], dtype=np.float64)
    return grid.positions_mm(np.column_stack([k, 0 * k, 0 * k]))[:, 2]


def _slice_thickness_mm(grid: Grid | None, structures: Sequence[tuple[Plane, ...]]) -> float:
    if grid is not None:
        return grid.spacing_mm[0]
    steps = [np.diff([plane.z_mm for plane in planes]) for planes in structures if len(planes) > 1]
    if not any(structures):
        return 1.0  # nothing is drawn: there is no plane that a thickness could be the thickness of
    if not steps:
        raise GeometryRefusal(
            "slice-thickness-unknown",
            "Every structure is drawn on a single plane, so its thickness is not known without the CT; give the CT.",
        )
    return float(np.median(np.concatenate(steps)))


def _referenced_series(dataset: Dataset) -> frozenset[str]:
    return frozenset(
        uid(series, "SeriesInstanceUID")
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence", required=False)
        for study in items(frame, "RTReferencedStudySequence", required=False)
        for series in items(study, "RTReferencedSeriesSequence", required=False)
        if has_value(series, "SeriesInstanceUID")
    )
