"""The data checks of a review: what a merge would make, beside what the target has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from treadle.data import Finding, GateResult, Judged
from treadle.evaluate.data.check import check_data
from treadle.evaluate.data.moves import moves
from treadle.evaluate.data.schema import group_of
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.rules import aggregate
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.config import DataCheck
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.choosing import engine_for
from treadle.kernel.scan.columns import Columns
from treadle.kernel.workspace import Workspace

_OF_CHECKS = {
    "schema": ("schema", "types", "order"),
    "volume": ("min_rows",),
    "values": ("nulls", "unique", "ranges", "values", "patterns", "conditions", "means"),
    "drift": (),
    "balance": ("label", "min_class_share"),
}


class DataGates:
    """Judges data that a review would merge; what is allowed stands in ``[checks.data]``.

    Of the dataset that is trained on, all of ``[checks.data]`` is looked at, as before a training;
    of others, how the merge changes them.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def judge(
        self, dataset: str, names: Sequence[str], after: Judged, before: Judged | None
    ) -> tuple[GateResult, ...]:
        """The verdicts of some checks, in the order of their names.

        Args:
            dataset: The dataset.
            names: Which: ``schema``, ``volume``, ``values``, ``drift``, ``balance``.
            after: What the merge would make.
            before: What the target has; None where it has no version.

        Raises:
            CorruptData: If a file can't be read.
        """
        judging = _Judging(self._ws, dataset, after, before)
        return tuple(_result(name, judging.verdicts(name)) for name in names)


def _result(name: str, verdicts: Sequence[Verdict]) -> GateResult:
    return GateResult(
        name=name,
        outcome=aggregate(one.outcome for one in verdicts) if verdicts else "inconclusive",
        findings=tuple(
            Finding(
                check=one.check,
                subject=one.subject,
                outcome=one.outcome,
                sentence=one.sentence,
                estimate=one.estimate,
                bound=one.bound,
                n=one.n,
            )
            for one in verdicts
        ),
    )


