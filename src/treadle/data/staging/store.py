"""The tables of staged changes, and of what clients told of objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from treadle.data.staging.types import About, Staged
from treadle.data.tree.types import Entry
from treadle.kernel.database import Database, insert_once, schema
from treadle.kernel.paging import by_code_point

staged = sa.Table(
    "data_staged",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("branch", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("entry", sa.Text, nullable=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)
metadata = sa.Table(
    "data_metadata",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
_PIECE = 1000
_FEW = 300
_LAST = chr(0x10FFFF)


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def put(connection: sa.Connection, dataset: str, branch: str, one: Staged) -> None:
    """Stages a change, instead of what was staged at its path."""
    entry = _encode(one.entry) if one.entry else None
    values = {"dataset": dataset, "branch": branch, "path": one.path, "entry": entry, "at": one.at}
    if not insert_once(connection, staged, values):
        replace(connection, dataset, branch, one)


def replace(connection: sa.Connection, dataset: str, branch: str, one: Staged) -> None:
    """Stages a change instead of what is staged at its path, if anything is."""
    entry = _encode(one.entry) if one.entry else None
    change = staged.update().where(_at(dataset, branch, [one.path]))
    connection.execute(change.values(entry=entry, at=one.at))


def put_new(connection: sa.Connection, dataset: str, branch: str, one: Staged) -> bool:
    """Stages an object where none is staged; returns whether it was."""
    assert one.entry  # noqa: S101 - an object, no removal
    entry = _encode(one.entry)
    values = {"dataset": dataset, "branch": branch, "path": one.path, "entry": entry, "at": one.at}
    if insert_once(connection, staged, values):
        return True
    change = staged.update().where(_at(dataset, branch, [one.path]), staged.c.entry.is_(None))
    return connection.execute(change.values(entry=entry, at=one.at)).rowcount == 1


def find(connection: sa.Connection, dataset: str, branch: str, path: str) -> Staged | None:
    """What is staged at a path."""
    row = connection.execute(sa.select(staged).where(_at(dataset, branch, [path]))).mappings().one_or_none()
    return _staged(row) if row else None


def drop(connection: sa.Connection, dataset: str, branch: str, path: str) -> None:
    """Forgets what is staged at a path."""
    connection.execute(staged.delete().where(_at(dataset, branch, [path])))


def drop_same(connection: sa.Connection, dataset: str, branch: str, done: Iterable[Staged]) -> None:
    """Forgets changes, unless something else was staged meanwhile."""
    same = (
        (staged.c.dataset == dataset)
        & (staged.c.branch == branch)
        & (staged.c.path == sa.bindparam("this_path"))
        & (staged.c.at == sa.bindparam("this_at"))  # a replayed clock may stand: the time alone won't do
        & (sa.func.coalesce(staged.c.entry, "") == sa.bindparam("this_entry"))
    )
    rows = [
        {"this_path": one.path, "this_at": one.at, "this_entry": _encode(one.entry) if one.entry else ""}
        for one in done
    ]
    if rows:
        connection.execute(staged.delete().where(same), rows)


def drop_below(connection: sa.Connection, dataset: str, branch: str, prefix: str = "") -> None:
    """Forgets everything that is staged at paths that begin with a prefix."""
    path = by_code_point(connection, staged.c.path)
    within = sa.and_(path >= prefix, path < prefix + _LAST) if prefix else sa.true()
    mine = sa.and_(staged.c.dataset == dataset, staged.c.branch == branch)
    connection.execute(staged.delete().where(mine, within))


def below(database: Database, dataset: str, branch: str, prefix: str, after: str = "") -> Iterator[Staged]:
    """What is staged at paths that begin with a prefix, sorted, only those after a path; in pieces."""
    while True:
        with database.read() as connection:
            path = by_code_point(connection, staged.c.path)
            query = sa.select(staged).where(
                staged.c.dataset == dataset, staged.c.branch == branch, path > after, path >= prefix
            )
            rows = connection.execute(query.order_by(path).limit(_PIECE)).mappings().all()
        for row in rows:
            if not row["path"].startswith(prefix):
                return
            yield _staged(row)
        if len(rows) < _PIECE:
            return
        after = rows[-1]["path"]


def tell(connection: sa.Connection, dataset: str, path: str, digest: str, about: About) -> None:
    """Notes what was told of an object, instead of what was told of it before."""
    values = {"dataset": dataset, "path": path, "digest": digest, "body": _encode(about)}
    if not insert_once(connection, metadata, values):
        which = (metadata.c.dataset == dataset) & (metadata.c.path == path) & (metadata.c.digest == digest)
        connection.execute(metadata.update().where(which).values(body=values["body"]))


def told(
    connection: sa.Connection, dataset: str, objects: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], About]:
    """What was told of objects, by path and digest."""
    wanted = frozenset(objects)
    paths = sorted({path for path, _ in objects})
    found: dict[tuple[str, str], About] = {}
    for begin in range(0, len(paths), _FEW):
        some = metadata.c.path.in_(paths[begin : begin + _FEW])
        query = sa.select(metadata.c.path, metadata.c.digest, metadata.c.body)
        for path, digest, body in connection.execute(query.where(metadata.c.dataset == dataset, some)):
            if (path, digest) in wanted:
                found[path, digest] = msgspec.json.decode(body, type=About)
    return found


def told_commits(connection: sa.Connection, dataset: str, commits: Sequence[str]) -> Mapping[str, About]:
    """What was told of commits, by identifier."""
    found: dict[str, About] = {}
    for begin in range(0, len(commits), _FEW):
        query = sa.select(metadata.c.digest, metadata.c.body).where(
            metadata.c.dataset == dataset,
            metadata.c.path == "",
            metadata.c.digest.in_(commits[begin : begin + _FEW]),
        )
        for digest, body in connection.execute(query):
            found[digest] = msgspec.json.decode(body, type=About)
    return found


def _at(dataset: str, branch: str, paths: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(staged.c.dataset == dataset, staged.c.branch == branch, staged.c.path.in_(paths))


def _staged(row: sa.RowMapping) -> Staged:
    entry = msgspec.json.decode(row["entry"], type=Entry) if row["entry"] else None
    return Staged(row["path"], entry, row["at"])
