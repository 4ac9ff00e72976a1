"""Networks whose answer is known, and FDP with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.frame import BOX, SPACING_MM, frame_of
from models.fdp.model import FdpModel, PreparedFdp
from models.fdp.parameters import FdpParameters
from models.predictor import Estimate
from models.preference import NEUTRAL, Preference
from tests.models.fdp.anatomies import (
    CENTRE_MM,
    Box,
    box_mask,
    patient,
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
