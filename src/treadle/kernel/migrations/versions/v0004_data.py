"""Versions of data as commits: branches, tags, staged changes, reviews, and where versions come from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _text(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    """Versions that were made before have no tree; everything else of them stays as it is."""
    for name in ("commit_id", "tree", "branch", "message"):
        op.add_column("dataset_versions", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    for name in ("parents", "origin"):
        op.add_column("dataset_versions", sa.Column(name, sa.Text(), nullable=False, server_default="[]"))
    op.add_column(
        "dataset_versions", sa.Column("count", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.create_index("dataset_versions_by_commit", "dataset_versions", ["commit_id"])
    op.create_table(
        "data_sets",
        *_text("name"),
        _number("created_at"),
        *_text("actor", "settings"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "data_refs",
        *_text("dataset", "kind", "name"),
        _number("number", nullable=True),
        _number("changed_at"),
        *_text("actor", "settings"),
        sa.PrimaryKeyConstraint("dataset", "kind", "name"),
    )
    op.create_table(
        "data_staged",
        *_text("dataset", "branch", "path"),
        *_text("entry", nullable=True),
        _number("at"),
        sa.PrimaryKeyConstraint("dataset", "branch", "path"),
    )
    op.create_table(
        "data_metadata",
        *_text("dataset", "path", "digest", "body"),
        sa.PrimaryKeyConstraint("dataset", "path", "digest"),
    )
    op.create_table(
        "data_reviews",
        *_text("dataset"),
        _number("number"),
        *_text("source", "target", "title", "text", "author", "state"),
        _number("created_at"),
        _number("merged", nullable=True),
        sa.PrimaryKeyConstraint("dataset", "number"),
    )
    op.create_table(
        "data_review_events",
        *_text("dataset"),
        _number("number"),
        _number("position"),
        *_text("kind", "actor"),
        _number("at"),
        *_text("body"),
        sa.ForeignKeyConstraint(
            ["dataset", "number"], ["data_reviews.dataset", "data_reviews.number"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset", "number", "position"),
    )
    op.create_index("run_inputs_by_version", "run_inputs", ["name", "digest"])
