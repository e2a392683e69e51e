"""What a judgement rests on is kept with it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Evaluations that were made before say nothing of it."""
    op.add_column("evaluations", sa.Column("basis", sa.Text(), nullable=False, server_default="{}"))