class _Judging:
    """One merge of one dataset."""

    def __init__(self, workspace: Workspace, dataset: str, after: Judged, before: Judged | None) -> None:
        self._ws, self._dataset, self._after, self._before = workspace, dataset, after, before
        self._engine = workspace.engine
        self._config = workspace.config.data.get(dataset)
        self._new = self._columns(after)
        self._old = self._columns(before) if before else {}
        train = workspace.config.train
        self._trains = train is not None and train.data == dataset
        self._checked = self._check() if self._trains and after.files else []

    def _columns(self, judged: Judged) -> Columns:
        if not judged.files:
            return {}
        files = list(judged.files)
        return engine_for(files, self._engine, self._checks.engine).columns(files)

    def _check(self) -> list[Verdict]:
        """All of ``[checks.data]``; a column that it names and that isn't there fails the schema."""
        label = self._config.label if self._config else None
        suite = Suite.of(self._ws.config)
        # What is asked of the newest rows, or of a reference, is asked before a training.
        of_rows = msgspec.structs.replace(
            suite.checks, freshness=None, max_volume_change=None, max_feature_auc=None, max_overlap=None
        )
        suite = msgspec.structs.replace(suite, checks=of_rows)
        try:
            files = list(self._after.files)
            found = check_data(suite, files, engine=self._engine, now=self._ws.clock.now())
        except InvalidInput as error:
            where = f" ({error.where})" if error.where else ""
            return [
                _say("schema", "columns", "fail", f"[checks.data] can't be asked: {error.message}{where}.")
            ]
        late = label not in self._ws.config.checks.data.max_null  # labels may come later than rows
        return [one for one in found if not (late and (one.check, one.subject) == ("nulls", label))]

    @property
    def _checks(self) -> DataCheck:
        return self._ws.config.checks.data

    def verdicts(self, name: str) -> list[Verdict]:
        """The verdicts of a check."""
        asked: dict[str, Callable[[], Iterator[Verdict]]] = {
            "schema": self._schema,
            "volume": self._volume,
            "values": self._values,
            "drift": self._drift,
            "balance": self._balance,
        }
        if name != "volume" and not self._after.files:
            outcome: Outcome = "fail" if self._old else "inconclusive"
            said = "would be a table no more" if self._old else "is no table"
            why = f" ({self._after.why})" if self._after.why else ""
            sentence = f"{self._dataset} {said}{why}: there are no columns to check."
            return [_say(name, self._dataset, outcome, sentence)]
        checks = [one for one in self._checked if one.check in _OF_CHECKS[name]]
        return [*checks, *asked[name]()]

    def _schema(self) -> Iterator[Verdict]:
        for name, column in self._old.items():
            if name not in self._new:
                yield _say("columns", name, "fail", f"Column {name!r} ({column.type}) would go.")
            elif group_of(self._new[name]) != group_of(column):
                sentence = f"Column {name!r} is {column.type} and would be {self._new[name].type}."
                yield _say("columns", name, "fail", sentence)
        added = [name for name in self._new if name not in self._old]
        kept = [name for name in self._old if name in self._new]
        if self._old and len(kept) == len(self._old):
            more = f"; new: {', '.join(added)}" if added else ""
            yield _say("columns", "columns", "pass", f"All {len(kept)} columns stay{more}.")
        elif not self._old:
            yield _say(
                "columns", "columns", "pass", f"There {_counted(len(added), 'columns')}, and none before."
            )

    def _volume(self) -> Iterator[Verdict]:
        table = bool(self._after.files)
        unit = "rows" if table else "files"
        now = self._after.rows if table else self._after.count
        if self._before is None:
            yield _say(
                "volume", unit, "pass" if now else "fail", f"There {_counted(now, unit)}, and none before."
            )
            return
        if bool(self._old) != table:
            unit, now = "files", self._after.count
        old = self._before.rows if unit == "rows" else self._before.count
        loss, bound = (old - now) / old if old else 0.0, self._checks.max_loss
        change = f"{percent(abs(loss))} {'less' if loss > 0 else 'more'}" if loss else "as many"
        yield Verdict(
            check="volume",
            subject=unit,
            outcome="fail" if loss > bound else "pass",
            sentence=f"There were {old:,} {unit} and would be {now:,}, {change}; "
            f"up to {percent(bound)} may go.",
            estimate=loss,
            bound=bound,
            n=now,
        )

    def _values(self) -> Iterator[Verdict]:
        if not self._trains:
            sentence = f"[checks.data] is about the dataset that is trained on, not about {self._dataset}."
            yield _say("values", self._dataset, "inconclusive", sentence)
        elif not any(one.check in _OF_CHECKS["values"] for one in self._checked):
            yield _say("values", self._dataset, "inconclusive", "The values couldn't be looked at.")

    def _drift(self) -> Iterator[Verdict]:
        config = self._config
        roles = {config.key, config.time, config.label, config.label_time} if config else set()
        yield from self._shifts("drift", [name for name in self._new if name not in roles])

    def _balance(self) -> Iterator[Verdict]:
        label = self._config.label if self._config else None
        if not label or label not in self._new:
            why = f"has no column {label!r}, its label" if label else "declares no label"
            fix = f"[data.{self._dataset}] label"
            yield _say("balance", label or "label", "inconclusive", f"{self._dataset} {why} ({fix}).")
            return
        yield from self._shifts("balance", [label], categories=self._ws.config.project.task != "regression")

    def _shifts(self, check: str, names: Sequence[str], *, categories: bool = False) -> Iterator[Verdict]:
        if self._before is None or not self._before.rows:
            yield _say(check, "columns", "pass", "There are no rows before to compare with.")
            return
        if not self._after.rows:
            yield _say(check, "columns", "fail", "No rows would be left.")
            return
        confidence = self._ws.config.checks.performance.confidence
        suite = Suite(checks=self._checks, confidence=confidence)
        before, after = list(self._before.files), list(self._after.files)
        found = moves(self._engine, suite, names, before, after, check=check, categories=categories)
        yield from found
        if not found:
            yield _say(check, "columns", "inconclusive", "No column has a distribution that can be compared.")


def _counted(count: int, unit: str) -> str:
    return f"is 1 {unit[:-1]}" if count == 1 else f"are {count:,} {unit}"


def _say(check: str, subject: str, outcome: Outcome, sentence: str) -> Verdict:
    return Verdict(check=check, subject=subject, outcome=outcome, sentence=sentence)
