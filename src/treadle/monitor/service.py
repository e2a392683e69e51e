"""Computes windows as they end, raises alerts, and delivers them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias, get_args

import msgspec

from treadle.deploy import service_levels
from treadle.kernel.engine import quote
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.events import record
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import by_segment, drift, findings, multivariate, quality, raising, rules, seasons, store
from treadle.monitor.counting import counted, counting
from treadle.monitor.drops import take_dropped
from treadle.monitor.embeddings import Embeddings
from treadle.monitor.findings import Window
from treadle.monitor.incidents.channels import channels, ways
from treadle.monitor.incidents.grouping import escalate, group, grown, stands
from treadle.monitor.incidents.growth import said
from treadle.monitor.incidents.outbox import Outbox
from treadle.monitor.incidents.rules import severity
from treadle.monitor.log import PredictionLog, check_model
from treadle.monitor.operations import ServiceWatch, service_alert, service_results
from treadle.monitor.payloads.service import settle_payloads
from treadle.monitor.performance.figures import Performance
from treadle.monitor.profile import Shape, decode_profile
from treadle.monitor.references import References
from treadle.monitor.suggest import suggest_monitors
from treadle.monitor.types import (
    Alert,
    Backfill,
    CategoryProfile,
    MonitorKind,
    Profile,
    Summary,
    WindowResult,
    WrittenMonitors,
)
from treadle.registry import ModelVersion, Registry

_log = logging.getLogger("treadle.monitor")
_INSTANT = timedelta(microseconds=1)

Results: TypeAlias = list[WindowResult]
Alerts: TypeAlias = list[Alert]


class Monitors:
    """The monitors of a workspace's models.

    A window is as long as ``[monitor] every``; the first begins at midnight UTC of the day of
    the first prediction, each other where the one before it ended. It is computed once, after
    it has ended, from the predictions that are logged by then and the labels known by its
    end, against the profile of the version in production at its end. So it comes out the
    same whether it is computed at once or after an outage, however many labels came since.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._config = rules.shared(workspace.config.monitor)
        self._log = PredictionLog(workspace)
        self._performance = Performance(workspace, self._log)
        self._references = References(workspace)
        self._embeddings = Embeddings(workspace, self._log, self._references)
        self._ways = ways(self._config.notify)
        self._nobody = not self._config.webhook  # is to get alerts, which count as delivered then

    @property
    def confidence(self) -> float:
        """Of the two-sided interval of a performance figure: both ends at the level of an alert."""
        return 1 - 2 * rules.level(self._config.false_alarms, parse_duration(self._config.every))

    def check_notify(self) -> None:
        """Whether everybody who is to be told can be.

        Raises:
            ConfigError: If an address is none, or the environment lacks a secret.
        """
        channels(self._config)

    def evaluate(self, model: str, until: datetime) -> Results:
        """Computes every window that has ended by a moment and wasn't computed before, in order.

        What was dropped for the log is taken in first.

        Alerts are raised with the window that shows them, and delivered at the end; those
        that could not be delivered before are tried again when their time has come.

        Returns:
            The results of the windows computed now, oldest first.

        Raises:
            NotFound: If there is no such model.
            ConfigError: If people are to be told by a way that can't work; nothing is computed then.
            CorruptData: If the log or a profile can't be read.
            StorageError: If a store can't be read or written.
        """
        check_model(self._ws, model)
        channels(self._config)
        take_dropped(self._ws, model)
        settle_payloads(self._ws)
        every = parse_duration(self._config.every)
        computed: Results = []
        while True:
            before, since = self._next(model)
            if since is None or since + every > until:
                break
            found = self._compute(model, since, since + every)
            if self._keep(model, before, since + every, found):
                computed += found
        with store.changing(self._ws.database, model) as connection:
            escalate(connection, model, until, self._config.notify, self._ways)
        if self._config.keep_log is not None:
            self._log.expire(model, (until - parse_duration(self._config.keep_log)).date(), "monitor")
        self.deliver(model)
        return computed

    def watch_service(
        self, model: str, now: datetime | None = None, watch: ServiceWatch | None = None
    ) -> Alert | None:
        """Raises an alert if nothing answers, an objective has fallen or its error budget burns too fast.

        One alert an incident: as long as that stands and is no worse, it isn't raised again. People are told
        at once.

        Args:
            model: The model.
            now: By the machine's clock, as replicas report.
            watch: What was found before, by whoever looks every few seconds; without it a moment's
                trouble counts.

        Returns:
            The alert that was raised now.
        """
        levels = service_levels(self._ws, model, now)
        production = Registry(self._ws).production(model)
        version = production.number if production else levels.version
        if version is None:
            return None
        found = service_results(levels, version)
        found = watch.settled(found) if watch else found
        alert = service_alert(found)
        with store.changing(self._ws.database, model) as connection:
            if alert is not None and stands(connection, model, alert, severity(alert, found)):
                alert = None
            if alert is not None:
                alert = msgspec.structs.replace(alert, delivered=self._nobody)
                store.add_alert(connection, alert)
                record(connection, raising.alert_event(alert))
            raised = [alert] if alert is not None else []
            group(connection, model, levels.at, raised, found, self._config.notify, self._ways)
        if alert is not None:
            self.deliver(model)
        return alert

    def backfill(
        self,
        model: str,
        since: datetime,
        actor: str,
        after: datetime | None = None,
        most: int | None = None,
    ) -> Backfill:
        """Computes windows that ended after a moment again, from what is logged now, and keeps that.

        They come out as they were, unless predictions arrived after their window was computed, or what
        is declared has changed. Labels are those that were known then. No alert is raised for the past.

        Args:
            model: The model.
            since: The moment.
            actor: Who asks for it; the model's timeline says so.
            after: Of these windows only those that ended later than this: what is left of them.
            most: How many at most, the oldest first; all when None.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If rows have been deleted that the first of these windows was made of.
        """
        before: dict[datetime, Results] = {}
        for one in self.windows(model, max(since, after or since)):
            before.setdefault(one.until, []).append(one)
        # What looks back begins earlier than its window does.
        spans = {until: max(one.since for one in found) for until, found in sorted(before.items())}
        if spans:
            self._log.require(model, min(spans.values()))
        asked = [*spans][:most]
        changed: Results = []
        for until in asked:
            changed += self._recompute(model, spans[until], until, before[until], actor)
        left = len(spans) - len(asked)
        if asked and not left:
            which = f"{len(asked)} windows since {since:%Y-%m-%d} were"
            if after is not None:  # the others are told already
                which = f"the last {len(asked)} of the windows since {since:%Y-%m-%d} were"
            with self._ws.database.write() as connection:
                record(connection, raising.again_event(self._ws, model, which, changed, actor))
        return Backfill(
            model=model,
            windows=len(asked),
            changed=tuple(changed),
            last=asked[-1] if asked else None,
            left=left,
        )

    def _recompute(
        self, model: str, since: datetime, until: datetime, before: Results, actor: str
    ) -> Results:
        """Computes a window again; what came out otherwise."""
        found = self._compute(model, since, until)
        kept = {_key(one): one for one in before}
        new = [one for one in found if _key(one) not in kept or not rules.same(one, kept[_key(one)])]
        with store.changing(self._ws.database, model) as connection:
            store.replace_windows(connection, model, until, found)
            if new:  # told at once: who asks again after an interruption finds them changed already
                record(
                    connection,
                    raising.again_event(
                        self._ws, model, f"the window until {until:%Y-%m-%d %H:%M} was", new, actor
                    ),
                )
        return new

    def windows(self, model: str, since: datetime | None = None) -> Results:
        """Results of windows that ended after a moment, oldest first.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            return store.read_windows(connection, model, since)

    def alerts(self, model: str) -> Alerts:
        """The alerts raised, oldest first.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        with self._ws.database.read() as connection:
            return store.read_alerts(connection, model)

    def report(self, alert: Alert) -> bool:
        """Takes an alert that another room raises, such as of retraining; the same one once.

        It joins an incident or opens one, and is told, as a monitor's own.

        Returns:
            Whether it was news.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, alert.model)
        alert = msgspec.structs.replace(alert, delivered=self._nobody)
        with store.changing(self._ws.database, alert.model) as connection:
            if store.find_alert(connection, alert.id) is not None:
                return False
            store.add_alert(connection, alert)
            record(connection, raising.alert_event(alert))
            group(connection, alert.model, alert.at, [alert], [], self._config.notify, self._ways)
        self.deliver(alert.model)
        return True

    def mark_cycle(self, alert_id: str, cycle_id: str) -> None:
        """Notes which cycle an alert started; noting it again changes nothing.

        Raises:
            NotFound: If there is no such alert.
            Conflict: If it started another cycle.
        """
        with self._ws.database.write() as connection:
            alert = store.find_alert(connection, alert_id)
            if alert is None:
                raise NotFound(
                    f"there is no alert {alert_id!r}", fix="see `treadle monitor` for those there are"
                )
            if alert.cycle not in {None, cycle_id}:
                raise Conflict(
                    f"it started {alert.cycle}, and can't start {cycle_id} as well", where=alert_id
                )
            store.set_cycle(connection, alert_id, cycle_id)

    def summary(self, model: str) -> Summary:
        """Where the model's monitors stand.

        Raises:
            NotFound: If there is no such model.
        """
        check_model(self._ws, model)
        production = Registry(self._ws).production(model)
        with self._ws.database.read() as connection:
            until = store.last_window(connection, model)
            results = store.read_windows(connection, model, until=until) if until else []
            raised = store.read_alerts(connection, model)
        order = get_args(MonitorKind)
        results.sort(key=lambda r: (order.index(r.kind), -(r.value or 0), r.subject, r.segment))
        return Summary(
            model=model,
            version=production.number if production else None,
            predictions=self._log.count(model),
            until=until,
            results=tuple(results),
            alerts=tuple(raised),
        )

    def suggest(self, model: str) -> WrittenMonitors:
        """Monitors to declare, by traffic and by the profile of production, or else of the newest version.

        Raises:
            NotFound: If there is no such model, or no version of it has a profile.
        """
        check_model(self._ws, model)
        registry = Registry(self._ws)
        production = registry.production(model)
        newest = sorted(registry.list(model), key=lambda version: -version.number)
        versions = [*([production] if production else []), *newest]
        version = next((one for one in versions if one.profile), None)
        if version is None:
            raise NotFound(
                f"no version of {model} has a profile to suggest monitors by", fix="`treadle run` makes one"
            )
        days = self._log.days(model)
        rows = self._log.count_kept(model) / len(days) if days else None
        profile = decode_profile(self._ws.blobs.get(version.profile))
        due = self._performance.labels_after(model)
        written = suggest_monitors(version.ref, profile, rows, self._ws.config.monitor, due)
        return WrittenMonitors(version=version.number, toml=written)

    def _next(self, model: str) -> tuple[datetime | None, datetime | None]:
        """Up to when windows were computed, and where the next begins; None where nothing is yet."""
        with self._ws.database.read() as connection:
            before = store.monitored_until(connection, model)
        if before is not None:
            return before, before
        first = self._log.first_day(model)
        return None, rules.midnight(first) if first else None

    def _compute(self, model: str, since: datetime, until: datetime) -> Results:
        version = Registry(self._ws).production(model, at=until - _INSTANT)
        if version is None or not version.profile:
            return []
        profile = decode_profile(self._ws.blobs.get(version.profile))
        window = Window(model=model, version=version.number, since=since, until=until)
        found = self._performance.results(window, version, profile)
        return rules.partly([*self._drifts(window, version, profile), *found])

    def _drifts(self, window: Window, version: ModelVersion, profile: Profile) -> Results:
        """Inputs of all versions' requests, predictions of the version in production."""
        conceal = self._log.concealment
        watched = {
            name: conceal.shape(name, shape)
            for name, shape in profile.inputs.items()
            if self._config.watches(name) and (conceal.plain(name) or isinstance(shape, CategoryProfile))
        }
        own = [(shape, quote(f"input_{name}")) for name, shape in watched.items()]
        shifted = [(profile.prediction, f"CASE WHEN version = {version.number} THEN output END")]

        def scan(stretch: Window, sql: str, only: Sequence[str] | None = None) -> seasons.Found:
            inputs = version.signature.inputs if version.signature else ()
            return self._log.scan(
                window.model, sql, since=stretch.since, until=stretch.until, inputs=inputs, only=only
            )

        def count(stretch: Window) -> seasons.Found:
            return counting(partial(scan, stretch), own, profile.segments, shifted, "input_")

        read = partial(counted, own, profile.segments, shifted)
        (*inputs, prediction), parts = read(count(window))
        held = seasons.held(window, profile, watched, self._config, self._log, count, read)
        troubles = quality.quality_results(window, watched, inputs, self._config)
        columns = len(inputs) * (2 if profile.segments else 1)  # segments have half of the level
        drifts = [
            self._drift(window, name, (held.inputs[name], now), columns, profile, troubles)
            for name, now in zip(watched, inputs, strict=True)
        ]
        troubles = quality.settle(troubles, drifts)
        prediction_shift = drift.prediction_result(window, held.prediction, prediction, self._config)
        if profile.segments:
            kept = msgspec.structs.replace(
                profile, inputs={**profile.inputs, **watched}, segments=held.segments
            )
            drifts += by_segment.segment_results(window, kept, parts, drifts, self._config)
        alone = {one.subject for one in (*troubles, *drifts) if one.state == "alert"}
        rest = {n: shape for n, shape in watched.items() if n not in alone and conceal.plain(n)}
        rows = self._rows(window, version, rest, held, scan) + self._embeddings.results(window, version, held)
        now = {("input", name): shape for name, shape in zip(watched, inputs, strict=True)}
        now["prediction", "prediction"] = prediction
        judge = partial(drift.again, window, columns, self._config)
        parted = [one for one in drifts if one.segment]
        whole = [*(one for one in drifts if not one.segment), prediction_shift]
        return [*troubles, *held.told([*seasons.settled(held, now, whole, read, judge), *parted, *rows])]

    def _rows(
        self,
        window: Window,
        version: ModelVersion,
        shapes: dict[str, Shape],
        held: seasons.Held,
        scan: Callable[[Window, str], seasons.Found],
    ) -> Results:
        """Whether whole rows have drifted, of the inputs that haven't by themselves."""
        size = self._config.multivariate.sample
        if not self._config.multivariate.watch or len(shapes) < 2:
            return []
        names = ", ".join(f"{quote(f'input_{name}')} AS {quote(name)}" for name in shapes)
        some = f"SELECT {names} FROM log ORDER BY hash(prediction_id), prediction_id LIMIT"  # noqa: S608 - quoted
        reference: seasons.Found | None
        if held.slots:
            reference = seasons.rows_of(held, size, lambda slot, most: scan(slot, f"{some} {most}"))
        else:
            reference = self._references.sample(version, list(shapes), size)
        if reference is None:
            return []
        current = scan(window, f"{some} {size}")
        of = seasons.weeks(self._config) if held.slots else "training"
        return multivariate.multivariate_results(window, shapes, reference, current, self._config, of)

    def _drift(
        self,
        window: Window,
        name: str,
        sides: tuple[Shape, Shape],
        columns: int,
        profile: Profile,
        troubles: Results,
    ) -> WindowResult:
        """Whether an input has drifted, and whether that is nothing but the quality of the data."""
        importance = profile.importance.get(name)
        found = drift.input_result(window, name, *sides, columns, self._config, importance)
        return quality.explain(window, found, *sides, columns, self._config, troubles)

    def _keep(self, model: str, before: datetime | None, until: datetime, found: Results) -> bool:
        """Writes a window's results and the alerts that are news, once; False if somebody else has."""
        cooldown = parse_duration(self._ws.config.retrain.cooldown)
        with store.changing(self._ws.database, model) as connection:
            if not store.move_on(connection, model, before, until):
                return False
            store.add_windows(connection, found)
            raised: Alerts = []
            grew: dict[str, str] = {}
            for one in findings.to_alerts(found, delivered=self._nobody):
                if not raising.persists(connection, one, self._config):
                    continue
                if more := grown(connection, one, found, self._config):
                    grew[one.id] = more
                elif not raising.is_news(connection, one, cooldown):
                    continue
                alert = msgspec.structs.replace(one, sentence=said(more, one.sentence)) if more else one
                store.add_alert(connection, alert)
                record(connection, raising.alert_event(alert))
                raised.append(alert)
            now = self._ws.clock.now()
            group(connection, model, until, raised, found, self._config.notify, self._ways, now, grew)
        return True

    def deliver(self, model: str) -> None:
        """Sends what is to be sent now: alerts, and notices of incidents.

        Raises:
            ConfigError: If people are to be told by a way that can't work.
        """
        outbox = Outbox(self._ws, channels(self._config))
        outbox.add_alerts(model)
        outbox.deliver()


def _key(one: WindowResult) -> tuple[str, str, str, str]:
    return one.kind, one.subject, one.segment, one.statistic
