"""Names for the arrays that travel through the project, with their axes.

Scalars carry their unit in their name (``dose_gy``, ``spacing_mm``, ``volume_cc``).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
"""Any float64 array; its docstring gives the axes."""

VoxelArray: TypeAlias = NDArray[np.float32]
"""Values on a grid, axes ``[z, y, x]``: dose in Gy, CT numbers in HU, or mask fractions from 0 to 1."""

Points: TypeAlias = NDArray[np.float64]
"""Patient coordinates (LPS) in mm, shape ``(n, 3)``, columns x, y, z."""

Loop: TypeAlias = NDArray[np.float64]
"""One closed contour in an axial plane, shape ``(n, 2)``, columns x, y in mm; the last point is not repeated."""
