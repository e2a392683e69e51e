"""The table of what people wrote on cards: only ever added to."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Instant, schema
from treadle.registry import catalog_store
from treadle.registry.card.types import CardText

texts = sa.Table(
    "model_card_texts",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("section", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.ForeignKeyConstraint(["model"], [catalog_store.models.c.name], onupdate="CASCADE", ondelete="CASCADE"),
)


def add(connection: sa.Connection, text: CardText) -> None:
    """Adds what was written; the model must be locked."""
    connection.execute(texts.insert().values(**msgspec.structs.asdict(text)))


def history(connection: sa.Connection, model: str) -> list[CardText]:
    """All that was ever written of a model, the oldest first in each section."""
    query = sa.select(texts).where(texts.c.model == model).order_by(texts.c.section, texts.c.revision)
    return [CardText(**row) for row in connection.execute(query).mappings()]
