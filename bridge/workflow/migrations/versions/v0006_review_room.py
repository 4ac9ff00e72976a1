"""Let cases be stopped, and predicted for a preference; create the tables of presets and objective templates."""

import sqlalchemy as sa
from alembic import op

from bridge.workflow.schema import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Extend cases, jobs and revisions; create presets and templates."""
    for column in (
        sa.Column("stop", sa.String(16)),
        sa.Column("stop_by", sa.String(64)),
        sa.Column("stop_reason", sa.Text),
        sa.Column("stop_utc", UtcDateTime),
    ):
        op.add_column("cases", column)
    op.add_column("revisions", sa.Column("template", sa.String(64)))
    op.add_column("jobs", sa.Column("preference", sa.JSON(none_as_null=True)))
    op.add_column("jobs", sa.Column("sealed_of", sa.Integer))
    op.create_table(
        "presets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("preference", sa.JSON, nullable=False),
        sa.Column("author", sa.String(32), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("author", sa.String(32), sa.ForeignKey("users.name"), nullable=False),
        sa.Column("created_utc", UtcDateTime, nullable=False),
        sa.Column("decided_by", sa.String(32), sa.ForeignKey("users.name")),
        sa.Column("decided_utc", UtcDateTime),
        sa.UniqueConstraint("name", "version"),
    )
