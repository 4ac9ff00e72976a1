"""What an FDP model folder says beside its graphs: the network's sizes, calibration, and what it has seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.rt.errors import ModelRefusal
from models.fdp.channels import ORGANS

__all__ = ["DRAWN_HI_STEPS", "DRAWN_WEIGHTS", "PARAMETERS_NAME", "FdpParameters"]

PARAMETERS_NAME = "parameters.yaml"

DRAWN_HI_STEPS, DRAWN_WEIGHTS = (-1.0, 1.5), (0.7, 1.45)
"""What a training without labels draws wishes from."""

Beams = Annotated[tuple[float, ...], Field(min_length=1)]
"""Gantry angles of a set of beams, of a patient who lies head first and supine."""


class FdpParameters(BaseModel):
    """Parameters of an FDP model.

    Attributes
    ----------
    channels
        Names of the input channels in their order; another order than the software's is refused.
    box, spacing_mm
        The frame that the graphs were made for.
    backbone, widths, latent, style, masked
        Sizes of the network, see :class:`models.fdp.network.NetworkSettings`.
    spread_factor
        One standard deviation of the error over the network's scale, fitted on training patients.
    gantry_angles_deg
        Beams of the training plans: used where a case names none, and compared with those it names.
    more_beams_deg
        Other sets of beams that there were training plans with.
    hi_steps
        Wishes for homogeneity are held within this, in units of the condition: what training has seen.
    weight_limits
        Likewise the weight of each organ, after the common one has been multiplied in; one that is not there is held
        at 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: tuple[str, ...]
    box: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    backbone: Literal["resunet", "mednext"]
    widths: tuple[int, int, int]
    latent: int
    style: int
    masked: bool
    spread_factor: float = Field(gt=0)
    gantry_angles_deg: Beams
    more_beams_deg: tuple[Beams, ...] = ()
    hi_steps: tuple[float, float] = DRAWN_HI_STEPS
    weight_limits: dict[str, tuple[float, float]] = Field(default_factory=lambda: dict.fromkeys(ORGANS, DRAWN_WEIGHTS))

    @property
    def trained_beams_deg(self) -> tuple[tuple[float, ...], ...]:
        """All sets of beams that there were training plans with."""
        return (self.gantry_angles_deg, *self.more_beams_deg)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read them from a model folder.

        Raises
        ------
        ModelRefusal
            The file is missing or breaks the schema (``parameters-invalid``).
        """
        try:
            content = yaml.safe_load((folder / PARAMETERS_NAME).read_text(encoding="utf-8"))
            return cls.model_validate(content)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise ModelRefusal(
                "parameters-invalid", f"{PARAMETERS_NAME} of model {folder.name!r} cannot be used.", model=folder.name
            ) from error
