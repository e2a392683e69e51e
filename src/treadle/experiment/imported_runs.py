"""Runs of other servers in the database: many written at once, and counted again as they are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.experiment import curves, logged_store, series, store, transfer
from treadle.experiment.series import Curve
from treadle.experiment.tables import artifacts, chunks, inputs, metrics, params, runs, tags
from treadle.experiment.transfer_types import ImportRun, RunCopy, Tally
from treadle.experiment.types import Artifact, Run

_LARGEST = 1 << 16
_SHORT = 64
_TOGETHER = 1000
_AT_ONCE = 1 << 18


class Ready(msgspec.Struct, frozen=True):
    """A run that can be taken in.

    Attributes:
        new: The run as it came.
        curves: Its curves.
        tally: What belongs to it.
    """

    new: ImportRun
    curves: Mapping[str, Curve]
    tally: Tally


def lock_runs(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    """Those of the runs that are here, locked until the transaction ends."""
    found: list[str] = []
    for piece in store.pieces(ids):
        query = sa.select(runs.c.id).where(runs.c.id.in_(piece)).with_for_update()
        found += connection.execute(query).scalars()
    return found


# ── writing ──────────────────────────────────────────────────────────────


def add_runs(connection: sa.Connection, ready: Sequence[Ready], now: datetime) -> None:
    """Adds runs with all that belongs to them but their files: a statement for each table."""
    copies = [one.new.run for one in ready]
    _insert(connection, runs, [_row(copy, now) for copy in copies])
    for table, texts in ((params, "params"), (tags, "tags")):
        named = [(copy, getattr(copy, texts)) for copy in copies]
        _insert(
            connection,
            table,
            [
                {"run": copy.id, "experiment": copy.experiment, "name": name, "value": found[name]}
                for copy, found in named
                for name in sorted(found)
            ],
        )
    _insert(connection, chunks, [row for one in ready for row in _chunks(one.new.run.id, one.curves)])
    _insert(connection, metrics, [row for one in ready for row in _latest(one)])
    used = [
        msgspec.structs.asdict(used) | {"run": copy.id, "experiment": copy.experiment, "position": number}
        for copy in copies
        for number, used in enumerate(copy.inputs, 1)
    ]
    logged_store.add_once(connection, inputs, used)
    links = [msgspec.structs.asdict(link) | {"run": copy.id} for copy in copies for link in copy.models]
    logged_store.add_once(connection, logged_store.run_models, links)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)


def _row(copy: RunCopy, now: datetime) -> dict[str, Any]:
    run = Run(
        id=copy.id,
        name=copy.name,
        source="mlflow",
        user=copy.user,
        started_at=copy.started_at,
        params=dict(copy.params),
        tags=dict(copy.tags),
        status=copy.status,
        lifecycle=copy.lifecycle,
        ended_at=copy.ended_at,
        deleted_at=(copy.deleted_at or now) if copy.lifecycle == "deleted" else None,
    )
    row = {name: getattr(run, name) for name in runs.c.keys()}  # noqa: SIM118 - a ColumnCollection
    return row | {"experiment": copy.experiment}


def _latest(ready: Ready) -> Iterator[dict[str, Any]]:
    run = ready.new.run
    for name, curve in ready.curves.items():
        last = transfer.latest(name, curve)
        yield {"run": run.id, "experiment": run.experiment, "name": name, "step": last.step, "at": last.at,
               "value": last.value}  # fmt: skip


def _chunks(run: str, found: Mapping[str, Curve]) -> Iterator[dict[str, Any]]:
    """Short curves together and long ones by themselves, as they would be after merging."""
    short = [name for name, curve in found.items() if len(curve) <= _SHORT]
    for start in range(0, len(short), _TOGETHER):
        piece = {name: found[name] for name in short[start : start + _TOGETHER]}
        points = sum(len(curve) for curve in piece.values())
        data = series.pack_curves(piece)
        yield {"run": run, "name": "", "id": curves.next_id(), "points": points, "data": data}
    for name, curve in found.items():
        if len(curve) <= _SHORT:
            continue
        for start in range(0, len(curve), _LARGEST):
            part = curve.take(slice(start, start + _LARGEST))
            data = series.pack_curve(name, part)
            yield {"run": run, "name": name, "id": curves.next_id(), "points": len(part), "data": data}


# ── reading ──────────────────────────────────────────────────────────────


def kept_tallies(connection: sa.Connection, ids: Collection[str]) -> dict[str, Tally]:
    """What belongs to runs as they are kept here, by run; nothing of those that aren't here."""
    found: dict[str, Tally] = {}
    for piece in store.pieces(dict.fromkeys(ids)):
        hashers = _hashers(connection, piece)
        used = store.select_inputs(connection, piece)
        links = logged_store.select_links(connection, piece)
        files: dict[str, list[Artifact]] = {}
        query = sa.select(artifacts.c.owner, artifacts.c.path, artifacts.c.digest, artifacts.c.size)
        for owner, *file in connection.execute(query.where(artifacts.c.owner.in_(piece))):
            files.setdefault(owner, []).append(Artifact(*file))
        for run in connection.execute(sa.select(*_TOLD).where(runs.c.id.in_(piece))):
            found[run.id] = hashers[run.id].tally(
                RunCopy(
                    id=run.id,
                    experiment=run.experiment,
                    name=run.name,
                    user=run.user,
                    status=run.status,
                    lifecycle=run.lifecycle,
                    started_at=run.started_at,
                    ended_at=run.ended_at,
                    params={name: store.text_of(value) for name, value in run.params.items()},
                    tags=run.tags,
                    inputs=tuple(used.get(run.id, ())),
                    models=tuple(links.get(run.id, ())),
                    files=tuple(files.get(run.id, ())),
                )
            )
    return found


