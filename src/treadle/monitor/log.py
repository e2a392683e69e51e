"""The prediction log: what was served and what became true, as Delta tables by day.

``predictions/MODEL`` and ``labels/MODEL`` lie under ``[store] tables``. Both are only ever
added to; a reader sees each prediction once, with the label that was known by a moment. Where only
a share of the predictions is kept, ``volumes/MODEL`` has how many there were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.kernel.clock import SystemClock
from treadle.kernel.engine import quote, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.events import record, timeline
from treadle.kernel.names import check_name, unknown
from treadle.kernel.types import Event
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.monitor import rules, sampling
from treadle.monitor.batches import Columns, content_of, label_columns, prediction_columns
from treadle.monitor.delta import UNTOLD, DayTable, typed_rows
from treadle.monitor.privacy import Concealment
from treadle.monitor.types import LabelBatch, PredictionBatch
from treadle.registry import Field, Registry

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

_PREDICTION = {
    "prediction_id": "VARCHAR",
    "at": "TIMESTAMPTZ",
    "version": "BIGINT",
    "revision": "BIGINT",
    "latency_ms": "DOUBLE",
    "output": "DOUBLE",
    "recorded_at": "TIMESTAMPTZ",
    "share": "DOUBLE",
}
_LABEL = {
    "prediction_id": "VARCHAR",
    "value": "DOUBLE",
    "known_at": "TIMESTAMPTZ",
    "recorded_at": "TIMESTAMPTZ",
}
_ONCE = """
    FROM thinned WHERE hash(prediction_id) NOT IN (SELECT key FROM repeated)
    UNION ALL BY NAME
    FROM thinned WHERE hash(prediction_id) IN (SELECT key FROM repeated)
    QUALIFY row_number() OVER (
        PARTITION BY prediction_id ORDER BY "at" DESC, recorded_at DESC, version DESC, output
    ) = 1"""
_LABELLED = "SELECT once.*{}, label, labelled_at FROM once LEFT JOIN known USING (prediction_id)"
_UNLABELLED = "SELECT *, NULL::DOUBLE AS label, NULL::TIMESTAMPTZ AS labelled_at FROM once"
_VOLUME = {"minute": "TIMESTAMPTZ", "asked": "BIGINT", "kept": "BIGINT"}


class PredictionLog:
    """The predictions and labels of a workspace's models.

    Args:
        workspace: Where they are kept.

    Attributes:
        concealment: What is kept of inputs.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._sized: tuple[str, int, bool] | None = None
        self._looked: tuple[str, Column] | None = None
        self.concealment = Concealment(
            workspace.config.monitor.columns, workspace.root / ".treadle" / "log.key"
        )

    def append(self, model: str, batch: PredictionBatch, *, named: bool = False) -> bool:
        """Keeps predictions that were served; a batch that is here already is not added again.

        Of ``[monitor] sample`` only that share is kept, the same ones whoever sends them; how many there
        were is counted.

        Args:
            model: The model.
            batch: The predictions.
            named: Whether people chose its name, and may have given it to other rows before.

        Returns:
            Whether it was news.

        Raises:
            NotFound: If there is no such model, or no version that the batch names.
            InvalidInput: If any row can't be used; nothing of the batch is kept then.
            Conflict: If a feature's type differs from the one that it had before, or the batch's name was
                that of other rows.
            StorageError: If the table can't be written.
        """
        columns = self.check(model, batch)
        if not batch.ids:
            return False
        return self._append(model, batch, columns, content_of(batch) if named else UNTOLD)

    def check(self, model: str, batch: PredictionBatch) -> Columns:
        """What would be kept of predictions, by column; nothing is.

        Raises:
            NotFound: If there is no such model, or no version that the batch names.
            InvalidInput: If any row can't be used.
        """
        check_model(self._ws, model)
        registry = Registry(self._ws)
        versions = {number: registry.get(f"{model}/{number}") for number in sorted(set(batch.version))}
        return prediction_columns(
            batch,
            [one.signature for one in versions.values() if one.signature],
            _now(),
            self.concealment,
            {name: one.size for name, one in self._ws.config.monitor.embeddings.items() if one.size},
            self._sent(),
        )

    def _sent(self) -> list[str]:
        """What of groups may be sent with predictions or labels."""
        return [name for name, one in self._ws.config.monitor.fairness.items() if one.groups]

    def _append(self, model: str, batch: PredictionBatch, columns: Columns, content: int) -> bool:
        share = self._ws.config.monitor.sample
        if share >= 1:
            return self._table("predictions", model).append(batch.batch, columns, content)
        keep = sampling.kept(batch.ids, share)
        if keep.any():
            thin = sampling.thin(columns, keep, share)
            self._table("predictions", model).append(batch.batch, thin, content)
        # Each of the two is appended once: killed in between, whoever sends the batch again adds the second.
        return self._table("volumes", model).append(batch.batch, sampling.volume(batch, keep), content)

    def append_labels(self, model: str, batch: LabelBatch, *, named: bool = False) -> bool:
        """Keeps labels that became known; a batch that is here already is not added again.

        Labels may come before their predictions, twice, and corrected: of a prediction's
        labels the one that became known last holds.

        Args:
            model: The model.
            batch: The labels.
            named: Whether people chose its name, and may have given it to other rows before.

        Returns:
            Whether it was news.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If any row can't be used; nothing of the batch is kept then.
            Conflict: If the batch's name was that of other rows.
            StorageError: If the table can't be written.
        """
        check_model(self._ws, model)
        columns = label_columns(batch, self._ws.config.project.task, _now(), self._sent())
        if not batch.ids:
            return False
        content = content_of(batch) if named else UNTOLD
        return self._table("labels", model).append(batch.batch, columns, content)

    def count(self, model: str, since: datetime | None = None, until: datetime | None = None) -> int:
        """How many predictions were asked for; one that was sent again counts once.

        Of a sampled log that is how many are kept and how many were not; one that wasn't kept counts
        as often as it was sent.

        Args:
            model: The model.
            since: The first moment, inclusive; of what wasn't kept the minute's start. The log's when None.
            until: The last, exclusive; of what wasn't kept the minute's start. The log's end when None.
        """
        return self.count_kept(model, since, until) + self._count(
            model, "volumes", "coalesce(sum(asked - kept), 0)", "minute", _VOLUME, since, until
        )

    def count_kept(self, model: str, since: datetime | None = None, until: datetime | None = None) -> int:
        """How many predictions are kept; one that was sent again counts once."""
        return self._count(
            model, "predictions", "count(DISTINCT prediction_id)", "at", _PREDICTION, since, until
        )

    def _count(
        self,
        model: str,
        kind: str,
        sql: str,
        moment: str,
        columns: Mapping[str, str],
        since: datetime | None,
        until: datetime | None,
    ) -> int:
        table = self._table(kind, model)
        days = table.days()
        if not days:
            return 0
        tables: dict[str, Any] = {}
        source = table.read(since.date() if since else days[0], until.date() if until else days[-1])
        rows = _from(tables, kind, source, columns)
        within = [f"{quote(moment)} >= {_instant(since)}"] if since else []
        within += [f"{quote(moment)} < {_instant(until)}"] if until else []
        query = f"SELECT {sql} FROM ({rows}) WHERE {' AND '.join(within) or 'true'}"  # noqa: S608 - moments
        return int(self._ws.engine.rows(query, (), tables)[0][0])

    def strays(self, model: str, since: datetime, until: datetime) -> tuple[int, int]:
        """Labels that became known within a stretch of time, and how many name no prediction of it.

        Such a label is of an older prediction, or of none: its identity is not one that was logged. Of a
        sampled log only labels count whose predictions would be kept.

        Args:
            model: The model.
            since: The first moment, inclusive.
            until: The last, exclusive.

        Returns:
            How many predictions are named, and how many of them aren't there.
        """
        tables: dict[str, Any] = {}
        last = (until - timedelta(microseconds=1)).date()
        labels = _from(tables, "labels", self._labels(model, since, until), _LABEL)
        logged = self._table("predictions", model).read(since.date(), last)
        predictions = _from(tables, "predictions", logged, {"prediction_id": "VARCHAR"})
        share = self._ws.config.monitor.sample
        kept = sampling.below(share) if share < 1 else "true"
        query = f"""
            WITH named AS (
                SELECT DISTINCT prediction_id FROM ({labels})
                WHERE known_at >= {_instant(since)} AND known_at < {_instant(until)} AND {kept}
            )
            SELECT count(*),
                count(*) FILTER (prediction_id NOT IN (SELECT prediction_id FROM ({predictions})))
            FROM named"""  # noqa: S608 - moments
        [(labelled, astray)] = self._ws.engine.rows(query, (), tables)
        return int(labelled), int(astray)

    def days(self, model: str) -> list[date]:
        """The days that have predictions, in UTC, in order."""
        return self._table("predictions", model).days()

    def first_day(self, model: str) -> date | None:
        """The day of the earliest prediction, in UTC; None if there is none."""
        return next(iter(self.days(model)), None)

    def require(self, model: str, since: datetime) -> None:
        """Refuses to look at windows again whose rows have been deleted.

        Args:
            model: The model.
            since: When the first of them begins; performance looks further back.

        Raises:
            InvalidInput: If rows that it was made of are gone.
        """
        first = self.first_day(model)
        gone = timeline(self._ws.database, f"model:{model}", kinds=["log_expired"])
        needed = parse_duration(self._ws.config.monitor.performance_window)
        if not gone or (first and since - needed >= rules.midnight(first)):
            return
        raise InvalidInput(
            f"the log begins on {first}, and a window from {since:%Y-%m-%d} was made of earlier rows as well",
            where=f"since {since:%Y-%m-%d}",
            fix="begin later: at the log's first day and `performance_window`",
        )

    def expire(self, model: str, before: date, actor: str) -> None:
        """Deletes the predictions and labels of the days before one; tells so on the model's timeline first.

        A process that is killed in between deletes at the next call what it has announced. Files are erased
        when they are unreferenced for a week, so that a query that reads them may end.

        Args:
            model: The model.
            before: The first day that is kept.
            actor: Who or what deletes.

        Raises:
            StorageError: If a table can't be read or written.
        """
        for kind in ("predictions", "labels"):
            table = self._table(kind, model)
            days = [day for day in table.days() if day < before]
            source = table.read(days[0], days[-1]) if days else None
            if source is None:
                continue
            rows = int(self._ws.engine.rows("SELECT count(*) FROM rows_", (), {"rows_": source})[0][0])
            message = (
                f"{rows:,} {kind} of {days[0]} to {days[-1]} are deleted: they are older than what is kept"
            )
            with self._ws.database.write() as connection:
                record(
                    connection,
                    Event(
                        id=f"log-expired:{model}:{kind}:{days[-1]}",
                        at=rules.midnight(before),
                        recorded_at=SystemClock().now(),
                        subject=f"model:{model}",
                        kind="log_expired",
                        actor=actor,
                        message=message,
                        facts={"rows": str(rows), "first": str(days[0]), "last": str(days[-1])},
                    ),
                )
            table.delete(before)
        volumes = self._table("volumes", model)
        if any(day < before for day in volumes.days()):
            volumes.delete(before)

    def scan(
        self,
        model: str,
        sql: str,
        *,
        since: datetime,
        until: datetime,
        inputs: Sequence[Field] = (),
        embeddings: Sequence[str] = (),
        known_by: datetime | None = None,
        recorded_by: datetime | None = None,
        most: int | None = None,
        only: Sequence[str] | None = None,
        groups: Sequence[str] = (),
    ) -> dict[str, Column]:
        """What a query finds among the predictions of a stretch of time.

        Reads only the days concerned. The query sees the relation ``log``: ``prediction_id``,
        ``at``, ``version``, ``revision``, ``latency_ms``, ``output``, ``input_FEATURE`` for
        each feature, ``label`` and ``labelled_at``, when the first of its labels became known (NULL
        where none is), and ``one_in``, of how many predictions each is one. A prediction that was sent
        more than once within the stretch is seen as it was asked for last. Where the share that is
        kept changed within the stretch, only the rows that the least of them keeps are seen: all count alike.

        Args:
            model: The model.
            sql: The query.
            since: The first moment, inclusive.
            until: The last moment, exclusive.
            inputs: Features to be there even if no prediction had them yet.
            embeddings: Embeddings to be there, likewise, as ``embedding_NAME``.
            known_by: Only labels that were known by then; no labels at all when None.
            recorded_by: Only predictions and labels that had been written down by then, by the machine's
                clock; any when None.
            most: At about how many predictions to stop: where there are more, an even sample of them is
                seen, the same one every time. All of them when None.
            only: Which ``input_FEATURE`` the query needs: the fewer, the sooner it is planned. All when None.
            groups: Which groups to have, as ``group_NAME``: those of the labels, where ``known_by`` is given,
                before those of the predictions.

        Raises:
            CorruptData: If a file is broken.
            StorageError: If the tables can't be read.
        """
        table = self._table("predictions", model)
        wanted = {f"input_{field.name}": sql_type(field) for field in inputs}
        wanted |= {f"embedding_{name}": "FLOAT[]" for name in embeddings}
        sent = [f"group_{name}" for name in groups]
        wanted |= dict.fromkeys(sent, "VARCHAR")
        columns = _PREDICTION | wanted | {k: v for k, v in table.columns().items() if k != "day"}
        if only is not None:
            needed = {*_PREDICTION, *only, *sent}
            columns = {name: kind for name, kind in columns.items() if name in needed}
        tables: dict[str, Any] = {}
        last = until - timedelta(microseconds=1)
        predictions = _from(tables, "predictions", table.read(since.date(), last.date()), columns)
        if only is not None and "predictions" in tables:
            listed = ", ".join(map(text, columns))
            some = f"SELECT COLUMNS(lambda c: c IN ({listed})) FROM predictions"  # noqa: S608 - quoted
            predictions = predictions.replace("FROM predictions", some)
        kinds = _LABEL | dict.fromkeys(sent, "VARCHAR")
        labels = _from(tables, "labels", self._labels(model, since, known_by), kinds)
        grouped = "".join(
            f", arg_max({name}, (known_at, recorded_at, {name})) FILTER ({name} IS NOT NULL) AS {name}"
            for name in map(quote, sent)
        )
        whose = [f"coalesce(known.{name}, once.{name}) AS {name}" for name in map(quote, sent)]
        labelled = _LABELLED.format(f" REPLACE ({', '.join(whose)})" if whose else "")
        moment = _instant(known_by or since)
        written = f" AND recorded_at <= {_instant(recorded_by)}" if recorded_by else ""
        within = "true"
        if since != rules.midnight(since.date()) or until != rules.midnight(until.date()):
            within = f'"at" >= {_instant(since)} AND "at" < {_instant(until)}'  # else the days' files say so
        span = f"{_instant(since)} {_instant(until)}{written}"
        stretch = f"SELECT * FROM ({predictions}) WHERE {within}{written}"  # noqa: S608 - moments
        name = f"{table.version()} {span}"
        one_in, uneven = self._extent(stretch, tables, name, most)
        even = f" AND hash(prediction_id) % {one_in} = 0" if one_in > 1 else ""
        stretch += even
        keys = self._repeated(stretch, tables, name + even)
        tables["repeated"], repeats = {"key": keys}, len(keys) > 0
        thin = f" WHERE {sampling.THIN}" if uneven else ""
        query = f"""
            WITH known AS (
                SELECT prediction_id, arg_max(value, (known_at, recorded_at, value)) AS label,
                    min(known_at) AS labelled_at{grouped}
                FROM ({labels}) WHERE known_at <= {moment}{written}{even} GROUP BY prediction_id
            ), stretch AS NOT MATERIALIZED ({stretch}),
            thinned AS NOT MATERIALIZED (SELECT * FROM stretch{thin}), once AS NOT MATERIALIZED (
                {_ONCE if repeats else "FROM thinned"}
            ), log AS {"" if repeats or uneven else "NOT "}MATERIALIZED (
                SELECT *, {one_in} AS one_in FROM ({labelled if known_by else _UNLABELLED})
            )
            {sql}"""  # noqa: S608 - names are quoted, values are moments
        return self._ws.engine.columns(query, (), tables)

    def _extent(
        self, stretch: str, tables: Mapping[str, Any], name: str, most: int | None
    ) -> tuple[int, bool]:
        """Of how many rows of a stretch one is taken; and whether the share that was kept changed within it.

        Of the last stretch by name from memory; one pass, which reads no key.
        """
        if self._sized is None or self._sized[0] != name:
            shares = "min(coalesce(share, 1)) < max(coalesce(share, 1))"
            sql = f"SELECT count(*), {shares} FROM ({stretch})"  # noqa: S608 - moments
            [(rows, uneven)] = self._ws.engine.rows(sql, (), tables)
            self._sized = (name, int(rows), bool(uneven))
        _, rows, uneven = self._sized
        return max(1, -(-rows // most)) if most is not None else 1, uneven

    def _repeated(self, stretch: str, tables: Mapping[str, Any], name: str) -> Column:
        """The hashes of the identities that several rows have; of the last stretch by name from memory.

        Hardly ever is there one. Then rows needn't be held beside each other, and a query reads no more
        than its columns.
        """
        if self._looked is None or self._looked[0] != name:
            sql = f"SELECT hash(prediction_id) AS key FROM ({stretch}) GROUP BY key HAVING count(*) > 1"  # noqa: S608
            self._looked = (name, self._ws.engine.columns(sql, (), tables)["key"])
        return self._looked[1]

    def _labels(self, model: str, since: datetime, known_by: datetime | None) -> Any:
        """The label rows that may matter; a day's grace for clocks that disagree."""
        if known_by is None or known_by < since:
            return None
        return self._table("labels", model).read(since.date() - timedelta(days=1), known_by.date())

    def _table(self, kind: str, model: str) -> DayTable:
        store = self._ws.config.store
        base = store.tables if "://" in store.tables else str(self._ws.root / store.tables)
        return DayTable(f"{base.rstrip('/')}/{kind}/{check_name('model', model)}", store.options)


def check_model(workspace: Workspace, model: str) -> None:
    """Whether there is such a model: the project's own, or one with versions.

    Raises:
        NotFound: If there isn't; with the nearest name.
        InvalidInput: If no model can have that name.
    """
    check_name("model", model)
    if model != workspace.config.model:
        known = Registry(workspace).models()
        if model not in known:
            raise unknown("model", model, [*known, workspace.config.model])


def sql_type(field: Field) -> str:
    """How a feature is kept: texts as text, all else as numbers."""
    return "VARCHAR" if field.kind == "string" else "DOUBLE"


def _from(tables: dict[str, Any], name: str, source: Any, columns: Mapping[str, str]) -> str:
    if source is None:
        return typed_rows(columns, None)
    tables[name] = source
    return typed_rows(columns, name)


def _instant(moment: datetime) -> str:
    """A moment as SQL writes it."""
    return f"TIMESTAMPTZ '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


def _now() -> np.int64:
    """When rows were written down, by the machine's clock, in microseconds since 1970."""
    return np.int64(SystemClock().now().timestamp() * 1e6)
