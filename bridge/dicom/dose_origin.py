"""Where an RTDOSE comes from, as far as it says so: the bridge's own doses are never taken for those of a clinic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydicom.dataset import Dataset

from bridge.dicom.common import MODEL_NAME
from bridge.dicom.values import items, optional_text

__all__ = ["DoseOrigin", "dose_origin"]

_MODEL = re.compile(r"\bmodel ([a-z0-9][a-z0-9_-]{0,63}) sha256 ([0-9a-f]{64})\b")
_ENGINE = re.compile(r"^engine ([^;]+);")


@dataclass(frozen=True)
class DoseOrigin:
    """What made a dose.

    Attributes
    ----------
    source
        ``"predicted"`` by a model of the bridge, ``"optimized"`` by its own research planning, or ``"given"``: by a
        planning system, or nothing says by whom.
    model_id, model_sha256
        Of a predicted dose, else empty.
    made_by
        The dose engine of an optimized dose, else manufacturer and model name of the equipment; perhaps empty.
    """

    source: Literal["predicted", "optimized", "given"]
    model_id: str = ""
    model_sha256: str = ""
    made_by: str = ""


def dose_origin(dataset: Dataset) -> DoseOrigin:
    """Read what made a dose from what :func:`bridge.dicom.common.set_equipment` wrote; others may keep and add to it.

    Raises
    ------
    DicomRefusal
        The equipment cannot be read.
    """
    names = (optional_text(dataset, keyword) for keyword in ("Manufacturer", "ManufacturerModelName"))
    made_by = " ".join(filter(None, names))
    for equipment in items(dataset, "ContributingEquipmentSequence", required=False):
        if optional_text(equipment, "ManufacturerModelName") != MODEL_NAME:
            continue
        described = optional_text(equipment, "ContributionDescription")
        if engine := _ENGINE.search(described):
            return DoseOrigin("optimized", made_by=engine[1])
        if model := _MODEL.search(described):
            return DoseOrigin("predicted", model[1], model[2], made_by)
    return DoseOrigin("given", made_by=made_by)
