"""Requests and responses that other servers log, until both sides are there."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """None were sent before."""
    op.create_table(
        "payloads",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("event", sa.Text(), primary_key=True),
        sa.Column("side", sa.Text(), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer()),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.Text()),
        sa.Column("version", sa.Integer()),
    )
    op.create_index("payloads_by_batch", "payloads", ["batch", "side", "received_at", "size"])
