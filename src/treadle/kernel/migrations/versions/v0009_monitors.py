"""A monitor's finding says of which rows it is, how bad it is, and what chance gives."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_OLD = (
    "model", "kind", "subject", "statistic", "until", "since", "version", "state", "value", "n", "sentence",
    "low", "high", "limit", "base_rate", "mean_prediction",
)  # fmt: skip


def upgrade() -> None:
    """Findings of before are of all rows, and nothing explains them."""
    op.execute("CREATE TABLE old_windows AS SELECT * FROM windows")
    op.drop_table("windows")
    windows = op.create_table(
        "windows",
        sa.Column("model", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("segment", sa.Text(), primary_key=True, server_default=""),
        sa.Column("statistic", sa.Text(), primary_key=True),
        sa.Column("until", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("value", sa.Float()),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("low", sa.Float()),
        sa.Column("high", sa.Float()),
        sa.Column("limit", sa.Float()),
        sa.Column("base_rate", sa.Float()),
        sa.Column("mean_prediction", sa.Float()),
        sa.Column("severity", sa.Text()),
        sa.Column("threshold", sa.Float()),
        sa.Column("chance", sa.Float()),
        sa.Column("p_value", sa.Float()),
        sa.Column("e_value", sa.Float()),
        sa.Column("importance", sa.Float()),
        sa.Column("explained_by", sa.Text(), nullable=False, server_default=""),
    )
    before = sa.table("old_windows", *(sa.column(name) for name in _OLD))
    op.execute(sa.insert(windows).from_select(list(_OLD), sa.select(*(before.c[name] for name in _OLD))))
    op.drop_table("old_windows")
    op.create_index("windows_by_time", "windows", ["model", "until"])
