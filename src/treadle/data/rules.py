"""What a version is, what it must hold, and how a slice is cut. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from treadle.data.types import WEIGHT, Column, DatasetVersion, FileEntry, Roles, SliceSpec
from treadle.kernel.config import DatasetConfig
from treadle.kernel.engine import quote
from treadle.kernel.errors import Deleted, InvalidInput
from treadle.kernel.ids import digest_bytes
from treadle.kernel.names import did_you_mean

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
_TIME = re.compile(r"DATE|TIMESTAMP(_S|_MS|_NS)?|TIMESTAMPTZ_NS|TIMESTAMP WITH TIME ZONE")


def version_digest(files: Iterable[FileEntry]) -> str:
    """BLAKE3 over path, size and digest of the sorted files: the same content has the same digest."""
    return digest_bytes(msgspec.json.encode([(file.path, file.size, file.digest) for file in sorted(files)]))


def gone(version: DatasetVersion) -> Deleted:
    """The error for a version that was deleted: by whom, when, why, and how to have it back."""
    assert version.deleted_at  # noqa: S101 - the caller looked
    why = f": {version.deleted_reason}" if version.deleted_reason else ""
    said = f"{version.ref} was deleted by {version.deleted_by} on {version.deleted_at:%Y-%m-%d %H:%M}{why}"
    if version.freed_at is None:
        return Deleted(said, where=version.ref, fix=f"bring it back: treadle data restore {version.ref}")
    return Deleted(
        f"{said}; what it had was freed on {version.freed_at:%Y-%m-%d}",
        where=version.ref,
        fix="bring it from a remote that has it: treadle data fetch "
        f"{version.dataset}@{version.commit_id[:12]}; or use another version",
    )


def check_live(*versions: DatasetVersion) -> None:
    """Refuses to read what deleted versions have.

    Raises:
        Deleted: If one is.
    """
    for version in versions:
        if version.deleted_at is not None:
            raise gone(version)


def check_alike(columns: Mapping[str, Sequence[Column]]) -> None:
    """Refuses files that can't be read as one table: other names, or types that no number widens.

    Args:
        columns: The columns of each file.

    Raises:
        InvalidInput: Naming the first file and column that don't fit the first file.
    """
    if not columns:
        return
    first, *others = columns
    expected = {column.name: column.type for column in columns[first]}
    for path in others:
        found = {column.name: column.type for column in columns[path]}
        for name in sorted(expected.keys() ^ found.keys()):
            lacks, has = (path, first) if name in expected else (first, path)
            raise InvalidInput(
                f"the file has no column {name!r}, which {has} has",
                where=lacks,
                fix=did_you_mean(name, found if lacks == path else expected),
            )
        for name, kind in found.items():
            other = expected[name]
            if kind != other and not _widens(kind, other):
                raise InvalidInput(
                    f"column {name!r} is {kind} here and {other} in {first}",
                    where=path,
                    fix="give the column one type in every file",
                )


def _widens(kind: str, other: str) -> bool:
    """Whether two types have a common one. Integers would lose digits as a 4-byte float."""
    if "FLOAT" in (kind, other):
        return {kind, other} == {"FLOAT", "DOUBLE"}
    return bool(_NUMBER.fullmatch(kind) and _NUMBER.fullmatch(other))


def roles_of(config: DatasetConfig) -> Roles:
    """The columns' roles as ``treadle.toml`` declares them."""
    return Roles(time=config.time, key=config.key, label=config.label, label_time=config.label_time)


def check_roles(dataset: str, roles: Roles, columns: Sequence[Column]) -> None:
    """Refuses data without a declared column, or with a time column that holds no times.

    Raises:
        InvalidInput: Naming the key, the column and the nearest column that there is.
    """
    types = {column.name: column.type for column in columns}
    for role, name in msgspec.structs.asdict(roles).items():
        if name is None:
            continue
        where = f"[data.{dataset}] {role}"
        if name not in types:
            raise InvalidInput(f"the data has no column {name!r}", where=where, fix=did_you_mean(name, types))
        if role.endswith("time") and not _TIME.fullmatch(types[name]):
            raise InvalidInput(
                f"column {name!r} is {types[name]}, not a time",
                where=where,
                fix="store it as a date or a timestamp; one without a zone is taken as UTC",
            )


def check_paths(version: DatasetVersion) -> None:
    """Refuses a version of a Delta table where paths are asked for.

    Raises:
        InvalidInput: Saying how it is read.
    """
    if version.files and not version.count:
        raise InvalidInput(
            f"{version.ref} is a version of a table, whose files stay where the table has them",
            where=version.ref,
            fix=f'read it as one: treadle.data("{version.ref}")',
        )


