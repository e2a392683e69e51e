"""What a run may be, and what a stretch of its journal changes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from treadle.experiment.types import (
    Finish,
    JournalBatch,
    LogArtifact,
    LogInput,
    LogMetrics,
    LogParams,
    LogProvenance,
    LogTags,
    NewRun,
    Provenance,
    Record,
    Run,
    RunInput,
    Scalar,
    Value,
)
from treadle.kernel import names
from treadle.kernel.errors import Conflict, InvalidInput

_LARGEST = 2**63
LONGEST_CAPTION = 1000


class NewPoint(msgspec.Struct, frozen=True):
    """A point of a metric's curve that is to be kept; ``record`` is the record that brought it."""

    name: str
    record: int
    step: int
    at: datetime
    value: Value


class Changes(msgspec.Struct, kw_only=True):
    """What a stretch of a journal changes about a run.

    Attributes:
        params: All parameters, old and new.
        tags: All tags, old and new.
        points: The points to add to the curves.
        latest: The last of them for each metric.
        artifacts: The files to add or replace, by path.
        inputs: The datasets to note, by name and digest.
        provenance: What became known of where it comes from.
        finish: The end of the run, if it is there.
        applied: How many records of the journal are then kept.
    """

    params: dict[str, Scalar]
    tags: dict[str, str]
    points: list[NewPoint]
    latest: dict[str, NewPoint]
    artifacts: dict[str, LogArtifact]
    inputs: dict[tuple[str, str], RunInput] = {}
    provenance: Provenance | None = None
    finish: Finish | None = None
    applied: int = 0


def check_name(kind: str, name: object) -> str:
    """The name of a metric, parameter or tag itself, if it may be one.

    Raises:
        InvalidInput: If it isn't text of 1 to 250 printable characters.
    """
    if isinstance(name, str) and 0 < len(name) <= 250 and name.isprintable():
        return name
    raise InvalidInput(f"{name!r:.80} can't be the name of a {kind}", fix="use 1 to 250 printable characters")


def check_params(params: Mapping[str, Scalar], known: Mapping[str, Scalar], where: str) -> None:
    """Checks parameters that became known.

    Args:
        params: The parameters.
        known: Those that were known before.
        where: Which run.

    Raises:
        InvalidInput: If a name can't be one, or a value is NaN, infinite or an integer over 64 bits.
        Conflict: If a known parameter would change; names it and both values.
    """
    for name, value in params.items():
        check_name("parameter", name)
        if (isinstance(value, float) and not math.isfinite(value)) or (
            isinstance(value, int) and not -_LARGEST <= value < _LARGEST
        ):
            raise InvalidInput(
                f"parameter {name!r} can't be {value!r:.60}", where=where, fix="write it as text"
            )
        before = known.get(name, value)
        if before != value or isinstance(before, bool) != isinstance(value, bool):
            raise Conflict(
                f"parameter {name!r} is {before!r} and can't become {value!r}",
                where=where,
                fix="a run's parameters never change: start another run, or log it under another name",
            )


def check_tags(tags: Mapping[str, str], where: str) -> None:
    """Checks the names and values of tags.

    Raises:
        InvalidInput: If a name can't be one, or a value isn't text.
    """
    for name, value in tags.items():
        check_name("tag", name)
        if not isinstance(value, str):
            raise InvalidInput(f"tag {name!r} must be text, not {value!r:.60}", where=where)


