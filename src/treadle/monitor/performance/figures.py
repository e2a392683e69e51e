"""A window's figures of performance: realised, estimated, and the one against the other."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import Measure, measured
from treadle.kernel.config.base import Metric
from treadle.kernel.engine import quote
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import findings, rules, store
from treadle.monitor.findings import Window
from treadle.monitor.log import PredictionLog
from treadle.monitor.performance.alarms import judged
from treadle.monitor.performance.delays import coverage, delay_curve
from treadle.monitor.performance.losses import PREDICTION
from treadle.monitor.performance.results import estimated_result, gap_result, immature
from treadle.monitor.profile import count, counts, histogram_sql
from treadle.monitor.sequential import run_length
from treadle.monitor.types import Profile, WindowResult
from treadle.registry import ModelVersion

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

_INSTANT = timedelta(microseconds=1)

Results: TypeAlias = list[WindowResult]


class Performance:
    """How good versions are in windows of live traffic.

    Args:
        workspace: Where findings are kept.
        log: The prediction log.
    """

    def __init__(self, workspace: Workspace, log: PredictionLog) -> None:
        self._ws = workspace
        self._config = rules.shared(workspace.config.monitor)
        self._log = log

    def results(self, window: Window, version: ModelVersion, profile: Profile) -> Results:
        """A window's figures: realised first.

        Args:
            window: The window.
            version: The version in production at its end.
            profile: The version's profile.
        """
        check = self._ws.config.checks.performance
        measure = measured(check, msgspec.convert(profile.metric, Metric))
        realised, gap = self._realised(window, profile, measure)
        estimated = self._estimated(window, version, profile, measure)
        found = [one for one in (realised, estimated, gap) if one is not None]
        wanted = run_length(self._config.false_alarms, window.length)
        return judged(found, self._before(window), wanted)

    def _before(self, window: Window) -> Results:
        """What gathered evidence in the version's earlier windows."""
        with self._ws.database.read() as connection:
            kept = store.read_windows(connection, window.model, kind="estimated", version=window.version)
        return [one for one in kept if one.until < window.until]  # all, unless it is computed again

    def _realised(
        self, window: Window, profile: Profile, measure: Measure
    ) -> tuple[WindowResult, WindowResult | None]:
        """The metric over the lookback, and the window's own cohort against its estimate: one query."""
        after = self._config.labels_after
        due = parse_duration(after) if after else timedelta(0)
        wide = findings.performance_window(self._config, window)
        rows = msgspec.structs.replace(wide, since=wide.since - due, until=wide.until - due)
        start, length = rules.epoch_us(rows.since), rules.cluster_length(rows.length) // _INSTANT
        found = self._log.scan(
            window.model,
            'SELECT label, output, epoch_us("at") AS moment, '  # noqa: S608 - numbers
            f'(epoch_us("at") - {start}) // {length} AS cluster, '
            'epoch_us(labelled_at) - epoch_us("at") AS delay '
            f"FROM log WHERE version = {window.version} ORDER BY prediction_id",
            since=rows.since,
            until=rows.until,
            known_by=window.until,
        )
        labels, outputs = found["label"], np.asarray(found["output"], dtype=np.float64)
        clusters = np.asarray(found["cluster"], dtype=np.int64)
        moments = np.asarray(found["moment"], dtype=np.int64)
        share, longest = self._maturity(window, found, moments)
        realised = findings.performance_result(
            wide,
            profile,
            labels,
            outputs,
            clusters,
            window.length,
            self._config,
            self._ws.config.checks.performance,
            binary=self._ws.config.project.task == "binary",
            immature=immature(share, longest, self._config.mature),
        )
        own = moments >= rules.epoch_us(window.since - due)
        cohort = msgspec.structs.replace(window, since=window.since - due)
        return realised, gap_result(
            cohort, profile, measure, labels[own], outputs[own], clusters[own], self._config
        )

    def _maturity(
        self, window: Window, found: dict[str, Column], moments: npt.NDArray[np.int64]
    ) -> tuple[float, timedelta]:
        """Which share of the labels to come is there, and how long that share takes that must be."""
        labelled = ~np.ma.getmaskarray(found["label"])
        ages = (rules.epoch_us(window.until) - moments) / 1e6
        taken = np.asarray(np.ma.filled(found["delay"], 0), dtype=np.float64) / 1e6
        delays = np.where(labelled, taken, ages)
        curve = delay_curve(delays, labelled.astype(np.float64))
        if not curve.ever:
            return 0.0, timedelta(0)
        return coverage(curve, ages), timedelta(seconds=curve.delay(self._config.mature))

    def _estimated(
        self, window: Window, version: ModelVersion, profile: Profile, measure: Measure
    ) -> WindowResult | None:
        if profile.calibrator is None and profile.losses is None:
            return None
        inputs = version.signature.inputs if version.signature else ()
        scan = partial(self._log.scan, window.model, since=window.since, until=window.until)
        own = f"FROM log WHERE version = {window.version}"
        outputs = scan(f"SELECT output {own} ORDER BY prediction_id")
        histograms = {}
        if profile.losses is not None:
            shapes = {name: profile.inputs[name] for name in profile.losses.terms if name != PREDICTION}
            columns = [(shape, quote(f"input_{name}")) for name, shape in shapes.items()]
            columns.append((profile.prediction, "output"))
            counted = scan(
                # The relation that is counted in holds the version's own rows alone.
                f"SELECT * FROM (WITH log AS (SELECT * {own}) {histogram_sql(columns)})",  # noqa: S608
                inputs=inputs,
            )
            here = count([shape for shape, _ in columns], counted)
            histograms = dict(zip([*shapes, PREDICTION], map(counts, here), strict=True))
        return estimated_result(
            window, profile, measure, np.asarray(outputs["output"]), histograms, self._config
        )
