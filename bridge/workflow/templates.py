"""A department's objective templates: versions that never change, and who made, approved and retired each.

::

    draft ──> approved ──> retired
       └──────────────────────^

A version is a file ``templates/NAME/vNUMBER.json`` in the data folder; the database knows its hash and its state. Only
an approved version is applied to cases. Of one name at most one is approved: the next one retires it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal, Refusal, StorageFailure
from bridge.rt.whole_file import write_whole
from bridge.workflow import audit
from bridge.workflow.schema import TemplateRow as VersionRow
from bridge.workflow.users import User
from objective_extraction.department import TemplateRow, rows_of
from objective_extraction.objective_set import ObjectiveSet

__all__ = [
    "Content",
    "TemplateState",
    "Version",
    "approve_template",
    "draft",
    "list_templates",
    "read_template",
    "retire_template",
]


class TemplateState(StrEnum):
    """Whether a version may be applied."""

    DRAFT = "draft"
    APPROVED = "approved"
    RETIRED = "retired"


class _Document(BaseModel):
    """The file of a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = "fdp-bridge-template"
    name: str
    version: int
    author: str
    created_utc: str
    made_of_case: str
    target_levels: int
    rows: tuple[TemplateRow, ...]


@dataclass(frozen=True)
class Version:
    """One version of a template.

    Attributes
    ----------
    name, number
        Which.
    sha256
        Of its file.
    state, author, created_utc, decided_by, decided_utc
        Who made it when, and who approved or retired it last.
    """

    name: str
    number: int
    sha256: str
    state: TemplateState
    author: str
    created_utc: datetime
    decided_by: str | None
    decided_utc: datetime | None

    @property
    def title(self) -> str:
        """Name and number."""
        return f"{self.name} v{self.number}"


@dataclass(frozen=True)
class Content:
    """What a version asks for."""

    version: Version
    target_levels: int
    made_of_case: str
    rows: tuple[TemplateRow, ...]

    def require_approved(self) -> None:
        """Refuse to use what is a draft, or retired (``template-state``)."""
        if self.version.state is not TemplateState.APPROVED:
            told = f"Template {self.version.title} is {self.version.state}; only an approved one is used."
            raise ApprovalRefusal("template-state", told)


def draft(session: Session, folder: Path, name: str, objectives: ObjectiveSet, case_id: str, author: str) -> Version:
    """Make the next version of a template of the objectives of a case.

    Parameters
    ----------
    folder
        Of all templates.

    Raises
    ------
    Refusal
        The name cannot be (``template-name``), or nothing can be in a template (``template-empty``).
    StorageFailure
        The file cannot be written.
    """
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,38}[a-z0-9]|[a-z0-9]", name):
        raise Refusal(
            "template-name", "A template has a name of 1 to 40 characters a-z, 0-9 and '-', not of a patient."
        )
    rows, _ = rows_of(objectives)
    if not rows:
        raise Refusal("template-empty", "None of these objectives can be in a template.")
    before = list(session.scalars(select(VersionRow.version).where(VersionRow.name == name)))
    now = datetime.now(UTC)
    document = _Document(
        name=name, version=max(before, default=0) + 1, author=author, created_utc=now.isoformat(),
        made_of_case=case_id, target_levels=len(objectives.prescription.levels), rows=rows,
    )  # fmt: skip
    data = (json.dumps(document.model_dump(mode="json"), indent=1) + "\n").encode()
    try:
        path = _path(folder, name, document.version)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise StorageFailure("template-write", f"The template cannot be written: {error.strerror}.") from error
    row = VersionRow(
        name=name, version=document.version, sha256=hashlib.sha256(data).hexdigest(), state=TemplateState.DRAFT.value,
        author=author, created_utc=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    audit.append(session, author, "template-drafted", case_id, template=name, version=row.version, sha256=row.sha256)
    return _version(row)


def list_templates(session: Session, state: TemplateState | None = None) -> Sequence[Version]:
    """Give all versions, or those of one state, by name and newest first."""
    query = select(VersionRow).order_by(VersionRow.name, VersionRow.version.desc())
    if state is not None:
        query = query.where(VersionRow.state == state.value)
    return [_version(row) for row in session.scalars(query)]


def read_template(session: Session, folder: Path, name: str, number: int) -> Content:
    """Give one version.

    Raises
    ------
    ApprovalRefusal
        There is no such version (``template-unknown``), or its file is not what was made (``template-changed``).
    StorageFailure
        It cannot be read.
    """
    row = _row(session, name, number)
    path = _path(folder, row.name, row.version)
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise StorageFailure("template-read", f"The template cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise ApprovalRefusal(
            "template-changed", f"The file of template {name} v{number} was changed or removed; make a new version."
        )
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        raise ApprovalRefusal("template-changed", f"Template {name} v{number} is not understood any more.") from error
    return Content(_version(row), document.target_levels, document.made_of_case, document.rows)


def approve_template(
    session: Session, folder: Path, name: str, number: int, sha256: str, user: User, needs_two: bool
) -> None:
    """Let a draft be applied from now on; the version that could be so far is retired.

    Parameters
    ----------
    sha256
        Of what the approver saw.
    needs_two
        Whether it must be another person than its author.

    Raises
    ------
    ApprovalRefusal
        It is no draft (``template-state``), its author may not (``template-author``), the approver saw something else
        (``template-changed``), or see :func:`read_template`.
    """
    content = read_template(session, folder, name, number)
    version = content.version
    if version.state is not TemplateState.DRAFT:
        raise ApprovalRefusal(
            "template-state", f"Template {version.title} is {version.state}; only a draft is approved."
        )
    if version.sha256 != sha256:
        raise ApprovalRefusal("template-changed", f"Template {version.title} is not what you saw. Load it again.")
    if needs_two and version.author == user.name:
        raise ApprovalRefusal("template-author", "Another physicist than its author must approve a template here.")
    for row in session.scalars(
        select(VersionRow).where(VersionRow.name == name, VersionRow.state == TemplateState.APPROVED.value)
    ):
        _decide(session, row, TemplateState.RETIRED, user.name)
    _decide(session, _row(session, name, number), TemplateState.APPROVED, user.name)


def retire_template(session: Session, name: str, number: int, user: User) -> None:
    """Let a version be applied no more.

    Raises
    ------
    ApprovalRefusal
        It is retired already (``template-state``), or there is none.
    """
    row = _row(session, name, number)
    if row.state == TemplateState.RETIRED:
        raise ApprovalRefusal("template-state", f"Template {name} v{number} is retired already.")
    _decide(session, row, TemplateState.RETIRED, user.name)


def _decide(session: Session, row: VersionRow, state: TemplateState, actor: str) -> None:
    row.state, row.decided_by, row.decided_utc = state.value, actor, datetime.now(UTC)
    session.flush()
    audit.append(session, actor, f"template-{state}", None, template=row.name, version=row.version, sha256=row.sha256)


def _row(session: Session, name: str, number: int) -> VersionRow:
    query = select(VersionRow).where(VersionRow.name == name, VersionRow.version == number)
    row = session.scalars(query).first()
    if row is None:
        raise ApprovalRefusal("template-unknown", "There is no such version of a template.")
    return row


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"v{number}.json"


def _version(row: VersionRow) -> Version:
    return Version(
        row.name, row.version, row.sha256, TemplateState(row.state), row.author, row.created_utc, row.decided_by,
        row.decided_utc,
    )  # fmt: skip
