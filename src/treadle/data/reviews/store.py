"""The tables of reviews and of what was said and done in them."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.data.branches.store import datasets
from treadle.data.reviews.types import EventBody, EventKind, Review, ReviewEvent, ReviewState
from treadle.kernel.database import Instant, Json, insert_once, schema

reviews = sa.Table(
    "data_reviews",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("merged", sa.BigInteger, nullable=True),
)
events = sa.Table(
    "data_review_events",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("body", Json(EventBody), nullable=False),
)


def lock_dataset(connection: sa.Connection, dataset: str) -> None:
    """Lets no other transaction open a review of the dataset until this one has ended."""
    change = datasets.update().where(datasets.c.name == dataset).values(settings=datasets.c.settings)
    connection.execute(change)


def lock(connection: sa.Connection, dataset: str, number: int) -> Review | None:
    """A review that no other transaction changes until this one has ended."""
    connection.execute(reviews.update().where(_is(dataset, number)).values(state=reviews.c.state))
    return find(connection, dataset, number)


def insert(connection: sa.Connection, review: Review) -> bool:
    """Adds a review; returns whether its number was free."""
    return insert_once(connection, reviews, msgspec.structs.asdict(review))


def next_number(connection: sa.Connection, dataset: str) -> int:
    """The number of the dataset's next review."""
    query = sa.select(sa.func.max(reviews.c.number)).where(reviews.c.dataset == dataset)
    return (connection.execute(query).scalar() or 0) + 1


def find(connection: sa.Connection, dataset: str, number: int) -> Review | None:
    """A review."""
    row = connection.execute(sa.select(reviews).where(_is(dataset, number))).mappings().one_or_none()
    return Review(**row) if row else None


def open_for(connection: sa.Connection, dataset: str, source: str, target: str) -> Review | None:
    """The review that is open for two branches."""
    query = sa.select(reviews).where(
        reviews.c.dataset == dataset,
        reviews.c.source == source,
        reviews.c.target == target,
        reviews.c.state == "open",
    )
    row = connection.execute(query.limit(1)).mappings().one_or_none()
    return Review(**row) if row else None


def newest_first(
    connection: sa.Connection,
    dataset: str,
    state: ReviewState | None,
    limit: int | None = None,
    before: int | None = None,
) -> list[Review]:
    """The reviews of a dataset, the newest first."""
    query = sa.select(reviews).where(reviews.c.dataset == dataset)
    if state is not None:
        query = query.where(reviews.c.state == state)
    if before is not None:
        query = query.where(reviews.c.number < before)
    query = query.order_by(reviews.c.number.desc()).limit(limit)
    return [Review(**row) for row in connection.execute(query).mappings()]


def set_state(
    connection: sa.Connection, review: Review, state: ReviewState, merged: int | None = None
) -> None:
    """Changes a review's state; it must have been locked."""
    change = reviews.update().where(_is(review.dataset, review.number))
    connection.execute(change.values(state=state, merged=merged))


def add_event(
    connection: sa.Connection, review: Review, kind: EventKind, actor: str, at: datetime, body: EventBody
) -> ReviewEvent:
    """Adds an event to a review, which must have been locked."""
    query = sa.select(sa.func.max(events.c.position)).where(_of(review.dataset, review.number))
    last = connection.execute(query).scalar()
    event = ReviewEvent(position=0 if last is None else last + 1, kind=kind, actor=actor, at=at, body=body)
    values = {"dataset": review.dataset, "number": review.number, **msgspec.structs.asdict(event)}
    connection.execute(events.insert().values(**values))
    return event


def events_of(connection: sa.Connection, dataset: str, number: int) -> list[ReviewEvent]:
    """What was said and done in a review, the oldest first."""
    columns = [column for column in events.c if column.name not in {"dataset", "number"}]
    query = sa.select(*columns).where(_of(dataset, number)).order_by(events.c.position)
    return [ReviewEvent(**row) for row in connection.execute(query).mappings()]


def _is(dataset: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(reviews.c.dataset == dataset, reviews.c.number == number)


def _of(dataset: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(events.c.dataset == dataset, events.c.number == number)
