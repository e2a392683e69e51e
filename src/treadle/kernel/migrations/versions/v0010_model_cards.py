"""What people write on a model's card, every version of it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """No model has a written card yet."""
    op.create_table(
        "model_card_texts",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("section", sa.Text(), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["catalog_models.name"], onupdate="CASCADE", ondelete="CASCADE"),
    )
