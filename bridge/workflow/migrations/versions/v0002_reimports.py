"""Create the table of doses that came back."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create reimports."""
    op.create_table(
        "reimports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(16), sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("dose_uid", sa.String(64), nullable=False),
        sa.Column("dose_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("plan_uid", sa.String(64), nullable=False),
        sa.Column("plan_sha256", sa.String(64), nullable=False),
        sa.Column("follows", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("finished_utc", UtcDateTime),
    )
