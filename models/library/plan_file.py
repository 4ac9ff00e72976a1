"""The files of one plan: its fluence, curves and record in one, its dose in another that can be made again from them.

Fluence is kept in half precision, which is off by 1/2048 of each beamlet at the most, and so is the dose that belongs
to it: 0.035 Gy of 70. Dose and curves are kept in steps of 0.01 Gy, off by 0.005 Gy at the most. The dose is that of
the fluence as kept, so the first error is in no comparison of the two.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bridge.rt.arrays import FloatArray, VoxelArray
from bridge.rt.errors import ModelRefusal
from models.library.manifest import PlanRecord

__all__ = [
    "DOSE_STEP_GY",
    "VOLUMES_PERCENT",
    "Beamlets",
    "PlanContent",
    "as_stored",
    "beamlets_bytes",
    "dose_bytes",
    "plan_bytes",
    "read_beamlets",
    "read_dose",
    "read_plan",
]

DOSE_STEP_GY = 0.01

VOLUMES_PERCENT: FloatArray = np.arange(1, 100, dtype=np.float64)
"""Where the curves D(v) are kept."""

_HIGHEST_STEP = int(np.iinfo(np.uint16).max)
_FORMAT = "fdp-bridge library plan 1"

# of an archive, a turned bit can also be one of encryption (RuntimeError), or of a newer version (NotImplementedError)
_NOT_OURS = (
    OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PlanContent:
    """A plan without its dose.

    Attributes
    ----------
    record
        What is said of it.
    fluence
        Half precision, shape ``(beamlets,)``, in the unit of the dose engine.
    curves_gy
        D(v) of each structure of the patient's manifest, shape ``(structures, 99)``, at 1 to 99 %.
    """

    record: PlanRecord
    fluence: NDArray[np.float16]
    curves_gy: FloatArray


@dataclass(frozen=True, eq=False)
class Beamlets:
    """Where the beamlets of a set of beams are.

    Attributes
    ----------
    direction
        Shape ``(beamlets,)``: number of the beam of each.
    position_mm
        Shape ``(beamlets, 2)``: centres in the isocentre plane, as of
        :class:`esapi_stub.engine.influence.DoseInfluence`.
    """

    direction: NDArray[np.uint8]
    position_mm: FloatArray


def as_stored(dose_gy: VoxelArray) -> VoxelArray:
    """Give a dose as it comes back from its file.

    Raises
    ------
    ModelRefusal
        It is negative, not finite, or beyond what fits (``library-dose-range``).
    """
    return _in_gray(_in_steps(dose_gy))


def dose_bytes(dose_gy: VoxelArray) -> bytes:
    """Give the dose file of a dose ``[z, y, x]``; raises as :func:`as_stored`."""
    return _packed(dose=_in_steps(dose_gy))


def read_dose(content: bytes, name: str) -> VoxelArray:
    """Read a dose file ``[z, y, x]``.

    Raises
    ------
    ModelRefusal
        It is damaged (``library-file-damaged``).
    """
    dose = _unpacked(content, name, "dose")["dose"]
    if dose.dtype != np.uint16 or dose.ndim != 3:
        raise _damaged(name)
    return _in_gray(dose)


def plan_bytes(plan: PlanContent) -> bytes:
    """Give the file of a plan."""
    curves = _in_steps(plan.curves_gy.astype(np.float32))
    record = np.frombuffer(plan.record.model_dump_json().encode(), dtype=np.uint8)
    return _packed(format=np.array(_FORMAT), record=record, fluence=plan.fluence, curves=curves)


def read_plan(content: bytes, name: str) -> PlanContent:
    """Read the file of a plan; raises as :func:`read_dose`."""
    found = _unpacked(content, name, "format", "record", "fluence", "curves")
    fluence, curves = found["fluence"], found["curves"]
    fits = fluence.dtype == np.float16 and fluence.ndim == 1 and np.isfinite(fluence).all() and (fluence >= 0).all()
    fits = fits and curves.dtype == np.uint16 and curves.ndim == 2 and curves.shape[1] == len(VOLUMES_PERCENT)
    if str(found["format"]) != _FORMAT or not fits:
        raise _damaged(name)
    try:
        record = PlanRecord.model_validate_json(found["record"].tobytes())
    except ValidationError as error:
        raise _damaged(name) from error
    return PlanContent(record, fluence, curves.astype(np.float64) * DOSE_STEP_GY)


def beamlets_bytes(beamlets: Beamlets) -> bytes:
    """Give the file of the beamlets of a set of beams."""
    return _packed(direction=beamlets.direction, position_mm=beamlets.position_mm)


def read_beamlets(content: bytes, name: str) -> Beamlets:
    """Read the beamlets of a set of beams; raises as :func:`read_dose`."""
    found = _unpacked(content, name, "direction", "position_mm")
    direction, position_mm = found["direction"], found["position_mm"]
    fits = direction.dtype == np.uint8 and direction.ndim == 1 and position_mm.shape == (len(direction), 2)
    if not fits or position_mm.dtype != np.float64 or not np.isfinite(position_mm).all():
        raise _damaged(name)
    return Beamlets(direction, position_mm)


def _in_steps(dose_gy: VoxelArray) -> NDArray[np.uint16]:
    steps = np.rint(np.asarray(dose_gy, dtype=np.float64) / DOSE_STEP_GY)
    if not (np.isfinite(steps).all() and steps.min() >= 0 and steps.max() <= _HIGHEST_STEP):
        raise ModelRefusal(
            "library-dose-range",
            f"A library keeps doses from 0 to {_HIGHEST_STEP * DOSE_STEP_GY:g} Gy, got {np.min(dose_gy)} to "
            f"{np.max(dose_gy)}.",
        )
    return steps.astype(np.uint16)


def _in_gray(steps: NDArray[np.uint16]) -> VoxelArray:
    return (steps * DOSE_STEP_GY).astype(np.float32)


def _packed(**arrays: NDArray[Any]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(content: bytes, name: str, *keys: str) -> dict[str, NDArray[Any]]:
    try:
        with np.load(BytesIO(content), allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except _NOT_OURS as error:
        raise _damaged(name) from error


def _damaged(name: str) -> ModelRefusal:
    return ModelRefusal(
        "library-file-damaged",
        f"{name} is not a file that this version wrote; delete it and build the library again, and it is made anew.",
        file=name,
    )
