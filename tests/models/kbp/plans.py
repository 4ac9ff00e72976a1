"""Plans of an organ whose dose is known by a formula of its geometry, made without voxels."""

from __future__ import annotations

import numpy as np

from models.kbp.curves import VOLUMES_PERCENT, joined
from models.kbp.fit import OrganPlan
from models.kbp.regions import OrganGeometry, Region, RegionGeometry

FALLING = 1.0 - VOLUMES_PERCENT / 100.0
HIGHEST_GY = 70.0
OVERLAP = 1.02
SPARED = 0.6


def organ_plan(
    rng: np.random.Generator, number: int, scatter: float = 0.0, highest_gy: float = HIGHEST_GY, overlap: float = 0.2
) -> OrganPlan:
    """An organ with a part in a target and the rest in the field: its dose there is 0.6 of the expected one, and more
    by a random part where there is scatter; in the target it is 1.02 of the level."""
    near, slope = rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.3)
    expected = near + slope * FALLING
    dose = (SPARED + scatter * rng.normal()) * expected
    share = overlap * rng.uniform(0.5, 1.5)
    regions: dict[Region, RegionGeometry] = {
        "in_field": RegionGeometry(1.0 - share, 20.0, expected, rng.uniform(0.2, 0.4) + 0.1 * FALLING, {}),
    }
    dvhs: dict[Region, np.ndarray] = {"in_field": dose}
    parts = [(1.0 - share, dose * highest_gy)]
    if overlap:
        level = highest_gy * rng.choice([1.0, 0.8])
        regions["overlap"] = RegionGeometry(share, 5.0, np.ones(100), np.ones(100), {level: 1.0})
        dvhs["overlap"] = np.full(100, OVERLAP)
        parts.append((share, dvhs["overlap"] * level))
    numbers = {"share_overlap": share, "log_organ_cc": float(rng.normal())}
    return OrganPlan(f"plan {number}", OrganGeometry(25.0, highest_gy, regions, numbers), dvhs, joined(parts))


def organ_plans(n: int, seed: int = 0, **how: float) -> list[OrganPlan]:
    rng = np.random.default_rng(seed)
    return [organ_plan(rng, i, **how) for i in range(n)]
