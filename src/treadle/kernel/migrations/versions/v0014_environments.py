"""Revisions, replicas and counts belong to an environment: what there was belongs to the last one."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_COUNTS = ("model", "minute", "requests", "errors", "slow")


def upgrade() -> None:
    """The last environment's name is empty, whatever the project calls it."""
    op.add_column("revisions", sa.Column("environment", sa.Text(), nullable=False, server_default=""))
    # A replica reports twice a second: what was heard of it before need not be kept.
    op.drop_table("replicas")
    op.create_table(
        "replicas",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("replica", sa.Text(), primary_key=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
    )
    columns: list[sa.ColumnClause[int]] = [sa.column(name) for name in _COUNTS]
    before = op.get_bind().execute(sa.select(*columns).select_from(sa.table("service_minutes"))).all()
    op.drop_table("service_minutes")
    counts = op.create_table(
        "service_minutes",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("minute", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("slow", sa.BigInteger(), nullable=False),
    )
    rows = [dict(zip(_COUNTS, row, strict=True), environment="") for row in before]
    if rows:
        op.bulk_insert(counts, rows)
