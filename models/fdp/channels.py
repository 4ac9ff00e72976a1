"""What the network is shown: CT, structures, prescription and beams, as channels in the frame. No dose goes in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.arrays import VoxelArray
from bridge.rt.beams import towards_source
from bridge.rt.case import Anatomy
from bridge.rt.rasterize import DrawnMask
from bridge.rt.volume import Mask
from models.fdp.axes import AlignedAxes
from models.fdp.beams import ATTENUATION_PER_MM, beam_geometry, depth_mm, plate
from models.fdp.frame import SPACING_MM, Frame

__all__ = ["CHANNELS", "CT_CHANNEL", "MIRRORED", "ORGANS", "PLATES", "channels_of", "organ_masks"]

ORGANS = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible")
"""Organs with a channel and a slider of their own, by TG-263 name."""

PLATES = ("plate", "plate_attenuated", "plate_high_attenuated")

CHANNELS = ("level", "target", "target_high", *ORGANS, "body", "ct", "distance", "distance_high", *PLATES)
"""In order. ``level`` is the target level over the highest one; distances are signed, over 50 mm, from -1 to 1."""

CT_CHANNEL = CHANNELS.index("ct")

MIRRORED = tuple(
    CHANNELS.index({"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}.get(name, name)) for name in CHANNELS
)
"""Order of the channels in a patient seen in the mirror: left and right parotid change places."""

_REACH_MM = 50.0
_HU_RANGE = (-1000.0, 1500.0)
_ROUNDING = 0.01
"""Of a part of a voxel: contours are rounded, and their parts are summed over scan lines."""


def channels_of(anatomy: Anatomy, frame: Frame, gantry_deg: Sequence[float]) -> VoxelArray:
    """Make the network's input.

    Parameters
    ----------
    anatomy
        CT, body, structures and levels.
    frame
        Where the network's voxels lie.
    gantry_deg
        Beams; those of the anatomy may be unknown.

    Returns
    -------
    VoxelArray
        ``(len(CHANNELS), z, y, x)``. An organ that the anatomy does not have is a channel of zeros; so is the CT.
    """
    aligned = AlignedAxes.of(anatomy.grid)
    highest_gy = max(anatomy.target_levels_gy.values())
    shape = frame.shape
    level, high = (np.zeros(shape, dtype=np.float32) for _ in range(2))
    target = high
    for name, level_gy in anatomy.target_levels_gy.items():
        mask = _parts(anatomy.masks[name], aligned, frame)
        np.maximum(level, mask * np.float32(level_gy / highest_gy), out=level)
        target = _union(target, mask)
        if level_gy == highest_gy:
            high = np.maximum(high, mask)
    body = _parts(anatomy.body, aligned, frame)
    beams = [
        beam_geometry(frame.axes, frame.isocentre_mm, towards_source(angle, anatomy.patient_position))
        for angle in gantry_deg
    ]
    attenuation = [np.exp(np.float32(-ATTENUATION_PER_MM) * depth_mm(body, frame.axes, beam)) for beam in beams]
    inside, inside_high = target >= 0.5, high >= 0.5
    open_field = np.ones((1, 1, 1), dtype=np.float32)
    organs = organ_masks(anatomy, frame)
    planes = {
        "level": level,
        "target": target,
        "target_high": high,
        "body": body,
        "ct": _ct(anatomy, aligned, frame, body),
        "distance": _signed_distance(inside),
        "distance_high": _signed_distance(inside_high),
        "plate": plate(inside, beams, [open_field] * len(beams)) * body,
        "plate_attenuated": plate(inside, beams, attenuation) * body,
        "plate_high_attenuated": plate(inside_high, beams, attenuation) * body,
    } | organs
    return np.stack([planes[name] for name in CHANNELS])


def organ_masks(anatomy: Anatomy, frame: Frame) -> dict[str, VoxelArray]:
    """Give the parts of the frame's voxels that lie in each of :data:`ORGANS`, zero for one that is not there."""
    aligned = AlignedAxes.of(anatomy.grid)
    empty = np.zeros(frame.shape, dtype=np.float32)
    return {name: _parts(anatomy.masks[name], aligned, frame) if name in anatomy.masks else empty for name in ORGANS}


def _parts(mask: Mask, aligned: AlignedAxes, frame: Frame) -> VoxelArray:
    """Give the parts of the frame's voxels that a mask fills: from its contours where there are any."""
    if isinstance(mask, DrawnMask):
        return mask.resampled(to=frame.grid(mask.grid.frame_of_reference_uid)).values
    return aligned.average(mask.values, frame.axes)


def _union(one: VoxelArray, other: VoxelArray) -> VoxelArray:
    """Join targets: where they overlap one holds the other, and the larger part counts; those that touch add up.

    Parts that make more than a whole voxel together overlap, and so they do in the voxels around it.
    """
    both = one + other
    overlap = ndimage.binary_dilation(both > 1.0 + _ROUNDING, np.ones((3, 3, 3), dtype=bool))
    return np.asarray(np.where(overlap, np.maximum(one, other), both), dtype=np.float32)


def _ct(anatomy: Anatomy, aligned: AlignedAxes, frame: Frame, body: VoxelArray) -> VoxelArray:
    if anatomy.ct is None:
        return np.zeros(frame.shape, dtype=np.float32)
    low, high = _HU_RANGE
    hu = aligned.average(np.clip(anatomy.ct.values, low, high), frame.axes, outside=low)
    return hu / np.float32(1000.0) * body


def _signed_distance(inside: NDArray[np.bool_]) -> VoxelArray:
    """Give the distance from the surface over 50 mm, negative inside, clipped to -1 to 1; 1 where nothing is inside."""
    if not inside.any():
        return np.ones(inside.shape, dtype=np.float32)
    outer = ndimage.distance_transform_edt(~inside, SPACING_MM)
    inner = ndimage.distance_transform_edt(inside, SPACING_MM)
    half_voxel = np.where(inside, 2.0, -2.0)
    return np.asarray(np.clip((outer - inner + half_voxel) / _REACH_MM, -1.0, 1.0), dtype=np.float32)
