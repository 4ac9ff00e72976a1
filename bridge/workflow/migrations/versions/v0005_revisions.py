"""Create the tables of objectives that people changed, and of who signed what."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create revisions and signatures."""
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("author", sa.String(32), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("objectives_sha256", sa.String(64), nullable=False),
        sa.UniqueConstraint("job_id", "number"),
    )
    op.create_table(
        "signatures",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("user_name", sa.String(32), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("signed_utc", UtcDateTime, nullable=False),
        sa.Column("statement", sa.JSON, nullable=False),
        sa.UniqueConstraint("job_id", "user_name"),
    )
