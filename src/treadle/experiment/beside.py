"""What is kept beside a run: where it comes from, its other writers, what its files show."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from treadle.experiment import rules, store, told
from treadle.experiment.tables import artifacts, media, provenance, writers
from treadle.experiment.types import LogArtifact, Media, MediaInfo, NewRun, Provenance, Run

_encode = msgspec.json.Encoder().encode


def put_new(connection: sa.Connection, new: NewRun) -> None:
    """What a run that was added brings with it."""
    put_provenance(connection, new.id, new.provenance)
    store.put_inputs(connection, new.id, new.inputs)


def put_provenance(connection: sa.Connection, run_id: str, more: Provenance | None) -> None:
    """Adds to what is known of where a run comes from."""
    if more is not None:
        found = rules.joined(find_provenance(connection, run_id), more)
        row = {"run": run_id, "data": _encode(found).decode()}
        store.upsert(connection, provenance, [row])


def find_provenance(connection: sa.Connection, run_id: str) -> Provenance | None:
    """Where a run comes from, as far as it was told."""
    data = connection.execute(sa.select(provenance.c.data).where(provenance.c.run == run_id)).scalar()
    return msgspec.json.decode(data, type=Provenance) if data else None


def whole(connection: sa.Connection, run: Run) -> Run:
    """The run with where it comes from and what it used."""
    used = store.select_inputs(connection, [run.id]).get(run.id, [])
    found = rules.joined(told.told_by(run.tags), find_provenance(connection, run.id))
    return msgspec.structs.replace(run, provenance=found, inputs=tuple(used))


def applied(connection: sa.Connection, run_id: str, writer: str) -> int:
    """How many records of a writer's journal are kept."""
    query = sa.select(writers.c.applied).where(writers.c.run == run_id, writers.c.writer == writer)
    return int(connection.execute(query).scalar() or 0)


def has_writers(connection: sa.Connection, run_id: str) -> bool:
    """Whether others write a run besides the one that began it."""
    query = sa.select(writers.c.run).where(writers.c.run == run_id).limit(1)
    return connection.execute(query).first() is not None


def put_applied(connection: sa.Connection, run_id: str, writer: str, count: int) -> None:
    """Notes how many records of a writer's journal are kept."""
    store.upsert(connection, writers, [{"run": run_id, "writer": writer, "applied": count}])


def put_media(connection: sa.Connection, run_id: str, files: Iterable[LogArtifact]) -> None:
    """Notes what files show."""
    rows = [
        {"run": run_id, "path": file.path, "data": _encode(file.media).decode()}
        for file in files
        if file.media is not None
    ]
    store.upsert(connection, media, rows)


def select_media(connection: sa.Connection, run_id: str) -> list[Media]:
    """The files of a run that show something, by name, step and number."""
    query = sa.select(media.c.path, media.c.data, artifacts.c.digest, artifacts.c.size, artifacts.c.at)
    same = sa.and_(artifacts.c.owner == media.c.run, artifacts.c.path == media.c.path)
    rows = connection.execute(query.join(artifacts, same).where(media.c.run == run_id))
    found = [
        Media(
            path=row.path,
            info=msgspec.json.decode(row.data, type=MediaInfo),
            digest=row.digest,
            size=row.size,
            at=row.at,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.info.name, one.info.step, one.info.index, one.path))
