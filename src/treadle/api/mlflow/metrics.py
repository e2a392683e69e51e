"""Metrics: logged one by one or in batches, and read back as curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from treadle.api.mlflow.entities import MetricOut, Number, Tag, texts_in
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute, Written
from treadle.api.mlflow.wire import absent, required
from treadle.experiment import Curve, ModelMetric, evenly, limits, page_of
from treadle.experiment.types import Sample, Value, portable
from treadle.kernel.errors import InvalidInput

MOST_BYTES = 1_000_000
PAGE = 25_000
_RUNS_AT_ONCE = 100
_POINTS_A_RUN = 2500

Texts: TypeAlias = Mapping[str, str]


class _Metric(msgspec.Struct):
    key: str
    value: Number
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class _LogMetric(_Metric, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""


class _LogBatch(msgspec.Struct):
    run_id: str = ""
    metrics: list[_Metric] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class _History(msgspec.Struct):
    metric_key: str
    run_id: str = ""
    run_uuid: str = ""
    max_results: int | None = None
    page_token: str | None = None


class HistoryPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points of a curve."""

    metrics: list[MetricOut] = []
    next_page_token: str | None = None


class _Bulk(msgspec.Struct):
    metric_key: str = ""
    run_id: list[str] = []
    max_results: int = PAGE


class _Interval(msgspec.Struct):
    metric_key: str = ""
    run_ids: list[str] = []
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = _POINTS_A_RUN


class RunMetricOut(msgspec.Struct, frozen=True):
    """A value of a metric in a run."""

    key: str
    value: Value
    timestamp: int
    step: int
    run_id: str


class Bulk(msgspec.Struct, frozen=True):
    """Points of a curve in several runs."""

    metrics: list[RunMetricOut]


def _sample(metric: _Metric) -> Sample:
    value = metric.value
    if not isinstance(value, float):
        try:
            value = float(value)
        except ValueError:
            raise InvalidInput(f"{value!r:.60} is not a number", where=f"metric {metric.key!r}") from None
    at = limits.check_moment(metric.timestamp, f"metric {metric.key!r}")
    return Sample(metric.key, limits.clamped(value), at, limits.check_step(metric.step, metric.key))


def _log_metric(ask: Ask) -> Written | Callable[[], Empty]:
    asked = ask.read(_LogMetric)
    return _log(ask, required(asked.run_id or asked.run_uuid, "run_id"), [asked])


def _log_batch(ask: Ask) -> Written | Callable[[], Empty]:
    if len(ask.body) > MOST_BYTES:
        raise InvalidInput(f"a batch has up to {MOST_BYTES:,} bytes, not {len(ask.body):,}")
    asked = ask.read(_LogBatch)
    return _log(
        ask, required(asked.run_id, "run_id"), asked.metrics, _distinct(asked.params), texts_in(asked.tags)
    )


def _log(
    ask: Ask, run: str, metrics: Sequence[_Metric], params: Texts | None = None, tags: Texts | None = None
) -> Written | Callable[[], Empty]:
    """Points alone are written in groups with those of others; anything else in a transaction of its own."""
    samples = [_sample(metric) for metric in metrics]
    measured = [
        ModelMetric(
            model=metric.model_id,
            name=sample.name,
            value=sample.value,
            at=sample.at,
            step=sample.step,
            run=run,
            dataset_name=metric.dataset_name,
            dataset_digest=metric.dataset_digest,
        )
        for metric, sample in zip(metrics, samples, strict=True)
        if metric.model_id
    ]
    if samples and not (params or tags or measured):
        return Written(ask.rooms.tracking.appending(run, samples), _done)

    def log() -> Empty:
        ask.rooms.tracking.log_batch(run, samples, params, tags, measured)
        return Empty()

    return log


def _done(_: None) -> Empty:
    return Empty()


def _distinct(params: Sequence[Tag]) -> dict[str, str]:
    found = texts_in(params)
    if len(found) != len(params):
        names = [param.key for param in params]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput(f"Duplicate parameter keys have been submitted: {', '.join(twice)}")
    return found


def _history(ask: Ask) -> HistoryPage:
    asked = ask.read(_History)
    if asked.max_results is not None and asked.max_results <= 0:
        raise InvalidInput(f"max_results can't be {asked.max_results}", where="max_results")
    curve = ask.rooms.tracking.curve(asked.run_id or asked.run_uuid, asked.metric_key)
    token = None
    if asked.max_results is not None or asked.page_token:
        curve, token = page_of(curve, asked.page_token or None, min(asked.max_results or PAGE, PAGE))
    return HistoryPage([MetricOut(asked.metric_key, *point) for point in _points(curve)], token)


def _points(curve: Curve) -> list[tuple[Value, int, int]]:
    columns = zip(curve.values.tolist(), (curve.at // 1000).tolist(), curve.steps.tolist(), strict=True)
    return [(portable(value), at, step) for value, at, step in columns]


def _bulk(ask: Ask) -> Bulk:
    asked = ask.read(_Bulk)
    if not asked.run_id:
        raise InvalidInput("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(asked.run_id) > _RUNS_AT_ONCE:
        raise InvalidInput(
            f"GetMetricHistoryBulk request cannot specify more than {_RUNS_AT_ONCE} run_ids,"
            f" not {len(asked.run_id):,}"
        )
    if not asked.metric_key:
        raise InvalidInput("GetMetricHistoryBulk request must specify a metric_key.")
    found = ask.rooms.tracking.curves(sorted(asked.run_id), asked.metric_key)
    left = min(asked.max_results, PAGE)
    out: list[RunMetricOut] = []
    for run, curve in found.items():
        out += [RunMetricOut(asked.metric_key, *p, run) for p in _points(curve.take(slice(left - len(out))))]
    return Bulk(out)


def _interval(ask: Ask) -> Bulk:
    asked = ask.read(_Interval)
    if not asked.run_ids:
        raise absent("run_ids")
    if len(asked.run_ids) > _RUNS_AT_ONCE:
        raise InvalidInput(
            f"GetMetricHistoryBulkInterval request must specify at most {_RUNS_AT_ONCE} run_ids."
            f" Received {len(asked.run_ids):,} run_ids."
        )
    required(asked.metric_key, "metric_key")
    if (asked.start_step is None) != (asked.end_step is None):
        raise InvalidInput("If either start step or end step are specified, both must be specified.")
    if asked.start_step is not None and asked.end_step is not None and asked.start_step > asked.end_step:
        raise InvalidInput(
            "end_step must be greater than start_step."
            f" Found start_step={asked.start_step} and end_step={asked.end_step}."
        )
    if not 1 <= asked.max_results <= _POINTS_A_RUN:
        raise InvalidInput(f"max_results must be between 1 and {_POINTS_A_RUN}, not {asked.max_results}")
    curves = evenly(
        ask.rooms.tracking.curves(asked.run_ids, asked.metric_key),
        asked.start_step,
        asked.end_step,
        asked.max_results,
    )
    return Bulk(
        [RunMetricOut(asked.metric_key, *p, run) for run, curve in curves.items() for p in _points(curve)]
    )


ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("POST", "/runs/log-metric", _log_metric, quick=True),
    MlflowRoute("POST", "/runs/log-batch", _log_batch, quick=True),
    MlflowRoute("GET", "/metrics/get-history", _history),
    MlflowRoute("GET", "/metrics/get-history-bulk", _bulk),
    MlflowRoute("GET", "/metrics/get-history-bulk-interval", _interval),
)
