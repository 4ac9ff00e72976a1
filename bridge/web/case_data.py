"""One case for the viewer: how it lies and may be steered, its volumes, contours, and DVHs with their metrics."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from starlette.responses import JSONResponse, Response

from bridge.report.case_data import in_order
from bridge.report.dose_planes import WASH_OPACITY, isodose_levels, tone_colours
from bridge.report.line_style import line_styles
from bridge.rt.errors import Refusal
from bridge.rt.prescription import Prescription
from bridge.web.encoded import EncodedVolume
from bridge.web.guard import GuardedRoute
from bridge.web.opened import ShownCase, ShownDose
from bridge.web.permission import Permission
from bridge.web.steering import sliders_of
from bridge.web.visit import Visit
from bridge.workflow.opened_case import returned_doses
from models.registry import load_card

__all__ = ["case_data_routes"]

_RESULT = "/cases/{case_id}/results/{result}"
_TONES = 256


def case_data_routes() -> list[GuardedRoute]:
    """Give the routes. A result is named in the path, so that no answer is ever of another one than was asked for."""
    return [
        GuardedRoute("/cases/{case_id}/geometry", _geometry, Permission.LOOK),
        GuardedRoute(_RESULT + "/volumes/{volume}", _volume, Permission.LOOK),
        GuardedRoute(_RESULT + "/contours/{roi_number}", _contours, Permission.LOOK),
        GuardedRoute(_RESULT + "/dvh/{dose}", _dvh, Permission.LOOK),
    ]


def _geometry(visit: Visit) -> Response:
    """Say whose case it is, what its newest result is, how its volumes lie, and which sliders it has."""
    room = visit.room
    shown = room.shown.get(visit.path["case_id"])
    case, card = shown.opened.case, load_card(room.settings.prediction.model)
    assert case.prescription is not None  # noqa: S101 - a case without one was refused
    identity, structures = case.identity, in_order(case.structures, case.prescription)
    styles = line_styles(structures, {})
    return JSONResponse(
        {
            "case_id": visit.path["case_id"],
            "result": shown.result,
            "patient": {
                "id": identity.patient_id,
                "name": identity.patient_name,
                "birth_date": identity.patient_birth_date,
                "sex": identity.patient_sex,
                "study_date": identity.study_date,
                "position": identity.patient_position,
            },
            "prescription": {
                "fractions": case.prescription.fractions,
                "levels": [
                    {"roi_number": level.roi_number, "roi_name": level.roi_name, "dose_gy": level.dose_gy}
                    for level in case.prescription.levels
                ],
            },
            "structures": [
                {
                    "roi_number": one.number,
                    "roi_name": one.name,
                    "standard_name": one.standard_name,
                    "kind": one.kind,
                    "is_empty": one.is_empty,
                    "style": asdict(styles[one.number]),
                }
                for one in structures
            ],
            "dose_colours": _dose_colours(case.prescription),
            "ct": shown.ct.as_dict(),
            "doses": list(_doses(visit, shown)),
            "sliders": sliders_of(card, case),
            "predicted_with": shown.opened.results.read_json("dvh")["provenance"]["preference"],
            "findings": [finding.as_dict() for finding in shown.opened.results.findings()],
        }
    )


def _dose_colours(prescription: Prescription) -> dict[str, Any]:
    """Give the report's isodoses and its colour map, so that one dose has one colour everywhere."""
    return {
        "isodoses": [asdict(level) for level in isodose_levels(prescription)],
        "tones": tone_colours(np.linspace(0.0, 1.0, _TONES)).tolist(),
        "wash_opacity": WASH_OPACITY,
    }


def _doses(visit: Visit, shown: ShownCase) -> Iterator[dict[str, Any]]:
    yield {"name": "dose", "came_utc": None, **shown.dose.volume.as_dict()}
    for returned in returned_doses(visit.room.store, shown.opened.results):
        came_utc = returned.came_utc.isoformat(timespec="minutes")
        yield {"name": f"optimized-{returned.id}", "came_utc": came_utc, **shown.returned(returned).volume.as_dict()}


def _volume(visit: Visit) -> Response:
    return _compressed(_encoded(visit).packed, "application/octet-stream")


def _contours(visit: Visit) -> Response:
    """Give the contours of a structure as drawn, to a hundredth of a millimetre."""
    structure = _shown(visit).structure(_whole(visit.path["roi_number"]))
    planes = [
        {"z_mm": plane.z_mm, "loops_mm": [np.round(loop, 2).tolist() for loop in plane.loops]}
        for plane in structure.planes
    ]
    content = {"roi_number": structure.number, "roi_name": structure.name, "planes": planes}
    return _compressed(gzip.compress(json.dumps(content).encode(), 1, mtime=0), "application/json")


def _dvh(visit: Visit) -> Response:
    """Give DVHs with their metrics, those of the predicted dose as they were exported, and the clinical goals."""
    shown, name = _shown(visit), visit.path["dose"]
    measured = dict(_dose(visit, shown, name).measured)
    if name == "dose":
        measured["dvh"] = shown.opened.results.read_json("dvh")
    return JSONResponse(measured)


def _shown(visit: Visit) -> ShownCase:
    return visit.room.shown.get(visit.path["case_id"], visit.path["result"])


def _encoded(visit: Visit) -> EncodedVolume:
    """Give a volume by its name: ``ct``, that of a dose, or ``preview-`` and its name."""
    shown, name = _shown(visit), visit.path["volume"]
    if name == "ct":
        return shown.ct
    kind, _, which = name.partition("-")
    if kind == "preview":
        return visit.room.preview_doses.get(which, visit.path["case_id"], shown.result)
    return _dose(visit, shown, name).volume


def _dose(visit: Visit, shown: ShownCase, name: str) -> ShownDose:
    """Give a dose by its name: ``dose``, which is the predicted one, or ``optimized-`` and a number."""
    if name == "dose":
        return shown.dose
    kind, _, which = name.partition("-")
    if kind == "optimized":
        number = _whole(which)
        for returned in returned_doses(visit.room.store, shown.opened.results):
            if returned.id == number:
                return shown.returned(returned)
    raise Refusal("volume-unknown", "The volumes are ct, dose, and the doses that the case lists.")


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise Refusal("number-invalid", "A whole number of at most 9 digits is needed.")
    return int(text)


def _compressed(content: bytes, media_type: str) -> Response:
    """Give what every browser unpacks; nothing in it is secret, so that its length tells nothing."""
    return Response(content, media_type=media_type, headers={"Content-Encoding": "gzip"})
