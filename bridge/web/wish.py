"""A preference as a program sends it: where the sliders stand."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from bridge.web.forms import STRICT

__all__ = ["WishForm"]

_Weight = Annotated[float, Field(ge=0, le=100)]


class WishForm(BaseModel):
    """What :func:`models.preference.preference_of` takes: a named preference, and wishes of one's own beside it."""

    model_config = STRICT

    preference: Annotated[str, Field(max_length=64)]
    hi: Annotated[float, Field(ge=0, le=2)] | None = None
    oar_weight: _Weight | None = None
    oar_weights: dict[Annotated[str, Field(max_length=64)], _Weight] = Field(default_factory=dict, max_length=100)

    def wishes(self) -> dict[str, Any]:
        """Give them by the names of :func:`models.preference.preference_of`."""
        return {
            "name": self.preference,
            "hi": self.hi,
            "oar_weight": self.oar_weight,
            "oar_weights": dict(self.oar_weights),
        }
