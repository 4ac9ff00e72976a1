"""Previews for the sliders: a preference in, DVHs, metrics and a dose out, and never an older one after a newer."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from bridge.rt.errors import ApprovalRefusal, Refusal
from bridge.web.encoded import encode_dose
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.opened_case import inputs_of
from bridge.workflow.preview import PreviewRequest
from models.preference import preference_of

__all__ = ["preview_routes"]

_Weight = Annotated[float, Field(ge=0, le=100)]


class _Wish(BaseModel):
    """What a preview is asked for with; ``view`` tells the tabs of one browser apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    view: Annotated[str, Field(pattern="^[a-z0-9-]{1,36}$")]
    preference: Annotated[str, Field(max_length=64)]
    hi: Annotated[float, Field(ge=0, le=2)] | None = None
    oar_weight: _Weight | None = None
    oar_weights: dict[str, _Weight] = Field(default_factory=dict, max_length=100)


def preview_routes() -> list[GuardedRoute]:
    """Give the route; its doses are among the volumes of the case."""
    return [GuardedRoute("/cases/{case_id}/results/{result}/previews", _preview, Permission.EDIT, "POST")]


def _preview(visit: Visit) -> Response:
    room, case_id, result = visit.room, visit.path["case_id"], visit.path["result"]
    try:
        wish = _Wish.model_validate_json(visit.body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Refusal("preference-invalid", f"The preference cannot be read: {place}: {first['msg']}.") from error
    results, paths = inputs_of(room.store, room.cases_folder, case_id)
    if results.job.input_sha256[:12] != result:
        raise ApprovalRefusal("result-superseded", f"Case {case_id} has newer results. Load it again.")
    preference = preference_of(wish.preference, wish.hi, wish.oar_weight, wish.oar_weights)
    request = PreviewRequest(paths, results.job.inputs, room.settings.model_dump_json(), preference)
    asker = hashlib.sha256(f"{visit.token} {case_id} {wish.view}".encode()).hexdigest()
    preview = room.previews.ask(asker, request)
    dose = encode_dose(preview.dose)
    name = room.preview_doses.keep(case_id, result, dose)
    return JSONResponse(
        {
            "volume": f"preview-{name}",
            "dose": dose.as_dict(),
            "preference": preference.as_dict(),
            "dvh": preview.dvhs,
            "findings": [finding.as_dict() for finding in preview.findings],
        }
    )
