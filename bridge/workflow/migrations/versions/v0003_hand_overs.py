"""Create the tables of what is handed over to Eclipse, and of what it answers."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create hand_overs and answers."""
    op.create_table(
        "hand_overs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case_id", sa.String(16), sa.ForeignKey("cases.id")),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("objectives_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("approved_by", sa.String(64)),
        sa.Column("approved_utc", UtcDateTime),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts_utc", sa.JSON, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("next_attempt_utc", UtcDateTime),
        sa.Column("finished_utc", UtcDateTime),
    )
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hand_over_id", sa.Integer, sa.ForeignKey("hand_overs.id"), nullable=False),
        sa.Column("file", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("receipt", sa.JSON),
        sa.Column("created_utc", UtcDateTime),
        sa.Column("taken_utc", UtcDateTime, nullable=False),
        sa.UniqueConstraint("hand_over_id", "file", "sha256"),
    )
