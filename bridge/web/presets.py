"""Presets of the sliders for a program.

``GET /presets`` answers ``{"presets": [{"name", "preference", "wishes", "refusal", "read_only", "author"}, ...]}``.
``preference`` is what a preview is asked for with, less ``view`` and ``number``: ``{"preference": "balanced" | "spare"
| "cover", "hi": number or null, "oar_weight": number or null, "oar_weights": {standard name: number}}``. ``wishes`` is
where the sliders stand then, by the names of the sliders, and ``refusal`` why the model cannot honour it, or null:
nothing is left out unseen. "P1 spare", "Neutral" and "P2 cover" come first, then "Site" where the settings predict with
something else, and the settings' ``review.presets``; these are read-only and have no author.

``POST /presets`` takes ``{"name", "preference"}`` and answers 201 with the preset as above. ``DELETE /presets/NAME``
answers ``{"deleted": NAME}``. Both need ``X-CSRF-Token`` and a user who may try preferences. A name has 1 to 40
letters A-Z, digits, spaces, dots, hyphens and underscores; put it into the path with ``encodeURIComponent``. Refused
with 422 and a reason: ``preset-name``, ``preset-exists``, ``presets-full``, ``preset-unknown``,
``preference-unknown``, ``json-invalid``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from bridge.rt.errors import ModelRefusal
from bridge.web.forms import STRICT, parsed
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.web.wish import WishForm
from bridge.workflow.presets import Preset, delete_preset, list_presets, save_preset
from models.card import ModelCard
from models.checks import check_preference
from models.preference import Preference, preference_of
from models.registry import load_card

__all__ = ["preset_routes"]


class _NewPreset(BaseModel):
    model_config = STRICT

    name: Annotated[str, Field(max_length=200)]
    preference: WishForm


def preset_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/presets", _list, Permission.LOOK),
        GuardedRoute("/presets", _save, Permission.EDIT, "POST"),
        GuardedRoute("/presets/{name}", _delete, Permission.EDIT, "DELETE"),
    ]


def _list(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        presets = list_presets(session, visit.room.settings)
    card = load_card(visit.room.settings.prediction.model)
    return JSONResponse({"presets": [_as_dict(card, preset) for preset in presets]})


def _save(visit: Visit) -> Response:
    given = parsed(_NewPreset, visit.body)
    with visit.room.store.transaction() as session:
        preset = save_preset(session, visit.room.settings, given.name, given.preference.wishes(), visit.user.name)
    return JSONResponse(_as_dict(load_card(visit.room.settings.prediction.model), preset), 201)


def _delete(visit: Visit) -> Response:
    name = visit.path["name"]
    with visit.room.store.transaction() as session:
        delete_preset(session, name, visit.user.name)
    return JSONResponse({"deleted": name})


def _as_dict(card: ModelCard, preset: Preset) -> dict[str, object]:
    given, preference = dict(preset.preference), preference_of(**preset.preference)
    return {
        "name": preset.name,
        "preference": {"preference": given.pop("name"), **given},
        "wishes": preference.as_dict(),
        "refusal": _refusal(card, preference),
        "read_only": preset.is_read_only,
        "author": preset.author,
    }


def _refusal(card: ModelCard, preference: Preference) -> str | None:
    try:
        check_preference(card, preference)
    except ModelRefusal as refusal:
        return refusal.message
    return None