def complete(spec: SliceSpec, roles: Roles) -> SliceSpec:
    """The spec with its roles written down and its moments in UTC.

    Raises:
        InvalidInput: If it can't be cut: no zone, an empty stretch, or a column that it needs isn't declared.
    """
    moments = {name: getattr(spec, name) for name in ("since", "until", "known_by")}
    for name, moment in moments.items():
        if moment is not None and moment.tzinfo is None:
            raise InvalidInput(
                f"`{name}` has no time zone", where=spec.dataset, fix="give it one, such as UTC"
            )
        moments[name] = moment and moment.astimezone(UTC)
    if spec.since and spec.until and spec.since >= spec.until:
        raise InvalidInput(
            f"the stretch from {spec.since:%Y-%m-%d %H:%M} to {spec.until:%Y-%m-%d %H:%M} is empty",
            where=spec.dataset,
        )
    roles = spec.roles or roles
    if spec.half_life is not None and not roles.time:
        raise _undeclared(spec.dataset, "time", "rows are weighted by their age")
    if (spec.since or spec.until) and not roles.time:
        raise _undeclared(spec.dataset, "time", "a slice is cut by it")
    if spec.known_by and not roles.label:
        raise _undeclared(spec.dataset, "label", "a slice by known labels needs it")
    if spec.known_by and not (roles.label_time or roles.time):
        raise _undeclared(spec.dataset, "label_time", "it says when a label became known")
    return msgspec.structs.replace(spec, **moments, roles=roles)


def _undeclared(dataset: str, key: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"no `{key}` column is declared; {why}", where=f"[data.{dataset}]", fix=f"add {key} = COLUMN to it"
    )


def slice_digest(spec: SliceSpec) -> str:
    """BLAKE3 of a complete spec. What is None is left out, so that later fields don't change old digests."""
    return digest_bytes(msgspec.json.encode(spec, order="deterministic"))


def extent_query(spec: SliceSpec) -> str:
    """SQL that asks a slice ``t`` of a complete spec for the numbers that :func:`narrow` takes."""
    roles = spec.roles or Roles()
    time = f"epoch_us({quote(roles.time)})" if roles.time else "NULL"
    known = f"epoch_us({quote(roles.label_time)})" if roles.label_time else time
    return f"SELECT count(*), min({time}), max({time}), max({known}) FROM t"  # noqa: S608 - names are quoted


def narrow(spec: SliceSpec, first: int | None, last: int | None, known: int | None) -> SliceSpec:
    """The narrowest spec that cuts the same rows as a complete one: what identifies them.

    A cycle looks back from the moment at which it starts, so no two ask for the same spec, and yet
    they may get the same rows. Specs that cut the same rows of a version, with the same of the
    bounds given, have the same narrowest one. Specs that cut different rows never have, for it cuts
    precisely the rows of each: its bounds lie within the given ones, and all rows within its own.

    Args:
        spec: A complete spec.
        first: The first time of its rows, in microseconds since 1970.
        last: The last.
        known: When the last label of its rows became known.
    """
    return msgspec.structs.replace(
        spec,
        since=_tightened(spec.since, first),
        until=_tightened(spec.until, None if last is None else last + 1),
        known_by=_tightened(spec.known_by, known),
    )


def _tightened(bound: datetime | None, found: int | None) -> datetime | None:
    if bound is None or found is None:
        return bound
    try:
        return moment(found)
    except OverflowError:  # data may tell of years that Python can't; the bound as it is cuts as well
        return bound


def slice_query(spec: SliceSpec, columns: Sequence[Column]) -> tuple[str, list[int]]:
    """SQL that cuts a complete spec's rows out of table ``t``, and its parameters (microseconds since 1970).

    Rows are in the order of time and key; ties are broken by all other columns, so
    that the order never depends on threads.
    """
    condition, params = conditions(spec)
    roles = spec.roles or Roles()
    first = [name for name in (roles.time, roles.key) if name]
    order = first + [column.name for column in columns if column.name not in first]
    weight = ""
    if spec.half_life and roles.time:
        time = f"epoch_us({quote(roles.time)})"
        age = f"(max({time}) OVER () - {time}) / 1e6"
        weight = f", power(0.5, {age} / {spec.half_life!r}) AS {quote(WEIGHT)}"
    return f"SELECT *{weight} FROM t{condition} ORDER BY {', '.join(map(quote, order))}", params  # noqa: S608 - names are quoted


def conditions(spec: SliceSpec) -> tuple[str, list[int]]:
    """The ``WHERE`` that cuts a complete spec's rows, empty for all, and its parameters."""
    roles = spec.roles or Roles()
    where: list[str] = []
    params: list[int] = []
    for column, sign, moment in (
        (roles.time, ">=", spec.since),
        (roles.time, "<", spec.until),
        (roles.label_time or roles.time, "<=", spec.known_by),
    ):
        if column and moment:
            where.append(f"epoch_us({quote(column)}) {sign} ?")
            params.append(micros(moment))
    if spec.known_by and roles.label:
        where.append(f"{quote(roles.label)} IS NOT NULL")
    return (f" WHERE {' AND '.join(where)}" if where else ""), params


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(micros: int) -> datetime:
    """The moment so many microseconds after the start of 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def nothing(
    spec: SliceSpec, version: DatasetVersion, bounds: tuple[datetime, datetime] | None
) -> InvalidInput:
    """The error for a slice without rows; says which stretch of time the version does cover."""
    parts = [
        f"{word} {moment:%Y-%m-%d %H:%M}"
        for word, moment in (("from", spec.since), ("to", spec.until))
        if moment
    ]
    known = f" with a label known by {spec.known_by:%Y-%m-%d %H:%M}" if spec.known_by else ""
    covers = f"it covers {bounds[0]:%Y-%m-%d %H:%M} to {bounds[1]:%Y-%m-%d %H:%M} (UTC)" if bounds else None
    return InvalidInput(
        " ".join(["there are no rows", *parts]) + known, where=version.ref, fix=covers or "add data to it"
    )
