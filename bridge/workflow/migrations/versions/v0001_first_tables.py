"""Create the first tables, and forbid changing the audit trail."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create instances, cases, jobs, artifacts, deliveries and audit."""
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("header", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("received_utc", UtcDateTime, nullable=False),
        sa.Column("source", sa.JSON, nullable=False),
        sa.Column("set_aside", sa.Boolean, nullable=False),
        sa.UniqueConstraint("sop_instance_uid", "sha256"),
    )
    op.create_index("ix_instances_study", "instances", ["study_instance_uid"])
    op.create_table(
        "cases",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("structure_set_uid", sa.String(64)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("updated_utc", UtcDateTime, nullable=False),
    )
    op.create_index("ix_cases_study", "cases", ["study_instance_uid"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(16), sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("input_sha256", sa.String(64), nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("started_utc", UtcDateTime),
        sa.Column("finished_utc", UtcDateTime),
        sa.UniqueConstraint("case_id", "input_sha256"),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64)),
        sa.UniqueConstraint("job_id", "kind"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(16), sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts_utc", sa.JSON, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("next_attempt_utc", UtcDateTime),
        sa.Column("finished_utc", UtcDateTime),
        sa.UniqueConstraint("destination", "sop_instance_uid"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("utc", UtcDateTime, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(16)),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("previous_sha256", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
            )
