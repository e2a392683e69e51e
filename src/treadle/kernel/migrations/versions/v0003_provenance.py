"""When things were deleted, where runs come from, and runs by their user."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """What was deleted before counts as deleted now: its grace begins again."""
    now = time.time_ns() // 1000
    for table in ("experiments", "runs", "logged_models"):
        op.add_column(table, sa.Column("deleted_at", sa.BigInteger(), nullable=True))
        op.get_bind().execute(
            sa.text(f"UPDATE {table} SET deleted_at = :now WHERE lifecycle = 'deleted'"),  # noqa: S608 - one of three names
            {"now": now},
        )
    op.create_index("runs_by_deletion", "runs", ["deleted_at"])
    beginning, newest = sa.text('substr("user", 1, 120)'), sa.text("started_at DESC")
    op.create_index("runs_by_user", "runs", ["experiment", "lifecycle", beginning, newest, "id"])
    op.add_column(
        "run_inputs", sa.Column("position", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "run_provenance",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run"),
    )
    op.create_table(
        "run_writers",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "writer"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_media",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "path"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "imports",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("source", "stamp")),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("tally", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id"),
    )
    op.create_index("imports_by_source", "imports", ["source", "id"])
