"""A version that isn't in production, beside the one that is, on the rows that callers sent.

Every prediction is logged with its inputs; what another version would have answered is found out when the
labels are there. So a challenger is watched for as long as it takes, costs callers nothing, and takes no
place in a rollout. (How fast it answers, and whether it does, only a shadow on the server tells.)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from treadle.evaluate import estimate, is_loss, measured
from treadle.kernel.engine import quote
from treadle.kernel.errors import InvalidInput, TreadleError
from treadle.kernel.events import record, timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors, PredictionLog
from treadle.registry import ModelVersion, Registry
from treadle.retrain.challenger_rules import Compared, interval, verdict

_BESIDE = ("candidate", "staging", "refused")
_DAY = timedelta(days=1)
_MOST = timedelta(days=180)
_KNOWN = 0.9
"""A day counts once so many of its predictions have labels."""
_LEAST = 20
"""Fewer rows of a day say nothing of a metric."""


class _Day(NamedTuple):
    gain: float
    rows: int
    number: int


class Challengers:
    """The versions that are held beside production.

    Args:
        workspace: The project's workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._config = workspace.config.retrain.challenger

    def look(self, model: str) -> Compared | None:
        """Compares, and tells the timeline where the verdict is news; one that is better is proposed.

        Returns:
            What was found; None where nothing is to be compared.
        """
        production = Registry(self._ws).production(model)
        challenger = self._challenger(model, production)
        if production is None or challenger is None:
            return None
        try:
            found = self.compare(production, challenger)
        except TreadleError as error:
            said = f"{challenger.ref} can't be held beside {production.ref}: {error.message}"
            self._tell(model, challenger, production, "unable", said)
            return None
        self._tell(model, challenger, production, found.verdict, found.sentence)
        if found.verdict == "better":
            self._propose(model, challenger, production, found)
        return found

    def compare(self, production: ModelVersion, challenger: ModelVersion) -> Compared:
        """How a version does beside the one in production, on the days since it was made.

        Raises:
            InvalidInput: If the log doesn't have its inputs as they were.
            ModelInvalid: If it can't be loaded.
            CorruptData: If the log can't be read.
        """
        metric = self._ws.config.checks.performance.metric
        days = list(self._days(production, challenger))
        gains = [day.gain for day in days]
        low, high = interval(gains, self._config.false_alarm, self._config.days)
        return Compared(
            challenger=challenger.ref,
            production=production.ref,
            metric=metric,
            days=len(days),
            rows=sum(day.rows for day in days),
            until=datetime.fromtimestamp((days[-1].number + 1) * _DAY.total_seconds(), UTC) if days else None,
            gain=sum(gains) / len(gains) if gains else 0.0,
            low=low,
            high=high,
            verdict=verdict(low, high),
        )

    def _challenger(self, model: str, production: ModelVersion | None) -> ModelVersion | None:
        if not self._config.watch or production is None:
            return None
        registry = Registry(self._ws)
        if self._config.version is not None:
            named = registry.get(f"{model}/{self._config.version}")
            return named if named.number != production.number else None
        fitting = [
            one
            for one in registry.list(model)
            if one.number > production.number
            and one.status in ("candidate", "staging", "refused")
            and one.signature
        ]
        return max(fitting, key=lambda one: one.number, default=None)

    def _days(self, production: ModelVersion, challenger: ModelVersion) -> Iterator[_Day]:
        now = self._ws.clock.now()
        found = self._rows(production, challenger, max(challenger.created_at, now - _MOST), now)
        labels, numbers = found["label"], np.asarray(found["day"], dtype=np.int64)
        if not len(numbers):
            return
        known, truth = ~np.ma.getmaskarray(labels), np.ma.getdata(labels)
        ours = np.asarray(found["output"], dtype=np.float64)
        inputs = challenger.signature.inputs if challenger.signature else ()
        columns = {field.name: found[f"input_{field.name}"] for field in inputs}
        theirs = Registry(self._ws).load(challenger).predict(columns)
        check = self._ws.config.checks.performance
        measure, sign = measured(check, check.metric), -1 if is_loss(check.metric) else 1
        for number in np.unique(numbers).tolist():
            whole = numbers == number
            rows = whole & known
            count = int(rows.sum())
            if count < max(_LEAST, _KNOWN * int(whole.sum())):
                continue
            try:
                after, before = (estimate(measure, truth[rows], one[rows]).value for one in (theirs, ours))
            except InvalidInput:  # of one class only, say
                continue
            yield _Day(sign * (after - before), count, number)

    def _rows(
        self, production: ModelVersion, challenger: ModelVersion, since: datetime, until: datetime
    ) -> dict[str, Any]:
        log = PredictionLog(self._ws)
        inputs = challenger.signature.inputs if challenger.signature else ()
        for field in inputs:
            if not log.concealment.plain(field.name):
                raise InvalidInput(
                    f"the log doesn't keep the input {field.name!r} as it is", where="treadle.toml [monitor]"
                )
        names = "".join(f", {quote(f'input_{field.name}')}" for field in inputs)
        micros = int(_DAY / timedelta(microseconds=1))
        return log.scan(
            production.model,
            f'SELECT label, output, epoch_us("at") // {micros} AS day{names} '  # noqa: S608 - names are quoted
            f"FROM log WHERE version = {production.number} ORDER BY prediction_id",
            since=since,
            until=until,
            known_by=until,
            inputs=inputs,
        )

    def _tell(
        self, model: str, challenger: ModelVersion, production: ModelVersion, said: str, sentence: str
    ) -> None:
        """Writes a verdict on the timeline, unless the latest of the two was the same."""
        told = timeline(self._ws.database, f"model:{model}", kinds=["challenger"])
        pair = {"challenger": challenger.ref, "production": production.ref}
        before = [one for one in told if pair.items() <= one.facts.items()]
        if before and before[-1].facts["verdict"] == said:
            return
        now = self._ws.clock.now()
        event = Event(
            id=f"challenger:{challenger.ref}:{production.ref}:{said}:{len(before)}",
            at=now,
            recorded_at=datetime.now(UTC),
            subject=f"model:{model}",
            kind="challenger",
            actor="monitor",
            message=sentence,
            facts={**pair, "verdict": said},
        )
        with self._ws.database.write() as connection:
            record(connection, event)

    def _propose(
        self, model: str, challenger: ModelVersion, production: ModelVersion, found: Compared
    ) -> None:
        """Opens an incident, once for the two."""
        fix = (
            f"train it again on newer data: treadle run --like {challenger.run}"
            if challenger.status == "refused"
            else f"let it in: treadle models approve {challenger.ref} --reason TEXT"
        )
        Monitors(self._ws).report(
            Alert(
                id=f"challenger:{challenger.ref}:{production.ref}",
                model=model,
                kind="retraining",
                at=self._ws.clock.now(),
                subjects=(challenger.ref,),
                sentence=f"{found.sentence}; {fix}",
                version=production.number,
            )
        )
