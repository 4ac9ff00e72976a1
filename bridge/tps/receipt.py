"""Receipts: what a planning system took of an objective set, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bridge.rt.errors import ApprovalRefusal, Refusal, StorageFailure
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["Outcome", "Receipt", "read_receipt", "receipt_bytes", "receipt_from_json"]

_LARGEST_BYTES = 5_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(_Strict):
    """What became of one thing that was asked for.

    Attributes
    ----------
    objective
        Position in the objective set, from 0; None for a derived structure, the prescription, or the normal tissue
        objective.
    structure
        Name of its structure, empty where there is none.
    what
        What was asked, in words.
    reason
        Why it was refused; empty where it was not.
    """

    objective: int | None = Field(default=None, ge=0)
    structure: str = Field(default="", max_length=64)
    what: str = Field(max_length=200)
    reason: str = Field(default="", max_length=1000)


class Receipt(_Strict):
    """The answer to a hand-over.

    Attributes
    ----------
    version
        Of this format.
    objectives_sha256
        Hash of the objective set that it answers.
    state
        ``"waiting"``: handed over, not yet applied to a plan. ``"applied"``: applied as far as it says. ``"refused"``:
        the whole hand-over was refused and no plan was changed.
    reason
        Why the hand-over was refused; empty in every other state.
    taken_by
        Program and version that applied it.
    plan_uid
        UID of the plan that got the objectives, or None.
    created_utc
        When.
    made
        Names of the derived structures that were made.
    added, refused
        What was asked of the optimizer in the plan, and what was not.
    notes
        Anything else that a planner should know.
    short_ids
        Names that are too long for the planning system, and what they are called there.
    """

    version: Literal["1.0"] = "1.0"
    objectives_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    state: Literal["waiting", "applied", "refused"]
    reason: str = Field(default="", max_length=1000)
    taken_by: str = Field(min_length=1, max_length=64)
    plan_uid: str | None = Field(default=None, pattern=r"^[0-9.]{1,64}$")
    created_utc: AwareDatetime
    made: tuple[str, ...] = ()
    added: tuple[Outcome, ...] = ()
    refused: tuple[Outcome, ...] = ()
    notes: tuple[str, ...] = ()
    short_ids: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _refused_means_unchanged(self) -> Receipt:
        if (self.state == "refused") != bool(self.reason):
            raise ValueError("a refusal, and nothing else, gives a reason")
        if self.state == "refused" and (self.made or self.added):
            raise ValueError("a refusal changed nothing, so nothing was made or added")
        return self


def read_receipt(path: Path, objectives: ObjectiveSet) -> Receipt:
    """Read the receipt that answers an objective set.

    Raises
    ------
    Refusal, ApprovalRefusal
        As :func:`receipt_from_json`.
    StorageFailure
        The file cannot be read.
    """
    return receipt_from_json(receipt_bytes(path), objectives, path.name)


def receipt_bytes(path: Path) -> bytes:
    """Give what a receipt's file holds; of one that is too large for a receipt, only enough to tell.

    Raises
    ------
    StorageFailure
        The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise StorageFailure(
            "receipt-read", f"The receipt cannot be read: {error.strerror}.", file=path.name
        ) from error


def receipt_from_json(data: bytes, objectives: ObjectiveSet, file: str) -> Receipt:
    """Make the receipt that answers an objective set of its file's content.

    Parameters
    ----------
    file
        Name of the file, for messages.

    Raises
    ------
    Refusal
        Not a receipt (``receipt-invalid``), one that speaks of objectives that the set does not have, or one of a plan
        that has them which is silent about some.
    ApprovalRefusal
        The receipt answers another objective set (``receipt-of-other-objectives``).
    """
    if len(data) > _LARGEST_BYTES:
        raise Refusal("receipt-invalid", f"A receipt has at most {_LARGEST_BYTES} bytes.", file=file)
    try:
        receipt = Receipt.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Refusal("receipt-invalid", f"This is not a receipt: {first['msg']} (at {place}).", file=file) from error
    if receipt.objectives_sha256 != objectives.sha256:
        raise ApprovalRefusal(
            "receipt-of-other-objectives",
            f"The receipt answers the objectives {receipt.objectives_sha256}, not {objectives.sha256}: hand these over "
            "again.",
            file=file,
        )
    positions = sorted(o.objective for o in (*receipt.added, *receipt.refused) if o.objective is not None)
    count = len(objectives.objectives)
    if positions and positions[-1] >= count:
        raise Refusal(
            "receipt-invalid",
            f"The receipt speaks of objective {positions[-1]}, but there are {count}.",
            file=file,
        )
    if receipt.state == "applied" and positions != list(range(count)):
        raise Refusal(
            "receipt-invalid",
            f"The receipt must say of each of the {count} objectives once what became of it; it speaks of {positions}.",
            file=file,
        )
    return receipt
