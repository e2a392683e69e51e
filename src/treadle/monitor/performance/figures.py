"""A window's figures of performance: realised, estimated, and the one against the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import Measure, measured
from treadle.kernel.config.base import Metric
from treadle.kernel.config.monitor import FairnessConfig
from treadle.kernel.engine import quote
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import findings, rules, store
from treadle.monitor.counting import counted as counted_shapes
from treadle.monitor.counting import counting
from treadle.monitor.findings import Window
from treadle.monitor.log import PredictionLog
from treadle.monitor.parts import code_sql, names
from treadle.monitor.performance.alarms import explained, judged
from treadle.monitor.performance.by_part import Cohort, Histograms, estimated_results, realised_results
from treadle.monitor.performance.delays import DelayCurve, delay_curve, newest, ripe
from treadle.monitor.performance.fairness import (
    WITHOUT_LABELS,
    counted,
    decided,
    fairness_results,
    reference,
)
from treadle.monitor.performance.losses import PREDICTION
from treadle.monitor.performance.results import estimated_result, gap_result, immature
from treadle.monitor.profile import Shape, bin_sql, counts
from treadle.monitor.sequential import run_length
from treadle.monitor.types import LossModel, Profile, SegmentProfile, WindowResult
from treadle.registry import Field, ModelVersion

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

_INSTANT = timedelta(microseconds=1)
_RECENT = timedelta(days=28)

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
        decisions = self._decisions(window, version, profile, measure)
        found = [
            *self._realised(window, version, profile, measure, set(decisions)),
            *self._estimated(window, version, profile, measure),
            *(one for results in decisions.values() for one in results),
        ]
        found.sort(key=lambda one: bool(one.segment))
        wanted = run_length(self._config.false_alarms, window.length)
        return explained(judged(found, self._before(window), wanted))

    def labels_after(self, model: str) -> timedelta | None:
        """How long it takes until as many labels are there as a figure needs; None where none have come."""
        days = self._log.days(model)
        if not days:
            return None
        until = rules.midnight(days[-1]) + timedelta(days=1)
        seen = max(until, self._ws.clock.now())
        found = self._log.scan(
            model,
            'SELECT label, epoch_us("at") AS moment, '
            'epoch_us(labelled_at) - epoch_us("at") AS delay FROM log',
            since=until - _RECENT,
            until=until,
            known_by=seen,
            most=self._config.performance_rows,
            only=[],
        )
        window = Window(model=model, version=0, since=until - _RECENT, until=seen)
        curve = self._delays(window, found, np.asarray(found["moment"], dtype=np.int64))
        return timedelta(seconds=curve.delay(self._config.mature)) if curve.ever else None

    def _before(self, window: Window) -> Results:
        """What gathered evidence in the version's earlier windows."""
        with self._ws.database.read() as connection:
            kept = store.read_windows(connection, window.model, version=window.version, evidence=True)
        return [one for one in kept if one.until < window.until]  # all, unless it is computed again

    def _realised(
        self,
        window: Window,
        version: ModelVersion,
        profile: Profile,
        measure: Measure,
        early: AbstractSet[str],
    ) -> Iterator[WindowResult]:
        """The metric over the lookback, the window's own cohort against its estimate, and by segment."""
        after = self._config.labels_after
        due = parse_duration(after) if after else timedelta(0)
        wide = findings.performance_window(self._config, window)
        rows = msgspec.structs.replace(wide, since=wide.since - due, until=wide.until - due)
        start, length = rules.epoch_us(rows.since), rules.cluster_length(rows.length) // _INSTANT
        sent = self._sent()
        found = self._log.scan(
            window.model,
            'SELECT label, output, one_in, epoch_us("at") AS moment, '  # noqa: S608 - numbers
            f'(epoch_us("at") - {start}) // {length} AS cluster, '
            f'epoch_us(labelled_at) - epoch_us("at") AS delay{_codes_sql(profile)}{_sent_sql(sent)} '
            f"FROM log WHERE version = {window.version} ORDER BY prediction_id",
            since=rows.since,
            until=rows.until,
            known_by=window.until,
            inputs=_inputs(version),
            most=self._config.performance_rows,
            groups=list(sent),
        )
        one_in = int(found["one_in"][0]) if len(found["one_in"]) else 1
        labels, outputs = found["label"], np.asarray(found["output"], dtype=np.float64)
        clusters = np.asarray(found["cluster"], dtype=np.int64)
        moments = np.asarray(found["moment"], dtype=np.int64)
        ages = (rules.epoch_us(window.until) - moments) / 1e6
        curve, mature = self._delays(window, found, moments), self._config.mature
        old = ripe(curve, ages, mature)
        realised = findings.performance_result(
            wide,
            profile,
            labels[old],
            outputs[old],
            clusters[old],
            window.length,
            self._config,
            self._ws.config.checks.performance,
            binary=self._ws.config.project.task == "binary",
            immature=immature(curve, ages[old], mature),
            newest=newest(window.until, ages, old),
            one_in=one_in,
        )
        yield self._told_of_strays(realised, rows, len(outputs))
        own = moments >= rules.epoch_us(window.since - due)
        stretch = msgspec.structs.replace(window, since=window.since - due)
        cohort = Cohort(
            labels[own],
            outputs[own],
            clusters[own],
            {
                name: codes[own]
                for name, codes in (_codes(profile, found) | _numbered(found, "sent", sent)).items()
            },
            one_in,
        )
        gap = gap_result(
            stretch, profile, measure, cohort.labels, cohort.outputs, cohort.clusters, self._config
        )
        if gap is not None:
            yield gap
        why = immature(curve, ages[own], mature)
        yield from realised_results(stretch, profile, measure, cohort, self._config, why)
        yield from self._outcomes(stretch, profile, measure, cohort, why, early)

    def _told_of_strays(self, found: WindowResult, rows: Window, predictions: int) -> WindowResult:
        """A figure that lacks labels, and whether there are some that find no prediction.

        Labels under other identities than predictions have are no error of one request, and are seen by
        nobody else. Looked for only where there are predictions enough and labels too few.
        """
        least = max(self._config.min_rows, 1)
        if found.n >= least or predictions < least:
            return found
        labels, astray = self._log.strays(rows.model, rows.since, found.until)
        if 2 * astray <= labels:
            return found
        what = (
            f"{astray:,} of the {labels:,} labels that became known since {rows.since:%Y-%m-%d} name no "
            "prediction since then: are their ids those of the predictions?"
        )
        return msgspec.structs.replace(found, sentence=f"{found.sentence}; {what}")

    def _outcomes(
        self,
        cohort: Window,
        profile: Profile,
        measure: Measure,
        rows: Cohort,
        immature: str,
        early: AbstractSet[str],
    ) -> Iterator[WindowResult]:
        """How alike groups are treated by those measures that take labels, or groups that come with them.

        What is ``early`` is known of the window itself.
        """
        known = ~np.ma.getmaskarray(rows.labels)
        labels = np.asarray(rows.labels)[known] == 1
        decisions = decided(rows.outputs[known], measure.threshold)
        for name, segment, config in self._groups(profile):
            named = names(segment)
            codes, clusters = rows.codes[name][known], rows.clusters[known]
            groups = dict(zip(named, counted(codes, clusters, labels, decisions, len(named)), strict=True))
            yield from fairness_results(
                cohort,
                name,
                groups,
                reference(segment, named, config.reference),
                [one for one in config.measures if one != WITHOUT_LABELS or name not in early],
                config,
                immature,
            )

    def _decisions(
        self, window: Window, version: ModelVersion, profile: Profile, measure: Measure
    ) -> dict[str, Results]:
        """How alike groups are treated by what needs no labels, where most groups came with predictions."""
        wide = findings.performance_window(self._config, window)
        start, length = rules.epoch_us(wide.since), rules.cluster_length(wide.length) // _INSTANT
        made: dict[str, Results] = {}
        for name, segment, config in self._groups(profile):
            if WITHOUT_LABELS not in config.measures:
                continue
            named, column = names(segment), f"{'group' if config.groups else 'input'}_{segment.column}"
            found = self._log.scan(
                window.model,
                f"SELECT {code_sql(segment, quote(column))} AS code, "  # noqa: S608
                f'(epoch_us("at") - {start}) // {length} AS cluster, '
                f"output >= {measure.threshold!r}::DOUBLE AS decided, "
                f"count(*) AS n, count({quote(column)}) AS known "
                f"FROM log WHERE version = {window.version} GROUP BY ALL",
                since=window.since,
                until=window.until,
                inputs=_inputs(version),
                groups=[name] if config.groups else [],
            )
            rows = np.asarray(found["n"], dtype=np.int64)
            if config.groups and 2 * int(np.sum(found["known"])) <= int(rows.sum()):
                continue
            decisions = np.asarray(found["decided"], dtype=np.bool_)
            codes = np.asarray(np.ma.filled(found["code"], -1), dtype=np.intp)
            clusters = np.asarray(found["cluster"], dtype=np.int64)
            by_group = counted(codes, clusters, decisions, decisions, len(named), rows)
            groups = dict(zip(named, by_group, strict=True))
            beside = reference(segment, named, config.reference)
            made[name] = [*fairness_results(window, name, groups, beside, [WITHOUT_LABELS], config)]
        return made

    def _groups(self, profile: Profile) -> Iterator[tuple[str, SegmentProfile, FairnessConfig]]:
        """Segments that are held beside each other, and groups that are sent.

        Segments that the profile lacks aren't.
        """
        found = profile.segments | self._sent()
        for name, config in self._config.fairness.items():
            if name in found:
                yield name, found[name], config

    def _sent(self) -> dict[str, SegmentProfile]:
        """What makes the groups that are sent with predictions or labels."""
        return {
            name: SegmentProfile(column=name, values=[*config.groups], edges=[])
            for name, config in self._config.fairness.items()
            if config.groups
        }

    def _delays(self, window: Window, found: dict[str, Column], moments: npt.NDArray[np.int64]) -> DelayCurve:
        """How labels come."""
        labelled = ~np.ma.getmaskarray(found["label"])
        ages = (rules.epoch_us(window.until) - moments) / 1e6
        taken = np.asarray(np.ma.filled(found["delay"], 0), dtype=np.float64) / 1e6
        return delay_curve(np.where(labelled, taken, ages), labelled.astype(np.float64))

    def _estimated(
        self, window: Window, version: ModelVersion, profile: Profile, measure: Measure
    ) -> Iterator[WindowResult]:
        """The metric that is expected of the window's rows, of all and by segment."""
        if profile.calibrator is None and profile.losses is None:
            return
        scan = partial(
            self._log.scan, window.model, since=window.since, until=window.until, inputs=_inputs(version)
        )
        own = f"FROM log WHERE version = {window.version}"
        found = scan(f"SELECT output{_codes_sql(profile)} {own}")
        outputs = np.asarray(found["output"], dtype=np.float64)
        histograms = self._histograms(profile, scan, own)
        everywhere = estimated_result(window, profile, measure, outputs, histograms.get("", {}), self._config)
        if everywhere is not None:
            yield everywhere
        yield from estimated_results(
            window, profile, measure, outputs, _codes(profile, found), histograms, self._config
        )

    def _histograms(
        self, profile: Profile, scan: Callable[..., dict[str, Column]], own: str
    ) -> dict[str, Histograms]:
        """By segment, and of all rows under no name, each column's histogram, where a loss is estimated."""
        if profile.losses is None:
            return {}
        shapes = {name: profile.inputs[name] for name in profile.losses.terms if name != PREDICTION}
        columns = [(shape, quote(f"input_{name}")) for name, shape in shapes.items()]
        columns.append((profile.prediction, "output"))
        segments = {name: one for name, one in profile.segments.items() if one.figures}
        # The relation that is counted in holds the version's own rows alone.
        found = counting(
            lambda sql, only: scan(
                f"SELECT * FROM (WITH log AS NOT MATERIALIZED (SELECT * {own}) {sql})",  # noqa: S608
                only=only,
            ),
            columns,
            segments,
            prefix="input_",
        )
        everywhere, parts = counted_shapes(columns, segments, (), found)
        here = {"": everywhere, **parts}
        named = [*shapes, PREDICTION]
        found_pairs = self._pairs(profile, profile.losses, scan, own)
        return {
            part: dict(zip(named, map(counts, one), strict=True)) | found_pairs.get(part, {})
            for part, one in here.items()
        }

    def _pairs(
        self, profile: Profile, model: LossModel, scan: Callable[..., dict[str, Column]], own: str
    ) -> dict[str, dict[str, list[int]]]:
        """The same of pairs of columns."""
        shapes: dict[str, tuple[Shape, str]] = {
            name: (shape, quote(f"input_{name}")) for name, shape in profile.inputs.items()
        }
        shapes[PREDICTION] = (profile.prediction, "output")
        by = {"": ("0", [""])}
        by |= {
            name: (code_sql(one, quote(f"input_{one.column}")), names(one))
            for name, one in profile.segments.items()
            if one.figures
        }
        made: dict[str, dict[str, list[int]]] = {}
        for pair in model.pairs:
            one, other = bin_sql(*shapes[pair.one]), bin_sql(*shapes[pair.other])
            where = f"({one}) * {len(counts(shapes[pair.other][0]))} + ({other})"
            for code, named in by.values():
                found = scan(f"SELECT {code} AS code, {where} AS cell, count(*) AS n {own} GROUP BY ALL")
                codes = np.ma.filled(found["code"], -1)
                for part, cell, n in zip(codes, found["cell"], found["n"], strict=True):
                    if part >= 0:
                        here = made.setdefault(named[int(part)], {})
                        here.setdefault(pair.name, [0] * len(pair.terms))[int(cell)] += int(n)
        return made


def _inputs(version: ModelVersion) -> Sequence[Field]:
    return version.signature.inputs if version.signature else ()


def _codes_sql(profile: Profile) -> str:
    """Columns with the number of each row's part, segment by segment."""
    return "".join(
        f", {code_sql(segment, quote(f'input_{segment.column}'))} AS {quote(f'part_{i}')}"
        for i, segment in enumerate(profile.segments.values())
    )


def _sent_sql(groups: Mapping[str, SegmentProfile]) -> str:
    """The same for groups that are sent."""
    return "".join(
        f", {code_sql(segment, quote(f'group_{name}'))} AS {quote(f'sent_{i}')}"
        for i, (name, segment) in enumerate(groups.items())
    )


def _codes(profile: Profile, found: dict[str, Column]) -> dict[str, npt.NDArray[np.intp]]:
    return _numbered(found, "part", profile.segments)


def _numbered(
    found: dict[str, Column], called: str, segments: Iterable[str]
) -> dict[str, npt.NDArray[np.intp]]:
    return {
        name: np.asarray(np.ma.filled(found[f"{called}_{i}"], -1), dtype=np.intp)
        for i, name in enumerate(segments)
    }
