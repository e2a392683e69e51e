"""The catalogue's tables: registered models, versions, and their tags and aliases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.kernel.database import Instant, schema
from treadle.registry.catalog_types import CatalogModel, CatalogVersion

_PIECE = 500

models = sa.Table(
    "catalog_models",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    # The highest number ever given, so that a deleted version's is never given again.
    sa.Column("numbers", sa.BigInteger, nullable=False),
)

versions = sa.Table(
    "catalog_versions",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("storage", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("run_link", sa.Text, nullable=False),
    sa.Column("logged_model", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["model"], ["catalog_models.name"], onupdate="CASCADE", ondelete="CASCADE"),
    sa.Index("catalog_versions_by_stage", "model", "stage", "number"),
    sa.Index("catalog_versions_by_run", "run"),
    sa.Index("catalog_versions_by_time", "updated_at", "model", "number"),
)

model_tags = sa.Table(
    "catalog_model_tags",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["model"], ["catalog_models.name"], onupdate="CASCADE", ondelete="CASCADE"),
    sqlite_with_rowid=False,
)


def _of_version() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["model", "number"],
        ["catalog_versions.model", "catalog_versions.number"],
        onupdate="CASCADE",
        ondelete="CASCADE",
    )


version_tags = sa.Table(
    "catalog_version_tags",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    _of_version(),
    sqlite_with_rowid=False,
)

aliases = sa.Table(
    "catalog_aliases",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    _of_version(),
    sqlite_with_rowid=False,
)


def insert_model(connection: sa.Connection, name: str, now: datetime, description: str) -> bool:
    """Adds a registered model; returns whether there was none of that name."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"name": name, "created_at": now, "updated_at": now, "description": description, "numbers": 0}
    insert = dialect.insert(models).values(values).on_conflict_do_nothing()
    return connection.execute(insert, execution_options={"preserve_rowcount": True}).rowcount == 1


def model_names(connection: sa.Connection) -> list[str]:
    """All models, by name."""
    return list(connection.execute(sa.select(models.c.name).order_by(models.c.name)).scalars())


def lock_model(connection: sa.Connection, name: str) -> bool:
    """Makes everybody else who changes this model wait; returns whether there is such a model."""
    query = sa.select(models.c.name).where(models.c.name == name).with_for_update()
    return connection.execute(query).first() is not None


def hold_model(connection: sa.Connection, name: str, now: datetime, description: str = "") -> None:
    """As :func:`lock_model`; a model that isn't there, or is being deleted, is made."""
    while not lock_model(connection, name):
        insert_model(connection, name, now, description)


def update_model(connection: sa.Connection, name: str, now: datetime, **values: Any) -> None:
    """Changes columns of a registered model."""
    connection.execute(models.update().where(models.c.name == name).values(updated_at=now, **values))


def rename_model(connection: sa.Connection, name: str, new: str, now: datetime) -> None:
    """Gives a registered model another name, which all that it has follows."""
    connection.execute(models.update().where(models.c.name == name).values(name=new, updated_at=now))
    connection.execute(versions.update().where(versions.c.model == new).values(updated_at=now))


def delete_model(connection: sa.Connection, name: str) -> None:
    """Deletes a registered model with all that it has."""
    connection.execute(models.delete().where(models.c.name == name))


def next_number(connection: sa.Connection, name: str) -> int:
    """The next version's number; the model must be locked."""
    add = models.update().where(models.c.name == name).values(numbers=models.c.numbers + 1)
    connection.execute(add)
    return int(connection.execute(sa.select(models.c.numbers).where(models.c.name == name)).scalar_one())


def raise_numbers(connection: sa.Connection, name: str, number: int, now: datetime) -> None:
    """Lets a model count its versions on from a number at least."""
    mine = models.update().where(models.c.name == name)
    connection.execute(mine.values(updated_at=now))
    connection.execute(mine.where(models.c.numbers < number).values(numbers=number))


def insert_version(connection: sa.Connection, version: CatalogVersion) -> None:
    """Adds a version with its tags."""
    values = {column.name: getattr(version, column.name) for column in versions.c}
    connection.execute(versions.insert().values(values))
    put_version_tags(connection, version.model, version.number, version.tags)


def update_version(connection: sa.Connection, name: str, number: int, now: datetime, **values: Any) -> None:
    """Changes columns of a version."""
    change = versions.update().where(versions.c.model == name, versions.c.number == number)
    connection.execute(change.values(updated_at=now, **values))


def in_stage(connection: sa.Connection, name: str, stage: str) -> list[int]:
    """The numbers of the versions in a stage."""
    query = sa.select(versions.c.number).where(versions.c.model == name, versions.c.stage == stage)
    return list(connection.execute(query.order_by(versions.c.number)).scalars())


def delete_version(connection: sa.Connection, name: str, number: int) -> None:
    """Deletes a version with its tags and aliases."""
    connection.execute(versions.delete().where(versions.c.model == name, versions.c.number == number))


