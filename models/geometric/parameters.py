"""The numbers of the geometric model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.rt.errors import ModelRefusal

__all__ = ["PARAMETERS_NAME", "GeometricParameters"]

PARAMETERS_NAME = "parameters.yaml"

_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]


class GeometricParameters(BaseModel):
    """What the expected dose is made of; see :mod:`models.geometric.dose` for the formula.

    Attributes
    ----------
    near_weight
        Share of the dose that falls off over ``near_mm``; the rest does over ``far_mm``.
    near_mm, far_mm
        Distances over which the two parts fall to 1/e.
    axial_stretch
        How many times a distance along z counts: there is no beam from there.
    axial_mm
        Width of the Gaussian fall-off beyond the last slice with a target.
    scale
        Dose in a target over its level.
    sparing
        Dose of an organ over that of other tissue at the same place, by TG-263 name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    near_weight: _Share
    near_mm: _Positive
    far_mm: _Positive
    axial_stretch: Annotated[float, Field(ge=1)]
    axial_mm: _Positive
    scale: _Positive
    sparing: dict[str, _Share]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML.

        Raises
        ------
        ModelRefusal
            The file is not readable, or a number is missing or impossible.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise ModelRefusal(
                "parameters-invalid", f"{path.name} of the geometric model cannot be used: {error}", file=path.name
            ) from error

    def write(self, path: Path) -> None:
        """Write the numbers as YAML."""
        path.write_text(yaml.safe_dump(self.model_dump(), sort_keys=False), encoding="utf-8")