_TOLD = (
    runs.c.id, runs.c.experiment, runs.c.name, runs.c.user, runs.c.status, runs.c.lifecycle,
    runs.c.started_at, runs.c.ended_at, runs.c.params, runs.c.tags,
)  # fmt: skip


def _hashers(connection: sa.Connection, ids: Sequence[str]) -> dict[str, transfer.Hasher]:
    """The curves of runs, counted: short ones of many runs at once, long ones one by one."""
    names: dict[str, list[str]] = {}
    for run, name in connection.execute(
        sa.select(metrics.c.run, metrics.c.name).where(metrics.c.run.in_(ids))
    ):
        names.setdefault(run, []).append(name)
    total = sa.func.sum(chunks.c.points)
    query = sa.select(chunks.c.run, total).where(chunks.c.run.in_(ids)).group_by(chunks.c.run)
    sizes = {run: int(size) for run, size in connection.execute(query)}
    found = {run: transfer.Hasher() for run in ids}
    for group in _groups(ids, sizes):
        if len(group) == 1:
            for name in names.get(group[0], ()):
                found[group[0]].add(name, curves.read(connection, group[0], name))
            continue
        rows = sa.select(chunks.c.run, chunks.c.data).where(chunks.c.run.in_(group))
        ordered = connection.execute(rows.order_by(chunks.c.run, chunks.c.id))
        for run, mine in groupby(ordered, key=itemgetter(0)):
            pieces: dict[str, list[Curve]] = {}
            for _, data in mine:
                for name, curve in series.unpack(data).items():
                    pieces.setdefault(name, []).append(curve)
            for name in names.get(run, ()):
                found[run].add(name, series.join(pieces.get(name, [])))
    return found


def _groups(ids: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Runs that have no more points together than fit into memory with ease."""
    group: list[str] = []
    size = 0
    for run in ids:
        if group and size + sizes.get(run, 0) > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(run)
        size += sizes.get(run, 0)
    if group:
        yield group