def check_artifact_path(path: str) -> str:
    """The path itself, if an artifact may have it: relative, forward slashes, downward only.

    Raises:
        InvalidInput: If it could lead out of the run's folder, or isn't portable.
    """
    parts = path.split("/")
    if (
        len(path) > 1000
        or not path.isprintable()
        or "\\" in path
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise InvalidInput(
            f"{path!r:.120} can't be the path of an artifact",
            fix="use a relative path with forward slashes and without '..', such as plots/roc.png",
        )
    return path


def check_run(new: NewRun) -> None:
    """Checks a run that begins.

    Raises:
        InvalidInput: If a name, parameter or tag can't be used.
    """
    names.check_name("run", new.id)
    check_name("experiment", new.experiment)
    check_name("run", new.name)
    check_params(new.params, {}, new.id)
    check_tags(new.tags, new.id)
    for kind, name in (("recipe", new.recipe), ("cycle", new.cycle)):
        if name is not None:
            names.check_name(kind, name)
    for field, number in (("seed", new.seed), ("replica", new.replica)):
        if number is not None and not 0 <= number < _LARGEST:
            raise InvalidInput(f"`{field}` can't be {number}", where=new.id)
    for used in new.inputs:
        check_input(used, new.id)
    if new.started_at.tzinfo is None:
        raise InvalidInput("`started_at` has no time zone", where=new.id)


def unseen(run: Run, batch: JournalBatch) -> list[Record]:
    """The records of a batch that the run doesn't have yet.

    Raises:
        Conflict: If records before the batch are missing.
    """
    if not 0 <= batch.first <= run.applied:
        raise Conflict(
            f"the batch begins at record {batch.first}, but only {run.applied} records are kept",
            where=run.id,
            fix=f"send the journal from record {run.applied} on",
        )
    return batch.records[run.applied - batch.first :]


def fold(run: Run, steps: Mapping[str, int], records: Iterable[Record], writer: str = "") -> Changes:
    """What the next records of a run's journal change.

    Args:
        run: The run as it stands.
        steps: The last step of each metric.
        records: The records from number ``run.applied`` on.
        writer: Whose journal it is. A parameter that another writer gave another value keeps that
            one, and this writer's becomes a tag ``WRITER/NAME``: nothing is lost, and nobody stops.

    Raises:
        InvalidInput: If a record says something it can't say.
        Conflict: If a parameter would change.
    """
    out = Changes(params=dict(run.params), tags=dict(run.tags), points=[], latest={}, artifacts={})
    steps = dict(steps)
    number = run.applied
    for number, record in enumerate(records, run.applied + 1):
        if isinstance(record, LogMetrics):
            _fold_metrics(out, steps, record, number - 1, run.id)
        elif isinstance(record, LogParams):
            _fold_params(out, record, writer, run.id)
        elif isinstance(record, LogTags):
            check_tags(record.values, run.id)
            out.tags.update(record.values)
        elif isinstance(record, LogArtifact):
            if not 0 <= record.size < _LARGEST:
                raise InvalidInput(f"{record.size} can't be a size", where=f"{run.id}, {record.path}")
            out.artifacts[check_artifact_path(record.path)] = _checked_media(record, run.id)
        elif isinstance(record, LogInput):
            used = check_input(record.input, run.id)
            out.inputs.setdefault((used.name, used.digest), used)
        elif isinstance(record, LogProvenance):
            out.provenance = joined(out.provenance, record.provenance)
        else:
            moment(record.at, run.id)
            out.finish = record
    out.applied = number
    return out


def _fold_params(out: Changes, record: LogParams, writer: str, where: str) -> None:
    given = record.values
    if writer:
        check_params(given, {}, where)
        for name, value in given.items():
            if name in out.params and out.params[name] != value:
                out.tags[f"{writer}/{name}"[:250]] = str(value)
        given = {name: value for name, value in given.items() if name not in out.params}
    check_params(given, out.params, where)
    out.params.update(given)


def _checked_media(record: LogArtifact, where: str) -> LogArtifact:
    info = record.media
    if info is not None:
        check_name("metric", info.name)
        if not -_LARGEST <= info.step < _LARGEST or not 0 <= info.index < _LARGEST:
            raise InvalidInput(f"{info.step} can't be a step", where=f"{where}, {record.path}")
        if len(info.caption) > LONGEST_CAPTION:
            raise InvalidInput(
                f"the caption is longer than {LONGEST_CAPTION:,} characters", where=f"{where}, {record.path}"
            )
    return record


def check_input(used: RunInput, where: str) -> RunInput:
    """A dataset that a run uses itself, if it can be noted.

    Raises:
        InvalidInput: If it has no name or digest, or they are too long.
    """
    check_name("dataset", used.name)
    if not 0 < len(used.digest) <= 250:
        raise InvalidInput(f"the digest of dataset {used.name!r} must have 1 to 250 characters", where=where)
    return used


def joined(known: Provenance | None, more: Provenance | None) -> Provenance | None:
    """What is known of where a run comes from, with what became known since: it takes its place."""
    if known is None or more is None:
        return known or more
    given = {name: getattr(more, name) for name in more.__struct_fields__ if name != "problems"}
    new = {name: value for name, value in given.items() if value is not None and value != ()}
    problems = tuple(dict.fromkeys((*known.problems, *more.problems)))
    return msgspec.structs.replace(known, **new, problems=problems)


def after(run: Run, changes: Changes) -> Run:
    """The run with the changes made."""
    latest = {name: point.value for name, point in changes.latest.items()}
    metrics = dict(sorted({**run.metrics, **latest}.items())) if latest else run.metrics
    run = msgspec.structs.replace(
        run, params=changes.params, tags=changes.tags, metrics=metrics, applied=changes.applied
    )
    return ended(run, changes.finish) if changes.finish else run


def ended(run: Run, finish: Finish) -> Run:
    """The run, ended. A NUL goes from the message: Postgres can't keep one."""
    message = finish.message.replace("\0", "") if finish.message else None
    return msgspec.structs.replace(
        run, status=finish.status, ended_at=moment(finish.at, run.id), message=message
    )


def _fold_metrics(out: Changes, steps: dict[str, int], record: LogMetrics, number: int, where: str) -> None:
    at = moment(record.at, where)
    if record.step is not None and not -_LARGEST <= record.step < _LARGEST:
        raise InvalidInput(f"{record.step} can't be a step", where=f"{where}, record {number}")
    for name, value in record.values.items():
        step = record.step
        if step is None:
            step = steps.get(name, -1) + 1
        if name not in steps:
            check_name("metric", name)
        steps[name] = step
        point = NewPoint(name, number, step, at, value)
        out.points.append(point)
        out.latest[name] = point


def moment(seconds: float, where: str) -> datetime:
    """The moment so many seconds after 1970 began.

    Raises:
        InvalidInput: If there is no such moment before the year 10000.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(f"{seconds} is no moment in seconds since 1970", where=where) from None
