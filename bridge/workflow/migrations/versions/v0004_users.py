"""Create the tables of who may log in, and of who is logged in."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create users and sessions."""
    op.create_table(
        "users",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("is_disabled", sa.Boolean, nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("user_name", sa.String(32), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("opened_utc", UtcDateTime, nullable=False),
        sa.Column("seen_utc", UtcDateTime, nullable=False),
    )
