"""One case for a program: geometry, planes of its volumes, contours, and DVHs with their metrics."""

from __future__ import annotations

import re

import numpy as np
from starlette.responses import JSONResponse, Response

from bridge.rt.errors import Refusal
from bridge.web.encoded import EncodedVolume
from bridge.web.guard import GuardedRoute
from bridge.web.opened import ShownCase
from bridge.web.permission import Permission
from bridge.web.visit import Visit

__all__ = ["case_data_routes"]

_RESULT = "/cases/{case_id}/results/{result}"


def case_data_routes() -> list[GuardedRoute]:
    """Give the routes. A result is named in the path, so that no answer is ever of another one than was asked for."""
    return [
        GuardedRoute("/cases/{case_id}/geometry", _geometry, Permission.LOOK),
        GuardedRoute(_RESULT + "/volumes/{volume}", _volume, Permission.LOOK),
        GuardedRoute(_RESULT + "/volumes/{volume}/{plane}/{index}", _plane, Permission.LOOK),
        GuardedRoute(_RESULT + "/contours/{roi_number}", _contours, Permission.LOOK),
        GuardedRoute(_RESULT + "/dvh", _dvh, Permission.LOOK),
    ]


def _geometry(visit: Visit) -> Response:
    """Say whose case it is, what its newest result is, and how its volumes lie."""
    shown = visit.room.shown.get(visit.path["case_id"])
    case = shown.opened.case
    assert case.prescription is not None  # noqa: S101 - a case without one was refused
    identity = case.identity
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
                }
                for one in case.structures
            ],
            "volumes": {"ct": shown.ct.as_dict(), "dose": shown.dose.as_dict()},
            "findings": [finding.as_dict() for finding in shown.opened.results.findings()],
        }
    )


def _volume(visit: Visit) -> Response:
    return _bytes(_encoded(visit).numbers.tobytes())


def _plane(visit: Visit) -> Response:
    return _bytes(_encoded(visit).plane_bytes(visit.path["plane"], _whole(visit.path["index"])))


def _contours(visit: Visit) -> Response:
    """Give the contours of a structure as drawn, to a hundredth of a millimetre."""
    structure = _shown(visit).structure(_whole(visit.path["roi_number"]))
    planes = [
        {"z_mm": plane.z_mm, "loops_mm": [np.round(loop, 2).tolist() for loop in plane.loops]}
        for plane in structure.planes
    ]
    return JSONResponse({"roi_number": structure.number, "roi_name": structure.name, "planes": planes})


def _dvh(visit: Visit) -> Response:
    """Give the DVHs and metrics that were exported with the dose."""
    shown = _shown(visit)
    return JSONResponse(shown.opened.results.read_json("dvh"))


def _shown(visit: Visit) -> ShownCase:
    return visit.room.shown.get(visit.path["case_id"], visit.path["result"])


def _encoded(visit: Visit) -> EncodedVolume:
    """Give a volume by its name: ``ct``, ``dose``, ``mask-`` and an ROI number, or ``preview-`` and its name."""
    shown, name = _shown(visit), visit.path["volume"]
    if name == "ct":
        return shown.ct
    if name == "dose":
        return shown.dose
    kind, _, which = name.partition("-")
    if kind == "mask":
        return shown.mask(_whole(which))
    if kind == "preview":
        return visit.room.preview_doses.get(which, visit.path["case_id"], shown.result)
    raise Refusal("volume-unknown", "The volumes are ct, dose, mask- with an ROI number, and those of previews.")


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise Refusal("number-invalid", "A whole number of at most 9 digits is needed.")
    return int(text)


def _bytes(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream")
