"""An ObjectiveSet as a JSON file: checked against the published schema and its own hash, on the way out and in.

A file that is handed over also holds the approval. It is about the hash, so the hash is made without it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import ApprovalRefusal, Refusal, StorageFailure, error_context
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.provenance import Provenance
from bridge.rt.whole_file import write_whole
from objective_extraction.approval import Approval
from objective_extraction.objective_set import CaseReference, DerivedStructure, ObjectiveSet, canonical_json
from objective_extraction.objectives import (
    CurvePoint,
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    Origin,
    PointObjective,
)
from objective_extraction.structure_volume import StructureVolume

__all__ = [
    "objective_set_from_json",
    "objective_set_schema",
    "objective_set_to_json",
    "read_approved",
    "read_objective_set",
    "write_objective_set",
]

_LARGEST_BYTES = 20_000_000
"""A hundred line objectives take half a megabyte; more than this is not an objective set."""


def objective_set_schema() -> dict[str, Any]:
    """Give the published JSON Schema (draft 2020-12)."""
    text = files("objective_extraction").joinpath("objective_set.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(objective_set_schema())


def objective_set_to_json(objective_set: ObjectiveSet, approval: Approval | None = None) -> str:
    """Give the file's text.

    Raises
    ------
    Refusal
        The set does not satisfy its schema (``objectives-schema``).
    ApprovalRefusal
        The approval is for other objectives (``approval-of-other-objectives``).
    """
    document = objective_set.document()
    if approval is not None:
        approval.require_for(objective_set.sha256)
        document |= {"approval": approval.as_dict()}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _require_schema(json.loads(text))
    return text


def write_objective_set(objective_set: ObjectiveSet, path: Path, approval: Approval | None = None) -> None:
    """Write the file in one step: a reader sees all of it or nothing.

    Raises
    ------
    Refusal, ApprovalRefusal
        As :func:`objective_set_to_json`.
    StorageFailure
        The file cannot be written.
    """
    text = objective_set_to_json(objective_set, approval)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise StorageFailure(
            "objectives-write", f"The objectives cannot be written: {error.strerror}.", file=path
        ) from error


def read_objective_set(path: Path) -> ObjectiveSet:
    """Read a file back; raises as :func:`read_approved`."""
    return read_approved(path)[0]


def read_approved(path: Path) -> tuple[ObjectiveSet, Approval | None]:
    """Read a file back with its approval, if it has one.

    Raises
    ------
    Refusal
        Not JSON, another version, or not as the schema says.
    ApprovalRefusal
        The content is not what the hash in the file was made of (``objectives-changed``), or the approval is for
        other content.
    StorageFailure
        The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise StorageFailure(
            "objectives-read", f"The objectives cannot be read: {error.strerror}.", file=path
        ) from error
    with error_context({"file": path}):
        return _approved_from_json(data)


def objective_set_from_json(data: bytes | str) -> ObjectiveSet:
    """Make an objective set of the file's content; raises as :func:`read_approved`."""
    return _approved_from_json(data)[0]


def _approved_from_json(data: bytes | str) -> tuple[ObjectiveSet, Approval | None]:
    if len(data) > _LARGEST_BYTES:
        raise Refusal("objectives-json", f"An objective set has at most {_LARGEST_BYTES} bytes.")
    try:
        document = json.loads(
            data, object_pairs_hook=_unrepeated, parse_float=_finite, parse_constant=_finite, parse_int=_whole
        )
        canonical_json(document)  # text that is no Unicode, and nesting without end
    except (ValueError, RecursionError) as error:
        raise Refusal("objectives-json", f"This is not the JSON of an objective set: {error}.") from error
    if isinstance(document, dict) and isinstance(document.get("format"), str):  # as the bridge's other files have it
        raise Refusal(
            "objectives-json",
            f"This is no objective set but a file of the format {document['format'][:40]!r}. Name the objectives.json "
            "that lies beside it.",
        )
    if isinstance(document, dict) and document.get("version") not in (None, ObjectiveSet.version):
        raise Refusal(
            "objectives-version",
            f"This objective set has version {document['version']!r}; only {ObjectiveSet.version!r} is understood.",
        )
    _require_schema(document)
    objective_set = _objective_set(document)
    if objective_set.sha256 != document["sha256"]:
        raise ApprovalRefusal(
            "objectives-changed",
            f"The objectives were changed after they were written: their hash is {objective_set.sha256}, the file "
            f"says {document['sha256']}. Extract or approve them again.",
        )
    return objective_set, _approval(document, objective_set)


def _approval(document: Mapping[str, Any], objective_set: ObjectiveSet) -> Approval | None:
    item = document.get("approval")
    if item is None:
        return None
    approval = Approval(
        item["approved_by"], _utc(item["approved_utc"], "$.approval.approved_utc"), item["objectives_sha256"]
    )
    approval.require_for(objective_set.sha256)
    return approval


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is repeated")
    return result


def _finite(text: str) -> float:
    """Read a number, a whole one as an int: 30.0 fractions are 30."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return int(number) if number.is_integer() else number


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


def _require_schema(document: object) -> None:
    """Refuse a document that is not as the schema says, naming the first place where it is not."""
    errors = sorted(_validator().iter_errors(document), key=lambda error: error.json_path)
    if errors:
        raise Refusal("objectives-schema", f"{errors[0].message[:300]} (at {errors[0].json_path})")


def _objective_set(document: Mapping[str, Any]) -> ObjectiveSet:
    prescription, provenance = document["prescription"], document["provenance"]
    return ObjectiveSet(
        case=CaseReference(**document["case"]),
        prescription=Prescription(
            tuple(TargetLevel(**level) for level in prescription["levels"]), prescription["fractions"]
        ),
        objectives=tuple(_objective(item) for item in document["objectives"]),
        derived_structures=tuple(
            DerivedStructure(**{**item, "of": tuple(item["of"]), "minus": tuple(item["minus"])})
            for item in document["derived_structures"]
        ),
        structure_volumes=tuple(StructureVolume(**item) for item in document["structure_volumes"]),
        dose_source=document["dose_source"],
        dvh_policy=DvhPolicy(**document["dvh_policy"]),
        provenance=Provenance(
            **{**provenance, "created_utc": _utc(provenance["created_utc"], "$.provenance.created_utc")}
        ),
        findings=tuple(Finding(**item) for item in document["findings"]),
        normal_tissue=None if document["normal_tissue"] is None else NormalTissueObjective(**document["normal_tissue"]),
    )


def _objective(item: Mapping[str, Any]) -> Objective:
    fields = {key: value for key, value in item.items() if key != "kind"} | {"origin": Origin(**item["origin"])}
    if item["kind"] == "point":
        return PointObjective(**fields)
    if item["kind"] == "mean":
        return MeanObjective(**fields)
    if item["kind"] == "geud":
        return GeudObjective(**fields)
    return LineObjective(**fields | {"curve": tuple(CurvePoint(**point) for point in item["curve"])})


def _utc(text: str, place: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal("objectives-schema", f"{text!r} is not a time (at {place})") from error
