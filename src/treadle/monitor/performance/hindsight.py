"""A past window's performance as it was known at a moment: labels come late, and are corrected.

A label has two times: ``known_at``, when it became known to who sends it, and ``recorded_at``, when it was
handed in here. The one asks what could have been known, the other what this log could have told; clocks may
disagree, so neither follows from the other. A window's kept finding is of the labels with ``known_at`` up to
its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import findings, rules, store
from treadle.monitor.findings import Window
from treadle.monitor.log import PredictionLog, check_model
from treadle.monitor.performance.calibrating import Floats
from treadle.monitor.performance.delays import DelayCurve, delay_curve, newest, ripe
from treadle.monitor.performance.results import immature
from treadle.monitor.profile import decode_profile
from treadle.monitor.types import Hindsight, WindowResult
from treadle.registry import Registry

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

_INSTANT = timedelta(microseconds=1)


class Hindsights:
    """Looks back at windows that were computed.

    Args:
        workspace: Where the log and the findings are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._config = rules.shared(workspace.config.monitor)
        self._log = PredictionLog(workspace)

    def performance(
        self,
        model: str,
        as_of: datetime,
        since: datetime | None = None,
        recorded_by: datetime | None = None,
    ) -> list[Hindsight]:
        """How good windows were, by what was known at a moment; changes nothing.

        Args:
            model: The model.
            as_of: Only labels that were known by then.
            since: Of the windows that ended later, up to ``as_of``; of the last one alone when None.
            recorded_by: Only predictions and labels that had been handed in by then; any when None.

        Returns:
            A window each, oldest first.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If rows have been deleted that the first of the windows was made of.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            kept = store.read_windows(connection, model, since)
        windows: dict[datetime, list[WindowResult]] = {}
        for one in kept:
            if one.until <= as_of:
                windows.setdefault(one.until, []).append(one)
        chosen = sorted(windows)[-1:] if since is None else sorted(windows)
        if chosen:
            # What looks back begins earlier than its window does.
            self._log.require(model, max(one.since for one in windows[chosen[0]]))
        found = [self._one(model, until, windows[until], as_of, recorded_by) for until in chosen]
        return [one for one in found if one is not None]

    def _one(
        self,
        model: str,
        until: datetime,
        kept: list[WindowResult],
        as_of: datetime,
        recorded_by: datetime | None,
    ) -> Hindsight | None:
        version = Registry(self._ws).production(model, at=until - _INSTANT)
        if version is None or not version.profile:
            return None
        since = max(one.since for one in kept)
        window = Window(model=model, version=version.number, since=since, until=until)
        profile = decode_profile(self._ws.blobs.get(version.profile))
        wide = findings.performance_window(self._config, window)
        due = parse_duration(self._config.labels_after) if self._config.labels_after else timedelta(0)
        rows = msgspec.structs.replace(wide, since=wide.since - due, until=wide.until - due)
        before, after = self._scan(rows, until, None), self._scan(rows, as_of, recorded_by)
        ages, curve = _delays(after, as_of)
        old = ripe(curve, ages, self._config.mature)
        now = findings.performance_result(
            wide,
            profile,
            after["label"][old],
            np.asarray(after["output"], dtype=np.float64)[old],
            np.asarray(after["cluster"], dtype=np.int64)[old],
            window.length,
            self._config,
            self._ws.config.checks.performance,
            binary=self._ws.config.project.task == "binary",
            immature=immature(curve, ages[old], self._config.mature),
            newest=newest(as_of, ages, old),
        )
        came, corrected = _compare(before, after)
        then = [one for one in kept if one.kind == "performance" and not one.segment]
        return Hindsight(then=then[0] if then else None, now=now, as_of=as_of, came=came, corrected=corrected)

    def _scan(self, rows: Window, known_by: datetime, recorded_by: datetime | None) -> dict[str, Column]:
        start, length = rules.epoch_us(rows.since), rules.cluster_length(rows.length) // _INSTANT
        return self._log.scan(
            rows.model,
            'SELECT prediction_id, label, output, epoch_us("at") AS moment, '  # noqa: S608 - numbers
            f'(epoch_us("at") - {start}) // {length} AS cluster, '
            'epoch_us(labelled_at) - epoch_us("at") AS delay '
            f"FROM log WHERE version = {rows.version} ORDER BY prediction_id",
            since=rows.since,
            until=rows.until,
            known_by=known_by,
            recorded_by=recorded_by,
            most=self._config.performance_rows,
        )


def _delays(found: dict[str, Column], as_of: datetime) -> tuple[Floats, DelayCurve]:
    """How old predictions were at that moment, in seconds, and how their labels come."""
    labelled = ~np.ma.getmaskarray(found["label"])
    ages = (rules.epoch_us(as_of) - np.asarray(found["moment"], dtype=np.int64)) / 1e6
    taken = np.asarray(np.ma.filled(found["delay"], 0), dtype=np.float64) / 1e6
    return ages, delay_curve(np.where(labelled, taken, ages), labelled.astype(np.float64))


def _compare(before: dict[str, Column], after: dict[str, Column]) -> tuple[int, int]:
    """How many labels are there only afterwards, and how many are others than before."""
    had, has = _labels(before), _labels(after)
    corrected = sum(had.get(key, label) != label for key, label in has.items())
    return len(has.keys() - had.keys()), corrected


def _labels(found: dict[str, Column]) -> dict[str, float]:
    labels = np.ma.asarray(found["label"]).tolist()
    both = zip(found["prediction_id"].tolist(), labels, strict=True)
    return {key: label for key, label in both if label is not None}
