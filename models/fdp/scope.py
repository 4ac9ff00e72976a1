"""Is this anatomy one that FDP can speak of? What is far from all training data is refused or said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.findings import Finding
from models.fdp.axes import AlignedAxes
from models.fdp.channels import ORGANS
from models.training_beams import about_beams

__all__ = ["scope_findings"]

SOFT_TISSUE_HU = (-150.0, 250.0)
"""The median CT number of a head and neck is that of muscle and fat; else it is another unit or another object."""

FEWEST_ORGANS = 2
"""Organs of the head and neck that have to be drawn before a case is taken for one."""

_EDGE_MM = 15.0
_LEAST_INSIDE = 0.5


def scope_findings(anatomy: Anatomy, trained_deg: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
    """Hold an anatomy against what the model was trained on.

    Parameters
    ----------
    trained_deg
        Gantry angles of each set of beams of the training plans, whose patients lie head first and supine; the first is
        the one that is assumed where a case has no beams.

    Returns
    -------
    tuple
        What lies at the edge of the model's experience.

    Raises
    ------
    ModelRefusal
        CT numbers that are not finite (``ct-not-finite``) or not those of tissue (``ct-numbers``), a target that lies
        mostly outside the body (``target-outside-body``), or a case without organs of the head and neck
        (``site-unknown``).
    """
    return (*_ct(anatomy), *_targets(anatomy), *_site(anatomy), *about_beams(anatomy, *trained_deg))


def _ct(anatomy: Anatomy) -> list[Finding]:
    if anatomy.ct is None:
        return [
            Finding("ct-not-given", "warning", "There are no CT numbers: density had no influence on the prediction.")
        ]
    values = anatomy.ct.values[anatomy.body.values >= 0.5]
    if not np.isfinite(anatomy.ct.values).all():
        raise ModelRefusal("ct-not-finite", "The CT has voxels that are not a finite number.")
    median = float(np.median(values))
    low, high = SOFT_TISSUE_HU
    if not low <= median <= high:
        raise ModelRefusal(
            "ct-numbers",
            f"Half of the body has CT numbers above {median:.0f} HU; between {low:g} and {high:g} HU is usual. Are "
            "they in Hounsfield units, and is the body contour right?",
        )
    return []


def _targets(anatomy: Anatomy) -> list[Finding]:
    findings = []
    body = anatomy.body.values
    aligned = AlignedAxes.of(anatomy.grid)
    along_z = aligned.to_patient(body).any(axis=(1, 2))
    ends = np.flatnonzero(along_z)
    z = aligned.axes[0]
    for name in anatomy.target_levels_gy:
        mask = anatomy.masks[name].values
        whole = float(mask.sum(dtype=np.float64))
        inside = float(np.minimum(mask, body).sum(dtype=np.float64))
        if inside < _LEAST_INSIDE * whole:
            raise ModelRefusal(
                "target-outside-body",
                f"Only {100 * inside / whole:.0f} % of target {name!r} lies inside the body.",
                roi=name,
            )
        slices = np.flatnonzero((aligned.to_patient(mask) > 0).any(axis=(1, 2)))
        gap_mm = float(min(slices[0] - ends[0], ends[-1] - slices[-1]) * z.step_mm)
        if gap_mm < _EDGE_MM:
            message = (
                f"Target {name!r} reaches to {max(gap_mm, 0.0):.0f} mm from the end of the body or of the CT; the dose "
                "near that end cannot be trusted."
            )
            findings.append(Finding("target-at-edge", "warning", message, {"roi": name}))
        pieces, count = ndimage.label(mask >= 0.5)
        if count > 1:
            sizes = np.bincount(pieces.ravel())[1:]
            if sizes.min() < 0.02 * sizes.max():
                message = f"Target {name!r} has {count} pieces, the smallest of {sizes.min()} voxels: a stray contour?"
                findings.append(Finding("target-pieces", "info", message, {"roi": name}))
    return findings


def _site(anatomy: Anatomy) -> list[Finding]:
    known = [organ for organ in ORGANS if organ in anatomy.masks and anatomy.masks[organ].values.any()]
    if not known:
        raise ModelRefusal(
            "site-unknown",
            f"None of the organs is there by which a head and neck is known ({', '.join(ORGANS)}); this model was "
            "trained on no other site. Map the names of the structures in the configuration if they are drawn.",
        )
    if len(known) < FEWEST_ORGANS:
        message = f"Of the organs of the head and neck only {known[0]!r} is there; is the site right?"
        return [Finding("site-uncertain", "warning", message)]
    return []
