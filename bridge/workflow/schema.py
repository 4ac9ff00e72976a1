"""Tables of the bridge's database. Every change here comes with a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

__all__ = [
    "AnswerRow",
    "ArtifactRow",
    "AuditRow",
    "Base",
    "CaseRow",
    "DeliveryRow",
    "HandOverRow",
    "InstanceRow",
    "JobRow",
    "PresetRow",
    "ReimportRow",
    "RevisionRow",
    "SessionRow",
    "SignatureRow",
    "TemplateRow",
    "UserRow",
    "UtcDateTime",
]


class UtcDateTime(TypeDecorator[datetime]):
    """A time with zone UTC, also in databases that store none (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without zone: local times have no place in the store."""
        if value is not None and value.tzinfo is None:
            raise ValueError("times in the store need a time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Base of all tables."""


class InstanceRow(Base):
    """One received DICOM object: a row means that its bytes are safe on disk."""

    __tablename__ = "instances"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "sha256"), Index("ix_instances_study", "study_instance_uid"))

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    header: Mapped[dict[str, Any]] = mapped_column(JSON)
    path: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(Integer)
    received_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    source: Mapped[dict[str, Any]] = mapped_column(JSON)
    set_aside: Mapped[bool] = mapped_column(Boolean, default=False)


class CaseRow(Base):
    """One RTSTRUCT with what it was drawn on; or a study that still waits for one."""

    __tablename__ = "cases"
    __table_args__ = (Index("ix_cases_study", "study_instance_uid"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    structure_set_uid: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    stop: Mapped[str | None] = mapped_column(String(16))
    stop_by: Mapped[str | None] = mapped_column(String(64))
    stop_reason: Mapped[str | None] = mapped_column(Text)
    stop_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_utc: Mapped[datetime] = mapped_column(UtcDateTime)


class JobRow(Base):
    """One prediction of one state of a case's input; the unique key keeps it from running twice."""

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("case_id", "input_sha256"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    input_sha256: Mapped[str] = mapped_column(String(64))
    inputs: Mapped[list[str]] = mapped_column(JSON)
    preference: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    sealed_of: Mapped[int | None] = mapped_column(Integer)
    message: Mapped[str] = mapped_column(Text, default="")
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    started_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ArtifactRow(Base):
    """One file that a job made."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("job_id", "kind"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    kind: Mapped[str] = mapped_column(String(32))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str | None] = mapped_column(String(64))


class DeliveryRow(Base):
    """One object on its way to one destination."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("destination", "sop_instance_uid"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    destination: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    attempts_utc: Mapped[list[str]] = mapped_column(JSON)
    status: Mapped[int | None] = mapped_column(Integer)
    message: Mapped[str] = mapped_column(Text, default="")
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ReimportRow(Base):
    """One dose that came back for a case, and what became of its comparison with a prediction."""

    __tablename__ = "reimports"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[str] = mapped_column(ForeignKey("cases.id"))
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    dose_uid: Mapped[str] = mapped_column(String(64))
    dose_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    plan_uid: Mapped[str] = mapped_column(String(64))
    plan_sha256: Mapped[str] = mapped_column(String(64))
    follows: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    message: Mapped[str] = mapped_column(Text, default="")
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)


class HandOverRow(Base):
    """Objectives on their way to the folder of the plug-in for Eclipse; without a case where a file was handed over."""

    __tablename__ = "hand_overs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[str | None] = mapped_column(ForeignKey("cases.id"))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    objectives_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    approved_by: Mapped[str | None] = mapped_column(String(64))
    approved_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(20))
    attempts_utc: Mapped[list[str]] = mapped_column(JSON)
    message: Mapped[str] = mapped_column(Text, default="")
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AnswerRow(Base):
    """One receipt as it lay in a folder; the unique key keeps the same content from being judged twice."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("hand_over_id", "file", "sha256"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    hand_over_id: Mapped[int] = mapped_column(ForeignKey("hand_overs.id"))
    file: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text)
    receipt: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)
    taken_utc: Mapped[datetime] = mapped_column(UtcDateTime)


class RevisionRow(Base):
    """Objectives of a prediction as somebody changed them; the unique key lets only one follow each."""

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("job_id", "number"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int] = mapped_column(Integer)
    author: Mapped[str] = mapped_column(ForeignKey("users.name"))
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    changes: Mapped[list[str]] = mapped_column(JSON)
    template: Mapped[str | None] = mapped_column(String(64))
    document: Mapped[str] = mapped_column(Text)
    objectives_sha256: Mapped[str] = mapped_column(String(64))


class SignatureRow(Base):
    """One person's approval of exactly the files of one job; it takes all that are needed to release them."""

    __tablename__ = "signatures"
    __table_args__ = (UniqueConstraint("job_id", "user_name"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    user_name: Mapped[str] = mapped_column(ForeignKey("users.name"))
    signed_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    statement: Mapped[dict[str, Any]] = mapped_column(JSON)


class PresetRow(Base):
    """A preference that somebody gave a name."""

    __tablename__ = "presets"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    preference: Mapped[dict[str, Any]] = mapped_column(JSON)
    author: Mapped[str] = mapped_column(ForeignKey("users.name"))
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)


class TemplateRow(Base):
    """One version of a department's objective template; its content is a file that never changes."""

    __tablename__ = "templates"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    version: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(ForeignKey("users.name"))
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[str | None] = mapped_column(ForeignKey("users.name"))
    decided_utc: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UserRow(Base):
    """One person who may log in; never deleted, so that a name in the audit trail stays that person's."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(Text)
    is_disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    created_utc: Mapped[datetime] = mapped_column(UtcDateTime)


class SessionRow(Base):
    """One browser that somebody logged in with; the token itself is known to that browser alone."""

    __tablename__ = "sessions"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("users.name"))
    opened_utc: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_utc: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """One event of the append-only trail; each row's hash covers the row before it."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    utc: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[str | None] = mapped_column(String(16))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    previous_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
