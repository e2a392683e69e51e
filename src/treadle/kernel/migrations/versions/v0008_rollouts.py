"""Revisions take over step by step: by which plan, how far they are, and what replicas saw of them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Every revision that was deployed before took over at once."""
    op.add_column("revisions", sa.Column("plan", sa.Text(), nullable=True))
    op.add_column("revisions", sa.Column("outcome", sa.Text(), nullable=False, server_default=""))
    op.add_column("revisions", sa.Column("step", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("revisions", sa.Column("step_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "trial_counts",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("process", sa.Text(), primary_key=True),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
    )
