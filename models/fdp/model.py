"""FDP at work: an anatomy is encoded once, and each preference is proposed from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from bridge.rt.arrays import VoxelArray
from bridge.rt.beams import supine_angle_deg
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.findings import Finding
from models.fdp.axes import AlignedAxes
from models.fdp.channels import CHANNELS, MIRRORED, ORGANS, channels_of
from models.fdp.condition import HI_UNIT, condition_of
from models.fdp.frame import BOX, SPACING_MM, Frame, frame_of
from models.fdp.parameters import FdpParameters
from models.fdp.scope import scope_findings
from models.predictor import Estimate
from models.preference import Preference
from models.runtime.backend import Backend, OpenBackend
from models.runtime.onnx_backend import OnnxBackend
from models.training_beams import beams_or_trained

__all__ = ["GRAPHS", "FdpModel", "PreparedFdp", "View"]

GRAPHS = ("encoder", "proposer")

_ASIDE = 1
"""Voxels that the boxes of two views lie on either side of the middle. The network joins voxels in cubes of two, four
and eight; what depends on where the cubes begin is averaged out, which is worth more than the mirror image is."""

_Features = Mapping[str, VoxelArray]


@dataclass(frozen=True, eq=False)
class FdpModel:
    """The Flexible Dose Proposer.

    Attributes
    ----------
    parameters
        Of the model folder.
    backend
        Runs the graphs.
    mirror_average
        Predict the patient's mirror image too, in boxes two voxels further on, and average: twice the time.
    """

    parameters: FdpParameters
    backend: Backend
    mirror_average: bool = False

    @classmethod
    def from_folder(cls, folder: Path, open_backend: OpenBackend = OnnxBackend, mirror_average: bool = False) -> Self:
        """Read the model from its folder.

        Raises
        ------
        ModelRefusal
            The parameters or graphs cannot be used, or were made for other channels or another frame.
        """
        parameters = FdpParameters.read(folder)
        if (parameters.channels, parameters.box, parameters.spacing_mm) != (CHANNELS, BOX, SPACING_MM):
            raise ModelRefusal(
                "model-frame",
                f"Model {folder.name!r} was made for other channels or another frame than this software's.",
                model=folder.name,
            )
        return cls(parameters, open_backend(folder, GRAPHS), mirror_average)

    def prepare(self, anatomy: Anatomy) -> PreparedFdp:
        """Encode an anatomy.

        Raises
        ------
        ModelRefusal
            The anatomy is out of the model's scope, see :mod:`models.fdp.scope`, or does not fit the frame.
        GeometryRefusal
            The grid is tilted against the patient's axes.
        """
        findings = scope_findings(anatomy, self.parameters.trained_beams_deg)
        gantry_deg = beams_or_trained(anatomy, self.parameters.gantry_angles_deg)
        frame = frame_of(anatomy, (_ASIDE,) * 3 if self.mirror_average else (0, 0, 0))
        channels = channels_of(anatomy, frame, gantry_deg)
        # the patients of training lay head first and supine: for any other, the same numbers would be other beams
        supine_deg = tuple(supine_angle_deg(angle, anatomy.patient_position) for angle in gantry_deg)
        views = [View(self._encode(frame.boxes(channels)), supine_deg, mirrored=False, offset=0)]
        if self.mirror_average:
            boxes = [box[list(MIRRORED)][..., ::-1] for box in frame.boxes(channels, 2 * _ASIDE)]
            turned_deg = tuple(-angle for angle in supine_deg)
            views.append(View(self._encode(boxes), turned_deg, mirrored=True, offset=2 * _ASIDE))
        return PreparedFdp(self, anatomy, frame, channels, tuple(views), findings)

    def _encode(self, boxes: Sequence[VoxelArray]) -> list[_Features]:
        return [self.backend.run("encoder", {"channels": box[None]}) for box in boxes]


@dataclass(frozen=True, eq=False)
class View:
    """The patient as the network sees him: as he is, or in the mirror.

    Attributes
    ----------
    features
        Of each box.
    gantry_deg
        Beams in this view, as they would enter a patient who lies head first and supine.
    """

    features: list[_Features]
    gantry_deg: tuple[float, ...]
    mirrored: bool
    offset: int
    """Of its boxes, in voxels of the frame."""


@dataclass(frozen=True, eq=False)
class PreparedFdp:
    """FDP with one anatomy before it.

    Attributes
    ----------
    model, anatomy, frame, channels
        What it was prepared from.
    views
        Encoded features.
    findings
        What the scope checks noticed.
    """

    model: FdpModel
    anatomy: Anatomy
    frame: Frame
    channels: VoxelArray
    views: tuple[View, ...]
    findings: tuple[Finding, ...]

    def estimate(self, preference: Preference) -> Estimate:
        """Propose the dose for a preference."""
        weights, hi_difference, findings = self._wish(preference)
        dose, spread = self._propose(hi_difference, weights)
        factor = np.float32(self.model.parameters.spread_factor)
        dose_gy, spread_gy = (self._on_grid_gy(values) * self.anatomy.body.values for values in (dose, spread * factor))
        return Estimate(dose_gy, self.findings + findings, spread_gy)

    @cached_property
    def neutral_hi(self) -> float:
        """Homogeneity index (D2 - D98) / D50 (ICRU 83) of the highest target without a wish.

        On the patient's grid, where a wish is read off: a small target's index in the frame is another one.
        """
        dose, _ = self._propose(0.0, {})
        levels_gy = self.anatomy.target_levels_gy
        highest = [name for name, level_gy in levels_gy.items() if level_gy == max(levels_gy.values())]
        # where a target crosses the skin there is no dose, and no plan that is homogeneous in the air
        body = self.anatomy.body.values
        high = np.minimum(np.maximum.reduce([self.anatomy.masks[name].values for name in highest]), body)
        # of a target thinner than half a voxel the fullest voxels count, as they do for the frame
        inside = self._on_grid_gy(dose)[high >= min(0.5, float(high.max()))]
        d98, d50, d2 = np.percentile(inside, (2, 50, 98))
        return float((d2 - d98) / d50)

    def _on_grid_gy(self, values: VoxelArray) -> VoxelArray:
        """Bring values of the frame, over the highest level, to the patient's grid, whatever lies there."""
        aligned = AlignedAxes.of(self.anatomy.grid)
        highest_gy = np.float32(max(self.anatomy.target_levels_gy.values()))
        # between voxels a spline may dip below zero
        return np.asarray(np.maximum(aligned.spline_back(values, self.frame.axes), 0.0) * highest_gy, dtype=np.float32)

    def _wish(self, preference: Preference) -> tuple[dict[str, float], float, tuple[Finding, ...]]:
        """Turn a preference into organ weights and a difference of the homogeneity, held within what was trained."""
        findings = []
        there = {organ for organ in ORGANS if organ in self.anatomy.masks and self.anatomy.masks[organ].values.any()}
        wished = {organ for organ, weight in preference.oar_weights.items() if weight != 1.0}
        for organ in sorted(wished - there):
            message = f"The weight of {organ!r} was not asked for: the case does not have this organ."
            findings.append(Finding("preference-without-structure", "warning", message, {"roi": organ}))
        common = 1.0 if preference.oar_weight is None else preference.oar_weight
        single = {organ: weight for organ, weight in preference.oar_weights.items() if organ in there}
        wanted = {organ: common * single.get(organ, 1.0) for organ in ORGANS}
        limits = self.model.parameters.weight_limits
        weights = {organ: float(np.clip(weight, *limits.get(organ, (1.0, 1.0)))) for organ, weight in wanted.items()}
        for organ in ORGANS:
            if organ in there and weights[organ] != wanted[organ]:
                asked, used = f"{wanted[organ]:.2f}", f"{weights[organ]:.2f}"
                message = f"The weight {asked} of {organ!r} was held at {used}."
                where = {"roi": organ, "wish": f"oar_weight.{organ}", "asked": asked, "used": used}
                findings.append(Finding("preference-limited", "warning", message, where))
        if preference.hi is None:
            return weights, 0.0, tuple(findings)
        # the network spreads the doses of the voxels that the target fills by half
        if self.channels[CHANNELS.index("target_high")].max() < 0.5:
            message = "The highest target is thinner than half a voxel of the model: no wish can make it homogeneous."
            findings.append(Finding("preference-limited", "warning", message))
        steps = (preference.hi - self.neutral_hi) / HI_UNIT
        held = float(np.clip(steps, *self.model.parameters.hi_steps))
        if held != steps:
            asked, used = f"{preference.hi:.3f}", f"{self.neutral_hi + held * HI_UNIT:.3f}"
            message = (
                f"A homogeneity index of {asked} is too far from the {self.neutral_hi:.3f} that is usual "
                f"for this anatomy; {used} was asked for."
            )
            where = {"wish": "hi", "asked": asked, "used": used}
            findings.append(Finding("preference-limited", "warning", message, where))
        return weights, held * HI_UNIT, tuple(findings)

    @staticmethod
    def condition(weights: Mapping[str, float], hi_difference: float, view: View) -> VoxelArray:
        """Give the condition of a view ``(1, CONDITION_SIZE)``: in the mirror, the parotids change places."""
        swap = {"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"} if view.mirrored else {}
        turned = {swap.get(organ, organ): weight for organ, weight in weights.items()}
        return condition_of(hi_difference, turned, view.gantry_deg)[None]

    def _propose(self, hi_difference: float, weights: Mapping[str, float]) -> tuple[VoxelArray, VoxelArray]:
        """Give dose and scale of the error in the frame, over the highest level."""
        boxes: dict[str, dict[int, list[VoxelArray]]] = {"dose": {}, "spread": {}}
        for view in self.views:
            condition = self.condition(weights, hi_difference, view)
            results = [
                self.model.backend.run("proposer", {**features, "condition": condition}) for features in view.features
            ]
            for name, by_offset in boxes.items():
                seen = [result[name][0, 0] for result in results]
                by_offset[view.offset] = [box[..., ::-1] for box in seen] if view.mirrored else seen
        return self.frame.joined(boxes["dose"]), self.frame.joined(boxes["spread"])
