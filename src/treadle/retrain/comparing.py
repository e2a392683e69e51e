"""How a version would have done on the rows that production answered, by the labels that came since."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from treadle.evaluate import estimate, is_loss, measured
from treadle.kernel.engine import quote
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import PredictionLog
from treadle.registry import LoadedModel, ModelVersion, Registry
from treadle.retrain.challenger_rules import (
    LEAST_ROWS,
    Day,
    blocks,
    correlation,
    e_value,
    interval,
    needed,
    verdict,
)
from treadle.retrain.challenger_types import Compared

_DAY = timedelta(days=1)
_MOST = 182
"""Half a year: what it can't tell is too little to matter, and for so long its promise has been checked."""


def compare(workspace: Workspace, production: ModelVersion, challenger: ModelVersion) -> Compared:
    """How a version does beside the one in production, from when both were there.

    Raises:
        InvalidInput: If the log doesn't have its inputs as they were.
        ModelInvalid: If it can't be loaded.
        CorruptData: If the log can't be read.
    """
    config = workspace.config.retrain.challenger
    now, since = workspace.clock.now(), _since(workspace, production, challenger)
    first = math.ceil(since.timestamp() / _DAY.total_seconds())
    most = max(1, _MOST // config.block) * config.block
    until = min(now, _midnight(first + most))
    days = list(_days(workspace, production, challenger, _midnight(first), until))
    counted = [day for day in days if day.counts]
    today = math.floor(now.timestamp() / _DAY.total_seconds())
    gains = blocks(days, first, config.block, today)
    low, high = interval(gains, config.false_alarm, math.ceil(config.days / config.block))
    told = math.isfinite(low)
    found = verdict(low, high)
    enough = needed(gains, config.false_alarm, most // config.block)
    ended = today >= first + most and not any(day.awaited for day in days)
    return Compared(
        challenger=challenger.ref,
        production=production.ref,
        metric=workspace.config.checks.performance.metric,
        since=_midnight(first),
        until=_midnight(counted[-1].number + 1) if counted else None,
        days=len(counted),
        rows=sum(day.known for day in counted),
        blocks=len(gains),
        block=config.block,
        gain=sum(gains) / len(gains) if gains else 0.0,
        low=low if told else None,
        high=high if told else None,
        e_value=e_value(gains),
        asked=1 / config.false_alarm,
        needed=enough * config.block if enough else None,
        most=most,
        correlation=correlation([day.gain for day in counted if day.gain is not None]),
        verdict="undecided" if found == "open" and ended else found,
    )


def _since(workspace: Workspace, production: ModelVersion, challenger: ModelVersion) -> datetime:
    """When the later of the two was there: made, and in production."""
    came = [
        change.at
        for change in Registry(workspace).history(production.model)
        if change.number == production.number and change.after == "production"
    ]
    return max(challenger.created_at, came[-1] if came else production.created_at)


def _midnight(number: int) -> datetime:
    return datetime.fromtimestamp(number * _DAY.total_seconds(), UTC)


def check_answerable(workspace: Workspace, challenger: ModelVersion) -> None:
    """Whether what a version would have answered can be found out from the log.

    Raises:
        InvalidInput: If the version doesn't say what it takes, or the log doesn't keep it as it was.
    """
    if challenger.signature is None:
        raise InvalidInput(
            f"{challenger.ref} doesn't say which inputs it takes",
            fix="log the model with an example: run.log_model(model, example=...)",
        )
    log = PredictionLog(workspace)
    for field in challenger.signature.inputs:
        if not log.concealment.plain(field.name):
            raise InvalidInput(
                f"the log doesn't keep the input {field.name!r} as it is, "
                f"so what {challenger.ref} would have answered can't be found out",
                where="treadle.toml [monitor]",
            )


def _days(
    workspace: Workspace,
    production: ModelVersion,
    challenger: ModelVersion,
    since: datetime,
    until: datetime,
) -> Iterator[Day]:
    """Every day that has predictions; a block's rows are in memory at a time."""
    check_answerable(workspace, challenger)
    model: LoadedModel | None = None
    length = workspace.config.retrain.challenger.block * _DAY
    while since < until:
        found = _rows(workspace, production, challenger, since, min(until, since + length))
        since += length
        if len(found["day"]):
            model = model or Registry(workspace).load(challenger)
            yield from _measured(workspace, model, challenger, found)


def _measured(
    workspace: Workspace, model: LoadedModel, challenger: ModelVersion, found: dict[str, Any]
) -> Iterator[Day]:
    labels, numbers = found["label"], np.asarray(found["day"], dtype=np.int64)
    known, truth = ~np.ma.getmaskarray(labels), np.ma.getdata(labels)
    ours = np.asarray(found["output"], dtype=np.float64)
    inputs = challenger.signature.inputs if challenger.signature else ()
    theirs = model.predict({field.name: found[f"input_{field.name}"] for field in inputs})
    check = workspace.config.checks.performance
    measure, sign = measured(check, check.metric), -1 if is_loss(check.metric) else 1
    for number in np.unique(numbers).tolist():
        whole = numbers == number
        rows = whole & known
        count, gain = int(rows.sum()), None
        if count >= LEAST_ROWS:
            with suppress(InvalidInput):  # of one class only, say
                after, before = (estimate(measure, truth[rows], one[rows]).value for one in (theirs, ours))
                gain = sign * (after - before)
        yield Day(number, int(whole.sum()), count, gain)


def _rows(
    workspace: Workspace,
    production: ModelVersion,
    challenger: ModelVersion,
    since: datetime,
    until: datetime,
) -> dict[str, Any]:
    inputs = challenger.signature.inputs if challenger.signature else ()
    names = "".join(f", {quote(f'input_{field.name}')}" for field in inputs)
    micros = int(_DAY / timedelta(microseconds=1))
    return PredictionLog(workspace).scan(
        production.model,
        f'SELECT label, output, epoch_us("at") // {micros} AS day{names} '  # noqa: S608 - names are quoted
        f"FROM log WHERE version = {production.number} ORDER BY prediction_id",
        since=since,
        until=until,
        known_by=workspace.clock.now(),
        inputs=inputs,
        only=[f"input_{field.name}" for field in inputs],
    )
