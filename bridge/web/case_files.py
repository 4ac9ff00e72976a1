"""The files of a case to look at before one signs for them: each by its hash, and only as the bridge wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.responses import Response

from bridge.rt.errors import ApprovalRefusal
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.jobs import Artifact
from bridge.workflow.results import results_of

__all__ = ["case_file_routes", "in_order"]

_ORDER: Mapping[str, str] = MappingProxyType(
    {
        "report": "report",
        "predicted_dose": "RTDOSE",
        "predicted_plan": "RTPLAN",
        "objectives": "objectives",
        "objective_template": "objective template",
        "dvh": "DVHs",
        "result": "findings and hashes",
    }
)


def case_file_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [GuardedRoute("/cases/{case_id}/files/{sha256}", _file, Permission.LOOK)]


def in_order(artifacts: Sequence[Artifact]) -> list[tuple[str, Artifact]]:
    """Give files with what they are called, those that a person reads first."""
    kinds = list(_ORDER)
    ordered = sorted(artifacts, key=lambda one: kinds.index(one.kind) if one.kind in kinds else len(kinds))
    return [(_ORDER.get(one.kind, one.kind), one) for one in ordered]


def _file(visit: Visit) -> Response:
    """Give a file to keep: a browser that showed it here would show it as a page of the review room."""
    room, case_id, sha256 = visit.room, visit.path["case_id"], visit.path["sha256"]
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, case_id)
    for artifact in results.artifacts:
        if artifact.sha256 == sha256:
            disposition = {"Content-Disposition": f'attachment; filename="{artifact.path}"'}
            return Response(results.read(artifact.kind), media_type="application/octet-stream", headers=disposition)
    raise ApprovalRefusal("file-unknown", f"Case {case_id} has no such file now. Load the case again.")
