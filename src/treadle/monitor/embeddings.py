"""Drift of vectors: embeddings of texts, images or anything else that callers log, or that inputs make up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.kernel.config.monitor import EmbeddingConfig
from treadle.kernel.engine import quote
from treadle.kernel.errors import TreadleError
from treadle.kernel.workspace import Workspace
from treadle.monitor import rules
from treadle.monitor.findings import Window
from treadle.monitor.kernels import discrepancy
from treadle.monitor.log import PredictionLog
from treadle.monitor.multivariate import separation
from treadle.monitor.references import References
from treadle.monitor.seasons import Held
from treadle.monitor.types import WindowResult
from treadle.registry import ModelVersion

Vectors = npt.NDArray[np.float64]


class Embeddings:
    """Compares the vectors of windows with those of training, or of the weeks before.

    Args:
        workspace: Where the reference files are.
        log: The prediction log.
        references: The rows of training.
    """

    def __init__(self, workspace: Workspace, log: PredictionLog, references: References) -> None:
        self._ws = workspace
        self._config = rules.shared(workspace.config.monitor)
        self._log = log
        self._references = references

    def results(self, window: Window, version: ModelVersion, held: Held) -> list[WindowResult]:
        """A finding for each declared embedding.

        Args:
            window: The window.
            version: The version in production at its end.
            held: What the window is held against.
        """
        declared = self._config.embeddings
        alpha = rules.level(self._config.false_alarms, window.length) / max(len(declared), 1)
        return [self._one(window, version, held, name, how, alpha) for name, how in declared.items()]

    def _one(
        self, window: Window, version: ModelVersion, held: Held, name: str, how: EmbeddingConfig, alpha: float
    ) -> WindowResult:
        after, of = self._logged((window,), version, name, how), "training"
        before: Vectors | None
        if held.slots:
            before, of = self._logged(held.slots, version, name, how), "the weeks before"
        else:
            before = self._training(version, name, how)
        if before is None:
            where = f" in a column {name!r} of {how.reference}" if how.reference else ""
            why = f"there are no vectors of training{where} to hold it against"
            return _silent(window, name, how, len(after), why)
        if len(before) and len(after) and before.shape[1] != after.shape[1]:
            why = f"vectors have {after.shape[1]:,} numbers, those of {of} {before.shape[1]:,}"
            return _silent(window, name, how, len(after), why)
        needed, rows = self._config.min_rows, f"{len(after):,} vectors beside {len(before):,} of {of}"
        if min(len(before), len(after)) < needed:
            return _silent(window, name, how, len(after), f"{rows} are too few to tell ({needed:,} needed)")
        if how.statistic == "mmd":
            found = discrepancy(before, after, alpha)
            value, chance, p_value = found
        else:
            told = separation({name: _scaled(before, before)}, {name: _scaled(after, before)}, alpha)
            value, chance, p_value = told.auc, told.chance, told.p_value
        return _result(window, name, how, (value, chance, p_value), len(after), rows)

    def _logged(
        self, stretches: Sequence[Window], version: ModelVersion, name: str, how: EmbeddingConfig
    ) -> Vectors:
        """A sample of the vectors of some stretches of time, evenly from each; what has none is left out."""
        columns = [quote(f"input_{one}") for one in _parts(version, how)]
        there = " AND ".join(f"isfinite({one})" for one in columns)
        if how.size:
            columns = [quote(f"embedding_{name}")]
            there = f"len({columns[0]}) = {how.size}"
        if not columns:
            return np.empty((0, 0))
        sql = (
            f"SELECT {', '.join(columns)} FROM log WHERE {there} "  # noqa: S608 - quoted
            f"ORDER BY hash(prediction_id), prediction_id LIMIT {-(-how.sample // len(stretches))}"
        )
        parts = []
        for one in stretches:
            found = self._log.scan(
                one.model,
                sql,
                since=one.since,
                until=one.until,
                inputs=version.signature.inputs if version.signature else (),
                embeddings=[name] if how.size else [],
            )
            parts.append(_stacked(list(found.values()), how.size))
        return np.vstack(parts)

    def _training(self, version: ModelVersion, name: str, how: EmbeddingConfig) -> Vectors | None:
        if how.inputs:
            names = _parts(version, how)
            rows = self._references.sample(version, names, how.sample) if names else None
            if rows is None:
                return None
            made = _stacked([rows[one] for one in names], None)
            return made[np.isfinite(made).all(axis=1)]
        column, tables = quote(name), {"file": [self._ws.root / str(how.reference)]}
        try:
            known = self._ws.engine.rows("SELECT column_name FROM (DESCRIBE FROM file)", (), tables)
            if (name,) not in known:
                return None
            # The file has an order of its own: its rows' numbers are the same every time.
            found = self._ws.engine.columns(
                f"SELECT v FROM (SELECT {column}::FLOAT[] AS v, row_number() OVER () AS number_ "  # noqa: S608 - quoted
                f"FROM file WHERE {column} IS NOT NULL) WHERE len(v) = {how.size} AND len(list_filter(v, "
                f"lambda x: isfinite(x))) = {how.size} ORDER BY hash(number_), number_ LIMIT {how.sample}",
                (),
                tables,
            )
        except TreadleError:  # deleted, or unreadable
            return None
        return _stacked([found["v"]], how.size)


def _parts(version: ModelVersion, how: EmbeddingConfig) -> list[str]:
    """The inputs that make the vector, in the model's order."""
    if not how.inputs or version.signature is None:
        return []
    inputs = version.signature.inputs
    return [one.name for one in inputs if one.name.startswith(how.inputs) and one.kind != "string"]


