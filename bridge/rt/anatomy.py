"""From a patient case to what a predictor sees: one dose grid, and every structure as a mask on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from bridge.rt.arrays import FloatArray, Points
from bridge.rt.case import Anatomy, PatientCase
from bridge.rt.errors import PrescriptionRefusal, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Mask

__all__ = ["anatomy_of", "dose_grid", "external_of"]

AIR_HU = -1000.0
_LEAST_INSIDE = 0.9
"""Contours of skin and target cross by a voxel or two; a tenth of a structure outside the body is a mistake."""

_BODY_THRESHOLD_HU = -400.0
"""Half way between lung and water: the usual threshold for the skin."""


def anatomy_of(case: PatientCase, dose_grid_mm: float) -> tuple[Anatomy, tuple[Finding, ...]]:
    """Rasterise a case for a predictor.

    Parameters
    ----------
    case
        With its prescription. Targets keep their own names; organs are taken where they have a standard name, and
        go by it.
    dose_grid_mm
        Spacing of the isotropic dose grid, which covers the body and is oriented as the CT.

    Returns
    -------
    Anatomy, findings
        The anatomy, and what a person should know about how it was made.

    Raises
    ------
    PrescriptionRefusal
        The case has no prescription yet.
    StructureRefusal
        More than one EXTERNAL structure, a body that cannot be found, or an organ under the name of a target.
    """
    if case.prescription is None:
        raise PrescriptionRefusal("prescription-missing", "A case without a prescription cannot be predicted.")
    findings: list[Finding] = []
    external = external_of(case)
    if external is None:
        findings.append(
            Finding("body-from-ct", "warning", "No EXTERNAL structure: the body outline was taken from the CT numbers.")
        )
        on_ct = _body_of_ct(case.ct)
        inside = case.ct.grid.positions_mm(np.argwhere(on_ct.values > 0).astype(np.float64))
        grid = dose_grid(case.ct.grid, inside, dose_grid_mm)
        body = on_ct.resampled(to=grid, outside=0.0)
    else:
        grid = dose_grid(case.ct.grid, np.stack(external.bounds_mm()), dose_grid_mm)
        body = mask_of(external, grid)
    levels = {level.roi_number: level for level in case.prescription.levels}
    target_names = {structure.name for structure in case.structures if structure.number in levels}
    masks, target_levels_gy = {}, {}
    for structure in case.structures:
        if structure.is_empty:
            continue
        if structure.number in levels:
            masks[structure.name] = mask_of(structure, grid)
            target_levels_gy[structure.name] = levels[structure.number].dose_gy
        elif structure.kind == "organ" and structure.standard_name:
            if structure.standard_name in target_names:
                raise StructureRefusal(
                    "name-of-target",
                    f"{structure.name!r} is known as {structure.standard_name}, which is also the name of a target; "
                    "rename the target in the planning system.",
                    roi=structure.name,
                )
            masks[structure.standard_name] = mask_of(structure, grid)
    findings += _outside_body(masks, body)
    ct = case.ct.resampled(to=grid, outside=AIR_HU)
    ct = CtVolume(np.where(body.values >= 0.5, ct.values, np.float32(AIR_HU)), grid)
    position = case.identity.patient_position
    return Anatomy(grid, ct, body, masks, target_levels_gy, case.gantry_angles_deg, position), tuple(findings)


def _outside_body(masks: Mapping[str, Mask], body: Mask) -> list[Finding]:
    """Tell which structures lie for a good part outside the body: one of the two is drawn wrong."""
    findings = []
    for name, mask in masks.items():
        whole = float(mask.values.sum(dtype=np.float64))
        inside = float(np.minimum(mask.values, body.values).sum(dtype=np.float64))
        if whole > 0 and inside < _LEAST_INSIDE * whole:
            message = (
                f"Only {100 * inside / whole:.0f} % of {name!r} lies inside the body; one of the two is drawn wrong."
            )
            findings.append(Finding("outside-body", "warning", message, {"roi": name}))
    return findings


def external_of(case: PatientCase) -> Structure | None:
    """Give the one EXTERNAL structure with contours, or None.

    Raises
    ------
    StructureRefusal
        There is more than one (``external-ambiguous``).
    """
    found = [s for s in case.structures if s.kind == "external" and not s.is_empty]
    if len(found) > 1:
        names = ", ".join(repr(structure.name) for structure in found)
        raise StructureRefusal(
            "external-ambiguous", f"More than one structure is of type EXTERNAL: {names}. Keep one of them."
        )
    return found[0] if found else None


def dose_grid(ct_grid: Grid, points_mm: Points, spacing_mm: float) -> Grid:
    """Lay an isotropic grid over the box around some points, oriented as the CT.

    The outermost voxel centres lie on or outside the box, so that dose can be interpolated everywhere in it.

    Parameters
    ----------
    ct_grid
        Gives axes and frame of reference; nothing outside its voxels is covered.
    points_mm
        ``(n, 3)`` patient positions to cover.
    spacing_mm
        Distance between voxel centres.
    """
    index = ct_grid.indices(points_mm)
    low = np.maximum(index.min(axis=0), -0.5)
    high = np.minimum(index.max(axis=0), np.array(ct_grid.shape) - 0.5)
    ct_spacing: FloatArray = np.array(ct_grid.spacing_mm)
    counts = np.ceil((high - low) * ct_spacing / spacing_mm - 1e-6).astype(int) + 1
    first = (low + high) / 2.0 - (counts - 1) / 2.0 * spacing_mm / ct_spacing
    affine = np.eye(4)
    affine[:3, :3] = ct_grid.affine[:3, :3] / ct_spacing * spacing_mm
    affine[:3, 3] = ct_grid.positions_mm(first[None])[0]
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    return Grid(shape, affine, ct_grid.frame_of_reference_uid)


def _body_of_ct(ct: CtVolume) -> Mask:
    """Find the largest piece denser than air and fill its holes slice by slice."""
    labels, count = ndimage.label(ct.values > _BODY_THRESHOLD_HU)
    if not count:
        raise StructureRefusal(
            "no-body", f"There is no EXTERNAL structure, and no CT number above {_BODY_THRESHOLD_HU:g} HU."
        )
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    filled = np.stack([ndimage.binary_fill_holes(slice_) for slice_ in largest])
    return Mask(filled.astype(np.float32), ct.grid)