def put_model_tags(connection: sa.Connection, name: str, tags: Mapping[str, str]) -> None:
    """Adds or replaces tags of a registered model."""
    _upsert(connection, model_tags, [{"model": name, "name": k, "value": v} for k, v in sorted(tags.items())])


def put_version_tags(connection: sa.Connection, name: str, number: int, tags: Mapping[str, str]) -> None:
    """Adds or replaces tags of a version."""
    rows = [{"model": name, "number": number, "name": k, "value": v} for k, v in sorted(tags.items())]
    _upsert(connection, version_tags, rows)


def put_alias(connection: sa.Connection, name: str, alias: str, number: int) -> None:
    """Lets an alias name a version."""
    _upsert(connection, aliases, [{"model": name, "alias": alias, "number": number}])


def delete_rows(connection: sa.Connection, table: sa.Table, **key: Any) -> None:
    """Deletes the rows of a key, if there are any."""
    connection.execute(table.delete().where(*(table.c[name] == value for name, value in key.items())))


def find_model(connection: sa.Connection, name: str) -> CatalogModel | None:
    """A registered model."""
    row = connection.execute(sa.select(models).where(models.c.name == name)).mappings().first()
    return complete_models(connection, [row])[0] if row else None


def find_version(connection: sa.Connection, name: str, number: int) -> CatalogVersion | None:
    """A version of a registered model."""
    query = sa.select(versions).where(versions.c.model == name, versions.c.number == number)
    row = connection.execute(query).mappings().first()
    return complete_versions(connection, [row])[0] if row else None


def aliased(connection: sa.Connection, name: str, alias: str) -> int | None:
    """The number of the version that an alias names."""
    query = sa.select(aliases.c.number).where(aliases.c.model == name, aliases.c.alias == alias)
    found: int | None = connection.execute(query).scalar()
    return found


def complete_models(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[CatalogModel]:
    """The registered models of rows, with what is kept beside them, in the order of the rows."""
    tags: dict[str, dict[str, str]] = {row["name"]: {} for row in rows}
    named: dict[str, dict[str, int]] = {row["name"]: {} for row in rows}
    latest: dict[str, list[CatalogVersion]] = {row["name"]: [] for row in rows}
    for piece in _pieces(tags):
        query = sa.select(model_tags).where(model_tags.c.model.in_(piece))
        for model, name, value in connection.execute(query.order_by(model_tags.c.name)):
            tags[model][name] = value
        query = sa.select(aliases).where(aliases.c.model.in_(piece))
        for model, alias, number in connection.execute(query.order_by(aliases.c.alias)):
            named[model][alias] = number
        for version in latest_versions(connection, piece):
            latest[version.model].append(version)
    return [
        CatalogModel(
            name=row["name"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            description=row["description"],
            tags=tags[row["name"]],
            aliases=named[row["name"]],
            latest=tuple(latest[row["name"]]),
        )
        for row in rows
    ]


def latest_versions(connection: sa.Connection, names: Sequence[str]) -> list[CatalogVersion]:
    """The newest version in each stage of some models, by model and number."""
    newest = (
        sa.select(versions.c.model, sa.func.max(versions.c.number).label("number"))
        .where(versions.c.model.in_(names))
        .group_by(versions.c.model, versions.c.stage)
        .subquery()
    )
    joined = sa.and_(versions.c.model == newest.c.model, versions.c.number == newest.c.number)
    query = sa.select(versions).join(newest, joined).order_by(versions.c.model, versions.c.number)
    return complete_versions(connection, connection.execute(query).mappings().all())


def complete_versions(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[CatalogVersion]:
    """The versions of rows, with what is kept beside them, in the order of the rows."""
    tags, named = beside_versions(connection, [(row["model"], row["number"]) for row in rows])
    return [
        CatalogVersion(
            **{column.name: row[column.name] for column in versions.c},
            tags=tags[row["model"], row["number"]],
            aliases=tuple(named[row["model"], row["number"]]),
        )
        for row in rows
    ]


def beside_versions(
    connection: sa.Connection, keys: Iterable[tuple[str, int]]
) -> tuple[dict[tuple[str, int], dict[str, str]], dict[tuple[str, int], list[str]]]:
    """The tags and the aliases of versions, by model and number."""
    tags: dict[tuple[str, int], dict[str, str]] = {key: {} for key in keys}
    named: dict[tuple[str, int], list[str]] = {key: [] for key in tags}
    for piece in _pieces(tags):
        for table, column in ((version_tags, "name"), (aliases, "alias")):
            key = sa.tuple_(table.c.model, table.c.number)
            found = connection.execute(sa.select(table).where(key.in_(piece)).order_by(table.c[column]))
            for row in found.mappings():
                where = row["model"], row["number"]
                if table is aliases:
                    named[where].append(row["alias"])
                else:
                    tags[where][row["name"]] = row["value"]
    return tags, named


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    others = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    keys = list(table.primary_key)
    if rows:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)


def _pieces(keys: Iterable[Any]) -> Iterator[list[Any]]:
    every = list(keys)
    for start in range(0, len(every), _PIECE):
        yield every[start : start + _PIECE]