def _stacked(columns: list[Any], size: int | None) -> Vectors:
    """Rows of numbers: of one column of vectors, or of many of numbers."""
    if columns and columns[0].dtype == object:
        rows = [np.asarray(row, dtype=np.float64) for row in columns[0]]
        return np.vstack(rows) if rows else np.empty((0, size or 0))
    return np.column_stack([np.ma.filled(np.ma.asarray(one, dtype=np.float64), np.nan) for one in columns])


def _scaled(rows: Vectors, reference: Vectors) -> Vectors:
    """Each number in deviations of the reference."""
    spread = reference.std(axis=0)
    made: Vectors = (rows - reference.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return made


def _silent(window: Window, name: str, how: EmbeddingConfig, n: int, sentence: str) -> WindowResult:
    return WindowResult(
        model=window.model,
        kind="multivariate",
        subject=name,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=how.statistic,
        value=None,
        n=n,
        sentence=f"{name}: {sentence}",
    )


def _result(
    window: Window, name: str, how: EmbeddingConfig, found: tuple[float, float, float], n: int, rows: str
) -> WindowResult:
    value, chance, p_value = found
    threshold, neutral = how.matters, 0.5 if how.statistic == "auc" else 0.0
    called = f"{name}: {how.statistic.upper()} {value:.3f}"
    state: Any = "ok" if value <= threshold else "alert" if value > chance else "inconclusive"
    told = {
        "ok": f"{called}, under {threshold:g}, in {rows}",
        "alert": f"{called}, over {threshold:g} and over the {chance:.3f} that chance gives in {rows}",
        "inconclusive": f"{called} is over {threshold:g}, but chance alone gives up to {chance:.3f}; {rows}",
    }[state]
    return WindowResult(
        model=window.model,
        kind="multivariate",
        subject=name,
        since=window.since,
        until=window.until,
        version=window.version,
        state=state,
        statistic=how.statistic,
        value=value,
        limit=max(threshold, chance),
        threshold=threshold,
        chance=chance,
        p_value=p_value,
        n=n,
        severity=rules.severity(value - neutral, threshold - neutral) if state == "alert" else None,
        sentence=told,
    )
