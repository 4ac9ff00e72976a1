"""Previews for the sliders: a preference in, DVHs, goals and a dose out, and never an older one after a newer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response, StreamingResponse

from bridge.rt.errors import ApprovalRefusal, BridgeError, Refusal
from bridge.rt.findings import Finding
from bridge.web.encoded import encode_dose
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.desired_dvh import MOST_PREDICTIONS, Step, approach, wheels_for
from bridge.workflow.opened_case import inputs_of
from bridge.workflow.preview import Preview, PreviewRequest
from models.preference import Preference, preference_of
from models.registry import load_card

__all__ = ["preview_routes"]

_RESULT = "/cases/{case_id}/results/{result}"

_Weight = Annotated[float, Field(ge=0, le=100)]


class _Wish(BaseModel):
    """What a preview is asked for with.

    ``view`` tells the tabs of one browser apart, and ``number`` the questions of one tab: the highest is the newest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    view: Annotated[str, Field(pattern="^[a-z0-9-]{1,36}$")]
    number: Annotated[int, Field(ge=0, lt=2**53)]
    preference: Annotated[str, Field(max_length=64)]
    hi: Annotated[float, Field(ge=0, le=2)] | None = None
    oar_weight: _Weight | None = None
    oar_weights: dict[str, _Weight] = Field(default_factory=dict, max_length=100)


class _Desired(_Wish):
    """A point of a DVH as it is wanted; ``neutral_hi`` is the homogeneity of the dose without a wish for it."""

    roi_number: int
    volume_percent: Annotated[float, Field(ge=0, le=100)]
    dose_gy: Annotated[float, Field(ge=0, le=200)]
    neutral_hi: Annotated[float, Field(ge=0, le=2)]


_OTHER_SETTINGS = Finding(
    "settings-changed",
    "warning",
    "The model or the settings are others than those that the exported dose was predicted with: what the sliders give "
    "differs from it by that too. Have the case predicted again to compare them.",
)

_Asked = TypeVar("_Asked", bound=_Wish)


def preview_routes() -> list[GuardedRoute]:
    """Give the routes; their doses are among the volumes of the case."""
    return [
        GuardedRoute(_RESULT + "/previews", _preview, Permission.EDIT, "POST"),
        GuardedRoute(_RESULT + "/desired-dvh", _desired, Permission.EDIT, "POST"),
    ]


def _preview(visit: Visit) -> Response:
    wish = _parsed(_Wish, visit)
    desk = _Desk(visit, wish)
    preference = _preference(wish)
    return JSONResponse(desk.shown(preference, desk.predict(preference)))


def _desired(visit: Visit) -> Response:
    """Answer a line of JSON for each prediction, and with the last one the preview that came nearest.

    A newer question of the same view ends the search, and so does the browser that closes the connection.
    """
    wish = _parsed(_Desired, visit)
    shown = visit.room.shown.get(visit.path["case_id"], visit.path["result"])
    shown.structure(wish.roi_number)
    desk, start = _Desk(visit, wish), _preference(wish)
    card = load_card(visit.room.settings.prediction.model)
    wheels = wheels_for(card, shown.opened.case, wish.roi_number, start, wish.neutral_hi)
    if not wheels:
        raise Refusal("no-slider", f"Model {card.id!r} has no slider that moves this structure.")

    def dose_gy(preview: Preview) -> float:
        return _dose_at(preview, wish.roi_number, wish.volume_percent)

    def lines() -> Iterator[str]:
        nearest: Step[Preview] | None = None
        try:
            for step in approach(wish.dose_gy, start, wheels, desk.predict, dose_gy):
                nearest = step if step.is_nearest or nearest is None else nearest
                yield _line(number=step.number, most=MOST_PREDICTIONS, nearest_gy=nearest.reached_gy)
            if nearest is not None:
                yield _line(reached_gy=nearest.reached_gy, preview=desk.shown(nearest.preference, nearest.predicted))
        except BridgeError as error:
            yield _line(error=error.as_dict())

    return StreamingResponse(lines(), media_type="application/x-ndjson")


class _Desk:
    """Where one view of one case asks for previews."""

    def __init__(self, visit: Visit, wish: _Wish) -> None:
        self._room, self._case_id, self._result = visit.room, visit.path["case_id"], visit.path["result"]
        results, self._paths = inputs_of(self._room.store, self._room.cases_folder, self._case_id)
        if results.job.input_sha256[:12] != self._result:
            raise ApprovalRefusal("result-superseded", f"Case {self._case_id} has newer results. Load it again.")
        self._inputs = results.job.inputs
        predicted_by = results.read_json("dvh")["provenance"]["config_sha256"]
        self._findings = () if predicted_by == self._room.settings.sha256 else (_OTHER_SETTINGS,)
        self._asker = hashlib.sha256(f"{visit.token} {self._case_id} {wish.view}".encode()).hexdigest()
        self._number = wish.number

    def predict(self, preference: Preference) -> Preview:
        request = PreviewRequest(self._paths, self._inputs, self._room.settings.model_dump_json(), preference)
        return self._room.previews.ask(self._asker, self._number, request)

    def shown(self, preference: Preference, preview: Preview) -> dict[str, Any]:
        """Keep the dose of a preview, and say the rest."""
        dose = encode_dose(preview.dose)
        name = self._room.preview_doses.keep(self._case_id, self._result, dose)
        return {
            "volume": f"preview-{name}",
            "dose": dose.as_dict(),
            "preference": preference.as_dict(),
            "dvh": preview.dvhs,
            "goals": preview.goals,
            "findings": [finding.as_dict() for finding in (*self._findings, *preview.findings)],
        }


def _parsed(kind: type[_Asked], visit: Visit) -> _Asked:
    try:
        return kind.model_validate_json(visit.body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Refusal("preference-invalid", f"The preference cannot be read: {place}: {first['msg']}.") from error


def _preference(wish: _Wish) -> Preference:
    return preference_of(wish.preference, wish.hi, wish.oar_weight, wish.oar_weights)


def _dose_at(preview: Preview, roi_number: int, volume_percent: float) -> float:
    structures: list[dict[str, Any]] = preview.dvhs["structures"]  # type: ignore[assignment]
    curve = next(one["curve"] for one in structures if one["roi_number"] == roi_number)
    if curve is None:
        raise Refusal("dvh-empty", "This structure has no dose: its curve cannot be drawn elsewhere.")
    return float(np.interp(volume_percent, curve["volume_percent"], curve["dose_gy"]))


def _line(**content: object) -> str:
    return json.dumps(content) + "\n"
