"""Dataset versions can be deleted: when, by whom and why, and since when what they had is given up."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """No version that was made before was deleted."""
    for name in ("deleted_by", "deleted_reason"):
        op.add_column("dataset_versions", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    for name in ("deleted_at", "freed_at"):
        op.add_column("dataset_versions", sa.Column(name, sa.BigInteger(), nullable=True))
