"""The server's figures for Prometheus, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from treadle.deploy.replica.guard import resident
from treadle.deploy.replica.holder import Holder

_COUNTERS = {
    "treadle_rows": ("Rows predicted.", "rows"),
    "treadle_model_failures": (
        "Sound requests that the model failed at, or answered against its signature.",
        "model_failures",
    ),
    "treadle_unlogged_rows": (
        "Rows answered whose predictions were not written down, refused or given up.",
        "unlogged",
    ),
    "treadle_swaps": ("Versions put to work.", "swaps"),
    "treadle_loads": ("Times that it was loaded because it was asked.", "loads"),
    "treadle_unloads": ("Times that it was let go of to make room.", "unloads"),
}
_MODEL = ["model"]


class Metrics:
    """A Prometheus collector.

    Args:
        holders: The models.
        queue: How many requests wait.
        in_hand: How many are begun and not answered.
    """

    def __init__(
        self, holders: Sequence[Holder], queue: Callable[[], int], in_hand: Callable[[], int]
    ) -> None:
        self._holders = holders
        self._queue = queue
        self._in_hand = in_hand

    def collect(self) -> Iterator[Metric]:
        """The figures, for a Prometheus registry."""
        requests = CounterMetricFamily(
            "treadle_requests", "Inference requests answered, by HTTP status.", labels=["model", "code"]
        )
        seconds = HistogramMetricFamily(
            "treadle_request_seconds", "Time to answer an inference request.", labels=_MODEL
        )
        batches = HistogramMetricFamily("treadle_batch_rows", "Rows predicted together.", labels=_MODEL)
        journals = GaugeMetricFamily(
            "treadle_journal_bytes", "Predictions that the platform has not taken yet.", labels=_MODEL
        )
        counters = [CounterMetricFamily(name, text, labels=_MODEL) for name, (text, _) in _COUNTERS.items()]
        for holder in self._holders:
            model, stats = [holder.desk.model], holder.desk.stats
            for code, count in sorted(stats.codes.copy().items()):
                requests.add_metric([*model, str(code)], count)
            stats.seconds.add_to(seconds, model)
            stats.batches.add_to(batches, model)
            for family, (_, name) in zip(counters, _COUNTERS.values(), strict=True):
                family.add_metric(model, getattr(stats, name))
            journals.add_metric(model, holder.desk.journal.backlog() if holder.desk.journal else 0)
        yield from (requests, seconds, batches, *counters, journals)
        yield GaugeMetricFamily("treadle_queue_length", "Requests that wait.", value=self._queue())
        yield GaugeMetricFamily(
            "treadle_requests_in_hand", "Requests begun and not answered.", value=self._in_hand()
        )
        yield GaugeMetricFamily("treadle_memory_bytes", "Resident memory of the process.", value=resident())
        yield self._models()

    def _models(self) -> Metric:
        info = GaugeMetricFamily(
            "treadle_model_info", "What answers.", labels=["model", "version", "revision"]
        )
        for holder in self._holders:
            served = holder.current
            if served:
                info.add_metric([holder.desk.model, str(served.version), str(served.revision)], 1)
        return info
